//! A connection and the role of its peer.

use crate::controller::room::rendezvous::Process;
use crate::controller::run::runs::RunNr;
use crate::machine::{ListenerId, Peer, Time};
use crate::wire::Frames;

/// A connection.
#[derive(Debug)]
pub struct Session {
    pub peer: Peer,
    pub listener: ListenerId,
    pub who: Role,
    /// The beginning of a line. Most connections have none, so it is in a box.
    pub frames: Option<Box<Frames>>,
    /// When the last bytes of its peer arrived; before the hello, when it connected.
    pub heard: Time,
}

/// The role of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Before its hello or join.
    Stranger,
    /// A slave of a run, by its place in the test.
    Slave(RunNr, u32, Process),
    Client(Process),
    /// A slave of a permanent controller that serves no run.
    Idle,
    Operator,
}

impl Role {
    pub fn process(self) -> Option<Process> {
        match self {
            Role::Stranger | Role::Idle | Role::Operator => None,
            Role::Slave(_, _, process) | Role::Client(process) => Some(process),
        }
    }
}
