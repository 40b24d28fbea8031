//! A failed round, kept for its audience: a late member gets its outcome too.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::memory::{NAME_COST, cost};
use super::outcome::Outcome;
use super::past_round::Audience;
use super::round::{Agreed, Expected};
use crate::controller::session::budget::Held;
use crate::machine::Time;
use crate::wire::rendezvous::{OutcomeKind, Party};

/// The words before the reason for late members.
const EARLIER: &str = "an earlier round ";
const EARLIER_FAILED: &str = "an earlier round failed: ";

/// A failed round that is kept.
#[derive(Debug)]
pub struct FailedRound {
    /// The outcome for late members; its words say that the round was an earlier one.
    pub outcome: Rc<Outcome>,
    /// The party of the round.
    agreed: Rc<Agreed>,
    /// The other party, if a member disagreed, and its names.
    other: Option<(Party, Expected)>,
    informed: BTreeSet<Rc<str>>,
    /// How many members of the audience are known by name and have not received the outcome. They are not listed,
    /// because a round of many thousands may fail often.
    missing: usize,
    /// How many more may receive it under any name.
    unnamed: usize,
    /// It is dropped at this time.
    pub until: Time,
    /// The memory of its names, and its size when the round failed.
    pub held: Held,
    size: usize,
}

impl FailedRound {
    /// Creates a failed round. `held` is the memory of its party.
    pub fn new(audience: &Audience, outcome: &Outcome, mut held: Held) -> FailedRound {
        let (agreed, until) = (audience.agreed.clone(), audience.until);
        let informed: BTreeSet<Rc<str>> = audience.informed.iter().cloned().collect();
        let other = audience.other.as_ref().map(|party| (party.clone(), Expected::from(party)));
        let wanted = [Some(&agreed.wanted), other.as_ref().map(|(_, wanted)| wanted)];
        let unnamed = wanted.into_iter().flatten().map(|wanted| match wanted {
            Expected::Members(_) => 0,
            Expected::Count(count) => count.saturating_sub(informed.len()),
        });
        let unnamed = unnamed.max().unwrap_or(0);
        let more = match &other {
            Some((_, Expected::Members(more))) => more.iter().filter(|member| !agreed.has(member)).count(),
            _ => 0,
        };
        let named = match &agreed.wanted {
            Expected::Members(members) => members.len(),
            Expected::Count(_) => 0,
        };
        held.grow(informed.iter().map(|member| NAME_COST + member.len()).sum());
        held.grow(other.as_ref().map_or(0, |(party, _)| cost(party)));
        // No process pays for a failed round, because it is evicted first.
        held.disown();
        let outcome = Rc::new(Outcome { reason: of_earlier(outcome), ..outcome.clone() });
        let size = held.bytes();
        let mut failed_round = FailedRound { outcome, agreed, other, informed, missing: 0, unnamed, until, held, size };
        let known = failed_round.informed.iter().filter(|member| failed_round.names(member)).count();
        failed_round.missing = named + more - known;
        failed_round
    }

    /// Returns whether the audience has this member by name.
    fn names(&self, member: &str) -> bool {
        self.agreed.has(member) || self.other.as_ref().is_some_and(|(_, wanted)| wanted.has(member))
    }

    /// Returns its audience, from which [`new`](FailedRound::new) creates an equal failed round.
    pub fn audience(&self) -> Audience {
        let counted = matches!(self.agreed.wanted, Expected::Count(_));
        let other = match &self.other {
            Some((Party::Count(_), _)) if !counted => Some(Party::Count((self.unnamed + self.informed.len()) as u32)),
            other => other.as_ref().map(|(party, _)| party.clone()),
        };
        Audience {
            agreed: self.agreed.clone(),
            informed: self.informed.iter().cloned().collect(),
            other,
            until: self.until,
        }
    }

    /// Returns why the round failed, in the words for members that were present.
    pub fn reason(&self) -> &str {
        let reason = &self.outcome.reason;
        let rest = reason.strip_prefix(EARLIER_FAILED).or_else(|| reason.strip_prefix(EARLIER));
        rest.unwrap_or(reason)
    }

    /// Returns whether the outcome concerns this member, which names this party. A disagreement concerns all.
    pub fn concerns(&self, member: &str, party: Option<&Party>) -> bool {
        let same = || party.is_none_or(|party| self.agreed.is(party));
        let awaited = self.unnamed > 0 || self.names(member);
        awaited && (self.outcome.kind == OutcomeKind::Disagreed || same())
    }

    /// Returns its size when the round failed, in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn has_delivered(&self, member: &str) -> bool {
        self.informed.contains(member)
    }

    /// Returns the outcome for a late member that has not received it.
    pub fn outcome_for(&mut self, member: &Rc<str>) -> Option<Rc<Outcome>> {
        if self.informed.contains(member) {
            return None;
        }
        match self.names(member) {
            true => self.missing -= 1,
            false => self.unnamed = self.unnamed.checked_sub(1)?,
        }
        self.held.grow(NAME_COST + member.len());
        self.informed.insert(member.clone());
        Some(self.outcome.clone())
    }

    /// Returns whether the whole audience has received the outcome.
    pub fn is_delivered(&self) -> bool {
        self.missing == 0 && self.unnamed == 0
    }
}

/// Returns the reason in the words for late members.
fn of_earlier(outcome: &Outcome) -> String {
    match outcome.kind {
        OutcomeKind::TimedOut => format!("{EARLIER}{}", outcome.reason),
        _ => format!("{EARLIER_FAILED}{}", outcome.reason),
    }
}
