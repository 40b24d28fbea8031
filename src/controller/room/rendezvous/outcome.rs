//! The outcome of a round, for all its members.

use crate::controller::session::budget::{Held, SharedLine};
use crate::machine::Time;
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
