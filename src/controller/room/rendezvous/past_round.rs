//! A round that is over, as it is kept for late members and for a restarted controller.

use std::rc::Rc;

use super::arrival::Arrival;
use super::outcome::Outcome;
use super::round::Agreed;
use crate::controller::session::budget::SharedLine;
use crate::machine::{Bytes, Time};
use crate::wire::rendezvous::{OutcomeKind, Party};

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
#[derive(Debug)]
pub struct PastRound {
    pub round: u64,
    pub kind: OutcomeKind,
    pub who: Vec<String>,
    pub reason: String,
    pub at: Option<Time>,
    pub line: Option<Bytes>,
    pub arrivals: Vec<Arrival>,
    pub audience: Option<Audience>,
}

impl PastRound {
    pub fn new(outcome: &Outcome, arrivals: Vec<Arrival>, audience: Option<Audience>) -> PastRound {
        let Outcome { round, kind, at, .. } = *outcome;
        let (who, reason) = (outcome.who.clone(), outcome.reason.clone());
        let line = outcome.line.as_ref().map(SharedLine::share);
        PastRound { round, kind, who, reason, at, line, arrivals, audience }
    }
}
