//! What the reactor itself waits for, beside the machine.

use crate::machine::{ConnId, ProbeId};

/// What the reactor itself waits for.
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
    /// Somebody of a group without a leader may have gone unheard.
    Groups,
    /// Peers may have stopped to read.
    Stalled,
    /// The service manager may take more, or hear a new status.
    Notify,
    /// The service manager wants a sign of life.
    Watchdog,
}
