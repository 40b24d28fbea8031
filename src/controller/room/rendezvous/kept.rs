//! What is kept after rounds, as the rewrite of a ledger reads it in pieces.

use std::ops::Bound;
use std::rc::Rc;

use super::Rendezvous;
use super::arrival::Arrival;
use super::arrival_state::ArrivalState;
use super::outcome::Outcome;
use super::past_round::PastRound;

impl Rendezvous {
    /// Returns the meeting with the next name after `last`, with the failed round that is kept there.
    pub fn meeting_after(&self, last: Option<&str>) -> Option<(Rc<str>, Option<PastRound>)> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let (name, meeting) = self.meetings.range::<str, _>((after, Bound::Unbounded)).next()?;
        let past = meeting.failed_round.as_ref().map(|failed_round| {
            let reason = failed_round.reason().to_owned();
            let outcome = Rc::new(Outcome { reason, ..Outcome::clone(&failed_round.outcome) });
            PastRound { outcome, arrivals: Vec::new(), audience: Some(failed_round.audience()) }
        });
        Some((name.clone(), past))
    }

    /// Returns the arrivals after `last`, with the unconfirmed outcomes.
    pub fn arrivals_after(&self, last: Option<Arrival>) -> impl Iterator<Item = (Arrival, Option<&Rc<Outcome>>)> {
        self.arrivals.after(last).map(|(arrival, state)| match state {
            ArrivalState::Concluded(outcome, ..) => (*arrival, Some(outcome)),
            ArrivalState::Waits { .. } => (*arrival, None),
        })
    }
}
