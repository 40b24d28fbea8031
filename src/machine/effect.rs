//! The effects that a machine asks for, and the outbox in which it collects them.
//!
//! The outbox keeps the effects in causal order and gives out the names of what they create. A driver must perform them
//! in that order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::command::Command;
use super::faults::{Fault, injected};
use super::ids::{ChildId, ConfirmId, ConnId, EarId, ProbeId, ReadId, SocketId};
use super::peer::Address;
use super::signal::Signal;

/// Bytes that many connections share: encoded once, and never copied.
pub type Bytes = Rc<[u8]>;

/// The length above which a message counts little against the queue of a peer, in bytes, because the queues of many
/// peers may share it. A machine must bound the number of such messages itself.
pub const LARGE: usize = 1024 * 1024;

/// The longest time for which appends and prints are held: until something else is done, or until they are enough for one write.
pub const APPENDS_HELD: Duration = Duration::from_millis(5);

/// A stream of the terminal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Something to do. Effects are performed in the order in which they were pushed, but all that one turn of the loop writes
/// to disk is written before anything that it sends goes out.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Connects. Answered by [`Input::Connected`](super::Input::Connected) or [`Input::Closed`](super::Input::Closed).
    Connect {
        /// The name of the connection.
        conn: ConnId,
        /// Where to connect to.
        to: Address,
    },
    /// Queues bytes for a peer. If the queue grows beyond the reactor's bound, the connection is closed.
    Send {
        /// The connection. If it is closed, nothing happens.
        conn: ConnId,
        /// The bytes to send.
        bytes: Bytes,
    },
    /// Closes after what is queued has been written, or after a short while. If the connection is not established yet,
    /// what is queued is written once it is. No [`Input::Closed`](super::Input::Closed) follows, and no
    /// [`Input::Connected`](super::Input::Connected).
    Close {
        /// The connection.
        conn: ConnId,
        /// The reason, for the log.
        reason: String,
    },
    /// Sends a datagram, to all of a network if the address is its broadcast address. It may be lost without notice.
    Datagram {
        /// The socket that sends it.
        socket: SocketId,
        /// Its destination.
        to: SocketAddr,
        /// Its content.
        bytes: Bytes,
    },
    /// Starts a process. Answered by [`Input::Spawned`](super::Input::Spawned) or
    /// [`Input::SpawnFailed`](super::Input::SpawnFailed).
    Spawn {
        /// The name of the process.
        child: ChildId,
        /// The process to start.
        command: Box<Command>,
    },
    /// Sends a signal to the whole process group of a child, also after its first process has ended: the group lives
    /// while one of its processes does. SIGCONT follows a signal that [asks to end](Signal::asks_to_end), here and in a
    /// sweep.
    KillGroup {
        /// The child.
        child: ChildId,
        /// The signal.
        signal: Signal,
    },
    /// Sends a signal to every descendant of this process, also to those that left their group or lost their parent,
    /// and counts them. Answered by [`Input::Swept`](super::Input::Swept). If the descendants cannot be found,
    /// [`Input::Unseen`](super::Input::Unseen) comes first, and only the groups of our children get the signal.
    Sweep {
        /// The signal; [`Signal::NONE`] only counts.
        signal: Signal,
    },
    /// Appends to a file, which is created with the directories above. It is written before any effect that is not an append
    /// itself, of this turn or a later one, and within [`APPENDS_HELD`]. What is appended to one file until then is one write.
    Append {
        /// The file.
        path: PathBuf,
        /// The bytes to append.
        bytes: Vec<u8>,
        /// It may be written after bytes that are sent or printed: a crash may take the end of what was appended to this file.
        soon: bool,
    },
    /// Writes at an offset of a file, which is created with the directories above.
    WriteAt {
        /// The file.
        path: PathBuf,
        /// The offset, in bytes.
        offset: u64,
        /// The bytes to write.
        bytes: Vec<u8>,
        /// Each user that can read the file may also execute it.
        executable: bool,
    },
    /// Replaces the content of a file: after a crash it holds the old bytes or the new ones.
    Persist {
        /// The file.
        path: PathBuf,
        /// Its new content.
        bytes: Vec<u8>,
    },
    /// Renames `from` to `path` in one step, if `from` has this length and is therefore complete. Otherwise the file at
    /// `path` is kept, and [`Input::WriteFailed`](super::Input::WriteFailed) names `from`.
    Install {
        /// The name that the file gets.
        path: PathBuf,
        /// Its present name.
        from: PathBuf,
        /// The length that it must have, in bytes.
        length: u64,
    },
    /// Tries to connect by TCP, and closes the connection at once. Answered by [`Input::Probed`](super::Input::Probed)
    /// within a few seconds.
    Probe {
        /// The name of the probe.
        probe: ProbeId,
        /// `HOST:PORT`.
        to: String,
    },
    /// Makes a datagram socket to which only processes of this user can send. Its messages are
    /// [`Input::Overheard`](super::Input::Overheard).
    Hear {
        /// The name of the socket.
        ear: EarId,
        /// Its path.
        path: PathBuf,
    },
    /// Removes such a socket.
    Deafen {
        /// The socket.
        ear: EarId,
    },
    /// Asks for [`Input::Written`](super::Input::Written) once all earlier writes are done. An
    /// [`Input::WriteFailed`](super::Input::WriteFailed) about one of them comes first.
    Confirm {
        /// The name that the answer has.
        confirm: ConfirmId,
    },
    /// Creates a directory and those above it, for this user alone.
    MakeDir {
        /// The directory.
        path: PathBuf,
    },
    /// Reads a part of a file. Answered by [`Input::Read`](super::Input::Read).
    Read {
        /// The name of the question.
        read: ReadId,
        /// The file.
        path: PathBuf,
        /// The offset, in bytes.
        offset: u64,
        /// The most bytes to read.
        max: usize,
    },
    /// Reads the end of a file. Answered by [`Input::Read`](super::Input::Read).
    ReadEnd {
        /// The name of the question.
        read: ReadId,
        /// The file.
        path: PathBuf,
        /// The most bytes to read.
        max: usize,
    },
    /// Lists regular files below a directory by shell patterns. Answered by [`Input::Listed`](super::Input::Listed).
    List {
        /// The name of the question.
        read: ReadId,
        /// The directory.
        directory: PathBuf,
        /// The patterns, relative to the directory. `*` and `?` match no `/`; `**` matches any directories.
        patterns: Vec<String>,
    },
    /// Lists the next regular files below a directory, in the order of the bytes of their names. Does not follow links.
    /// Answered by [`Input::Paged`](super::Input::Paged).
    Page {
        /// The name of the question.
        read: ReadId,
        /// The directory.
        directory: PathBuf,
        /// The name to begin after; empty for the first page.
        after: String,
        /// The most files. The answer may have fewer if many entries must be looked at to find them.
        most: usize,
    },
    /// Prints bytes to a stream, within [`APPENDS_HELD`]. If its reader is slow, bytes beyond a bound are dropped.
    Print {
        /// The stream.
        stream: Stream,
        /// The bytes to print.
        bytes: Vec<u8>,
        /// Also print beyond that bound, for the last lines of a run.
        surely: bool,
    },
    /// Gives a service manager the state of the process in a few words. Sent when the state changes.
    Status(String),
    /// Ends the loop after what is queued has been written, or after a short while.
    Exit {
        /// The exit code of the process.
        code: u8,
    },
    /// Ends the loop at once. Of what is queued, and of what was asked for in the same turn, only printed bytes go out.
    Halt {
        /// The exit code of the process.
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
    /// Returns an empty outbox.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Returns the effects since the last call, in order. Those that are not taken out are dropped with the iterator.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// Whether nothing was pushed since the last [`drain`](Outbox::drain).
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// Returns a number that this outbox has not given out before. The reactor uses it for accepted connections too.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Pushes [`Effect::Connect`], and returns the name of the connection.
    pub fn connect(&mut self, to: Address) -> ConnId {
        let conn = ConnId(self.next_serial());
        log::debug!("connecting to {to}");
        self.effects.push(Effect::Connect { conn, to });
        conn
    }

    /// Pushes [`Effect::Send`].
    pub fn send(&mut self, conn: ConnId, bytes: Bytes) {
        self.effects.push(Effect::Send { conn, bytes });
    }

    /// Pushes [`Effect::Close`].
    pub fn close(&mut self, conn: ConnId, reason: impl Into<String>) {
        let reason = reason.into();
        log::debug!("closing connection {}: {reason}", conn.0);
        self.effects.push(Effect::Close { conn, reason });
    }

    /// Pushes [`Effect::Datagram`].
    pub fn datagram(&mut self, socket: SocketId, to: SocketAddr, bytes: Bytes) {
        self.effects.push(Effect::Datagram { socket, to, bytes });
    }

    /// Pushes [`Effect::Spawn`], and returns the name of the child.
    pub fn spawn(&mut self, command: Command) -> ChildId {
        let child = ChildId(self.next_serial());
        log::debug!("starting {:?}", command.argv);
        self.effects.push(Effect::Spawn { child, command: Box::new(command) });
        child
    }

    /// Pushes [`Effect::KillGroup`].
    pub fn kill_group(&mut self, child: ChildId, signal: Signal) {
        log::debug!("sending {} to the group of child {}", signal.name(), child.0);
        self.effects.push(Effect::KillGroup { child, signal });
    }

    /// Pushes [`Effect::Confirm`]. Returns the name that the answer will have.
    pub fn confirm(&mut self) -> ConfirmId {
        let confirm = ConfirmId(self.next_serial());
        self.effects.push(Effect::Confirm { confirm });
        confirm
    }

    /// Pushes [`Effect::Sweep`].
    pub fn sweep(&mut self, signal: Signal) {
        self.effects.push(Effect::Sweep { signal });
    }

    /// Pushes [`Effect::Append`].
    pub fn append(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.effects.push(Effect::Append { path, bytes, soon: false });
    }

    /// Pushes [`Effect::Append`] for a file that can be made again after a crash.
    pub fn append_soon(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.effects.push(Effect::Append { path, bytes, soon: true });
    }

    /// Pushes an effect as it is.
    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Takes all effects since the mark.
    pub fn split_off(&mut self, mark: usize) -> Vec<Effect> {
        self.effects.split_off(mark)
    }

    /// Returns the number of effects since the last [`drain`](Outbox::drain): the mark for
    /// [`append_at`](Outbox::append_at).
    pub fn mark(&self) -> usize {
        self.effects.len()
    }

    /// Appends to a file before all effects since the mark.
    pub fn append_at(&mut self, mark: usize, path: PathBuf, bytes: Vec<u8>) {
        let soon = injected(Fault::FactsComeLater);
        self.effects.insert(mark, Effect::Append { path, bytes, soon });
    }

    /// Pushes [`Effect::WriteAt`].
    pub fn write_at(&mut self, path: PathBuf, offset: u64, bytes: Vec<u8>, executable: bool) {
        self.effects.push(Effect::WriteAt { path, offset, bytes, executable });
    }

    /// Pushes [`Effect::Persist`].
    pub fn persist(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.effects.push(Effect::Persist { path, bytes });
    }

    /// Pushes [`Effect::Install`].
    pub fn install(&mut self, path: PathBuf, from: PathBuf, length: u64) {
        self.effects.push(Effect::Install { path, from, length });
    }

    /// Pushes [`Effect::MakeDir`].
    pub fn make_dir(&mut self, path: PathBuf) {
        self.effects.push(Effect::MakeDir { path });
    }

    /// Pushes [`Effect::Read`], and returns the name of the question.
    pub fn read(&mut self, path: PathBuf, offset: u64, max: usize) -> ReadId {
        let read = ReadId(self.next_serial());
        self.effects.push(Effect::Read { read, path, offset, max });
        read
    }

    /// Pushes [`Effect::ReadEnd`], and returns the name of the question.
    pub fn read_end(&mut self, path: PathBuf, max: usize) -> ReadId {
        let read = ReadId(self.next_serial());
        self.effects.push(Effect::ReadEnd { read, path, max });
        read
    }

    /// Pushes [`Effect::List`], and returns the name of the question.
    pub fn list(&mut self, directory: PathBuf, patterns: Vec<String>) -> ReadId {
        let read = ReadId(self.next_serial());
        self.effects.push(Effect::List { read, directory, patterns });
        read
    }

    /// Pushes [`Effect::Page`], and returns the name of the question.
    pub fn page(&mut self, directory: PathBuf, after: String, most: usize) -> ReadId {
        let read = ReadId(self.next_serial());
        self.effects.push(Effect::Page { read, directory, after, most });
        read
    }

    /// Pushes [`Effect::Probe`], and returns the name of the probe.
    pub fn probe(&mut self, to: String) -> ProbeId {
        let probe = ProbeId(self.next_serial());
        self.effects.push(Effect::Probe { probe, to });
        probe
    }

    /// Pushes [`Effect::Hear`], and returns the name of the socket with its path, which `path` makes from the name.
    pub fn hear(&mut self, path: impl FnOnce(EarId) -> PathBuf) -> (EarId, PathBuf) {
        let ear = EarId(self.next_serial());
        let path = path(ear);
        self.effects.push(Effect::Hear { ear, path: path.clone() });
        (ear, path)
    }

    /// Pushes [`Effect::Deafen`].
    pub fn deafen(&mut self, ear: EarId) {
        self.effects.push(Effect::Deafen { ear });
    }

    /// Pushes [`Effect::Print`] of bytes that may be dropped if the reader is slow.
    pub fn print(&mut self, stream: Stream, bytes: impl Into<Vec<u8>>) {
        self.effects.push(Effect::Print { stream, bytes: bytes.into(), surely: false });
    }

    /// Pushes [`Effect::Print`] of bytes that must not be dropped.
    pub fn print_surely(&mut self, stream: Stream, bytes: impl Into<Vec<u8>>) {
        self.effects.push(Effect::Print { stream, bytes: bytes.into(), surely: true });
    }

    /// Pushes [`Effect::Status`].
    pub fn status(&mut self, status: impl Into<String>) {
        self.effects.push(Effect::Status(status.into()));
    }

    /// Pushes [`Effect::Exit`].
    pub fn exit(&mut self, code: u8) {
        log::debug!("exiting with {code}");
        self.effects.push(Effect::Exit { code });
    }

    /// Pushes [`Effect::Halt`].
    pub fn halt(&mut self, code: u8) {
        log::debug!("halting with {code}");
        self.effects.push(Effect::Halt { code });
    }
}
