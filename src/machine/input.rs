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
use super::time::Time;

/// Something that happened, as a driver tells it to a machine.
#[derive(Debug)]
pub enum Input<'a> {
    /// The loop has started: the first input of every machine.
    Begin,
    /// A peer connected to one of our listeners.
    Accepted { conn: ConnId, listener: ListenerId, peer: Peer },
    /// A connection that the machine asked for is established. `local` is its own address on it.
    Connected { conn: ConnId, peer: Peer, local: Option<SocketAddr> },
    /// Bytes arrived, in order, split anywhere. Never empty.
    Received { conn: ConnId, bytes: &'a [u8] },
    /// A connection is gone, or could not be made. Sent once for each connection that the machine did not close itself,
    /// as the last input about it.
    Closed { conn: ConnId, reason: Reason },
    /// A whole datagram arrived. A longer one than the reactor takes was dropped.
    Datagram { socket: SocketId, from: SocketAddr, bytes: &'a [u8] },
    /// [`Machine::next_deadline`](super::Machine::next_deadline) has passed. May come too early; then nothing is due.
    Deadline,
    /// Bytes that peers sent after this instant may not have been read yet, because a turn took long or there is much
    /// to read. Therefore no peer is silent because nothing came since. Comes just before a `Deadline`, and holds for
    /// that one.
    Behind { since: Time },
    /// A signal was sent to this process. Several may have become one.
    Signal(Signal),
    /// The configuration was read again. `settings` is the part of it that can change while the machine runs, as JSON
    /// in the machine's own form.
    Reloaded { settings: &'a [u8] },
    /// By the configuration as it is now, the peer of a connection could not prove who it is any more: its certificate
    /// was revoked, or its authority is not trusted. The connection is still open.
    Disproved { conn: ConnId, why: String },
    /// Standard output can no longer be written: its reader has closed it, or it has failed. Comes once.
    OutputEnded,
    /// The terminal has this size now.
    Resized { columns: u16, rows: u16 },
    /// A child runs, as the leader of process group `pid`.
    Spawned { child: ChildId, pid: u32 },
    /// A child could not be started. The last input about it.
    SpawnFailed { child: ChildId, error: String },
    /// A child's first process ended; others of its group may still run. The last input about it.
    Exited { child: ChildId, exit: Exit },
    /// The answer to [`Effect::Sweep`](super::Effect::Sweep): the number of descendants that were alive when the signal
    /// was sent, including the children that the machine asked for. Zombies and the reactor's own helpers do not count.
    Swept { left: usize },
    /// The processes of this system cannot be listed, for this reason. A process that has left the group of a child is
    /// neither found nor signalled. Comes before each [`Input::Swept`] that it affects.
    Unseen { why: String },
    /// The answer to [`Effect::Read`](super::Effect::Read) or [`Effect::ReadEnd`](super::Effect::ReadEnd): what the
    /// file holds there, at most as much as was asked for, empty at the end of the file.
    Read { read: ReadId, result: Result<&'a [u8], String> },
    /// The answer to [`Effect::List`](super::Effect::List).
    Listed { read: ReadId, result: Result<Found, String> },
    /// The answer to [`Effect::Page`](super::Effect::Page).
    Paged { read: ReadId, result: Result<Page, String> },
    /// The answer to [`Effect::Probe`](super::Effect::Probe).
    Probed { probe: ProbeId, result: Result<(), NoAnswer> },
    /// A command has sent bytes to this socket. What it sent before its exit comes before its [`Input::Exited`].
    Overheard { ear: EarId, bytes: &'a [u8] },
    /// This socket could not be made. The last input about it.
    Deaf { ear: EarId, error: String },
    /// The answer to [`Effect::Confirm`](super::Effect::Confirm).
    Written { confirm: ConfirmId },
    /// A file could not be written. Comes before anything that the same turn sends goes out, and once for each file.
    WriteFailed { path: PathBuf, error: String },
}

impl Input<'_> {
    /// The connection on which something was received, or that is closed.
    pub fn conn(&self) -> Option<ConnId> {
        match self {
            Input::Received { conn, .. } | Input::Closed { conn, .. } => Some(*conn),
            _ => None,
        }
    }
}
