//! The requests of meetings to their room.

use std::rc::Rc;

use super::arrival::{Arrival, Process};
use super::outcome::Outcome;
use super::past_round::Audience;

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
    /// Record that a round is over, for these arrivals and, if it failed, for late members.
    Over { meeting: Rc<str>, outcome: Rc<Outcome>, members: usize, arrivals: Vec<Arrival>, audience: Option<Audience> },
    /// Record that a late member gets the outcome. `ends`: its own arrival made the round fail.
    Late { meeting: Rc<str>, member: Rc<str>, arrival: Arrival, ends: bool },
    /// Record that a failed round was dropped, because a member that had received its outcome arrived again.
    FailedRoundDropped { meeting: Rc<str> },
}
