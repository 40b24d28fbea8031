//! What meetings decide, and what they want done about it.

use std::rc::Rc;

use super::{Arrival, Process, Stands};
use crate::controller::session::budget::{Held, Line as SharedLine};
use crate::machine::Time;
use crate::wire::rendezvous::Kind;

/// What became of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling {
    /// 0 when the arrival was in none.
    pub round: u64,
    pub kind: Kind,
    pub who: Vec<String>,
    pub reason: String,
    /// The instant of a harmonized release.
    pub at: Option<Time>,
    /// What every member gets before the ruling, as a line: a sync's map.
    pub line: Option<SharedLine>,
    pub held: Held,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Ask a process for a sign of life.
    Check(Process),
    /// Tell these arrivals of a process what became of their round.
    Tell { process: Process, ids: Vec<u64>, ruling: Rc<Ruling> },
    /// For the record: a member has arrived.
    Arrived { meeting: Rc<str>, member: Rc<str> },
    /// For the record: a member's process or connection is gone while its round forms.
    Away { meeting: Rc<str>, member: Rc<str> },
    /// For the record: it has not come back in time.
    Lost { meeting: Rc<str>, member: Rc<str> },
    /// For the record: a round is over, for these arrivals and, if it failed, for those who come late.
    Over { meeting: Rc<str>, ruling: Rc<Ruling>, members: usize, arrivals: Vec<Arrival>, stands: Option<Stands> },
    /// For the record: one that was not there gets the last ruling; `ends`: because it was the reason.
    Late { meeting: Rc<str>, member: Rc<str>, arrival: Arrival, ends: bool },
    /// For the record: one that has got it comes again, so it stands no longer.
    StoodDown { meeting: Rc<str> },
}
