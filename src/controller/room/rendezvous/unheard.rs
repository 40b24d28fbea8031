//! Rulings that arrivals have not heard: each is held until all have heard it, or will not hear it any more.

use std::rc::Rc;
use std::time::Duration;

use super::Rendezvous;
use super::arrival::{Arrival, Process};
use super::arrival_state::ArrivalState;
use super::memory::PLACE_COST;
use super::outcome::Outcome;
use crate::machine::Time;

impl<V> Rendezvous<V> {
    /// An arrival has a ruling, and has not heard it. Until it has, what the ruling says counts against its process:
    /// one that hears nothing would else keep ever more of what others gave.
    pub(super) fn record_outcome(&mut self, arrival: Arrival, outcome: Rc<Outcome>, since: Time) {
        let line = outcome.line.as_ref().map_or(0, |line| line.len());
        let held = self.budget.hold_for(arrival.0.0, PLACE_COST, line + outcome.reason.len());
        self.places.insert(arrival, ArrivalState::Ruled(outcome, since, held));
    }

    /// Whether a process waits, or has not heard a ruling: what others were told of it too, or what it was told itself
    /// and would hear otherwise the next time.
    pub fn owes(&self, process: Process) -> bool {
        self.places.count_of(process) > 0
    }

    /// These arrivals have heard their rulings. Whether that is news.
    pub fn told(&mut self, process: Process, ids: &[u64]) -> bool {
        let mut news = false;
        for &id in ids {
            if let Some(ArrivalState::Ruled(..)) = self.places.get(&(process, id)) {
                self.places.remove(&(process, id));
                news = true;
            }
        }
        news
    }

    /// This process will never be heard again.
    pub fn forget(&mut self, process: Process) {
        let unheard = |(id, place): (u64, &ArrivalState)| matches!(place, ArrivalState::Ruled(..)).then_some(id);
        let unheard: Vec<u64> = self.places.of(process).filter_map(unheard).collect();
        self.told(process, &unheard);
    }

    /// Who has not heard a ruling.
    pub fn unheard(&self) -> impl Iterator<Item = Process> {
        self.places.iter().filter(|(_, place)| matches!(place, ArrivalState::Ruled(..))).map(|(arrival, _)| arrival.0)
    }

    /// Who has not heard its ruling for so long will not hear it any more.
    pub fn forget_unheard(&mut self, now: Time, after: Duration) {
        self.places.forget(|place| matches!(place, ArrivalState::Ruled(_, since, _) if now.since(*since) >= after));
    }
}
