//! The inputs of a machine.
//!
//! An input is a fact, never a request: a machine decides itself what follows from it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::command::Exit;
use super::found::{Found, Page};
use super::ids::{ChildId, ConfirmId, ConnId, EarId, ListenerId, ProbeId, ReadId, SocketId};
use super::peer::{NoAnswer, Peer};
use super::reason::Reason;
use super::signal::Signal;
use super::system_error::SystemError;
use super::time::Time;

/// Something that happened. A driver reports it to a machine.
#[derive(Debug)]
pub enum Input<'a> {
    /// The loop has started: the first input of every machine.
    Begin,
    /// A peer connected to one of our listeners.
    Accepted {
        /// The name of the new connection.
        conn: ConnId,
        /// The listener that accepted it.
        listener: ListenerId,
        /// The other end.
        peer: Peer,
    },
    /// A connection that the machine asked for is established.
    Connected {
        /// The name that the machine knows it by.
        conn: ConnId,
        /// The other end.
        peer: Peer,
        /// The address of this end; `None` for a Unix socket.
        local: Option<SocketAddr>,
    },
    /// Bytes arrived, in order, split anywhere.
    Received {
        /// The connection.
        conn: ConnId,
        /// The bytes that arrived. Never empty.
        bytes: &'a [u8],
    },
    /// A connection was closed, or could not be made. Sent once for each connection that the machine did not close
    /// itself, as the last input about it.
    Closed {
        /// The connection.
        conn: ConnId,
        /// The reason.
        reason: Reason,
    },
    /// A whole datagram arrived. A longer one than the reactor takes was dropped.
    Datagram {
        /// The socket that received it.
        socket: SocketId,
        /// Its sender, which can be forged.
        from: SocketAddr,
        /// Its content.
        bytes: &'a [u8],
    },
    /// [`Machine::next_deadline`](super::Machine::next_deadline) has passed. May be early; then nothing is due.
    Deadline,
    /// Bytes that peers sent after `since` may not have been read yet, because a turn took long or there is much to
    /// read. Therefore a peer is not silent only because nothing arrived since then. Precedes a `Deadline`, and applies
    /// to that one only.
    Behind {
        /// The instant up to which everything was read.
        since: Time,
    },
    /// A signal was sent to this process. Several signals may have become one.
    Signal(Signal),
    /// The configuration was read again.
    Reloaded {
        /// The part of the configuration that can change while the machine runs, as JSON in the machine's own form.
        settings: &'a [u8],
    },
    /// By the configuration as it is now, the peer of a connection could not prove its names any more: its certificate
    /// was revoked, or its authority is not trusted. The connection is still open.
    Disproved {
        /// The connection.
        conn: ConnId,
        /// The fault of the certificate.
        why: String,
    },
    /// Standard output can no longer be written: its reader has closed it, or it has failed. Sent once.
    OutputEnded,
    /// The size of the terminal, when the loop starts and after each change.
    Resized {
        /// The width, in characters.
        columns: u16,
        /// The height, in lines.
        rows: u16,
    },
    /// A child runs.
    Spawned {
        /// The child.
        child: ChildId,
        /// Its process id, which is also the id of its process group.
        pid: u32,
    },
    /// A child could not be started. The last input about it.
    SpawnFailed {
        /// The child.
        child: ChildId,
        /// Why it could not be started.
        error: SystemError,
    },
    /// A child's first process ended; others of its group may still run. The last input about it.
    Exited {
        /// The child.
        child: ChildId,
        /// How it ended.
        exit: Exit,
    },
    /// The answer to [`Effect::Sweep`](super::Effect::Sweep).
    Swept {
        /// The number of descendants that were alive when the signal was sent, including the children that the machine
        /// asked for. Zombies and the reactor's own helpers do not count.
        left: usize,
    },
    /// The processes of this system cannot be listed. A process that has left the group of a child is neither found nor
    /// signalled. Sent before each [`Input::Swept`] that it affects.
    Unseen {
        /// Why they cannot be listed.
        why: String,
    },
    /// The answer to [`Effect::Read`](super::Effect::Read) or [`Effect::ReadEnd`](super::Effect::ReadEnd).
    Read {
        /// The question.
        read: ReadId,
        /// The bytes, at most as many as were asked for, empty at the end of the file.
        result: Result<&'a [u8], SystemError>,
    },
    /// The answer to [`Effect::List`](super::Effect::List).
    Listed {
        /// The question.
        read: ReadId,
        /// The files.
        result: Result<Found, SystemError>,
    },
    /// The answer to [`Effect::Page`](super::Effect::Page).
    Paged {
        /// The question.
        read: ReadId,
        /// The files of this page.
        result: Result<Page, SystemError>,
    },
    /// The answer to [`Effect::Probe`](super::Effect::Probe).
    Probed {
        /// The probe.
        probe: ProbeId,
        /// Whether a program listens there.
        result: Result<(), NoAnswer>,
    },
    /// A command has sent bytes to one of our sockets. Bytes that it sent before its exit precede its
    /// [`Input::Exited`].
    Overheard {
        /// The socket.
        ear: EarId,
        /// The bytes, at most 4 KiB.
        bytes: &'a [u8],
    },
    /// A socket for commands could not be made. The last input about it.
    Deaf {
        /// The socket.
        ear: EarId,
        /// Why it could not be made.
        error: SystemError,
    },
    /// The answer to [`Effect::Confirm`](super::Effect::Confirm).
    Written {
        /// The name that the question had.
        confirm: ConfirmId,
    },
    /// A file could not be written. Sent before anything that the same turn sends goes out, once for each file.
    WriteFailed {
        /// The file.
        path: PathBuf,
        /// Why it could not be written.
        error: SystemError,
    },
}

impl Input<'_> {
    /// Returns the connection on which something was received, or that was closed.
    pub fn conn(&self) -> Option<ConnId> {
        match self {
            Input::Received { conn, .. } | Input::Closed { conn, .. } => Some(*conn),
            _ => None,
        }
    }
}
