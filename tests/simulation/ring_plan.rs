//! The plan of a ring's seed: the number of nodes, the mode, and the faults with their times.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use arete::machine::Address;
use arete::ring::seal::Key;
use arete::ring::{Config, Periods, Ring, TCP_PORT, UDP_PORT, work};
use fastrand::Rng;

use crate::world::network::address_of;
use crate::world::{Fault, SECOND, World};

/// The time in which faults happen, in microseconds.
pub const BREAKING: u64 = 60 * SECOND;

/// The promises to a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// One owner, in spite of all faults.
    Members,
    /// The same, with a key.
    Sealed,
    /// One token in the end.
    Plain,
    /// The same, with the protocol of the original.
    Compat,
}

/// The mode of a seed.
pub fn mode_of(seed: u64) -> Mode {
    match seed % 4 {
        0 => Mode::Members,
        1 => Mode::Sealed,
        2 => Mode::Plain,
        _ => Mode::Compat,
    }
}

#[derive(Debug)]
pub struct Plan {
    pub mode: Mode,
    pub nodes: usize,
    pub key: bool,
    pub state: bool,
    pub periods: Periods,
    /// The duration of a work step, in milliseconds.
    pub step: u64,
    pub faults: Vec<(u64, Fault)>,
}

impl Mode {
    pub fn has_majority(self) -> bool {
        matches!(self, Mode::Members | Mode::Sealed)
    }
}

impl Plan {
    pub fn new(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let mode = mode_of(seed);
        let nodes = rng.usize(2..=5);
        let hold = Duration::from_millis(if rng.bool() { 0 } else { rng.u64(0..2_500) });
        let periods = Periods { hold, ..Periods::default() };
        let mut plan = Plan {
            mode,
            nodes,
            key: mode == Mode::Sealed || mode == Mode::Plain && rng.u8(0..4) == 0,
            state: mode.has_majority() || rng.bool(),
            periods,
            // Long ones continue while others elect.
            step: match rng.u8(0..4) {
                0 | 1 => rng.u64(100..300),
                2 => rng.u64(200..4_000),
                _ => rng.u64(4_000..15_000),
            },
            faults: Vec::new(),
        };
        for _ in 0..rng.usize(0..=20) {
            plan.break_something(&mut rng);
        }
        plan
    }

    /// A ring without random faults, with the periods of the original.
    pub fn steady(mode: Mode, nodes: usize) -> Plan {
        Plan { mode, nodes, key: false, state: true, periods: Periods::default(), step: 100, faults: Vec::new() }
    }

    fn break_something(&mut self, rng: &mut Rng) {
        let from = rng.u64(0..BREAKING);
        let until = from + if rng.bool() { rng.u64(0..3 * SECOND) } else { rng.u64(0..20 * SECOND) };
        let node = rng.usize(0..self.nodes);
        match rng.u8(0..13) {
            12 => {
                // A power cut: only the stored state remains.
                for node in 0..self.nodes {
                    let (spared, back) = (rng.u8(0..4) == 0, from + rng.u64(0..2 * SECOND));
                    if !spared {
                        self.faults.extend([(from, Fault::Crash(node)), (back, Fault::Start(node))]);
                    }
                }
            }
            0..=2 => {
                let crash = if rng.bool() { Fault::Crash(node) } else { Fault::CrashInTurn(node, rng.usize(0..4)) };
                self.faults.extend([(from, crash), (until, Fault::Start(node))]);
            }
            3..=5 => self.faults.extend([(from, Fault::Pause(node)), (until, Fault::Resume(node))]),
            6..=8 => {
                // Two sides, or random cuts: then some nodes hear two others that do not hear each other.
                let (sides, side) = (rng.bool(), (0..self.nodes).map(|_| rng.bool()).collect::<Vec<_>>());
                for a in 0..self.nodes {
                    for b in a + 1..self.nodes {
                        if if sides { side[a] != side[b] } else { rng.bool() } {
                            self.faults.extend([(from, Fault::Partition(a, b)), (until, Fault::Heal(a, b))]);
                        }
                    }
                }
            }
            9 => self.faults.extend([(from, Fault::Drops(rng.u32(2..20))), (until, Fault::Drops(0))]),
            10 if self.state => {
                self.faults.extend([(from, Fault::DiskFull(node, true)), (until, Fault::DiskFull(node, false))]);
                self.faults.push((until, Fault::Start(node)));
            }
            _ => self.faults.push((from, Fault::Drop)),
        }
    }

    /// A world with this ring. Its nodes have started.
    pub fn world(&self, seed: u64) -> World {
        let mut world = World::new(seed, self.nodes);
        if self.faults.is_empty() {
            world.network.datagrams.lost_one_in = 0;
            world.network.datagrams.spike = 1_000;
        } else {
            world.network.datagrams.lost_one_in = world.rng.u32(2..30);
            world.network.datagrams.doubled_one_in = world.rng.u32(2..60);
            world.network.datagrams.spike = world.rng.u64(0..400_000);
            world.spawn_fails_one_in = if world.rng.bool() { 40 } else { 0 };
        }
        for node in 0..self.nodes {
            let config = self.config(node);
            let listener = Address::Inet(format!("{}:{TCP_PORT}", config.address));
            let id = world.add_node(&config.id.clone(), node, vec![listener], move |birth| {
                Box::new(Ring::new(Config { boot: birth.seed, ..config.clone() }))
            });
            world.nodes[id].sockets = vec![UDP_PORT];
            world.start(id);
        }
        for (at, fault) in &self.faults {
            world.fault_at(*at, fault.clone());
        }
        world
    }

    fn config(&self, node: usize) -> Config {
        let std::net::IpAddr::V4(address) = address_of(node, 0).ip() else { unreachable!("hosts have IPv4 addresses") };
        let letter = char::from(b'a' + node as u8);
        Config {
            id: letter.to_string(),
            address,
            broadcast: Ipv4Addr::BROADCAST,
            udp_port: UDP_PORT,
            tcp_port: TCP_PORT,
            state_port: None,
            periods: self.periods,
            compat: self.mode == Mode::Compat,
            members: self.mode.has_majority().then_some(self.nodes as u32),
            key: self.key.then(|| Key::new(b"a shared secret".to_vec())),
            boot: 0,
            work: work::Config {
                step: format!("slow {}; append {letter}", self.step),
                progress: None,
                dir: PathBuf::from("/work"),
            },
            state: self.state.then(|| PathBuf::from("/state")),
            wall_offset: 0,
        }
    }

    /// The limit on the time after the last fault until all nodes are in rotation, in microseconds: one recovery at
    /// most twice, and two rounds.
    pub fn patience(&self) -> u64 {
        let Periods { waiter, answer, generating, hold, ask, .. } = self.periods;
        let recovery = (waiter + answer + generating + ask * 4).as_micros() as u64;
        let hop = hold.as_micros() as u64 + self.step * 1_000 + SECOND / 2;
        // Originals do not send while they wait, so a node that has swallowed the token is tried again after ever
        // longer pauses.
        let again = if self.mode == Mode::Compat { 85 * SECOND } else { 0 };
        2 * recovery + hop * self.nodes as u64 * 2 + again
    }
}
