//! The requests of meetings to their room, and the decisions that the ledger keeps.

use std::rc::Rc;

use super::arrival::{Arrival, Process};
use super::outcome::Outcome;
use super::past_round::PastRound;

/// A request or a record of a meeting.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Ask a process for a sign of life.
    Check(Process),
    /// Send these arrivals of a process the outcome of their round.
    Tell { process: Process, ids: Vec<u64>, outcome: Rc<Outcome> },
    /// Record that a member has arrived.
    Arrived { meeting: Rc<str>, member: Rc<str> },
    /// Record that a member's process has disconnected while its round forms.
    Away { meeting: Rc<str>, member: Rc<str> },
    /// Record that a member has not reconnected in time.
    Lost { meeting: Rc<str>, member: Rc<str> },
    /// Write a decision, which is applied, to the ledger.
    Decided { meeting: Rc<str>, decision: Decision },
    /// Write that these arrivals have confirmed their outcomes, after the decisions that gave them the outcomes.
    Heard { process: Process, ids: Vec<u64> },
    /// Record that a round of this many members is over.
    Met { meeting: Rc<str>, outcome: Rc<Outcome>, members: usize },
}

/// A decision about one meeting.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A round is over.
    Over(Rc<PastRound>),
    /// A late member gets the outcome of the failed round.
    Late { member: Rc<str>, arrival: Arrival },
    /// The failed round is dropped before its time: a member that had received its outcome arrived again, or memory was
    /// short.
    FailedRoundDropped,
}
