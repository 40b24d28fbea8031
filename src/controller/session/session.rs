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
    pub who: Who,
    pub frames: Frames,
    /// When it last said something; before its hello: when it connected.
    pub heard: Time,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Before its hello or join.
    Stranger,
    /// A slave of a run, by its place in the test.
    Slave(RunNr, usize, Process),
    Client(Process),
    /// A slave that serves no run, of a controller that stays.
    Idle,
    Operator,
}

impl Who {
    pub fn process(self) -> Option<Process> {
        match self {
            Who::Stranger | Who::Idle | Who::Operator => None,
            Who::Slave(_, _, process) | Who::Client(process) => Some(process),
        }
    }
}
