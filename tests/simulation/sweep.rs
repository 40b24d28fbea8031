//! One seed: a random test, a controller and its slaves, and the faults meanwhile.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use arete::controller::{Config, Launcher, Limits};
use arete::machine::Signal;
use arete::slave::Leave;
use arete::testfile::End;
use arete::wire::Verdict;
use fastrand::Rng;

use crate::checks::{Checks, living};
use crate::generator::{self, Plan};
use crate::lab::{self, CONTROLLER, RESULTS, SECOND_RESULTS};
use crate::world::network::Weather;
use crate::world::{Fault, MILLISECOND, SECOND, World};

/// The limit on the time of a run after the last fault: its own limit, and the waits at its end.
const ENDS_WITHIN: u64 = 1_200 * SECOND;
/// Longer than a slave continues without its controller, and then needs to stop.
const ORPHANS_END_WITHIN: u64 = 400 * SECOND;
/// No fault comes later than this.
pub const FAULTS_UNTIL: u64 = 20 * SECOND;

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Nothing breaks; the network may be slow.
    Calm,
    /// Connections break, and hosts are cut off from each other, but never for long.
    Breaking,
    /// Slaves die and pause, disks are full, partitions last.
    Harsh,
}

pub fn kind_of(seed: u64) -> Kind {
    [Kind::Calm, Kind::Breaking, Kind::Harsh, Kind::Breaking][(seed % 4) as usize]
}

/// What happened in a seed, to check that a sweep tests what it should.
#[derive(Default, Debug, Clone, Copy)]
pub struct Seen {
    pub steps: u64,
    pub drops: u64,
    pub triggers: u64,
    pub notifies: u64,
    pub measured: u64,
    pub asserted: u64,
    pub passed: u64,
    pub lost: u64,
    pub rejoined: u64,
    pub resumed: u64,
}

impl Seen {
    pub fn add(&mut self, other: Seen) {
        self.steps += other.steps;
        self.drops += other.drops;
        self.triggers += other.triggers;
        self.notifies += other.notifies;
        self.measured += other.measured;
        self.asserted += other.asserted;
        self.passed += other.passed;
        self.lost += other.lost;
        self.rejoined += other.rejoined;
        self.resumed += other.resumed;
    }
}

pub struct Sweep {
    pub world: World,
    pub plan: Plan,
    pub checks: Checks,
    kind: Kind,
    /// A fault a while after the end of the run has begun.
    at_the_end: Option<(u64, Fault)>,
    /// The same slaves serve a second run, without faults.
    again: bool,
    /// The slaves end with the run, and every second one ends if there is none.
    launched: bool,
    /// The number of the run.
    nr: Rc<Cell<u32>>,
}

impl Sweep {
    pub fn new(seed: u64) -> Sweep {
        let kind = kind_of(seed);
        let mut rng = Rng::with_seed(seed);
        let mut plan = generator::plan(&mut rng);
        generator::gush(seed, &mut plan);
        generator::leave(seed, &mut plan);
        generator::again(seed, &mut plan);
        generator::harm(seed, &mut plan);
        generator::measure(seed, &mut plan);
        let again = (seed / 4).is_multiple_of(4);
        let nr = Rc::new(Cell::new(1));
        let launched = !again && (seed / 16).is_multiple_of(3);
        let mut world = build(seed, &plan, (again, launched), nr.clone(), &mut rng);
        weather(kind, &mut world, &mut rng);
        let slaves = plan.test.slaves.len();
        for _ in 0..faults(kind, &mut rng) {
            let at = if rng.bool() { rng.u64(0..FAULTS_UNTIL) } else { rng.u64(0..FAULTS_UNTIL / 3) };
            fault(kind, at, slaves, &mut world, &mut rng);
        }
        if kind != Kind::Calm && rng.u8(0..6) == 0 {
            // Again and again, also while the effect of the last one continues.
            (0..rng.usize(2..8)).for_each(|_| kill_controller(rng.u64(0..FAULTS_UNTIL / 3), &mut world, &mut rng));
        }
        if kind == Kind::Calm && plan.may_be_poked && rng.bool() {
            for _ in 0..rng.usize(1..4) {
                let at = rng.u64(2 * SECOND..8 * SECOND);
                world.fault_at(at, Fault::Signal(rng.usize(1..=slaves), Signal::USR1));
            }
        }
        reload(seed, slaves, &mut world);
        let at_the_end = at_the_end(kind, slaves, &mut rng);
        world.fault_at(FAULTS_UNTIL, Fault::Drops(0));
        world.fault_at(FAULTS_UNTIL, Fault::DiskFull(CONTROLLER, false));
        let checks = Checks::new(&plan.test, "run1", RESULTS).shipping_at_most(plan.output_max);
        Sweep { world, plan, checks, kind, at_the_end, again, launched, nr }
    }

    /// Runs the test to its end, and in some seeds once more. The error names the violated condition.
    pub fn run(&mut self) -> Result<Seen, String> {
        self.run_once()?;
        if self.again {
            self.end_faults()?;
            self.kind = Kind::Calm;
            let checks = Checks::new(&self.plan.test, "run2", SECOND_RESULTS);
            self.checks = checks.shipping_at_most(self.plan.output_max);
            self.nr.set(2);
            self.world.start(CONTROLLER);
            self.run_once().map_err(|why| format!("in the second run: {why}"))?;
        }
        self.nothing_is_left()?;
        Ok(self.seen())
    }

    fn run_once(&mut self) -> Result<(), String> {
        self.until(ENDS_WITHIN, |world| world.nodes[CONTROLLER].exit.is_some())?;
        if self.world.nodes[CONTROLLER].exit.is_none() {
            return Err("the run does not end".to_owned());
        }
        self.checks.after_run(&self.plan.test, &self.world)?;
        if self.kind == Kind::Calm && self.world.network.weather.is_even() {
            self.checks.starts_agree(&self.plan.test, &self.world)?;
        }
        self.verdict_is_expected()
    }

    /// Ends all faults in the world.
    fn end_faults(&mut self) -> Result<(), String> {
        let rest = (FAULTS_UNTIL + SECOND).saturating_sub(self.world.now);
        self.until(rest, |_| false)?;
        self.until(10 * SECOND, |_| false)?;
        for (a, b) in self.world.network.partitions() {
            self.world.heal(a, b);
        }
        self.at_the_end = None;
        // A controller that was restarted by a fault continues the first run, or failed because of its disk.
        self.world.happen(Fault::Crash(CONTROLLER));
        self.world.spawn_fails_one_in = 0;
        self.world.hosts.iter_mut().for_each(|host| (host.disk.full, host.disk.failures) = (false, 0));
        for node in 1..self.world.nodes.len() {
            self.world.resume(node);
            self.world.nodes[node].doomed = None;
            self.world.start(node);
        }
        Ok(())
    }

    fn until(&mut self, micros: u64, done: impl Fn(&World) -> bool) -> Result<(), String> {
        let end = self.world.now + micros;
        while !done(&self.world) && self.world.now < end && self.world.step() {
            self.checks.after_step(&mut self.world)?;
            if self.checks.is_ending()
                && let Some((after, fault)) = self.at_the_end.take()
            {
                self.harm_the_end(after, fault);
            }
        }
        Ok(())
    }

    fn harm_the_end(&mut self, after: u64, fault: Fault) {
        let at = self.world.now + after;
        match fault {
            Fault::Crash(CONTROLLER) => self.world.fault_at(at + self.world.now % SECOND, Fault::Start(CONTROLLER)),
            Fault::Crash(node) | Fault::CrashInTurn(node, _) => {
                self.world.fault_at(at + self.plan.test.grace.as_micros() as u64, Fault::Start(node));
            }
            Fault::Partition(a, b) => self.world.fault_at(at + 3 * SECOND, Fault::Heal(a, b)),
            Fault::Pause(node) => self.world.fault_at(at + 10 * SECOND, Fault::Resume(node)),
            _ => {}
        }
        self.world.fault_at(at, fault);
    }

    fn verdict_is_expected(&self) -> Result<(), String> {
        if self.kind != Kind::Harsh
            && let Some(lost) = self.checks.events.iter().find(|event| event["event"] == "lost")
        {
            return Err(format!("nothing lasted long enough to lose a slave: {lost}"));
        }
        let Some(expected) = self.plan.verdict.filter(|_| self.kind != Kind::Harsh) else { return Ok(()) };
        let last = self.checks.events.last().cloned().unwrap_or_default();
        let in_time = !matches!(self.plan.test.end, End::Idle { .. }) && self.kind == Kind::Breaking;
        if in_time && expected == Verdict::Failed {
            // The slave with the failing entry may be away all the time.
            return Ok(());
        }
        let expected = format!("{expected:?}").to_lowercase();
        if last["verdict"] == *expected { Ok(()) } else { Err(format!("it should have {expected}: {last}")) }
    }

    /// Slaves that received the end have nothing left. The others did not notice that they are alone.
    fn nothing_is_left(&mut self) -> Result<(), String> {
        let slaves = 1..self.world.nodes.len();
        let harmed =
            |world: &World, node: usize| world.nodes[node].machine.is_some() && !world.harms_of(node).is_empty();
        let busy = |world: &World| {
            slaves.clone().any(|node| !living(world, world.life_of(node)).is_empty() || harmed(world, node))
        };
        self.until(5 * SECOND, |world| !busy(world))?;
        self.until(ORPHANS_END_WITHIN, |world| !busy(world))?;
        self.the_launched_have_left()?;
        for node in slaves {
            // A slave that is dead or could start no process has left its faults to the next one, with their records.
            if self.world.nodes[node].machine.is_none() || self.world.spawn_fails_one_in > 0 {
                self.world.heal_node(node);
            }
            let harms = self.world.harms_of(node);
            if !harms.is_empty() {
                return Err(format!("the run is over, and on {} {harms:?} are in effect", self.world.nodes[node].name));
            }
            let left = living(&self.world, self.world.life_of(node));
            if self.world.nodes[node].machine.is_some() && !left.is_empty() {
                return Err(format!("the run is over, and on {} {left:?} still run", self.world.nodes[node].name));
            }
        }
        Ok(())
    }

    /// Launched slaves are gone: those that knew from the start that they were launched, and those that the controller
    /// has dismissed.
    fn the_launched_have_left(&mut self) -> Result<(), String> {
        if !self.launched {
            return Ok(());
        }
        let named = |event: &serde_json::Value| event["slave"].as_str().map(str::to_owned);
        let stopped = self.checks.events.iter().filter(|event| event["event"] == "stopped").filter_map(named);
        let stopped: BTreeSet<String> = stopped.collect();
        // A slave that was restarted since knows nothing, unless it was launched.
        let here = move |world: &World| {
            let leaves = |node: usize| {
                let knows = world.nodes[node].life == 1 && stopped.contains(&world.nodes[node].name);
                (node % 2 == 1 || knows) && world.nodes[node].machine.is_some()
            };
            (1..world.nodes.len()).find(|node| leaves(*node))
        };
        self.until(ORPHANS_END_WITHIN, |world| here(world).is_none())?;
        match here(&self.world) {
            Some(node) => Err(format!("{} was launched, and is still there", self.world.nodes[node].name)),
            None => Ok(()),
        }
    }

    fn seen(&self) -> Seen {
        let count = |what: &str| self.checks.events.iter().filter(|event| event["event"] == what).count() as u64;
        Seen {
            steps: self.world.step,
            drops: self.world.network.drops,
            triggers: count("triggered"),
            notifies: count("notified"),
            measured: count("measured"),
            asserted: u64::from(
                self.checks.events.last().is_some_and(|event| event["why"].to_string().contains(", asserted ")),
            ),
            passed: u64::from(self.world.nodes[CONTROLLER].exit == Some(0)),
            lost: count("lost"),
            rejoined: count("rejoined"),
            resumed: count("resumed"),
        }
    }
}

/// A controller on host 0, and each slave on its own host.
fn build(seed: u64, plan: &Plan, (again, launched): (bool, bool), run: Rc<Cell<u32>>, rng: &mut Rng) -> World {
    let limits = Limits { output: plan.output_max, ..Limits::default() };
    let slaves = plan.test.slaves.len();
    let mut world = World::new(seed ^ 0x5eed, slaves + 1);
    for (path, bytes) in plan.resources.values() {
        world.hosts[CONTROLLER].disk.put(path.clone(), bytes.clone());
    }
    let config = Config {
        wait: Some(Duration::from_secs(120)),
        lost_after: Duration::from_secs(rng.u64(40..70)),
        follow: rng.bool(),
        terminal: rng.bool().then_some((80, 24)),
        ..lab::controller_config(plan.test.clone())
    };
    let controller = lab::add_lasting_controller(&mut world, config, launched.then(Launcher::default), limits, run);
    world.fault_at(rng.u64(0..2 * SECOND), Fault::Start(controller));
    for (index, slave) in plan.test.slaves.iter().enumerate() {
        let once = !again && rng.u8(0..4) == 0;
        let leave = if launched && index % 2 == 0 { Leave::Launched } else { Leave::WhenTold };
        let node = lab::add_launched_slave(&mut world, index + 1, &slave.name, once, leave);
        world.fault_at(rng.u64(0..2 * SECOND), Fault::Start(node));
    }
    world
}

/// Some slaves reload their configuration, which must not change the run. This has its own generator, so that the rest
/// of a seed does not change.
fn reload(seed: u64, slaves: usize, world: &mut World) {
    let mut rng = Rng::with_seed(!seed);
    for _ in 0..rng.usize(0..4) {
        world.fault_at(rng.u64(0..FAULTS_UNTIL), Fault::Signal(rng.usize(1..=slaves), Signal::HUP));
    }
}

pub fn weather(kind: Kind, world: &mut World, rng: &mut Rng) {
    let slow = rng.u8(0..4) == 0;
    world.network.weather = Weather {
        latency: if slow { (5 * MILLISECOND, 80 * MILLISECOND) } else { (50, 500) },
        spike_one_in: [0, 20, 200][rng.usize(0..3)],
        cut: rng.u8(0..4) > 0,
        drop_one_in: if kind == Kind::Calm { 0 } else { [0, 100, 30, 8][rng.usize(0..4)] },
        drop_at: None,
    };
    if kind == Kind::Harsh && rng.u8(0..6) == 0 {
        world.spawn_fails_one_in = 10;
    }
}

pub fn faults(kind: Kind, rng: &mut Rng) -> usize {
    match kind {
        Kind::Calm => 0,
        Kind::Breaking => rng.usize(0..5),
        Kind::Harsh => rng.usize(1..5),
    }
}

pub fn fault(kind: Kind, at: u64, slaves: usize, world: &mut World, rng: &mut Rng) {
    let slave = rng.usize(1..=slaves);
    match (kind, rng.u8(0..13)) {
        (_, 10..) => kill_controller(at, world, rng),
        (_, 0..3) => world.fault_at(at, Fault::Drop),
        (_, 3..5) | (Kind::Breaking, _) => {
            let lasts = rng.u64(100 * MILLISECOND..6 * SECOND);
            world.fault_at(at, Fault::Partition(CONTROLLER, slave));
            world.fault_at(at + lasts, Fault::Heal(CONTROLLER, slave));
        }
        (_, 5) => {
            let lasts = rng.u64(15 * SECOND..150 * SECOND);
            world.fault_at(at, Fault::Partition(CONTROLLER, slave));
            world.fault_at(at + lasts, Fault::Heal(CONTROLLER, slave));
        }
        (_, 6 | 7) => {
            let how = if rng.bool() { Fault::Crash(slave) } else { Fault::CrashInTurn(slave, rng.usize(0..4)) };
            world.fault_at(at, how);
            if rng.u8(0..3) > 0 {
                world.fault_at(at + rng.u64(0..5 * SECOND), Fault::Start(slave));
            }
        }
        (_, 8) => {
            let node = if rng.bool() { slave } else { CONTROLLER };
            world.fault_at(at, Fault::Pause(node));
            world.fault_at(at + rng.u64(0..60 * SECOND), Fault::Resume(node));
        }
        _ => match rng.u8(0..7) {
            0 => world.fault_at(at, Fault::DiskFull(CONTROLLER, true)),
            1 => world.fault_at(at, Fault::DiskFull(slave, true)),
            2 => world.fault_at(at, Fault::Signal(CONTROLLER, Signal::INT)),
            3 => {
                world.fault_at(at, Fault::Signal(CONTROLLER, Signal::INT));
                world.fault_at(at + rng.u64(0..2 * SECOND), Fault::Signal(CONTROLLER, Signal::INT));
            }
            4 => world.fault_at(at, Fault::Signal(slave, Signal::TERM)),
            _ => world.fault_at(at, Fault::Signal(slave, Signal::USR1)),
        },
    }
}

/// The controller is killed, between two turns or within one, and restarted soon after.
pub fn kill_controller(at: u64, world: &mut World, rng: &mut Rng) {
    let down = rng.u64(0..4 * SECOND);
    if rng.bool() {
        world.fault_at(at, Fault::CrashInTurn(CONTROLLER, rng.usize(0..4)));
    }
    let killed = at + rng.u64(0..SECOND);
    if rng.u8(0..8) == 0 {
        world.fault_at(killed, Fault::WallClock(rng.i64(-500_000..500_000)));
    }
    world.fault_at(killed, Fault::Crash(CONTROLLER));
    world.fault_at(killed + down, Fault::Start(CONTROLLER));
}

/// A fault at the end, when slaves stop, ship the rest and are dismissed, and how long after the beginning of the end
/// it happens.
fn at_the_end(kind: Kind, slaves: usize, rng: &mut Rng) -> Option<(u64, Fault)> {
    let after = if rng.bool() { rng.u64(0..20 * MILLISECOND) } else { rng.u64(0..3 * SECOND) };
    let slave = rng.usize(1..=slaves);
    let fault = match (kind, rng.u8(0..8)) {
        (Kind::Calm, _) | (_, 0..2) => return None,
        (_, 3) => Fault::Drop,
        (_, 2) => Fault::Crash(CONTROLLER),
        (Kind::Breaking, _) => Fault::Partition(CONTROLLER, slave),
        (Kind::Harsh, 4) => Fault::Crash(slave),
        (Kind::Harsh, 5) => Fault::CrashInTurn(slave, rng.usize(0..4)),
        (Kind::Harsh, 6) => Fault::Pause(slave),
        (Kind::Harsh, _) => Fault::Signal(slave, Signal::TERM),
    };
    Some((after, fault))
}
