//! A failed round, for those of its members that had not arrived: who comes for the first time gets its ruling too.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::former::Audience;
use super::memory::{NAME_COST, cost};
use super::outcome::Outcome;
use super::round::{Agreed, Expected};
use crate::controller::session::budget::Held;
use crate::machine::Time;
use crate::wire::rendezvous::{OutcomeKind, Party};

/// What comes before the reason, for those who were not there.
const EARLIER: &str = "an earlier round ";
const EARLIER_FAILED: &str = "an earlier round failed: ";

/// A failed round that stands.
#[derive(Debug)]
pub struct FailedRound {
    /// In words for those who come late: they were in none of it.
    pub outcome: Rc<Outcome>,
    /// Who should have met.
    agreed: Rc<Agreed>,
    /// The party that one wanted who did not agree, and who is in it.
    other: Option<(Party, Expected)>,
    told: BTreeSet<Rc<str>>,
    /// How many have not got it of those who are known by name. They are not listed once more: a round of very many
    /// may fail often.
    missing: usize,
    /// And so many more, whoever they are.
    places: usize,
    /// From then on it stands no longer.
    pub until: Time,
    /// What its names cost, and what they cost when it began to stand.
    pub held: Held,
    size: usize,
}

impl FailedRound {
    /// For a round that ends so, of those who are `told`; `other`: the party that one wanted who did not agree.
    pub fn new(
        agreed: Rc<Agreed>,
        told: BTreeSet<Rc<str>>,
        outcome: &Outcome,
        other: Option<&Party>,
        until: Time,
        mut held: Held,
    ) -> FailedRound {
        let other = other.map(|party| (party.clone(), Expected::from(party)));
        let wanted = [Some(&agreed.wanted), other.as_ref().map(|(_, wanted)| wanted)];
        let places = wanted.into_iter().flatten().map(|wanted| match wanted {
            Expected::Members(_) => 0,
            Expected::Count(count) => count.saturating_sub(told.len()),
        });
        let places = places.max().unwrap_or(0);
        let more = match &other {
            Some((_, Expected::Members(more))) => more.iter().filter(|member| !agreed.has(member)).count(),
            _ => 0,
        };
        let named = match &agreed.wanted {
            Expected::Members(members) => members.len(),
            Expected::Count(_) => 0,
        };
        held.grow(told.iter().map(|member| NAME_COST + member.len()).sum());
        held.grow(other.as_ref().map_or(0, |(party, _)| cost(party)));
        // A failed round is nobody's: it is the first thing that is dropped.
        held.disown();
        let outcome = Rc::new(Outcome { reason: of_earlier(outcome), ..outcome.clone() });
        let size = held.bytes();
        let mut failed_round = FailedRound { outcome, agreed, other, told, missing: 0, places, until, held, size };
        let known = failed_round.told.iter().filter(|member| failed_round.names(member)).count();
        failed_round.missing = named + more - known;
        failed_round
    }

    /// Whether a member is wanted by its name.
    fn names(&self, member: &str) -> bool {
        self.agreed.has(member) || self.other.as_ref().is_some_and(|(_, wanted)| wanted.has(member))
    }

    /// For whom it stands now, such that [`new`](Standing::new) makes the same of it.
    pub fn audience(&self) -> Audience {
        let counted = matches!(self.agreed.wanted, Expected::Count(_));
        let other = match &self.other {
            Some((Party::Count(_), _)) if !counted => Some(Party::Count((self.places + self.told.len()) as u32)),
            other => other.as_ref().map(|(party, _)| party.clone()),
        };
        Audience { agreed: self.agreed.clone(), told: self.told.iter().cloned().collect(), other, until: self.until }
    }

    /// Why the round failed, for those who were there.
    pub fn reason(&self) -> &str {
        let reason = &self.outcome.reason;
        let rest = reason.strip_prefix(EARLIER_FAILED).or_else(|| reason.strip_prefix(EARLIER));
        rest.unwrap_or(reason)
    }

    /// Whether it says anything to one who wants this party. Of a disagreement everybody is told who said what.
    pub fn concerns(&self, party: Option<&Party>) -> bool {
        self.outcome.kind == OutcomeKind::Disagreed || party.is_none_or(|party| self.agreed.is(party))
    }

    /// How much it held when it began to stand.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn has_told(&self, member: &str) -> bool {
        self.told.contains(member)
    }

    /// The ruling for a member that has not got it.
    pub fn tell(&mut self, member: &Rc<str>) -> Option<Rc<Outcome>> {
        if self.told.contains(member) {
            return None;
        }
        match self.names(member) {
            true => self.missing -= 1,
            false => self.places = self.places.checked_sub(1)?,
        }
        self.held.grow(NAME_COST + member.len());
        self.told.insert(member.clone());
        Some(self.outcome.clone())
    }

    /// Whether everybody has it.
    pub fn is_told(&self) -> bool {
        self.missing == 0 && self.places == 0
    }
}

/// Why a round failed, for those who were not there.
fn of_earlier(outcome: &Outcome) -> String {
    match outcome.kind {
        OutcomeKind::TimedOut => format!("{EARLIER}{}", outcome.reason),
        _ => format!("{EARLIER_FAILED}{}", outcome.reason),
    }
}
