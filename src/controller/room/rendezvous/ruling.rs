//! What became of a round, for all who were in it.

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
