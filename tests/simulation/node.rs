//! A process of arete: a machine, its clock, its inputs, and the driver that performs its effects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use arete::machine::{
    APPENDS_HELD, Address, Bytes, ChildId, Command, ConfirmId, ConnId, EarId, Effect, Exit, Found, Input, ListenerId,
    Machine, NoAnswer, Outbox, Page, Peer, ProbeId, ReadId, Signal, SocketId, SystemError, Time,
};

use super::disk::{Disk, Held, is_write, tear};
use super::network::LinkId;
use super::{Event, World, trace_line};

/// The number of deadlines at one instant after which a machine counts as spinning.
const SPIN: u32 = 1_000;
/// The largest error of a clock, in parts per million.
const DRIFT_MAX: i64 = 50;
/// The wall clock at the beginning of a world, in microseconds.
const EPOCH: u64 = 1_700_000_000_000_000;
/// The time for which a connection that its machine has closed is still tried, in microseconds.
const LINGER: u64 = 2_000_000;
/// The most files in one page, so that there are several pages.
const PAGE_MOST: usize = 7;

/// One life of a node: it may crash and start again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Life {
    pub node: usize,
    pub nr: u32,
}

/// The facts that a machine gets when it is created.
pub struct Birth<'a> {
    /// 1 for the first life.
    pub nr: u32,
    pub pid: u32,
    pub seed: u64,
    /// The boot of its system. Its clock counts from the boot.
    pub boot: String,
    /// The difference between the wall clock and its clock.
    pub wall_offset: i64,
    /// The files of its host.
    pub disk: &'a mut Disk,
}

type Maker = Rc<dyn Fn(&mut Birth<'_>) -> Box<dyn Machine>>;

/// A clock that never goes back, with its own origin and rate.
#[derive(Default)]
pub struct Clock {
    origin: u64,
    begun: u64,
    drift: i64,
}

impl Clock {
    pub fn local(&self, now: u64) -> Time {
        let since = now - self.begun;
        Time::from_micros(self.origin + since).offset(since as i64 * self.drift / 1_000_000)
    }

    /// The first instant of the world at which this clock shows `time` or more.
    fn global(&self, time: Time) -> u64 {
        let since = time.as_micros().saturating_sub(self.origin).min(1 << 50) as i64;
        let mut at = self.begun + (since - since * self.drift / 1_000_000).max(0) as u64;
        while self.local(at) < time {
            at += 1;
        }
        at
    }
}

/// An input that waits for a turn.
pub enum Queued {
    Begin,
    Accepted { conn: ConnId, listener: ListenerId, peer: Peer },
    Connected { conn: ConnId, peer: Peer, local: Option<SocketAddr> },
    Received { conn: ConnId, bytes: Vec<u8> },
    Closed { conn: ConnId, reason: String },
    Datagram { socket: SocketId, from: SocketAddr, bytes: Bytes },
    Signal(Signal),
    Spawned { child: ChildId, pid: u32 },
    SpawnFailed { child: ChildId, error: SystemError },
    Exited { child: ChildId, exit: Exit },
    Swept { left: usize },
    Written { confirm: ConfirmId },
    Probed { probe: ProbeId, result: Result<(), NoAnswer> },
    Overheard { ear: EarId, bytes: Vec<u8> },
    Read { read: ReadId, result: Result<Vec<u8>, SystemError> },
    Listed { read: ReadId, result: Result<Found, SystemError> },
    Paged { read: ReadId, result: Result<Page, SystemError> },
}

impl Queued {
    fn conn(&self) -> Option<ConnId> {
        match self {
            Queued::Accepted { conn, .. } | Queued::Connected { conn, .. } => Some(*conn),
            Queued::Received { conn, .. } | Queued::Closed { conn, .. } => Some(*conn),
            _ => None,
        }
    }

    fn give(&self, machine: &mut dyn Machine, now: Time, out: &mut Outbox) {
        let input = match self {
            Queued::Begin => Input::Begin,
            Queued::Accepted { conn, listener, peer } => {
                Input::Accepted { conn: *conn, listener: *listener, peer: peer.clone() }
            }
            Queued::Connected { conn, peer, local } => {
                Input::Connected { conn: *conn, peer: peer.clone(), local: *local }
            }
            Queued::Received { conn, bytes } => Input::Received { conn: *conn, bytes },
            Queued::Closed { conn, reason } => Input::Closed { conn: *conn, reason: reason.as_str().into() },
            Queued::Datagram { socket, from, bytes } => Input::Datagram { socket: *socket, from: *from, bytes },
            Queued::Signal(Signal::HUP) => Input::Reloaded { settings: crate::lab::RELOADED },
            Queued::Signal(signal) => Input::Signal(*signal),
            Queued::Spawned { child, pid } => Input::Spawned { child: *child, pid: *pid },
            Queued::SpawnFailed { child, error } => Input::SpawnFailed { child: *child, error: error.clone() },
            Queued::Exited { child, exit } => Input::Exited { child: *child, exit: *exit },
            Queued::Swept { left } => Input::Swept { left: *left },
            Queued::Written { confirm } => Input::Written { confirm: *confirm },
            Queued::Probed { probe, result } => Input::Probed { probe: *probe, result: result.clone() },
            Queued::Overheard { ear, bytes } => Input::Overheard { ear: *ear, bytes },
            Queued::Read { read, result } => {
                Input::Read { read: *read, result: result.as_deref().map_err(Clone::clone) }
            }
            Queued::Listed { read, result } => Input::Listed { read: *read, result: result.clone() },
            Queued::Paged { read, result } => Input::Paged { read: *read, result: result.clone() },
        };
        machine.handle(now, input, out);
    }
}

/// The actions of a machine on a connection that is not established yet.
#[derive(Default)]
pub struct Early {
    pub bytes: Vec<Bytes>,
    /// Set if it has closed the connection: until then the queued bytes are still tried.
    pub closed: Option<u64>,
}

pub struct Node {
    pub name: String,
    pub host: usize,
    maker: Maker,
    /// `None` while it does not run.
    pub machine: Option<Box<dyn Machine>>,
    pub life: u32,
    pub pid: u32,
    pub outbox: Outbox,
    pub clock: Clock,
    /// One start in this number follows a reboot of its host, with another clock. The others keep their clock. 0: all
    /// follow one.
    pub reboots_one_in: u32,
    boots: u32,
    inbox: VecDeque<Queued>,
    turn_scheduled: bool,
    wake_at: Option<u64>,
    pub paused: bool,
    /// When it was last resumed.
    pub resumed_at: u64,
    pub listeners: Vec<Address>,
    /// The ports of its datagram sockets.
    pub sockets: Vec<u16>,
    pub conns: BTreeMap<ConnId, Option<(LinkId, usize)>>,
    pub early: BTreeMap<ConnId, Early>,
    /// The process groups that its children lead.
    pub children: BTreeMap<ChildId, u32>,
    failed_files: BTreeSet<PathBuf>,
    pub held: Held,
    /// It dies in the next turn, after its disk effects and this number of other effects.
    pub doomed: Option<usize>,
    /// It dies while it appends a line that contains this. Everything before the line is on the disk.
    pub tears: Option<&'static [u8]>,
    pub exit: Option<u8>,
    pub printed: Vec<u8>,
}

/// Bytes that a machine received.
pub struct Received {
    pub at: u64,
    pub life: Life,
    pub conn: ConnId,
    pub bytes: Vec<u8>,
}

/// Bytes that a machine sends, for checks of the messages.
#[derive(Clone)]
pub struct Said {
    pub life: Life,
    pub conn: ConnId,
    pub bytes: Bytes,
}

impl Node {
    fn send_early(&mut self, conn: ConnId, bytes: Bytes) {
        let early = self.early.entry(conn).or_default();
        if early.closed.is_none() {
            early.bytes.push(bytes);
        }
    }

    /// Closes a connection that is not established and has queued bytes. Returns whether it is one.
    fn close_early(&mut self, conn: ConnId, until: u64) -> bool {
        let Some(early) = self.early.get_mut(&conn).filter(|_| self.conns.get(&conn) == Some(&None)) else {
            return false;
        };
        early.closed.get_or_insert(until);
        true
    }

    /// The number of datagrams that it has not read.
    pub fn waiting_datagrams(&self) -> usize {
        self.inbox.iter().filter(|queued| matches!(queued, Queued::Datagram { .. })).count()
    }
}

impl World {
    pub fn add_node(
        &mut self,
        name: &str,
        host: usize,
        listeners: Vec<Address>,
        maker: impl Fn(&mut Birth<'_>) -> Box<dyn Machine> + 'static,
    ) -> usize {
        self.nodes.push(Node {
            name: name.to_owned(),
            host,
            maker: Rc::new(maker),
            machine: None,
            life: 0,
            pid: 0,
            outbox: Outbox::new(),
            clock: Clock::default(),
            reboots_one_in: 0,
            boots: 0,
            inbox: VecDeque::new(),
            turn_scheduled: false,
            wake_at: None,
            paused: false,
            resumed_at: 0,
            listeners,
            sockets: Vec::new(),
            conns: BTreeMap::new(),
            early: BTreeMap::new(),
            children: BTreeMap::new(),
            failed_files: BTreeSet::new(),
            held: Held::default(),
            doomed: None,
            tears: None,
            exit: None,
            printed: Vec::new(),
        });
        self.nodes.len() - 1
    }

    pub fn life_of(&self, node: usize) -> Life {
        Life { node, nr: self.nodes[node].life }
    }

    pub fn is_alive(&self, life: Life) -> bool {
        self.nodes[life.node].machine.is_some() && self.nodes[life.node].life == life.nr
    }

    /// Starts a node that does not run.
    pub fn start(&mut self, id: usize) {
        if self.nodes[id].machine.is_some() {
            return;
        }
        self.end_earlier_processes(id);
        self.heal_node(id);
        let pid = self.new_pid();
        let seed = self.rng.u64(..);
        let clock =
            Clock { origin: self.rng.u64(0..1 << 40), begun: self.now, drift: self.rng.i64(-DRIFT_MAX..=DRIFT_MAX) };
        let one_in = self.nodes[id].reboots_one_in;
        let reboots = self.nodes[id].boots == 0 || one_in == 0 || self.rng.u32(0..one_in) == 0;
        let node = &mut self.nodes[id];
        node.life += 1;
        node.pid = pid;
        if reboots {
            node.boots += 1;
            node.clock = clock;
        }
        let wall = (EPOCH + self.now) as i64 + self.wall_jump;
        let wall_offset = wall - node.clock.local(self.now).as_micros() as i64;
        let (boot, disk) = (format!("boot{}", node.boots), &mut self.hosts[node.host].disk);
        node.machine = Some((node.maker)(&mut Birth { nr: node.life, pid, seed, boot, wall_offset, disk }));
        node.outbox = Outbox::new();
        node.held = Held::default();
        node.exit = None;
        node.doomed = None;
        node.paused = false;
        node.failed_files.clear();
        trace_line!(self, "{} starts (life {}, pid {pid})", self.nodes[id].name, self.nodes[id].life);
        let life = self.life_of(id);
        self.deliver_input(life, Queued::Begin);
    }

    /// Kills a node. The appends of its earlier turns are kept.
    pub fn crash(&mut self, id: usize) {
        if self.nodes[id].machine.is_none() {
            return;
        }
        trace_line!(self, "{} is killed", self.nodes[id].name);
        for (link, side) in self.bury(id) {
            self.abandon_side(link, side);
        }
    }

    /// Removes the machine. Returns the connections that it had.
    fn bury(&mut self, id: usize) -> Vec<(LinkId, usize)> {
        let life = self.life_of(id);
        let node = &mut self.nodes[id];
        node.machine = None;
        node.inbox.clear();
        node.turn_scheduled = false;
        node.wake_at = None;
        node.children.clear();
        node.early.clear();
        node.held.lose();
        let conns = std::mem::take(&mut node.conns);
        self.parent_died(life);
        conns.into_values().flatten().collect()
    }

    /// SIGSTOP.
    pub fn pause(&mut self, id: usize) {
        trace_line!(self, "{} is stopped", self.nodes[id].name);
        self.nodes[id].paused = true;
    }

    /// SIGCONT.
    pub fn resume(&mut self, id: usize) {
        trace_line!(self, "{} goes on", self.nodes[id].name);
        self.nodes[id].paused = false;
        self.nodes[id].resumed_at = self.now;
        self.schedule_turn(id);
    }

    /// Pending signals of one number become one.
    pub fn signal(&mut self, id: usize, signal: Signal) {
        let waits =
            self.nodes[id].inbox.iter().any(|queued| matches!(queued, Queued::Signal(other) if *other == signal));
        if !waits {
            let life = self.life_of(id);
            self.deliver_input(life, Queued::Signal(signal));
        }
    }

    pub fn deliver_input(&mut self, life: Life, input: Queued) {
        if !self.is_alive(life) || input.conn().is_some_and(|conn| !self.nodes[life.node].conns.contains_key(&conn)) {
            return;
        }
        let inbox = &mut self.nodes[life.node].inbox;
        match (inbox.back_mut(), input) {
            // Bytes that arrive before the node reads form one read.
            (Some(Queued::Received { conn: last, bytes: held }), Queued::Received { conn, bytes }) if *last == conn => {
                held.extend(bytes);
            }
            (_, input) => inbox.push_back(input),
        }
        self.schedule_turn(life.node);
    }

    fn schedule_turn(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        if node.machine.is_none() || node.paused || node.turn_scheduled {
            return;
        }
        node.turn_scheduled = true;
        let delay = self.rng.u64(0..200);
        let life = self.life_of(id);
        self.schedule(self.now + delay, Event::Turn(life));
    }

    pub fn wake(&mut self, life: Life) {
        if self.is_alive(life) {
            if self.nodes[life.node].wake_at == Some(self.now) {
                self.nodes[life.node].wake_at = None;
            }
            self.schedule_turn(life.node);
        }
    }

    /// One turn of a node's loop.
    pub fn turn(&mut self, life: Life) {
        if !self.is_alive(life) {
            return;
        }
        self.nodes[life.node].turn_scheduled = false;
        if self.nodes[life.node].paused {
            return;
        }
        let waiting = self.nodes[life.node].inbox.len();
        let count = if self.rng.u8(0..4) == 0 { self.rng.usize(0..=waiting) } else { waiting };
        for _ in 0..count {
            self.give_next(life.node);
        }
        self.give_deadlines(life.node);
        let effects: Vec<Effect> = self.nodes[life.node].outbox.drain().collect();
        self.perform(life, effects);
        if self.is_alive(life) {
            self.arm(life);
        }
    }

    fn give_next(&mut self, id: usize) {
        let Some(input) = self.nodes[id].inbox.pop_front() else { return };
        if let Some(conn) = input.conn() {
            if !self.nodes[id].conns.contains_key(&conn) {
                return;
            }
            let early = matches!(input, Queued::Closed { .. }).then(|| self.nodes[id].early.remove(&conn)).flatten();
            if matches!(input, Queued::Closed { .. }) {
                self.nodes[id].conns.remove(&conn);
            }
            if early.is_some_and(|early| early.closed.is_some()) {
                return;
            }
        }
        self.trace_input(id, &input);
        let (now, life) = (self.now, self.life_of(id));
        if let (Queued::Received { conn, bytes }, true) = (&input, self.watched == Some(id)) {
            self.received.push(Received { at: now, life, conn: *conn, bytes: bytes.clone() });
        }
        let node = &mut self.nodes[id];
        let Some(machine) = node.machine.as_mut() else { return };
        input.give(machine.as_mut(), node.clock.local(now), &mut node.outbox);
    }

    fn give_deadlines(&mut self, id: usize) {
        let now = self.now;
        let node = &mut self.nodes[id];
        let Some(machine) = node.machine.as_mut() else { return };
        let local = node.clock.local(now);
        if self.rng.u8(0..50) == 0 {
            // A deadline that comes too early is ignored.
            machine.handle(local, Input::Deadline, &mut node.outbox);
        }
        for _ in 0..SPIN {
            if machine.next_deadline().is_none_or(|at| at > local) {
                return;
            }
            machine.handle(local, Input::Deadline, &mut node.outbox);
        }
        panic!("{} spins: its deadline {:?} stays in the past at {local:?}", node.name, machine.next_deadline());
    }

    fn arm(&mut self, life: Life) {
        let node = &mut self.nodes[life.node];
        let wanted = node.machine.as_ref().and_then(|machine| machine.next_deadline());
        if let Some(at) = wanted.map(|time| node.clock.global(time).max(self.now))
            && node.wake_at.is_none_or(|armed| armed > at)
        {
            node.wake_at = Some(at);
            self.schedule(at, Event::Wake(life));
        }
        if !self.nodes[life.node].inbox.is_empty() {
            self.schedule_turn(life.node);
        }
    }

    /// The writes of a turn come before all its other effects, as far as they may not come later.
    fn perform(&mut self, life: Life, effects: Vec<Effect>) {
        let (writes, others): (Vec<Effect>, Vec<Effect>) = effects.into_iter().partition(is_write);
        let over = self.rng.u8(0..4) == 0 || self.nodes[life.node].tears.is_some();
        let held = &mut self.nodes[life.node].held;
        let writes = held.put(writes, &others, over);
        if !held.is_empty() && !std::mem::replace(&mut held.ends, true) {
            self.schedule(self.now + APPENDS_HELD.as_micros() as u64, Event::HeldLongEnough(life));
        }
        self.perform_now(life, writes, others);
    }

    /// Returns a file of a node, with what the node has yet to append to it.
    pub fn file_of(&self, id: usize, path: impl AsRef<Path>) -> Vec<u8> {
        let there = self.hosts[self.nodes[id].host].disk.get(&path).unwrap_or_default();
        [there, &self.nodes[id].held.later(path.as_ref())].concat()
    }

    /// Writes what a node has held.
    pub fn write_held(&mut self, life: Life) {
        if self.is_alive(life) {
            let held = &mut self.nodes[life.node].held;
            held.ends = false;
            let writes = held.put(Vec::new(), &[], true);
            self.perform_now(life, writes, Vec::new());
        }
    }

    fn perform_now(&mut self, life: Life, writes: Vec<Effect>, mut others: Vec<Effect>) {
        if let Some(torn) = self.nodes[life.node].tears.and_then(|needle| tear(&writes, needle)) {
            self.write_all(life, torn);
            self.nodes[life.node].tears = None;
            return self.crash(life.node);
        }
        let doomed = self.nodes[life.node].doomed;
        if doomed.is_some() && self.rng.u8(0..3) == 0 && !writes.is_empty() {
            let until = self.rng.usize(0..writes.len());
            let torn = writes.get(until).cloned().filter(|_| self.rng.bool());
            self.write_all(life, writes.into_iter().take(until).collect());
            if let Some(Effect::Append { path, mut bytes, soon }) = torn {
                bytes.truncate(self.rng.usize(0..=bytes.len()));
                self.write_all(life, vec![Effect::Append { path, bytes, soon }]);
            }
            return self.crash(life.node);
        }
        others.extend(self.write_all(life, writes));
        self.nodes[life.node].held.written();
        if let Some((at, code)) = halt(&others) {
            return self.halt(life, others.into_iter().take(at), code);
        }
        let nothing = others.is_empty();
        for (done, effect) in others.into_iter().enumerate() {
            if doomed.is_some_and(|limit| done >= limit) {
                return self.crash(life.node);
            }
            if !self.is_alive(life) {
                return;
            }
            self.do_effect(life, effect);
        }
        if doomed.is_some() && !nothing {
            self.crash(life.node);
        }
    }

    /// Writes the files. If one cannot be written, the machine gets an input. Returns its effects other than writes.
    fn write_all(&mut self, life: Life, writes: Vec<Effect>) -> Vec<Effect> {
        let mut others = Vec::new();
        let mut queue: VecDeque<Effect> = writes.into();
        while let Some(write) = queue.pop_front() {
            let Err((path, error)) = self.write(life, write) else { continue };
            if !self.nodes[life.node].failed_files.insert(path.clone()) {
                continue;
            }
            trace_line!(self, "{} cannot write {}", self.nodes[life.node].name, path.display());
            let now = self.now;
            let node = &mut self.nodes[life.node];
            let Some(machine) = node.machine.as_mut() else { break };
            machine.handle(node.clock.local(now), Input::WriteFailed { path, error }, &mut node.outbox);
            let (more, rest): (Vec<Effect>, Vec<Effect>) = node.outbox.drain().partition(is_write);
            queue.extend(more);
            others.extend(rest);
        }
        others
    }

    fn write(&mut self, life: Life, effect: Effect) -> Result<(), (PathBuf, SystemError)> {
        let disk = &mut self.hosts[self.nodes[life.node].host].disk;
        match effect {
            Effect::Append { path, bytes, .. } => disk.append(&path, &bytes).map_err(|error| (path, error)),
            Effect::WriteAt { path, offset, bytes, executable } => {
                disk.write_at(&path, offset, &bytes, executable).map_err(|error| (path, error))
            }
            Effect::Persist { path, bytes } => disk.persist(&path, bytes).map_err(|error| (path, error)),
            Effect::Install { path, from, length } => disk.install(&path, &from, length).map_err(|error| (from, error)),
            _ => Ok(()),
        }
    }

    fn do_effect(&mut self, life: Life, effect: Effect) {
        let id = life.node;
        self.trace_effect(id, &effect);
        match effect {
            Effect::Connect { conn, to } => {
                self.nodes[id].conns.insert(conn, None);
                self.connect_node(life, conn, to);
            }
            Effect::Send { conn, bytes } => {
                match self.nodes[id].conns.get(&conn).copied() {
                    Some(Some((link, side))) => self.send(link, side, &bytes),
                    Some(None) => self.nodes[id].send_early(conn, bytes.clone()),
                    None => {}
                }
                self.said.push(Said { life, conn, bytes });
            }
            Effect::Close { conn, .. } => {
                if self.nodes[id].close_early(conn, self.now + LINGER) {
                    return;
                }
                if let Some(Some((link, side))) = self.nodes[id].conns.remove(&conn) {
                    self.close_side(link, side);
                }
            }
            Effect::Spawn { child, command } => self.spawn(life, child, *command),
            Effect::KillGroup { child, signal } => self.kill_group(life, child, signal),
            Effect::Sweep { signal } => self.sweep(life, signal),
            Effect::Probe { probe, to } => self.probe(life, probe, &to),
            Effect::Hear { ear, path } => self.make_ear(life, ear, path),
            Effect::Deafen { ear } => self.remove_ear(life, ear),
            Effect::Confirm { confirm } => self.deliver_input(life, Queued::Written { confirm }),
            Effect::Read { read, path, offset, max } => {
                let result = self.hosts[self.nodes[id].host].disk.read(&path, offset, max);
                self.deliver_input(life, Queued::Read { read, result });
            }
            Effect::ReadEnd { read, path, max } => {
                let result = self.hosts[self.nodes[id].host].disk.read_end(&path, max);
                self.deliver_input(life, Queued::Read { read, result });
            }
            Effect::List { read, directory, patterns } => {
                let result = self.hosts[self.nodes[id].host].disk.list(&directory, &patterns);
                let result = result.map(Found::from);
                self.deliver_input(life, Queued::Listed { read, result });
            }
            Effect::Page { read, directory, after, most } => {
                let all = self.hosts[self.nodes[id].host].disk.list(&directory, &["**".to_owned()]);
                let result = all.map(|all| Page::of(all, &after, most.min(PAGE_MOST)));
                self.deliver_input(life, Queued::Paged { read, result });
            }
            Effect::Print { bytes, .. } => self.nodes[id].printed.extend(bytes),
            Effect::Exit { code } => self.exit(life, code),
            Effect::Datagram { socket, to, bytes } => self.send_datagram(life, socket, to, bytes),
            // It was done before all other effects of its turn.
            Effect::Halt { .. } | Effect::Status(_) => {}
            Effect::Append { .. } | Effect::WriteAt { .. } | Effect::Persist { .. } => {}
            Effect::Install { .. } | Effect::MakeDir { .. } => {}
        }
    }

    fn exit(&mut self, life: Life, code: u8) {
        self.nodes[life.node].exit = Some(code);
        self.exited.push(life);
        for (link, side) in self.bury(life.node) {
            self.close_side(link, side);
        }
    }

    /// A machine ends at once: only the output of its last turn is performed.
    fn halt(&mut self, life: Life, effects: impl Iterator<Item = Effect>, code: u8) {
        for effect in effects.filter(|effect| matches!(effect, Effect::Print { .. })) {
            self.do_effect(life, effect);
        }
        trace_line!(self, "{} halts with {code}", self.nodes[life.node].name);
        self.crash(life.node);
        self.nodes[life.node].exit = Some(code);
        self.exited.push(life);
    }

    fn spawn(&mut self, life: Life, child: ChildId, command: Command) {
        if self.spawn_fails_one_in > 0 && self.rng.u32(0..self.spawn_fails_one_in) == 0 {
            let error = "resource temporarily unavailable".into();
            return self.deliver_input(life, Queued::SpawnFailed { child, error });
        }
        let pid = self.start_process(life, child, command);
        self.nodes[life.node].children.insert(child, pid);
        self.deliver_input(life, Queued::Spawned { child, pid });
    }

    fn trace_input(&mut self, id: usize, input: &Queued) {
        if !self.trace.on {
            return;
        }
        let name = self.nodes[id].name.clone();
        match input {
            Queued::Begin => trace_line!(self, "{name} < begin"),
            Queued::Accepted { conn, .. } => trace_line!(self, "{name} < accepted {}", conn.0),
            Queued::Connected { conn, .. } => trace_line!(self, "{name} < connected {}", conn.0),
            Queued::Received { conn, bytes } => trace_line!(self, "{name} < {} {}", conn.0, super::show(bytes)),
            Queued::Closed { conn, reason } => trace_line!(self, "{name} < closed {}: {reason}", conn.0),
            Queued::Datagram { from, bytes, .. } => trace_line!(self, "{name} < {from} {}", super::show(bytes)),
            Queued::Signal(signal) => trace_line!(self, "{name} < {}", signal.name()),
            Queued::Spawned { child, pid } => trace_line!(self, "{name} < child {} has pid {pid}", child.0),
            Queued::SpawnFailed { child, error } => trace_line!(self, "{name} < child {} failed: {error}", child.0),
            Queued::Exited { child, exit } => trace_line!(self, "{name} < child {} ended: {exit}", child.0),
            Queued::Written { .. } => trace_line!(self, "{name} < written"),
            Queued::Probed { probe, result } => trace_line!(self, "{name} < probe {} {result:?}", probe.0),
            Queued::Overheard { ear, bytes } => trace_line!(self, "{name} < ear {} {}", ear.0, super::show(bytes)),
            Queued::Swept { left } => trace_line!(self, "{name} < swept, {left} were left"),
            Queued::Read { read, result } => {
                let what = result.as_ref().map(|bytes| super::show(bytes));
                trace_line!(self, "{name} < read {} {what:?}", read.0);
            }
            Queued::Listed { read, result } => trace_line!(self, "{name} < listed {} {result:?}", read.0),
            Queued::Paged { read, result } => trace_line!(self, "{name} < paged {} {result:?}", read.0),
        }
    }

    fn trace_effect(&mut self, id: usize, effect: &Effect) {
        if !self.trace.on {
            return;
        }
        let name = self.nodes[id].name.clone();
        match effect {
            Effect::Send { conn, bytes } => trace_line!(self, "{name} > {} {}", conn.0, super::show(bytes)),
            Effect::Datagram { to, bytes, .. } => trace_line!(self, "{name} > {to} {}", super::show(bytes)),
            Effect::Print { bytes, .. } => trace_line!(self, "{name} > prints {}", super::show(bytes)),
            Effect::Spawn { child, command } => {
                trace_line!(self, "{name} > child {} is {:?}", child.0, command.argv)
            }
            other => trace_line!(self, "{name} > {other:?}"),
        }
    }
}

/// Where a turn stops, and with which exit code.
fn halt(effects: &[Effect]) -> Option<(usize, u8)> {
    effects.iter().enumerate().find_map(|(at, effect)| match effect {
        Effect::Halt { code } => Some((at, *code)),
        _ => None,
    })
}
