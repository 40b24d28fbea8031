//! What meetings hold of the memory for members: a round the names of its party, a ruling its words and its line, and
//! each value what its arrival costs.

use crate::wire::rendezvous::Party;

/// What an arrival holds beside its value and its name, in bytes: its places and its timers.
pub const ARRIVAL_COST: usize = 512;

/// What a round holds beside its names, in bytes.
pub const ROUND_COST: usize = 512;

/// What a name of a party holds beside its letters, which are there twice, in bytes.
pub const NAME_COST: usize = 128;

/// What a ruling holds beside its words, and more of it for each that has not heard it, in bytes: its place, and its
/// process, which is known until it has.
pub const RULING_COST: usize = 512;
pub const PLACE_COST: usize = 384;

/// What an arrival may need at most: its place and its value, who shall meet, and its ruling.
pub fn need(party: Option<&Party>, member: &str, value: usize) -> usize {
    ROUND_COST + party.map_or(0, cost) + ARRIVAL_COST + 2 * (member.len() + value) + RULING_COST + PLACE_COST
}

/// What the names of a party hold.
pub fn cost(party: &Party) -> usize {
    match party {
        Party::Members(members) => members.iter().map(|member| NAME_COST + 2 * member.len()).sum(),
        Party::Count(_) => 0,
    }
}

/// What can be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// Failed rounds that stand.
    Failed,
    /// Rounds in which everybody who was there is lost.
    Abandoned,
}
