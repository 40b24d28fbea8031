//! Rounds that were over when the controller was killed: their rulings wait for those who have not heard them, and those
//! that failed stand for those who have not come. Rounds that formed begin anew with those who say that they wait.

use std::ops::Bound;
use std::rc::Rc;

use super::arrival::Arrival;
use super::arrival_state::ArrivalState;
use super::failed_round::FailedRound;
use super::former::PastRound;
use super::memory::{ROUND_COST, RULING_COST, cost};
use super::outcome::Outcome;
use super::{Meeting, Rendezvous};
use crate::controller::session::budget::SharedLine;
use crate::machine::Time;

/// All that comes behind this, or all.
fn behind<T: ?Sized>(last: Option<&T>) -> (Bound<&T>, Bound<&T>) {
    (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl<V: PartialEq> Rendezvous<V> {
    /// The meeting whose name comes next behind this one, with the failed round that stands there.
    pub fn meeting_after(&self, last: Option<&str>) -> Option<(Rc<str>, Option<PastRound>)> {
        let (name, meeting) = self.meetings.range::<str, _>(behind(last)).next()?;
        let former = meeting.failed_round.as_ref().map(|failed_round| {
            let mut former = PastRound::new(&failed_round.outcome, Vec::new(), Some(failed_round.audience()));
            former.reason = failed_round.reason().to_owned();
            former
        });
        Some((name.clone(), former))
    }

    /// The arrivals behind this one, with the rulings of those that have one and have not heard it.
    pub fn arrivals_after(&self, last: Option<Arrival>) -> impl Iterator<Item = (Arrival, Option<&Outcome>)> {
        self.places.after(last).map(|(arrival, place)| match place {
            ArrivalState::Ruled(outcome, ..) => (*arrival, Some(&**outcome)),
            ArrivalState::Waits { .. } => (*arrival, None),
        })
    }

    /// A round was over then. Gives its ruling, for one that was told it late.
    pub fn restore(&mut self, name: &str, former: PastRound, since: Time) -> Rc<Outcome> {
        let PastRound { round, kind, who, reason, at, line, arrivals, audience } = former;
        self.last_round = self.last_round.max(round);
        let line = line.map(|line| SharedLine::new(line, &self.budget));
        let held = self.budget.hold(RULING_COST + reason.len());
        let outcome = Rc::new(Outcome { round, kind, who, reason, at, line, held });
        for arrival in arrivals {
            self.record_outcome(arrival, outcome.clone(), since);
        }
        if let Some(audience) = audience {
            let name: Rc<str> = Rc::from(name);
            self.meetings.entry(name.clone()).or_insert_with(|| Meeting { forming: None, failed_round: None });
            let held = self.budget.hold(ROUND_COST + cost(audience.party()));
            let (agreed, told) = (audience.agreed, audience.told.iter().cloned().collect());
            self.let_stand(
                &name,
                FailedRound::new(agreed, told, &outcome, audience.other.as_ref(), audience.until, held),
            );
            self.tidy(&name);
        }
        outcome
    }

    /// More arrivals have a ruling that they have not heard.
    pub fn restore_unheard(&mut self, arrivals: &[Arrival], outcome: &Rc<Outcome>, since: Time) {
        for arrival in arrivals {
            self.record_outcome(*arrival, outcome.clone(), since);
        }
    }

    /// A member got the ruling of a round that failed before it came, or, as it was `last`, because of it.
    pub fn restore_late(
        &mut self,
        name: &str,
        member: &Rc<str>,
        arrival: Arrival,
        last: Option<Rc<Outcome>>,
        since: Time,
    ) {
        let failed_round = self.tell_standing(name, member);
        if let Some(outcome) = last.or(failed_round) {
            self.record_outcome(arrival, outcome, since);
        }
    }

    /// A failed round stood no longer.
    pub fn restore_stood_down(&mut self, name: &str) {
        self.stand_down(name);
    }
}
