//! What meetings hold of the memory for members: a round who shall meet, a ruling its words and its line, and each value
//! what its arrival costs. A ruling is held until all have heard it, or will not hear it any more.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Arrival, Place, Process, Rendezvous};
use crate::controller::budget::Budget;
use crate::machine::{Time, Timers};
use crate::wire::rendezvous::Party;

/// What a round holds beside its names, in bytes.
pub const ROUND_COST: usize = 512;

/// What a name of a party holds beside its letters, which are there twice, in bytes.
pub const NAME_COST: usize = 128;

/// What a ruling holds beside its words, and more of it for each that has not heard it, in bytes.
pub const RULING_COST: usize = 512;
pub const PLACE_COST: usize = 128;

/// What the names of a party hold.
pub fn cost(party: &Party) -> usize {
    match party {
        Party::Members(members) => members.iter().map(|member| NAME_COST + 2 * member.len()).sum(),
        Party::Count(_) => 0,
    }
}

impl<V> Default for Rendezvous<V> {
    fn default() -> Self {
        Rendezvous::within(Budget::default())
    }
}

impl<V> Rendezvous<V> {
    /// One that holds of this budget; its values hold what they cost themselves.
    pub fn within(budget: Budget) -> Self {
        Rendezvous {
            budget,
            meetings: BTreeMap::new(),
            places: BTreeMap::new(),
            waiting: 0,
            asked: BTreeMap::new(),
            timers: Timers::default(),
            last_round: 0,
            promoting: false,
        }
    }

    /// What arrivals hold of.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// These arrivals have heard their rulings. Whether that is news.
    pub fn told(&mut self, process: Process, ids: &[u64]) -> bool {
        let mut news = false;
        for &id in ids {
            if let Some(Place::Ruled(..)) = self.places.get(&(process, id)) {
                self.places.remove(&(process, id));
                news = true;
            }
        }
        news
    }

    /// This process will never be heard again.
    pub fn forget(&mut self, process: Process) {
        let unheard = |(arrival, place): (&Arrival, &Place)| matches!(place, Place::Ruled(..)).then_some(arrival.1);
        let unheard: Vec<u64> = self.places.range((process, 0)..=(process, u64::MAX)).filter_map(unheard).collect();
        self.told(process, &unheard);
    }

    /// Who has not heard a ruling.
    pub fn unheard(&self) -> impl Iterator<Item = Process> {
        self.places.iter().filter(|(_, place)| matches!(place, Place::Ruled(..))).map(|(arrival, _)| arrival.0)
    }

    /// Who has not heard its ruling for so long will not hear it any more.
    pub fn forget_unheard(&mut self, now: Time, after: Duration) {
        self.places.retain(|_, place| !matches!(place, Place::Ruled(_, since) if now.since(*since) >= after));
    }
}
