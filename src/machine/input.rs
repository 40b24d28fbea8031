//! What a machine is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::command::Exit;
use super::found::{Found, Page};
use super::ids::{ChildId, ConnId, EarId, ListenerId, ProbeId, ReadId, SocketId};
use super::peer::{NoAnswer, Peer};
use super::reason::Reason;
use super::signal::Signal;
use super::time::Time;

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
    /// [`Machine::next_deadline`](super::Machine::next_deadline) has passed. May come too early; then nothing is due.
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
    /// The answer to [`Effect::Sweep`](super::Effect::Sweep): how many descendants lived when the signal was sent, the children that the
    /// machine asked for among them. Zombies, and the reactor's own helpers, do not count.
    Swept { left: usize },
    /// The processes of this system cannot be looked at, for this reason: who has left the group of a child is neither
    /// found nor signalled. Comes before each [`Input::Swept`] that it is true of.
    Unseen { why: String },
    /// The answer to [`Effect::Read`](super::Effect::Read) or [`Effect::ReadEnd`](super::Effect::ReadEnd): what the file holds there, at most as much as was asked
    /// for, empty at the end of the file.
    Read { read: ReadId, result: Result<&'a [u8], String> },
    /// The answer to [`Effect::List`](super::Effect::List).
    Listed { read: ReadId, result: Result<Found, String> },
    /// The answer to [`Effect::Page`](super::Effect::Page).
    Paged { read: ReadId, result: Result<Page, String> },
    /// The answer to [`Effect::Probe`](super::Effect::Probe).
    Probed { probe: ProbeId, result: Result<(), NoAnswer> },
    /// A command has said something at this socket. What it said before its exit comes before its [`Input::Exited`].
    Overheard { ear: EarId, bytes: &'a [u8] },
    /// Nothing can be said at this socket. The last input about it.
    Deaf { ear: EarId, error: String },
    /// The answer to [`Effect::Confirm`](super::Effect::Confirm).
    Written,
    /// Something could not be written. Comes before anything that the same turn sends goes out, and once for each file.
    WriteFailed { path: PathBuf, error: String },
}
