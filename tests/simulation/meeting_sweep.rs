//! One seed of meetings: members on slaves of a run, or clients in a room of a controller without a run, and the
//! faults meanwhile.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use arete::controller::{Config, Limits};
use arete::machine::{Exit, Signal};
use arete::testfile::Test;
use arete::wire::{Action, Entry};
use fastrand::Rng;

use crate::checks::{Checks, slave_node};
use crate::lab::{self, CONTROLLER, RESULTS};
use crate::meeting_checks::{MeetingChecks, SERVES_ON};
use crate::meeting_plan::{self, Plan, Planned};
use crate::meeting_seen::MeetingsSeen;
use crate::passer_by::PasserBy;
use crate::sweep::{self, FAULTS_UNTIL, Kind};
use crate::world::node::Life;
use crate::world::{Fault, MILLISECOND, SECOND, World};

/// The limit on the time of a run after the last fault.
const RUN_ENDS_WITHIN: u64 = 900 * SECOND;
/// The time for which clients in a room are watched.
const ROOM_ENDS_WITHIN: u64 = 300 * SECOND;

/// The longest time until a client tries again, in the first minute, with the time to join.
const RECONNECT_MAX: u64 = 2 * SECOND + 100 * MILLISECOND;

/// The place at which members meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    Run,
    Room,
    /// A room that one of its members serves.
    Served,
}

/// Seeds from this number on are about rooms that a member serves.
pub const SERVED: u64 = 1_000_000;

pub fn kind_of(seed: u64) -> (Place, Kind) {
    if seed >= SERVED {
        return (Place::Served, [Kind::Calm, Kind::Breaking, Kind::Harsh][(seed % 3) as usize]);
    }
    let place = if seed % 8 < 5 { Place::Run } else { Place::Room };
    let kind = match seed % 8 {
        0 | 5 => Kind::Calm,
        1 | 2 | 6 => Kind::Breaking,
        _ => Kind::Harsh,
    };
    (place, kind)
}

/// The most delay between two hosts, in addition to the weather.
const DELAY_MAX: u64 = 15 * MILLISECOND;

/// The delays between hosts differ, and also those of the two ways.
fn delays(hosts: usize, world: &mut World, rng: &mut Rng) {
    for host in 1..=hosts {
        if rng.bool() {
            for way in [(CONTROLLER, host), (host, CONTROLLER)] {
                world.network.delays.insert(way, rng.u64(0..=DELAY_MAX));
            }
        }
    }
}

/// A client: one arrival in one process.
struct Client {
    planned: Planned,
    node: usize,
    /// The life that is known to wait.
    life: u32,
    over: bool,
    output: lab::Output,
    /// The next arrival of its command, and the wait before it.
    next: Option<(u64, usize)>,
}

pub struct MeetingSweep {
    pub world: World,
    pub plan: Plan,
    pub test: Option<Rc<Test>>,
    checks: Checks,
    pub meetings: MeetingChecks,
    clients: Vec<Client>,
}

impl MeetingSweep {
    pub fn new(seed: u64) -> MeetingSweep {
        let (place, kind) = kind_of(seed);
        let mut rng = Rng::with_seed(seed ^ 0x0ba4_41e4);
        let hosts = rng.usize(2..=5);
        let plan = match place {
            Place::Served => meeting_plan::served(hosts, &mut rng),
            _ => meeting_plan::plan(hosts, place == Place::Run, &mut rng),
        };
        let mut world = World::new(seed ^ 0x5eed, hosts + 1);
        world.watched = Some(CONTROLLER);
        sweep::weather(kind, &mut world, &mut rng);
        world.spawn_fails_one_in = 0;
        delays(hosts, &mut world, &mut rng);
        let mut meetings = MeetingChecks::new(&plan);
        meetings.calm = kind == Kind::Calm;
        meetings.even = world.network.weather.is_even();
        meetings.logged = place == Place::Run;
        meetings.calm_from = if kind == Kind::Harsh { FAULTS_UNTIL + 150 * SECOND } else { FAULTS_UNTIL + 6 * SECOND };
        world.fault_at(FAULTS_UNTIL, Fault::Drops(0));
        world.fault_at(FAULTS_UNTIL, Fault::DiskFull(CONTROLLER, false));
        let mut sweep =
            MeetingSweep { world, plan, test: None, checks: Checks::default(), meetings, clients: Vec::new() };
        match place {
            Place::Run => sweep.prepare_run(kind, &mut rng),
            Place::Room | Place::Served => sweep.prepare_room(place, kind, &mut rng),
        }
        sweep.meetings.slowest = sweep.world.network.weather.slowest() + DELAY_MAX;
        sweep
    }

    fn prepare_run(&mut self, kind: Kind, rng: &mut Rng) {
        let test = self.plan.test(rng);
        self.checks = Checks::new(&test, "run1", RESULTS);
        let config = Config {
            wait: Some(Duration::from_secs(120)),
            lost_after: Duration::from_secs(rng.u64(40..70)),
            ..lab::controller_config(test.clone())
        };
        let controller =
            lab::add_lasting_controller(&mut self.world, config, None, Limits::default(), Rc::new(Cell::new(1)));
        self.meetings.lasting = true;
        self.world.fault_at(rng.u64(0..SECOND), Fault::Start(controller));
        for (index, slave) in test.slaves.iter().enumerate() {
            let node = lab::add_slave(&mut self.world, index + 1, &slave.name, false);
            self.world.fault_at(rng.u64(0..SECOND), Fault::Start(node));
        }
        for _ in 0..sweep::faults(kind, rng) {
            sweep::fault(kind, rng.u64(0..FAULTS_UNTIL), self.plan.hosts, &mut self.world, rng);
        }
        self.test = Some(test);
    }

    fn prepare_room(&mut self, place: Place, kind: Kind, rng: &mut Rng) {
        if place == Place::Served {
            let planned = self.plan.scripts[0].steps[0].1.clone();
            let (node, output) = lab::add_server(&mut self.world, &planned.member(), planned.meet());
            self.clients.push(Client { planned, node, life: 0, over: false, output, next: None });
            self.meetings.served = true;
        } else {
            self.meetings.lasting = rng.u8(0..3) > 0;
            let add = if self.meetings.lasting { lab::add_lasting_rooms } else { lab::add_bare_controller };
            let controller = add(&mut self.world);
            let up = rng.u64(0..2 * SECOND);
            self.world.fault_at(up, Fault::Start(controller));
            self.meetings.up_from = up + RECONNECT_MAX;
        }
        if kind == Kind::Calm {
            // So that no member takes longer than a second to answer a check.
            let (least, most) = &mut self.world.network.weather.latency;
            (*least, *most) = ((*least).min(2 * MILLISECOND), (*most).min(20 * MILLISECOND));
        }
        for (nr, script) in self.plan.scripts.clone().into_iter().enumerate() {
            let count = script.steps.len();
            for (index, (wait, planned)) in script.steps.iter().enumerate() {
                let next = (index + 1 < count).then(|| (script.steps[index + 1].0, self.world.nodes.len() + 1));
                let serves = place == Place::Served && nr == 0;
                let node = if serves { CONTROLLER } else { self.add_client(planned.clone(), next) };
                if index == 0 {
                    self.world.fault_at((script.at + wait) * MILLISECOND, Fault::Start(node));
                }
                if let Some(killed) = script.killed {
                    let how = if rng.bool() { Fault::Crash(node) } else { Fault::Signal(node, Signal::TERM) };
                    self.world.fault_at(killed * MILLISECOND, how);
                }
            }
        }
        for _ in 0..sweep::faults(kind, rng) {
            self.room_fault(kind, rng);
        }
        if place == Place::Room && kind != Kind::Calm {
            // A crowd of strangers makes the controller forget members, but never the verdict of one.
            let stranger = PasserBy::add(&mut self.world, CONTROLLER, FAULTS_UNTIL);
            self.world.fault_at(rng.u64(0..FAULTS_UNTIL / 2), Fault::Start(stranger));
        }
    }

    fn add_client(&mut self, planned: Planned, next: Option<(u64, usize)>) -> usize {
        let (node, output) = lab::add_client(&mut self.world, planned.host + 1, &planned.member(), planned.meet());
        self.clients.push(Client { planned, node, life: 0, over: false, output, next });
        node
    }

    fn room_fault(&mut self, kind: Kind, rng: &mut Rng) {
        let at = rng.u64(0..FAULTS_UNTIL);
        let client = self.clients[rng.usize(0..self.clients.len())].node;
        // A host is never cut off from itself.
        let host = self.world.nodes[client].host.max(CONTROLLER + 1);
        let world = &mut self.world;
        match (kind, rng.u8(0..13)) {
            (_, 10..) if self.meetings.lasting => sweep::kill_controller(at, world, rng),
            (_, 0..3 | 10..) => world.fault_at(at, Fault::Drop),
            (_, 3..5) | (Kind::Breaking, _) => {
                let lasts = rng.u64(100 * MILLISECOND..6 * SECOND);
                world.fault_at(at, Fault::Partition(CONTROLLER, host));
                world.fault_at(at + lasts, Fault::Heal(CONTROLLER, host));
            }
            (_, 5) => {
                world.fault_at(at, Fault::Partition(CONTROLLER, host));
                world.fault_at(at + rng.u64(SECOND..60 * SECOND), Fault::Heal(CONTROLLER, host));
            }
            (_, 9) if self.meetings.lasting && rng.bool() => {
                // It exits at once if it cannot write, and a service manager restarts it again and again.
                let lasts = rng.u64(0..8 * SECOND);
                world.fault_at(at, Fault::DiskFull(CONTROLLER, true));
                world.fault_at(at + lasts, Fault::DiskFull(CONTROLLER, false));
                (0..12).for_each(|nr| world.fault_at(at + nr * SECOND, Fault::Start(CONTROLLER)));
            }
            (_, 6 | 7) => {
                let how = if rng.bool() { Fault::Crash(client) } else { Fault::CrashInTurn(client, rng.usize(0..4)) };
                world.fault_at(at, how);
                world.fault_at(at + rng.u64(0..8 * SECOND), Fault::Start(client));
            }
            (_, 8) => {
                let node = if rng.bool() { client } else { CONTROLLER };
                world.fault_at(at, Fault::Pause(node));
                world.fault_at(at + rng.u64(0..40 * SECOND), Fault::Resume(node));
            }
            _ => {
                let how =
                    if rng.bool() { Fault::Crash(CONTROLLER) } else { Fault::CrashInTurn(CONTROLLER, rng.usize(0..4)) };
                world.fault_at(at, how);
                world.fault_at(at + 3 * SECOND, Fault::Crash(CONTROLLER));
                world.fault_at(at + 3 * SECOND + rng.u64(0..20 * SECOND), Fault::Start(CONTROLLER));
            }
        }
    }

    pub fn run(&mut self) -> Result<MeetingsSeen, String> {
        match self.test.clone() {
            Some(test) => {
                self.until(RUN_ENDS_WITHIN, |sweep| sweep.world.nodes[CONTROLLER].exit.is_some())?;
                if self.world.nodes[CONTROLLER].exit.is_none() {
                    return Err("the run does not end".to_owned());
                }
                self.checks.after_run(&test, &self.world)?;
                self.entries_are_true(&test)?;
            }
            None => {
                self.until(ROOM_ENDS_WITHIN, |sweep| {
                    sweep.world.now > FAULTS_UNTIL && sweep.clients.iter().all(|client| client.over)
                })?;
            }
        }
        self.meetings.after_run()?;
        let (steps, drops) = (self.world.step, self.world.network.drops);
        Ok(MeetingsSeen { steps, drops, ..self.meetings.seen })
    }

    /// Entries that are barriers or syncs themselves exited with the verdict that the controller sent.
    fn entries_are_true(&mut self, test: &Test) -> Result<(), String> {
        let whole = |slave: &str| {
            self.checks.events.iter().any(|event| event["event"] == "stopped" && event["slave"] == *slave)
        };
        let exits = self.checks.events.iter().filter(|event| event["event"] == "exited");
        for event in exits {
            let (slave, name) = (event["slave"].as_str().unwrap_or(""), event["entry"].as_str().unwrap_or(""));
            let node = slave_node(slave);
            let entry = test.slaves[node - 1].entries.iter().find(|entry| entry.name == name);
            let meets = |entry: &&Entry| matches!(entry.action, Action::Barrier { .. } | Action::Sync { .. });
            let Some(entry) = entry.filter(meets) else { continue };
            let script: usize = name[1..].parse().expect("a command is called c and a number");
            let planned = &self.plan.scripts[script].steps[0].1;
            if event["exit"]["signal"].is_string() {
                let (outcome, killed) = (&event["outcome"], self.plan.scripts[script].killed);
                if killed.is_none() || outcome != "stopped" {
                    return Err(format!("{name} of {slave}, killed at {killed:?}: {event}"));
                }
                self.meetings.entry_is_killed(Life { node, nr: 1 }, planned.serial)?;
                continue;
            }
            let Some(code) = event["exit"]["code"].as_u64() else { continue };
            let passes = match &entry.action {
                Action::Barrier { expect, .. } | Action::Sync { expect, .. } => expect.allows(Exit::Code(code as i32)),
                _ => false,
            };
            if event["outcome"] != if passes { "passed" } else { "failed" } {
                return Err(format!("{entry:?} of {slave} is judged wrong: {event}"));
            }
            let output = self.world.hosts[CONTROLLER].disk.get(format!("{RESULTS}/{slave}/{name}.out"));
            // A slave with a full disk has not stored its map.
            let kept = !self.checks.disk_failed && self.world.hosts[node].disk.failures == 0;
            let output = output.or(Some(b"")).filter(|_| whole(slave) && kept);
            let life = Life { node, nr: 1 };
            self.meetings.entry_is_over(life, planned.serial, code as u8, output)?;
        }
        Ok(())
    }

    fn until(&mut self, micros: u64, done: impl Fn(&MeetingSweep) -> bool) -> Result<(), String> {
        let end = self.world.now + micros;
        while !done(self) && self.world.now < end && self.world.step() {
            self.clients_start();
            let said = self.world.said.clone();
            if self.test.is_some() {
                self.checks.after_step(&mut self.world)?;
                self.meetings.logged &= !self.checks.disk_failed;
            }
            self.world.said.clear();
            let received = std::mem::take(&mut self.world.received);
            self.meetings.after_step(&self.world, CONTROLLER, &said, &received, &self.checks.events)?;
            self.servers_stop()?;
            self.clients_end()?;
        }
        Ok(())
    }

    /// A member that serves a room and has its verdict stops after a limited time, whether or not the others have
    /// theirs.
    fn servers_stop(&self) -> Result<(), String> {
        let node = &self.world.nodes[CONTROLLER];
        if !self.meetings.served || node.machine.is_none() || node.paused {
            return Ok(());
        }
        let told = self.meetings.told_at(self.world.life_of(CONTROLLER), self.clients[0].planned.serial);
        match told.map(|at| at.max(node.resumed_at)) {
            Some(at) if self.world.now > at + SERVES_ON => Err(format!("the room is served for ever, since {at}")),
            _ => Ok(()),
        }
    }

    fn clients_start(&mut self) {
        for client in &mut self.clients {
            let life = self.world.life_of(client.node);
            if life.nr != client.life {
                client.life = life.nr;
                client.over = false;
                self.meetings.waits(self.world.now, life, client.planned.serial, None);
            }
        }
    }

    fn clients_end(&mut self) -> Result<(), String> {
        for client in &mut self.clients {
            let node = &self.world.nodes[client.node];
            if client.over || client.life == 0 || node.machine.is_some() {
                continue;
            }
            client.over = true;
            let (now, serial) = (self.world.now, client.planned.serial);
            let life = self.world.life_of(client.node);
            match node.exit {
                None | Some(130) => self.meetings.died(now, life, serial),
                Some(code) => self.meetings.client_exited(now, life, serial, code, &client.output.borrow())?,
            }
            if let Some((wait, next)) = client.next.filter(|_| node.exit.is_some()) {
                self.world.fault_at(now + wait * MILLISECOND, Fault::Start(next));
            }
        }
        // It is not shared.
        self.world.exited.clear();
        Ok(())
    }
}
