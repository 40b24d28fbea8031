//! The deadlines of the reactor itself. Those of the machine are its own.

use crate::machine::{ConnId, ProbeId};

/// A deadline of the reactor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Due {
    /// A closed connection has lingered long enough.
    Linger(ConnId),
    /// An address has had its time to answer.
    Dial(ConnId),
    /// A probe has had its time.
    Probe(ProbeId),
    /// A handshake has had its time.
    Handshake(ConnId),
    /// Descriptors may be free again.
    Accept,
    /// A process of a group without a leader may have ended unnoticed.
    Groups,
    /// Peers may have stopped to read.
    Stalled,
    /// Held appends or prints must be written.
    Held,
    /// The service manager may take more, or hear a new status.
    Notify,
    /// The service manager wants a sign of life.
    Watchdog,
}
