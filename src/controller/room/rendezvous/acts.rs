//! What meetings want done.

use std::rc::Rc;

use super::arrival::{Arrival, Process};
use super::former::Audience;
use super::outcome::Outcome;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Ask a process for a sign of life.
    Check(Process),
    /// Tell these arrivals of a process what became of their round.
    Tell { process: Process, ids: Vec<u64>, outcome: Rc<Outcome> },
    /// For the record: a member has arrived.
    Arrived { meeting: Rc<str>, member: Rc<str> },
    /// For the record: a member's process or connection is gone while its round forms.
    Away { meeting: Rc<str>, member: Rc<str> },
    /// For the record: it has not come back in time.
    Lost { meeting: Rc<str>, member: Rc<str> },
    /// For the record: a round is over, for these arrivals and, if it failed, for those who come late.
    Over { meeting: Rc<str>, outcome: Rc<Outcome>, members: usize, arrivals: Vec<Arrival>, audience: Option<Audience> },
    /// For the record: one that was not there gets the last ruling; `ends`: because it was the reason.
    Late { meeting: Rc<str>, member: Rc<str>, arrival: Arrival, ends: bool },
    /// For the record: one that has got it comes again, so it stands no longer.
    StoodDown { meeting: Rc<str> },
}
