//! An arrival: its process, its member, and what it requests.

use std::rc::Rc;
use std::time::Duration;

use crate::controller::session::budget::{Asker, Held};
use crate::machine::Time;
use crate::wire::rendezvous::Party;

/// An incarnation of a slave or of a client, as the controller numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u64);

impl Process {
    /// Returns the payer of memory for a client.
    pub fn as_client(self) -> Asker {
        Asker { process: self.0, slave: false }
    }

    /// Returns the payer of memory for a slave.
    pub fn as_slave(self) -> Asker {
        Asker { process: self.0, slave: true }
    }
}

/// The identity of an arrival: its process, and an id that the process never uses again.
pub type Arrival = (Process, u64);

/// The state of processes, as the controller knows it.
pub trait Presence {
    /// Returns when this process was heard last. `None` if it is disconnected.
    fn heard(&self, process: Process) -> Option<Time>;
    /// Returns how long it may be disconnected before it is lost.
    fn rejoin(&self, process: Process) -> Duration;
    /// Returns whether it is a slave, which acts for many members.
    fn is_slave(&self, _: Process) -> bool {
        false
    }
    /// Returns whether received bytes were not read yet, so that a sign of life may be among them.
    fn has_unread_input(&self) -> bool {
        false
    }
}

/// What a member gives to a round: an empty text at a barrier.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Value {
    /// JSON, exactly as the member wrote it.
    pub json: Box<str>,
    /// The memory of the arrival and of its value.
    pub held: Held,
}

/// A member that arrives.
#[derive(Debug, Clone)]
pub struct ArrivalRequest {
    pub process: Process,
    pub id: u64,
    pub member: Rc<str>,
    /// The party that this member names; groups are resolved.
    pub party: Option<Party>,
    pub timeout: Option<Duration>,
    /// A sign of life counts if it was received no longer than this before the last arrival.
    pub fresh: Duration,
    /// Fail the round when a member is lost that had arrived.
    pub alive: bool,
    pub harmonize: bool,
    pub abort: Option<String>,
    pub value: Value,
    /// The memory of its party while it contends, if it differs from the party of the round.
    pub held: Option<Held>,
}
