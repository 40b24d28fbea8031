//! An arrival: who comes, to what, and who is behind it.

use std::rc::Rc;
use std::time::Duration;

use crate::controller::session::budget::{Asker, Held};
use crate::machine::Time;
use crate::wire::rendezvous::Party;

/// An incarnation of a slave or of a client, as the controller numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub u64);

impl Process {
    /// A client, for which something is to be held.
    pub fn as_client(self) -> Asker {
        Asker { process: self.0, slave: false }
    }

    /// The same of a slave.
    pub fn as_slave(self) -> Asker {
        Asker { process: self.0, slave: true }
    }
}

/// An arrival's identity.
pub type Arrival = (Process, u64);

/// Who is there, as the controller knows it.
pub trait Presence {
    /// When this process was heard last; `None` when its connection is gone.
    fn heard(&self, process: Process) -> Option<Time>;
    /// How long its connection may be gone before it is lost.
    fn rejoin(&self, process: Process) -> Duration;
    /// Whether it is a slave, which speaks for many members.
    fn is_slave(&self, _: Process) -> bool {
        false
    }
    /// Whether a sign of life may have come that was not read yet.
    fn is_behind(&self) -> bool {
        false
    }
}

/// A member that arrives.
#[derive(Debug, Clone)]
pub struct ArrivalRequest<V> {
    pub process: Process,
    pub id: u64,
    pub member: Rc<str>,
    /// Who shall meet, as this member says it; groups are resolved.
    pub party: Option<Party>,
    pub timeout: Option<Duration>,
    /// How long before the last arrival it may have shown last that it is alive.
    pub fresh: Duration,
    /// Fail when a member is lost that has arrived.
    pub alive: bool,
    pub harmonize: bool,
    pub abort: Option<String>,
    pub value: V,
    /// How long the value is, in bytes.
    pub weight: usize,
    /// What its party costs while it contends, if that is another than the round's.
    pub held: Option<Held>,
}
