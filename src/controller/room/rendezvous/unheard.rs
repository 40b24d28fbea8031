//! Outcomes that arrivals have not confirmed. Each is held until all its arrivals have confirmed it or cannot any more.

use std::rc::Rc;
use std::time::Duration;

use super::Rendezvous;
use super::arrival::{Arrival, Process};
use super::arrival_state::ArrivalState;
use super::memory::UNCONFIRMED_COST;
use super::outcome::Outcome;
use crate::machine::Time;

impl Rendezvous {
    /// Records the unconfirmed outcome of an arrival. Its process pays for the outcome's words and line, because
    /// otherwise a process that confirms nothing would keep ever more values of others.
    pub(super) fn record_outcome(&mut self, arrival: Arrival, outcome: Rc<Outcome>, since: Time) {
        let line = outcome.line.as_ref().map_or(0, |line| line.len());
        let held = self.budget.hold_for(arrival.0.0, UNCONFIRMED_COST, line + outcome.reason.len());
        self.arrivals.insert(arrival, ArrivalState::Concluded(outcome, since, held));
    }

    /// Returns whether a process waits or has an unconfirmed outcome. Otherwise it could get another answer after a
    /// reconnect than before, or than others got.
    pub fn owes(&self, process: Process) -> bool {
        self.arrivals.count_of(process) > 0
    }

    /// Removes the outcomes that these arrivals have confirmed. Returns whether any was unconfirmed.
    pub fn confirm(&mut self, process: Process, ids: &[u64]) -> bool {
        let mut news = false;
        for &id in ids {
            if let Some(ArrivalState::Concluded(..)) = self.arrivals.get(&(process, id)) {
                self.arrivals.remove(&(process, id));
                news = true;
            }
        }
        news
    }

    /// Forgets the unconfirmed outcomes of a process that cannot reconnect.
    pub fn forget(&mut self, process: Process) {
        let unheard = |(id, state): (u64, &ArrivalState)| matches!(state, ArrivalState::Concluded(..)).then_some(id);
        let unheard: Vec<u64> = self.arrivals.of(process).filter_map(unheard).collect();
        self.confirm(process, &unheard);
    }

    /// Returns the processes that have unconfirmed outcomes, once for each outcome.
    pub fn unheard(&self) -> impl Iterator<Item = Process> {
        self.arrivals
            .iter()
            .filter(|(_, state)| matches!(state, ArrivalState::Concluded(..)))
            .map(|(arrival, _)| arrival.0)
    }

    /// Forgets outcomes that were not confirmed within `after`.
    pub fn forget_unheard(&mut self, now: Time, after: Duration) {
        self.arrivals
            .forget(|state| matches!(state, ArrivalState::Concluded(_, since, _) if now.since(*since) >= after));
    }
}
