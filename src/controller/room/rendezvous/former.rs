//! A round that is over, as it is kept for those who come late and for a controller that is started again.

use std::rc::Rc;

use super::arrival::Arrival;
use super::outcome::Outcome;
use super::round::Agreed;
use crate::controller::session::budget::SharedLine;
use crate::machine::{Bytes, Time};
use crate::wire::rendezvous::{OutcomeKind, Party};

/// For whom a failed round stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Audience {
    /// Who should have met.
    pub(super) agreed: Rc<Agreed>,
    /// Who was there.
    pub told: Rc<[Rc<str>]>,
    /// The party that one wanted who did not agree.
    pub other: Option<Party>,
    pub until: Time,
}

impl Audience {
    pub fn new(party: &Party, told: impl Iterator<Item = Rc<str>>, other: Option<Party>, until: Time) -> Audience {
        Audience { agreed: Agreed::on(party), told: told.collect(), other, until }
    }

    /// Who should have met.
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
