//! The memory that meetings hold: the names of each party, the words and the line of each outcome. The cost of an
//! arrival belongs to its value.

use crate::wire::rendezvous::Party;

/// The memory of an arrival besides its value and its name, in bytes: its entries in the maps and its timers.
pub const ARRIVAL_COST: usize = 512;

/// The memory of a round besides its names, in bytes.
pub const ROUND_COST: usize = 512;

/// The memory of a name in a party besides its letters, which are stored twice, in bytes.
pub const NAME_COST: usize = 128;

/// The memory of an outcome besides its words, and of each arrival that has not confirmed it, in bytes. The latter
/// includes the entry of its process, which is kept as long.
pub const OUTCOME_COST: usize = 512;
pub const UNCONFIRMED_COST: usize = 384;

/// Returns what an arrival may need at most, in bytes: itself, its value, its party and its outcome.
pub fn need(party: Option<&Party>, member: &str, value: usize) -> usize {
    ROUND_COST + party.map_or(0, cost) + ARRIVAL_COST + 2 * (member.len() + value) + OUTCOME_COST + UNCONFIRMED_COST
}

/// Returns the memory of the names of a party, in bytes.
pub fn cost(party: &Party) -> usize {
    match party {
        Party::Members(members) => members.iter().map(|member| NAME_COST + 2 * member.len()).sum(),
        Party::Count(_) => 0,
    }
}

/// The rounds that can be evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// Failed rounds.
    Failed,
    /// Rounds in which every member is lost.
    Abandoned,
}
