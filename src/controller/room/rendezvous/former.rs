//! A round that is over, as it is kept for those who come late and for a controller that is started again.

use std::rc::Rc;

use super::arrival::Arrival;
use super::round::Agreed;
use super::ruling::Ruling;
use crate::controller::session::budget::Line as SharedLine;
use crate::machine::{Bytes, Time};
use crate::wire::rendezvous::{Kind, Party};

/// For whom a failed round stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Stands {
    /// Who should have met.
    pub(super) agreed: Rc<Agreed>,
    /// Who was there.
    pub told: Rc<[Rc<str>]>,
    /// The party that one wanted who did not agree.
    pub other: Option<Party>,
    pub until: Time,
}

impl Stands {
    pub fn new(party: &Party, told: impl Iterator<Item = Rc<str>>, other: Option<Party>, until: Time) -> Stands {
        Stands { agreed: Agreed::on(party), told: told.collect(), other, until }
    }

    /// Who should have met.
    pub fn party(&self) -> &Party {
        &self.agreed.said
    }
}

/// A round that is over.
#[derive(Debug)]
pub struct Former {
    pub round: u64,
    pub kind: Kind,
    pub who: Vec<String>,
    pub reason: String,
    pub at: Option<Time>,
    pub line: Option<Bytes>,
    pub arrivals: Vec<Arrival>,
    pub stands: Option<Stands>,
}

impl Former {
    pub fn new(ruling: &Ruling, arrivals: Vec<Arrival>, stands: Option<Stands>) -> Former {
        let Ruling { round, kind, at, .. } = *ruling;
        let (who, reason) = (ruling.who.clone(), ruling.reason.clone());
        let line = ruling.line.as_ref().map(SharedLine::share);
        Former { round, kind, who, reason, at, line, arrivals, stands }
    }
}
