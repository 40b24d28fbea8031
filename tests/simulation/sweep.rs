//! One seed: a random test, a controller and its slaves, and what goes wrong meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use arete::controller::{Config as ControllerConfig, Controller};
use arete::machine::{Address, ListenerId, Signal};
use arete::slave::{Config as SlaveConfig, Slave};
use fastrand::Rng;

use crate::checks::{CONTROLLER, Checks, RESULTS, living};
use crate::generator::{self, Plan};
use crate::world::network::Weather;
use crate::world::{Fault, MILLISECOND, SECOND, World};

/// How long a run may take when nothing goes wrong any more: its limit, and all that the ends wait for.
const ENDS_WITHIN: u64 = 1_200 * SECOND;
/// Longer than a slave goes on without its controller, and than it then needs to stop.
const ORPHANS_END_WITHIN: u64 = 400 * SECOND;
/// No fault comes later than this.
const FAULTS_UNTIL: u64 = 20 * SECOND;

/// How bad the world is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Nothing breaks; the network may be slow.
    Calm,
    /// Connections break, and hosts do not see each other for a while, but never for long.
    Breaking,
    /// Slaves die and pause, disks are full, partitions last.
    Harsh,
}

pub fn kind_of(seed: u64) -> Kind {
    [Kind::Calm, Kind::Breaking, Kind::Harsh, Kind::Breaking][(seed % 4) as usize]
}

/// What a seed has seen, to tell whether a sweep tests what it should.
#[derive(Default, Debug, Clone, Copy)]
pub struct Seen {
    pub steps: u64,
    pub drops: u64,
    pub triggers: u64,
    pub notifies: u64,
    pub passed: u64,
    pub lost: u64,
    pub rejoined: u64,
}

impl Seen {
    pub fn add(&mut self, other: Seen) {
        self.steps += other.steps;
        self.drops += other.drops;
        self.triggers += other.triggers;
        self.notifies += other.notifies;
        self.passed += other.passed;
        self.lost += other.lost;
        self.rejoined += other.rejoined;
    }
}

pub struct Sweep {
    pub world: World,
    pub plan: Plan,
    pub checks: Checks,
    kind: Kind,
}

impl Sweep {
    pub fn new(seed: u64) -> Sweep {
        let kind = kind_of(seed);
        let mut rng = Rng::with_seed(seed);
        let plan = generator::plan(&mut rng);
        let mut world = build(seed, &plan, &mut rng);
        weather(kind, &mut world, &mut rng);
        let slaves = plan.test.slaves.len();
        for _ in 0..faults(kind, &mut rng) {
            let at = rng.u64(0..FAULTS_UNTIL);
            fault(kind, at, slaves, &mut world, &mut rng);
        }
        world.fault_at(FAULTS_UNTIL, Fault::Drops(0));
        world.fault_at(FAULTS_UNTIL, Fault::DiskFull(CONTROLLER, false));
        let checks = Checks::new(&plan.test);
        Sweep { world, plan, checks, kind }
    }

    /// Runs the test to its end; an error says what did not hold.
    pub fn run(&mut self) -> Result<Seen, String> {
        self.until(ENDS_WITHIN, |world| world.nodes[CONTROLLER].exit.is_some())?;
        if self.world.nodes[CONTROLLER].exit.is_none() {
            return Err("the run does not end".to_owned());
        }
        self.checks.after_run(&self.plan.test, &self.world)?;
        self.verdict_is_expected()?;
        self.nothing_is_left()?;
        Ok(self.seen())
    }

    fn until(&mut self, micros: u64, done: impl Fn(&World) -> bool) -> Result<(), String> {
        let end = self.world.now + micros;
        while !done(&self.world) && self.world.now < end && self.world.step() {
            self.checks.after_step(&mut self.world)?;
        }
        Ok(())
    }

    fn verdict_is_expected(&self) -> Result<(), String> {
        let Some(expected) = self.plan.verdict.filter(|_| self.kind != Kind::Harsh) else { return Ok(()) };
        let last = self.checks.events.last().cloned().unwrap_or_default();
        let expected = format!("{expected:?}").to_lowercase();
        if last["verdict"] == *expected { Ok(()) } else { Err(format!("it should have {expected}: {last}")) }
    }

    /// Slaves that heard the end have nothing left; those that did not notice that they are alone.
    fn nothing_is_left(&mut self) -> Result<(), String> {
        let slaves = 1..self.world.nodes.len();
        let busy = |world: &World| slaves.clone().any(|node| !living(world, world.life_of(node)).is_empty());
        self.until(5 * SECOND, |world| !busy(world))?;
        self.until(ORPHANS_END_WITHIN, |world| !busy(world))?;
        for node in slaves {
            let left = living(&self.world, self.world.life_of(node));
            if self.world.nodes[node].machine.is_some() && !left.is_empty() {
                return Err(format!("the run is over, and on {} {left:?} still run", self.world.nodes[node].name));
            }
        }
        Ok(())
    }

    fn seen(&self) -> Seen {
        let count = |what: &str| self.checks.events.iter().filter(|event| event["event"] == what).count() as u64;
        Seen {
            steps: self.world.step,
            drops: self.world.network.drops,
            triggers: count("triggered"),
            notifies: count("notified"),
            passed: u64::from(self.world.nodes[CONTROLLER].exit == Some(0)),
            lost: count("lost"),
            rejoined: count("rejoined"),
        }
    }
}

/// A controller on host 0, and each slave on a host of its own.
fn build(seed: u64, plan: &Plan, rng: &mut Rng) -> World {
    let slaves = plan.test.slaves.len();
    let mut world = World::new(seed ^ 0x5eed, slaves + 1);
    for (path, bytes) in plan.resources.values() {
        world.hosts[CONTROLLER].disk.put(path.clone(), bytes.clone());
    }
    let config = ControllerConfig {
        test: plan.test.clone(),
        run: "run1".to_owned(),
        results: PathBuf::from(RESULTS),
        wait: Some(Duration::from_secs(120)),
        lost_after: Duration::from_secs(rng.u64(40..70)),
        local: None,
        follow: rng.bool(),
        terminal: rng.bool().then_some((80, 24)),
        colors: true,
        wall_offset: 0,
        listening: None,
    };
    let controller = add_controller(&mut world, config);
    world.fault_at(rng.u64(0..2 * SECOND), Fault::Start(controller));
    for (index, slave) in plan.test.slaves.iter().enumerate() {
        let node = add_slave(&mut world, index + 1, &slave.name, rng.u8(0..4) == 0);
        world.fault_at(rng.u64(0..2 * SECOND), Fault::Start(node));
    }
    world
}

pub fn controller_address() -> Address {
    Address::Inet("controller:7000".into())
}

pub fn add_controller(world: &mut World, config: ControllerConfig) -> usize {
    world.add_node("controller", CONTROLLER, vec![controller_address()], move |_| {
        Box::new(Controller::new(config.clone()))
    })
}

pub fn add_slave(world: &mut World, host: usize, name: &str, once: bool) -> usize {
    let name = name.to_owned();
    let socket = PathBuf::from(format!("/run/{name}.sock"));
    let listener = Address::Unix(socket.clone());
    world.add_node(&name.clone(), host, vec![listener], move |birth| {
        Box::new(Slave::new(SlaveConfig {
            name: name.clone(),
            controller: controller_address(),
            incarnation: format!("{name}-{}-{:x}", birth.nr, birth.seed),
            seed: birth.seed,
            pid: birth.pid,
            dir: PathBuf::from(format!("/var/{name}")),
            socket: socket.clone(),
            control: ListenerId(0),
            once,
            keep: false,
        }))
    })
}

fn weather(kind: Kind, world: &mut World, rng: &mut Rng) {
    let slow = rng.u8(0..4) == 0;
    world.network.weather = Weather {
        latency: if slow { (5 * MILLISECOND, 80 * MILLISECOND) } else { (50, 500) },
        spike_one_in: [0, 20, 200][rng.usize(0..3)],
        cut: rng.u8(0..4) > 0,
        drop_one_in: if kind == Kind::Calm { 0 } else { [0, 100, 30, 8][rng.usize(0..4)] },
    };
    if kind == Kind::Harsh && rng.u8(0..6) == 0 {
        world.spawn_fails_one_in = 10;
    }
}

fn faults(kind: Kind, rng: &mut Rng) -> usize {
    match kind {
        Kind::Calm => 0,
        Kind::Breaking => rng.usize(0..5),
        Kind::Harsh => rng.usize(1..5),
    }
}

fn fault(kind: Kind, at: u64, slaves: usize, world: &mut World, rng: &mut Rng) {
    let slave = rng.usize(1..=slaves);
    match (kind, rng.u8(0..10)) {
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
        _ => match rng.u8(0..4) {
            0 => world.fault_at(at, Fault::DiskFull(CONTROLLER, true)),
            1 => world.fault_at(at, Fault::Signal(CONTROLLER, Signal::INT)),
            _ => world.fault_at(at, Fault::Signal(slave, Signal::USR1)),
        },
    }
}
