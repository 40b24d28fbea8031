//! What a state machine of arete is.
//!
//! The controller, the slave and the ring node are *machines*: they are given what happened ([`Input`]) and the time at
//! which it did, and they say what to do about it ([`Effect`]). They read no clock, socket, file, environment or random
//! source. So the same machine runs under the [reactor](crate::reactor) on real sockets and under the simulator of the
//! tests, where time is virtual and one seed replays a failure exactly.
//!
//! Bytes, not messages, cross this line, so the simulator exercises the framing too.

pub mod faults;
mod found;
pub mod path_text;
mod reason;
mod removal;
mod shown;
mod signals;

pub use reason::{Cause, Reason};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use found::{Found, Page};
pub use removal::{removal, removed};
pub use shown::{COMPONENT_MAX, harmless, is_file_name, is_obeyed};

/// An instant on this process's clock, in microseconds since an origin that means nothing by itself. The clock never goes
/// back, nobody sets it, and it also counts while the system is suspended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Time {
        Time(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was, zero if it is not earlier.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved by `micros` microseconds, back when negative; it stops at the origin and at the end of time.
    pub const fn offset(self, micros: i64) -> Time {
        Time(self.0.saturating_add_signed(micros))
    }

    /// `self - other` in microseconds, negative when `other` is later.
    pub const fn diff(self, other: Time) -> i64 {
        self.0.wrapping_sub(other.0) as i64
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Bytes that many connections share: encoded once, counted, never copied.
pub type Bytes = Rc<[u8]>;

/// A message longer than this counts little against the queue of a peer, however long it is, because the queues of many
/// may share it: whoever sends such messages bounds how many there are. In bytes.
pub const LARGE: usize = 1024 * 1024;

/// Names a connection. Never reused within a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub u64);

/// Names a listening socket, in the order in which they were given to the reactor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListenerId(pub usize);

/// Names a datagram socket, in the order in which they were given to the reactor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SocketId(pub usize);

/// Names a child process that a machine asked for. Never reused within a process, unlike its pid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChildId(pub u64);

/// Names a read of a file or of a directory, so that the answer finds its question.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadId(pub u64);

/// Names an attempt to connect that is only made to see whether somebody listens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProbeId(pub u64);

/// Names a socket at which a command can say how it is doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EarId(pub u64);

/// Why a probe found nobody who listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoAnswer {
    Refused,
    Silent,
    Other(String),
}

/// Who is at the other end of a connection, as the system says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    Inet(SocketAddr),
    /// The same, and it has proven with a certificate that these are its names and addresses.
    Proven {
        address: SocketAddr,
        names: Rc<[Box<str>]>,
    },
    /// A Unix socket's peer, by its credentials.
    Local {
        uid: u32,
        pid: Option<i32>,
    },
}

impl Peer {
    /// Where it is, unless it is a process of this system.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::Inet(address) | Peer::Proven { address, .. } => Some(*address),
            Peer::Local { .. } => None,
        }
    }

    /// The names that it has proven; `None`: nobody has asked it for a proof.
    pub fn names(&self) -> Option<&[Box<str>]> {
        match self {
            Peer::Proven { names, .. } => Some(names),
            Peer::Inet(_) | Peer::Local { .. } => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Inet(address) | Peer::Proven { address, .. } => address.fmt(f),
            Peer::Local { uid, .. } => write!(f, "user {uid}"),
        }
    }
}

/// Where to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// `HOST:PORT`; the reactor looks the host name up without blocking, and tries each address it gets.
    Inet(String),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => f.write_str(address),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A signal, by its number on this system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Signal(pub i32);

impl Signal {
    /// No signal: a [sweep](Effect::Sweep) with it only counts.
    pub const NONE: Signal = Signal(0);
    pub const HUP: Signal = Signal(1);
    pub const INT: Signal = Signal(2);
    pub const QUIT: Signal = Signal(3);
    pub const KILL: Signal = Signal(9);
    pub const USR1: Signal = Signal(10);
    pub const TERM: Signal = Signal(15);
    pub const CONT: Signal = Signal(18);

    /// `"SIGTERM"` for 15, `"SIGRTMIN+3"` for 37; `"SIG32"` for a number that has no name.
    pub fn name(self) -> String {
        signals::name(self.0)
    }

    /// The signal called `SIGTERM`, `TERM`, `term`, `15` or `SIG15`; `None` when there is none of that name.
    pub fn from_name(name: &str) -> Option<Signal> {
        signals::number(name).map(Signal)
    }

    /// All signals that have a name of their own, in the order of their numbers.
    pub fn named() -> impl Iterator<Item = Signal> {
        (1..=signals::MAX).map(Signal).filter(|signal| signals::has_name(signal.0))
    }

    /// Whether a program that gets it is to end. A stopped process takes it only when it goes on, so SIGCONT follows
    /// each of these. Those with which people tell programs other things, such as SIGUSR1, are not among them.
    pub const fn asks_to_end(self) -> bool {
        signals::asks_to_end(self.0)
    }
}

impl Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Signal, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Signal::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("no signal is called {name:?}")))
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// It exited with this status, 0 to 255.
    Code(i32),
    /// It died of this signal.
    Signal(Signal),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(signal) => write!(f, "died of {}", signal.name()),
        }
    }
}

/// A process to start. It gets a session and a process group of its own without a terminal, empty standard input, the
/// limits of open files that arete itself was started with, and no signal blocked or ignored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Command {
    /// The program and its arguments; the program is looked up in the PATH of arete.
    pub argv: Vec<String>,
    /// Where it runs. `None`: where arete runs.
    pub cwd: Option<PathBuf>,
    /// That directory is created if absent.
    pub make_cwd: bool,
    /// Added to the environment of arete, in this order.
    pub env: Vec<(String, String)>,
    /// Prepended to PATH: the directory of the arete binary.
    pub arete_on_path: bool,
    /// Where standard output and standard error go; created, with the directories above. `None`: the null device.
    pub stdout: Option<PathBuf>,
    pub stderr: Option<PathBuf>,
    /// Given to the process as file descriptor 0 instead of the empty input, and gone for everybody else.
    pub stdin: Option<Vec<u8>>,
    /// The process gets SIGTERM when arete itself dies, however it dies.
    pub dies_with_us: bool,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The first input of every machine: the loop runs.
    Begin,
    /// A peer connected to one of our listeners.
    Accepted { conn: ConnId, listener: ListenerId, peer: Peer },
    /// A connection that we asked for stands. `local` is our own address on it.
    Connected { conn: ConnId, peer: Peer, local: Option<SocketAddr> },
    /// Bytes arrived, in order, cut anywhere. Never empty.
    Received { conn: ConnId, bytes: &'a [u8] },
    /// The connection is gone, or could not be made. Comes once for each connection that the machine did not close
    /// itself; the last input about it.
    Closed { conn: ConnId, reason: Reason },
    /// A datagram arrived, whole: one that is longer than the reactor takes was dropped.
    Datagram { socket: SocketId, from: SocketAddr, bytes: &'a [u8] },
    /// [`Machine::next_deadline`] has passed. May come too early; then nothing is due.
    Deadline,
    /// What peers have sent after this instant may not have been read yet, because a turn took long or there is much to
    /// read: nobody is silent for having said nothing since. Comes just before a `Deadline`, and holds for that one.
    Behind { since: Time },
    /// A signal was sent to this process. Several may have become one.
    Signal(Signal),
    /// The configuration was read anew: what of it can change while the machine runs, as JSON that is the machine's own.
    Reloaded { settings: &'a [u8] },
    /// Who is at the other end of a connection could not prove any more who it is, as the configuration is now: its
    /// certificate was revoked, or another authority's. The connection still stands.
    Disproved { conn: ConnId, why: String },
    /// Nothing more can be written to standard output: its reader has left, or it has failed. Comes once.
    OutputEnded,
    /// The terminal has this size now.
    Resized { columns: u16, rows: u16 },
    /// A child runs, as the leader of process group `pid`.
    Spawned { child: ChildId, pid: u32 },
    /// A child could not be started. The last input about it.
    SpawnFailed { child: ChildId, error: String },
    /// A child's first process ended; others of its group may still run. The last input about it.
    Exited { child: ChildId, exit: Exit },
    /// The answer to [`Effect::Sweep`]: how many descendants lived when the signal was sent, the children that the
    /// machine asked for among them. Zombies, and the reactor's own helpers, do not count.
    Swept { left: usize },
    /// The processes of this system cannot be looked at, for this reason: who has left the group of a child is neither
    /// found nor signalled. Comes before each [`Input::Swept`] that it is true of.
    Unseen { why: String },
    /// The answer to [`Effect::Read`] or [`Effect::ReadEnd`]: what the file holds there, at most as much as was asked
    /// for, empty at the end of the file.
    Read { read: ReadId, result: Result<&'a [u8], String> },
    /// The answer to [`Effect::List`].
    Listed { read: ReadId, result: Result<Found, String> },
    /// The answer to [`Effect::Page`].
    Paged { read: ReadId, result: Result<Page, String> },
    /// The answer to [`Effect::Probe`].
    Probed { probe: ProbeId, result: Result<(), NoAnswer> },
    /// A command has said something at this socket. What it said before its exit comes before its [`Input::Exited`].
    Overheard { ear: EarId, bytes: &'a [u8] },
    /// Nothing can be said at this socket. The last input about it.
    Deaf { ear: EarId, error: String },
    /// The answer to [`Effect::Confirm`].
    Written,
    /// Something could not be written. Comes before anything that the same turn sends goes out, and once for each file.
    WriteFailed { path: PathBuf, error: String },
}

/// Which of the terminal's streams.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stream {
    Out,
    Err,
}

/// Something to do. Effects are done in the order in which they were pushed, but all that one turn of the loop writes
/// to disk is written before anything that it sends goes out.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    Connect {
        conn: ConnId,
        to: Address,
    },
    /// Queues bytes for a peer. A peer whose queue passes the reactor's bound is closed.
    Send {
        conn: ConnId,
        bytes: Bytes,
    },
    /// Closes after what is queued has been written, or after a short while, also when the connection does not stand
    /// yet: what is queued is written once it does. No [`Input::Closed`] follows, and no [`Input::Connected`].
    Close {
        conn: ConnId,
        reason: String,
    },
    /// Sends a datagram, to all of a network if the address is its broadcast address. It may be lost without a word.
    Datagram {
        socket: SocketId,
        to: SocketAddr,
        bytes: Bytes,
    },
    Spawn {
        child: ChildId,
        command: Box<Command>,
    },
    /// Sends a signal to the whole process group of a child, also when its first process has ended: the group lives
    /// while one of its processes does. SIGCONT follows one that [asks to end](Signal::asks_to_end), here and in a sweep.
    KillGroup {
        child: ChildId,
        signal: Signal,
    },
    /// Sends a signal to every descendant of this process, also those that left their group or lost their parent,
    /// and counts them; [`Signal::NONE`] only counts. Answered by [`Input::Swept`]. Where they cannot be told from strangers,
    /// that is said, and only the groups of our children are reached.
    Sweep {
        signal: Signal,
    },
    /// Appends to a file, which is created with the directories above. All that one turn appends to one file is one
    /// write.
    Append {
        path: PathBuf,
        bytes: Vec<u8>,
    },
    /// Writes at an offset of a file, which is created with the directories above.
    WriteAt {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
        executable: bool,
    },
    /// Replaces a file as a whole: after a crash it holds the old bytes or the new ones.
    Persist {
        path: PathBuf,
        bytes: Vec<u8>,
    },
    /// Lets the file `from` take the place of another, in one step, if it has this length: all that was to be written to
    /// it is there. If not, the other stays, and [`Input::WriteFailed`] names `from`.
    Install {
        path: PathBuf,
        from: PathBuf,
        length: u64,
    },
    /// Tries to connect to `HOST:PORT` by TCP, and closes the connection at once. Answered by [`Input::Probed`] within a few
    /// seconds.
    Probe {
        probe: ProbeId,
        to: String,
    },
    /// Makes a datagram socket at a path, to which processes of this user alone can send.
    Hear {
        ear: EarId,
        path: PathBuf,
    },
    /// Removes it.
    Deafen {
        ear: EarId,
    },
    /// Asks for [`Input::Written`] when all that was to be written before this has been, or an [`Input::WriteFailed`] has
    /// said that it could not be.
    Confirm,
    /// Creates a directory and those above it, for this user alone.
    MakeDir {
        path: PathBuf,
    },
    /// Reads at most `max` bytes. Answered by [`Input::Read`].
    Read {
        read: ReadId,
        path: PathBuf,
        offset: u64,
        max: usize,
    },
    /// Reads at most the last `max` bytes. Answered by [`Input::Read`].
    ReadEnd {
        read: ReadId,
        path: PathBuf,
        max: usize,
    },
    /// Lists regular files below a directory by shell patterns. Answered by [`Input::Listed`].
    List {
        read: ReadId,
        directory: PathBuf,
        patterns: Vec<String>,
    },
    /// Names regular files below a directory, those behind `after` in the order of their bytes, at most `most` of them, or
    /// fewer if much is to be looked at for them. No link is followed. Answered by [`Input::Paged`].
    Page {
        read: ReadId,
        directory: PathBuf,
        after: String,
        most: usize,
    },
    /// Shows bytes on the terminal, or wherever the stream goes; what nobody reads is dropped beyond a bound.
    Print {
        stream: Stream,
        bytes: Vec<u8>,
        /// Beyond that bound too: the last words of a run.
        surely: bool,
    },
    /// How things stand, in a few words, for whoever watches over this process. Said when it changes.
    Status(String),
    /// Ends the loop with this exit code, after what is queued has been written, or after a short while.
    Exit {
        code: u8,
    },
    /// Ends the loop with this exit code at once: what is queued, and what was asked for in the same turn, does not go
    /// out; only what was printed does.
    Halt {
        code: u8,
    },
}

/// Collects the effects of a machine, in causal order, and gives out the names of what they create.
#[derive(Debug, Default)]
pub struct Outbox {
    effects: Vec<Effect>,
    serial: u64,
}

impl Outbox {
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// The effects since the last call, in order. What is not taken out is dropped with the iterator.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// A number that this outbox has not given out before; the reactor names accepted connections by it too.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub fn connect(&mut self, to: Address) -> ConnId {
        let conn = ConnId(self.next_serial());
        log::debug!("connecting to {to}");
        self.effects.push(Effect::Connect { conn, to });
        conn
    }

    pub fn send(&mut self, conn: ConnId, bytes: Bytes) {
        self.effects.push(Effect::Send { conn, bytes });
    }

    pub fn close(&mut self, conn: ConnId, reason: impl Into<String>) {
        let reason = reason.into();
        log::debug!("closing connection {}: {reason}", conn.0);
        self.effects.push(Effect::Close { conn, reason });
    }

    pub fn datagram(&mut self, socket: SocketId, to: SocketAddr, bytes: Bytes) {
        self.effects.push(Effect::Datagram { socket, to, bytes });
    }

    pub fn spawn(&mut self, command: Command) -> ChildId {
        let child = ChildId(self.next_serial());
        log::debug!("starting {:?}", command.argv);
        self.effects.push(Effect::Spawn { child, command: Box::new(command) });
        child
    }

    pub fn kill_group(&mut self, child: ChildId, signal: Signal) {
        log::debug!("sending {} to the group of child {}", signal.name(), child.0);
        self.effects.push(Effect::KillGroup { child, signal });
    }

    pub fn confirm(&mut self) {
        self.effects.push(Effect::Confirm);
    }

    pub fn sweep(&mut self, signal: Signal) {
        self.effects.push(Effect::Sweep { signal });
    }

    pub fn append(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.effects.push(Effect::Append { path, bytes });
    }

    /// How many effects were asked for since the last [`drain`](Outbox::drain): a place for [`append_at`](Outbox::append_at).
    pub fn mark(&self) -> usize {
        self.effects.len()
    }

    /// Appends before whatever else was asked for since the mark.
    pub fn append_at(&mut self, mark: usize, path: PathBuf, bytes: Vec<u8>) {
        self.effects.insert(mark, Effect::Append { path, bytes });
    }

    pub fn write_at(&mut self, path: PathBuf, offset: u64, bytes: Vec<u8>, executable: bool) {
        self.effects.push(Effect::WriteAt { path, offset, bytes, executable });
    }

    pub fn persist(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.effects.push(Effect::Persist { path, bytes });
    }

    pub fn install(&mut self, path: PathBuf, from: PathBuf, length: u64) {
        self.effects.push(Effect::Install { path, from, length });
    }

    pub fn make_dir(&mut self, path: PathBuf) {
        self.effects.push(Effect::MakeDir { path });
    }

    pub fn read(&mut self, path: PathBuf, offset: u64, max: usize) -> ReadId {
        let read = ReadId(self.next_serial());
        self.effects.push(Effect::Read { read, path, offset, max });
        read
    }

    pub fn read_end(&mut self, path: PathBuf, max: usize) -> ReadId {
        let read = ReadId(self.next_serial());
        self.effects.push(Effect::ReadEnd { read, path, max });
        read
    }

    pub fn list(&mut self, directory: PathBuf, patterns: Vec<String>) -> ReadId {
        let read = ReadId(self.next_serial());
        self.effects.push(Effect::List { read, directory, patterns });
        read
    }

    pub fn page(&mut self, directory: PathBuf, after: String, most: usize) -> ReadId {
        let read = ReadId(self.next_serial());
        self.effects.push(Effect::Page { read, directory, after, most });
        read
    }

    pub fn probe(&mut self, to: String) -> ProbeId {
        let probe = ProbeId(self.next_serial());
        self.effects.push(Effect::Probe { probe, to });
        probe
    }

    pub fn hear(&mut self, path: impl FnOnce(EarId) -> PathBuf) -> (EarId, PathBuf) {
        let ear = EarId(self.next_serial());
        let path = path(ear);
        self.effects.push(Effect::Hear { ear, path: path.clone() });
        (ear, path)
    }

    pub fn deafen(&mut self, ear: EarId) {
        self.effects.push(Effect::Deafen { ear });
    }

    pub fn print(&mut self, stream: Stream, bytes: impl Into<Vec<u8>>) {
        self.effects.push(Effect::Print { stream, bytes: bytes.into(), surely: false });
    }

    /// Prints what must not be left out, however much waits for a reader.
    pub fn print_surely(&mut self, stream: Stream, bytes: impl Into<Vec<u8>>) {
        self.effects.push(Effect::Print { stream, bytes: bytes.into(), surely: true });
    }

    pub fn status(&mut self, status: impl Into<String>) {
        self.effects.push(Effect::Status(status.into()));
    }

    pub fn exit(&mut self, code: u8) {
        log::debug!("exiting with {code}");
        self.effects.push(Effect::Exit { code });
    }

    pub fn halt(&mut self, code: u8) {
        log::debug!("halting with {code}");
        self.effects.push(Effect::Halt { code });
    }
}

/// A state machine that a driver feeds: the reactor in real life, the simulator in the tests.
pub trait Machine {
    /// Takes one input, and pushes what is to be done about it.
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox);

    /// When the machine wants [`Input::Deadline`] at the latest, if nothing else happens.
    fn next_deadline(&self) -> Option<Time>;
}

/// Deadlines, each with an identity: setting one again moves it.
#[derive(Debug, Clone)]
pub struct Timers<K> {
    by_time: BTreeSet<(Time, K)>,
    by_key: BTreeMap<K, Time>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets or moves the deadline called `key`.
    pub fn set(&mut self, key: K, at: Time) {
        self.cancel(&key);
        self.by_key.insert(key.clone(), at);
        self.by_time.insert((at, key));
    }

    pub fn cancel(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    pub fn get(&self, key: &K) -> Option<Time> {
        self.by_key.get(key).copied()
    }

    pub fn clear(&mut self) {
        self.by_time.clear();
        self.by_key.clear();
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest deadline that has passed.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}
