//! The effects that a machine asks for, and the outbox in which it collects them.
//!
//! The outbox keeps the effects in causal order and gives out the names of what they create. A driver must carry them
//! out in that order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use super::command::Command;
use super::ids::{ChildId, ConfirmId, ConnId, EarId, ProbeId, ReadId, SocketId};
use super::peer::Address;
use super::signal::Signal;

/// Bytes that many connections share: encoded once, and never copied.
pub type Bytes = Rc<[u8]>;

/// The length above which a message counts little against the queue of a peer, in bytes, because the queues of many
/// peers may share it. A machine must bound the number of such messages itself.
pub const LARGE: usize = 1024 * 1024;

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
    /// Queues bytes for a peer. If the queue grows beyond the reactor's bound, the connection is closed.
    Send {
        conn: ConnId,
        bytes: Bytes,
    },
    /// Closes after what is queued has been written, or after a short while, also when the connection does not stand
    /// yet: what is queued is written once it does. No [`Input::Closed`](super::Input::Closed) follows, and no
    /// [`Input::Connected`](super::Input::Connected).
    Close {
        conn: ConnId,
        reason: String,
    },
    /// Sends a datagram, to all of a network if the address is its broadcast address. It may be lost without notice.
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
    /// while one of its processes does. SIGCONT follows one that [asks to end](Signal::asks_to_end), here and in a
    /// sweep.
    KillGroup {
        child: ChildId,
        signal: Signal,
    },
    /// Sends a signal to every descendant of this process, also those that left their group or lost their parent,
    /// and counts them; [`Signal::NONE`] only counts. Answered by [`Input::Swept`](super::Input::Swept). Where they
    /// cannot be told from strangers, that is said, and only the groups of our children are reached.
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
    /// Lets the file `from` take the place of another, in one step, if it has this length: all that was to be written
    /// to it is there. If not, the other stays, and [`Input::WriteFailed`](super::Input::WriteFailed) names `from`.
    Install {
        path: PathBuf,
        from: PathBuf,
        length: u64,
    },
    /// Tries to connect to `HOST:PORT` by TCP, and closes the connection at once. Answered by
    /// [`Input::Probed`](super::Input::Probed) within a few seconds.
    Probe {
        probe: ProbeId,
        to: String,
    },
    /// Makes a datagram socket at a path, to which only processes of this user can send.
    Hear {
        ear: EarId,
        path: PathBuf,
    },
    /// Removes such a socket.
    Deafen {
        ear: EarId,
    },
    /// Asks for [`Input::Written`](super::Input::Written) when all that was to be written before this has been, or an
    /// [`Input::WriteFailed`](super::Input::WriteFailed) has said that it could not be.
    Confirm {
        confirm: ConfirmId,
    },
    /// Creates a directory and those above it, for this user alone.
    MakeDir {
        path: PathBuf,
    },
    /// Reads at most `max` bytes. Answered by [`Input::Read`](super::Input::Read).
    Read {
        read: ReadId,
        path: PathBuf,
        offset: u64,
        max: usize,
    },
    /// Reads at most the last `max` bytes. Answered by [`Input::Read`](super::Input::Read).
    ReadEnd {
        read: ReadId,
        path: PathBuf,
        max: usize,
    },
    /// Lists regular files below a directory by shell patterns. Answered by [`Input::Listed`](super::Input::Listed).
    List {
        read: ReadId,
        directory: PathBuf,
        patterns: Vec<String>,
    },
    /// Names regular files below a directory, those behind `after` in the order of their bytes, at most `most` of them,
    /// or fewer if much is to be looked at for them. No link is followed. Answered by
    /// [`Input::Paged`](super::Input::Paged).
    Page {
        read: ReadId,
        directory: PathBuf,
        after: String,
        most: usize,
    },
    /// Prints bytes to a stream. If its reader is slow, bytes beyond a bound are dropped.
    Print {
        stream: Stream,
        bytes: Vec<u8>,
        /// Printed beyond that bound too, for the last lines of a run.
        surely: bool,
    },
    /// The state of the process in a few words, for a service manager. Given when it changes.
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

    /// Returns the effects since the last call, in order. Those that are not taken out are dropped with the iterator.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// Returns a number that this outbox has not given out before. The reactor uses it for accepted connections too.
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

    pub fn confirm(&mut self) -> ConfirmId {
        let confirm = ConfirmId(self.next_serial());
        self.effects.push(Effect::Confirm { confirm });
        confirm
    }

    pub fn sweep(&mut self, signal: Signal) {
        self.effects.push(Effect::Sweep { signal });
    }

    pub fn append(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.effects.push(Effect::Append { path, bytes });
    }

    /// Returns the number of effects since the last [`drain`](Outbox::drain): a place for
    /// [`append_at`](Outbox::append_at).
    pub fn mark(&self) -> usize {
        self.effects.len()
    }

    /// Appends to a file before all effects since the mark.
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

    /// Prints what must not be dropped, even if the reader is slow.
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
