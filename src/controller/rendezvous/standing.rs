//! A failed round, for those of its members that had not arrived: who comes for the first time gets its ruling too.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Ruling;
use super::held::NAME_COST;
use super::restore::Stands;
use super::round::{Agreed, Wanted};
use crate::controller::budget::Held;
use crate::machine::Time;
use crate::wire::rendezvous::{Kind, Party};

/// What comes before the reason, for those who were not there.
const EARLIER: &str = "an earlier round ";
const EARLIER_FAILED: &str = "an earlier round failed: ";

/// A failed round that stands.
#[derive(Debug)]
pub struct Standing {
    /// In words for those who come late: they were in none of it.
    pub ruling: Rc<Ruling>,
    /// Who should have met.
    agreed: Rc<Agreed>,
    told: BTreeSet<Rc<str>>,
    /// Those by name who have not got it.
    missing: BTreeSet<Rc<str>>,
    /// And so many more, whoever they are.
    places: usize,
    /// From then on it stands no longer.
    pub until: Time,
    /// What its names cost.
    pub held: Held,
}

impl Standing {
    /// For a round that ends so, of those who are `told`; `other`: the party that one wanted who did not agree.
    pub fn new(
        agreed: Rc<Agreed>,
        told: BTreeSet<Rc<str>>,
        ruling: &Ruling,
        other: Option<&Party>,
        until: Time,
        mut held: Held,
    ) -> Standing {
        let (mut missing, mut places) = (BTreeSet::new(), 0);
        let other = other.map(Wanted::from);
        for wanted in [Some(&agreed.wanted), other.as_ref()].into_iter().flatten() {
            match wanted {
                Wanted::Members(members) => missing.extend(members.difference(&told).cloned()),
                Wanted::Count(count) => places = places.max(count.saturating_sub(told.len())),
            }
        }
        held.grow(told.iter().chain(&missing).map(|member| NAME_COST + member.len()).sum());
        let ruling = Rc::new(Ruling { reason: of_earlier(ruling), ..ruling.clone() });
        Standing { ruling, agreed, told, missing, places, until, held }
    }

    /// For whom it stands now, such that [`new`](Standing::new) makes the same of it.
    pub fn stands(&self) -> Stands {
        let counted = matches!(self.agreed.wanted, Wanted::Count(_));
        let other = match self.places {
            places if places > 0 && !counted => Party::Count((places + self.told.len()) as u32),
            _ => Party::Members(self.missing.iter().map(|member| member.to_string()).collect()),
        };
        Stands::new(&self.agreed.said, self.told.iter(), Some(&other), self.until)
    }

    /// Why the round failed, for those who were there.
    pub fn reason(&self) -> &str {
        let reason = &self.ruling.reason;
        let rest = reason.strip_prefix(EARLIER_FAILED).or_else(|| reason.strip_prefix(EARLIER));
        rest.unwrap_or(reason)
    }

    /// Whether it says anything to one who wants this party. Of a disagreement everybody is told who said what.
    pub fn concerns(&self, party: Option<&Party>) -> bool {
        self.ruling.kind == Kind::Disagreed || party.is_none_or(|party| self.agreed.is(party))
    }

    pub fn has_told(&self, member: &str) -> bool {
        self.told.contains(member)
    }

    /// The ruling for a member that has not got it.
    pub fn tell(&mut self, member: &Rc<str>) -> Option<Rc<Ruling>> {
        if self.told.contains(member) {
            return None;
        }
        if !self.missing.remove(member) {
            self.places = self.places.checked_sub(1)?;
            self.held.grow(NAME_COST + member.len());
        }
        self.told.insert(member.clone());
        Some(self.ruling.clone())
    }

    /// Whether everybody has it.
    pub fn is_told(&self) -> bool {
        self.missing.is_empty() && self.places == 0
    }
}

/// Why a round failed, for those who were not there.
fn of_earlier(ruling: &Ruling) -> String {
    match ruling.kind {
        Kind::TimedOut => format!("{EARLIER}{}", ruling.reason),
        _ => format!("{EARLIER_FAILED}{}", ruling.reason),
    }
}
