//! A connection, and who is at its other end.

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
    pub frames: Frames,
    /// When it last said something; before its hello: when it connected.
    pub heard: Time,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Before its hello or join.
    Stranger,
    /// A slave of a run, by its place in the test.
    Slave(RunNr, usize, Process),
    Client(Process),
    /// A slave that serves no run, of a controller that stays.
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
