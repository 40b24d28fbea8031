//! Restores rounds after a restart of the controller: unconfirmed outcomes and failed rounds come from the ledger.
//! Rounds that formed are not in the ledger; they form again because waiting members repeat their arrivals.

use std::ops::Bound;
use std::rc::Rc;

use super::arrival::Arrival;
use super::arrival_state::ArrivalState;
use super::failed_round::FailedRound;
use super::memory::{OUTCOME_COST, ROUND_COST, cost};
use super::outcome::Outcome;
use super::past_round::PastRound;
use super::{Meeting, Rendezvous};
use crate::controller::session::budget::SharedLine;
use crate::machine::Time;

/// Returns the range after `last`, or everything.
fn after<T: ?Sized>(last: Option<&T>) -> (Bound<&T>, Bound<&T>) {
    (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl<V: PartialEq> Rendezvous<V> {
    /// Returns the meeting with the next name after `last`, with the failed round that is kept there.
    pub fn meeting_after(&self, last: Option<&str>) -> Option<(Rc<str>, Option<PastRound>)> {
        let (name, meeting) = self.meetings.range::<str, _>(after(last)).next()?;
        let past = meeting.failed_round.as_ref().map(|failed_round| {
            let mut past = PastRound::new(&failed_round.outcome, Vec::new(), Some(failed_round.audience()));
            past.reason = failed_round.reason().to_owned();
            past
        });
        Some((name.clone(), past))
    }

    /// Returns the arrivals after `last`, with the unconfirmed outcomes.
    pub fn arrivals_after(&self, last: Option<Arrival>) -> impl Iterator<Item = (Arrival, Option<&Outcome>)> {
        self.arrivals.after(last).map(|(arrival, state)| match state {
            ArrivalState::Concluded(outcome, ..) => (*arrival, Some(&**outcome)),
            ArrivalState::Waits { .. } => (*arrival, None),
        })
    }

    /// Restores a round that is over. Returns its outcome, for late members that received it.
    pub fn restore(&mut self, name: &str, past: PastRound, since: Time) -> Rc<Outcome> {
        let PastRound { round, kind, who, reason, at, line, arrivals, audience } = past;
        self.last_round = self.last_round.max(round);
        let line = line.map(|line| SharedLine::new(line, &self.budget));
        let held = self.budget.hold(OUTCOME_COST + reason.len());
        let outcome = Rc::new(Outcome { round, kind, who, reason, at, line, held });
        for arrival in arrivals {
            self.record_outcome(arrival, outcome.clone(), since);
        }
        if let Some(audience) = audience {
            let name: Rc<str> = Rc::from(name);
            self.meetings.entry(name.clone()).or_insert_with(|| Meeting { forming: None, failed_round: None });
            let held = self.budget.hold(ROUND_COST + cost(audience.party()));
            let (agreed, informed) = (audience.agreed, audience.informed.iter().cloned().collect());
            self.keep_failed_round(
                &name,
                FailedRound::new(agreed, informed, &outcome, audience.other.as_ref(), audience.until, held),
            );
            self.tidy(&name);
        }
        outcome
    }

    /// Restores unconfirmed arrivals of an outcome.
    pub fn restore_unheard(&mut self, arrivals: &[Arrival], outcome: &Rc<Outcome>, since: Time) {
        for arrival in arrivals {
            self.record_outcome(*arrival, outcome.clone(), since);
        }
    }

    /// Restores a late member that received the outcome. `last`: its own arrival made the round fail.
    pub fn restore_late(
        &mut self,
        name: &str,
        member: &Rc<str>,
        arrival: Arrival,
        last: Option<Rc<Outcome>>,
        since: Time,
    ) {
        let failed_round = self.deliver_late(name, member);
        if let Some(outcome) = last.or(failed_round) {
            self.record_outcome(arrival, outcome, since);
        }
    }

    /// Replays that a failed round was dropped.
    pub fn restore_dropped(&mut self, name: &str) {
        self.drop_failed_round(name);
    }
}
