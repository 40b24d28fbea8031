//! A round that is over, as the ledger has it and as it is kept for late members.

use std::rc::Rc;

use super::arrival::Arrival;
use super::outcome::Outcome;
use super::round::Agreed;
use crate::machine::Time;
use crate::wire::rendezvous::Party;

/// The members for which a failed round is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Audience {
    /// The party of the round.
    pub(super) agreed: Rc<Agreed>,
    /// The members that were present.
    pub informed: Rc<[Rc<str>]>,
    /// The other party, if a member disagreed.
    pub other: Option<Party>,
    pub until: Time,
}

impl Audience {
    pub fn new(party: &Party, informed: impl Iterator<Item = Rc<str>>, other: Option<Party>, until: Time) -> Audience {
        Audience { agreed: Agreed::on(party), informed: informed.collect(), other, until }
    }

    /// Returns the party of the round.
    pub fn party(&self) -> &Party {
        &self.agreed.said
    }
}

/// A round that is over.
#[derive(Debug, PartialEq)]
pub struct PastRound {
    pub outcome: Rc<Outcome>,
    /// The arrivals that get the outcome, sorted.
    pub arrivals: Vec<Arrival>,
    /// The members for which it is kept, if it failed.
    pub audience: Option<Audience>,
}
