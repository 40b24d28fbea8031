//! A world for machines: hosts with disks and processes, a network, and time, all from one seed.

// Each test program uses a different part of this.
#![allow(dead_code)]

pub mod datagrams;
pub mod disk;
pub mod harm;
pub mod meet;
pub mod network;
pub mod node;
pub mod process;
pub mod ready;
pub mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use arete::machine::{Address, ConnId, EarId, Signal};
use fastrand::Rng;

use datagrams::{Datagram, SentDatagram};
use disk::Disk;
use network::{LinkId, Network};
use node::{Life, Node, Received, Said};
use process::{Fact, Process};
use trace::Trace;
pub use trace::show;

pub const SECOND: u64 = 1_000_000;
pub const MILLISECOND: u64 = 1_000;

/// Writes a line to the trace. Formats nothing while it is off.
macro_rules! trace_line {
    ($world:expr, $($format:tt)*) => {
        if $world.trace.on {
            let text = format!($($format)*);
            $world.trace.line($world.step, $world.now, &text);
        }
    };
}
pub(crate) use trace_line;

/// The lines of a text, without empty ones.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr::memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len()));
    ends.scan(0, |start, end| Some(&bytes[std::mem::replace(start, end + 1)..end])).filter(|line| !line.is_empty())
}

#[derive(Default)]
pub struct Host {
    pub disk: Disk,
}

/// An event at some instant.
pub enum Event {
    Turn(Life),
    Wake(Life),
    Attempt {
        life: Life,
        conn: ConnId,
        to: Address,
        until: u64,
    },
    Arrive {
        link: LinkId,
        side: usize,
    },
    Datagram(Datagram),
    /// The time of held appends is over.
    HeldLongEnough(Life),
    Step {
        pid: u32,
        token: u64,
    },
    Strike {
        pid: u32,
        signal: Signal,
    },
    Fault(Fault),
}

/// A fault that a test causes in the world.
#[derive(Debug, Clone)]
pub enum Fault {
    Start(usize),
    Crash(usize),
    /// The node dies in its next turn with effects: after its writes and this number of other effects.
    CrashInTurn(usize, usize),
    Pause(usize),
    Resume(usize),
    Signal(usize, Signal),
    /// One of the connections between hosts breaks.
    Drop,
    Partition(usize, usize),
    Heal(usize, usize),
    DiskFull(usize, bool),
    /// One send in this number breaks its connection. 0: none.
    Drops(u32),
    /// Sets the wall clock.
    WallClock(i64),
}

pub struct World {
    /// Microseconds.
    pub now: u64,
    pub step: u64,
    pub rng: Rng,
    pub trace: Trace,
    pub hosts: Vec<Host>,
    pub nodes: Vec<Node>,
    pub network: Network,
    pub processes: BTreeMap<u32, Process>,
    last_pid: u32,
    /// The error of the wall clock, in microseconds.
    pub wall_jump: i64,
    /// One start of a process in this number fails. 0: none.
    pub spawn_fails_one_in: u32,
    /// The faults that are in effect: the host and the record of each.
    pub harms: BTreeSet<(usize, PathBuf)>,
    /// Faults that were injected without a record.
    pub unrecorded: Vec<String>,
    /// All files that processes wrote, with those that have been removed since.
    pub written: BTreeMap<(usize, PathBuf), Vec<u8>>,
    pub ledger: Vec<Fact>,
    /// The sockets at which the commands of a slave can report their state.
    pub ears: BTreeMap<(Life, PathBuf), EarId>,
    /// The bytes that machines have sent since the test last took them.
    pub said: Vec<Said>,
    /// The datagrams that they have sent since then.
    pub sent_datagrams: Vec<SentDatagram>,
    /// The node whose received bytes are recorded, and those bytes since the test last took them.
    pub watched: Option<usize>,
    pub received: Vec<Received>,
    /// The life that opened a connection, by the life and the connection that accepted it.
    pub callers: BTreeMap<(Life, ConnId), Life>,
    /// The nodes that have exited by themselves since the test last took this.
    pub exited: Vec<Life>,
    events: BTreeMap<(u64, u64), Event>,
    serial: u64,
}

impl World {
    pub fn new(seed: u64, hosts: usize) -> World {
        World {
            now: 0,
            step: 0,
            rng: Rng::with_seed(seed),
            trace: Trace::default(),
            hosts: (0..hosts).map(|_| Host::default()).collect(),
            nodes: Vec::new(),
            network: Network::default(),
            processes: BTreeMap::new(),
            last_pid: 1000,
            wall_jump: 0,
            spawn_fails_one_in: 0,
            harms: BTreeSet::new(),
            unrecorded: Vec::new(),
            written: BTreeMap::new(),
            ledger: Vec::new(),
            ears: BTreeMap::new(),
            said: Vec::new(),
            sent_datagrams: Vec::new(),
            watched: None,
            received: Vec::new(),
            callers: BTreeMap::new(),
            exited: Vec::new(),
            events: BTreeMap::new(),
            serial: 0,
        }
    }

    pub fn schedule(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.events.insert((at.max(self.now), self.serial), event);
    }

    pub fn fault_at(&mut self, at: u64, fault: Fault) {
        self.schedule(at, Event::Fault(fault));
    }

    /// Performs the next event. Returns false if there is none.
    pub fn step(&mut self) -> bool {
        let Some(((at, _), event)) = self.events.pop_first() else { return false };
        self.now = at;
        self.step += 1;
        match event {
            Event::Turn(life) => self.turn(life),
            Event::Wake(life) => self.wake(life),
            Event::Attempt { life, conn, to, until } => self.attempt(life, conn, to, until),
            Event::Arrive { link, side } => self.arrive(link, side),
            Event::Datagram(datagram) => self.datagram_arrives(datagram),
            Event::HeldLongEnough(life) => self.write_held(life),
            Event::Step { pid, token } => self.run_process(pid, token),
            Event::Strike { pid, signal } => self.strike(pid, signal),
            Event::Fault(fault) => self.happen(fault),
        }
        true
    }

    /// Continues until `done` holds. Returns false if it did not within `micros`.
    pub fn run_until(&mut self, micros: u64, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + micros;
        while !done(self) {
            if self.events.first_key_value().is_none_or(|((at, _), _)| *at > end) {
                self.now = end;
                return done(self);
            }
            self.step();
        }
        true
    }

    pub fn run_for(&mut self, micros: u64) {
        self.run_until(micros, |_| false);
    }

    pub fn happen(&mut self, fault: Fault) {
        trace_line!(self, "--- {fault:?}");
        match fault {
            Fault::Start(node) => self.start(node),
            Fault::Crash(node) => self.crash(node),
            Fault::CrashInTurn(node, after) => self.nodes[node].doomed = Some(after),
            Fault::Pause(node) => self.pause(node),
            Fault::Resume(node) => self.resume(node),
            Fault::Signal(node, signal) => self.signal(node, signal),
            Fault::Drop => {
                let links = self.network.remote_links();
                if !links.is_empty() {
                    let link = links[self.rng.usize(0..links.len())];
                    self.drop_link(link);
                }
            }
            Fault::Partition(a, b) => self.partition(a, b),
            Fault::Heal(a, b) => self.heal(a, b),
            Fault::DiskFull(host, full) => self.hosts[host].disk.full = full,
            Fault::WallClock(jump) => self.wall_jump += jump,
            Fault::Drops(one_in) => self.network.weather.drop_one_in = one_in,
        }
    }
}
