//! What became of a round, for all who were in it.

use crate::controller::session::budget::{Held, SharedLine};
use crate::machine::Time;
use crate::wire::rendezvous::OutcomeKind;

/// What became of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// 0 when the arrival was in none.
    pub round: u64,
    pub kind: OutcomeKind,
    pub who: Vec<String>,
    pub reason: String,
    /// The instant of a harmonized release.
    pub at: Option<Time>,
    /// What every member gets before the ruling, as a line: a sync's map.
    pub line: Option<SharedLine>,
    pub held: Held,
}
