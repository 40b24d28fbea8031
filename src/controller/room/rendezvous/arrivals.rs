//! The arrivals of one room that wait or have not confirmed their outcome, with their number per process.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::arrival::{Arrival, Process};
use super::arrival_state::ArrivalState;
use crate::machine::IdMap;

/// The highest number of meetings in one room.
pub const MEETINGS_MAX: usize = 10_000;

/// The highest number of such arrivals in one room.
pub const ARRIVALS_MAX: usize = 200_000;

/// The highest number for one client, which acts for one member.
pub const CLIENT_ARRIVALS_MAX: usize = 1_000;

/// The highest number for one slave, which acts for many members.
pub const SLAVE_ARRIVALS_MAX: usize = 100_000;

/// Refused arrivals are remembered only up to this total, so that they leave room for valid ones.
pub const REFUSED_MAX: usize = ARRIVALS_MAX / 2;

/// The arrivals.
#[derive(Debug, Default)]
pub struct Arrivals {
    by_arrival: BTreeMap<Arrival, ArrivalState>,
    of: IdMap<Process, usize>,
}

impl Arrivals {
    pub fn get(&self, arrival: &Arrival) -> Option<&ArrivalState> {
        self.by_arrival.get(arrival)
    }

    pub fn insert(&mut self, arrival: Arrival, state: ArrivalState) {
        if self.by_arrival.insert(arrival, state).is_none() {
            *self.of.entry(arrival.0).or_default() += 1;
        }
    }

    pub fn remove(&mut self, arrival: &Arrival) {
        if self.by_arrival.remove(arrival).is_some() {
            self.less(arrival.0);
        }
    }

    fn less(&mut self, process: Process) {
        if let Some(count) = self.of.get_mut(&process) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&process);
            }
        }
    }

    /// Returns the arrivals of one process.
    pub fn of(&self, process: Process) -> impl Iterator<Item = (u64, &ArrivalState)> {
        let own = self.by_arrival.range((process, 0)..=(process, u64::MAX));
        own.map(|(arrival, state)| (arrival.1, state))
    }

    /// Returns how many arrivals a process has.
    pub fn count_of(&self, process: Process) -> usize {
        self.of.get(&process).copied().unwrap_or(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arrival, &ArrivalState)> {
        self.by_arrival.iter()
    }

    /// Returns the arrivals after `last`, or all.
    pub fn after(&self, last: Option<Arrival>) -> impl Iterator<Item = (&Arrival, &ArrivalState)> {
        let begin = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_arrival.range((begin, Bound::Unbounded))
    }

    /// Removes the arrivals that match.
    pub fn forget(&mut self, forgets: impl Fn(&ArrivalState) -> bool) {
        let gone: Vec<Arrival> = self.iter().filter(|(_, state)| forgets(state)).map(|(arrival, _)| *arrival).collect();
        gone.iter().for_each(|arrival| self.remove(arrival));
    }

    pub fn len(&self) -> usize {
        self.by_arrival.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_arrival.is_empty()
    }
}
