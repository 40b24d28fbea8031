//! The outcome of a round, for all its members.

use std::rc::Rc;

use super::memory::OUTCOME_COST;
use crate::controller::session::budget::{Budget, Held, SharedLine};
use crate::machine::{Bytes, Time};
use crate::wire::rendezvous::OutcomeKind;

/// The outcome of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// 0 if the arrival was in no round.
    pub round: u64,
    pub kind: OutcomeKind,
    pub who: Vec<String>,
    pub reason: String,
    /// The instant of a harmonized release.
    pub at: Option<Time>,
    /// The line that every member gets before the outcome: the map of a sync.
    pub line: Option<SharedLine>,
    pub held: Held,
}

impl Outcome {
    /// Creates the outcome of a round: its number, its kind, and the members and the reason of a failure.
    pub fn new(
        (round, kind): (u64, OutcomeKind),
        (who, reason): (Vec<String>, String),
        at: Option<Time>,
        line: Option<Bytes>,
        budget: &Budget,
    ) -> Rc<Outcome> {
        let line = line.map(|line| SharedLine::new(line, budget));
        let held = budget.hold(OUTCOME_COST + reason.len());
        Rc::new(Outcome { round, kind, who, reason, at, line, held })
    }
}
