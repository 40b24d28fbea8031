//! The decisions of meetings that the ledger keeps. The live controller decides, applies the decision, and asks its room
//! to write it; a restarted controller applies what was written.
//!
//! Rounds that form are not in the ledger: they form again because waiting members repeat their arrivals. Therefore a
//! decision changes only what is kept after a round: the outcomes of its arrivals, and the failed round.

use std::rc::Rc;

use super::acts::{Act, Decision};
use super::failed_round::FailedRound;
use super::memory::{ROUND_COST, cost};
use super::past_round::PastRound;
use super::turn::Turn;
use super::{Rendezvous, Timer};
use crate::machine::Time;
use crate::machine::faults::{Fault, injected};

impl Rendezvous {
    /// Applies a decision and requests that it is written.
    pub(super) fn decide(&mut self, meeting: &Rc<str>, decision: Decision, turn: &mut Turn<'_>) {
        self.apply(meeting, &decision, turn.now);
        turn.acts.push(Act::Decided { meeting: meeting.clone(), decision });
    }

    /// Applies a decision, when it is made and again in a replay of the ledger.
    pub fn apply(&mut self, meeting: &Rc<str>, decision: &Decision, at: Time) {
        match decision {
            Decision::Over(past) => self.on_over(meeting, past, at),
            Decision::Late { member, arrival } => {
                let failed_round = self.meetings.get_mut(meeting).and_then(|meeting| meeting.failed_round.as_mut());
                let Some(failed_round) = failed_round else { return };
                let outcome = failed_round.outcome_for(member);
                if failed_round.is_delivered() {
                    self.drop_failed_round(meeting);
                }
                if let Some(outcome) = outcome {
                    self.record_outcome(*arrival, outcome, at);
                }
            }
            Decision::FailedRoundDropped => self.drop_failed_round(meeting),
        }
    }

    fn on_over(&mut self, name: &Rc<str>, past: &PastRound, at: Time) {
        self.last_round = self.last_round.max(past.outcome.round);
        for arrival in &past.arrivals {
            match injected(Fault::VerdictToldOnce) {
                true => self.arrivals.remove(arrival),
                false => self.record_outcome(*arrival, past.outcome.clone(), at),
            }
        }
        let Some(audience) = &past.audience else { return };
        let held = self.budget.hold(ROUND_COST + cost(audience.party()));
        let failed_round = FailedRound::new(audience, &past.outcome, held);
        let (awaited, until, size) = (!failed_round.is_delivered(), failed_round.until, failed_round.size());
        let meeting = self.meetings.entry(name.clone()).or_default();
        if let Some(old) = std::mem::replace(&mut meeting.failed_round, awaited.then_some(failed_round)) {
            self.failed.remove(&(old.size(), name.clone()));
        }
        if awaited {
            self.failed.insert((size, name.clone()));
            self.timers.set(Timer::FailedRound(name.clone()), until);
        } else {
            self.timers.cancel(&Timer::FailedRound(name.clone()));
            self.tidy(name);
        }
    }

    /// Drops the failed round of a meeting.
    pub(super) fn drop_failed_round(&mut self, name: &Rc<str>) {
        let failed_round = self.meetings.get_mut(name).and_then(|meeting| meeting.failed_round.take());
        if let Some(failed_round) = failed_round {
            self.failed.remove(&(failed_round.size(), name.clone()));
        }
        self.timers.cancel(&Timer::FailedRound(name.clone()));
        self.tidy(name);
    }
}
