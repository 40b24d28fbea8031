//! What meetings hold of the memory for members: a round who shall meet, a ruling its words and its line, and each value
//! what its arrival costs. A ruling is held until all have heard it, or will not hear it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::seats::Seats;
use super::{ARRIVAL_COST, Arrival, Place, Process, Rendezvous, Ruling};
use crate::controller::budget::Budget;
use crate::machine::{Time, Timers};
use crate::wire::rendezvous::Party;

/// What a round holds beside its names, in bytes.
pub const ROUND_COST: usize = 512;

/// What a name of a party holds beside its letters, which are there twice, in bytes.
pub const NAME_COST: usize = 128;

/// What a ruling holds beside its words, and more of it for each that has not heard it, in bytes: its place, and its
/// process, which is known until it has.
pub const RULING_COST: usize = 512;
pub const PLACE_COST: usize = 384;

/// What an arrival may need at most: its place and its value, who shall meet, and its ruling.
pub fn need(party: Option<&Party>, member: &str, value: usize) -> usize {
    ROUND_COST + party.map_or(0, cost) + ARRIVAL_COST + 2 * (member.len() + value) + RULING_COST + PLACE_COST
}

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
            places: Seats::default(),
            failed: BTreeSet::new(),
            abandoned: BTreeSet::new(),
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

    /// An arrival has a ruling, and has not heard it. Until it has, what the ruling says counts against its process:
    /// one that hears nothing would else keep ever more of what others gave.
    pub(super) fn is_ruled(&mut self, arrival: Arrival, ruling: Rc<Ruling>, since: Time) {
        let line = ruling.line.as_ref().map_or(0, |line| line.len());
        let held = self.budget.hold_for(arrival.0.0, PLACE_COST, line + ruling.reason.len());
        self.places.insert(arrival, Place::Ruled(ruling, since, held));
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
            if let Some(Place::Ruled(..)) = self.places.get(&(process, id)) {
                self.places.remove(&(process, id));
                news = true;
            }
        }
        news
    }

    /// This process will never be heard again.
    pub fn forget(&mut self, process: Process) {
        let unheard = |(id, place): (u64, &Place)| matches!(place, Place::Ruled(..)).then_some(id);
        let unheard: Vec<u64> = self.places.of(process).filter_map(unheard).collect();
        self.told(process, &unheard);
    }

    /// Who has not heard a ruling.
    pub fn unheard(&self) -> impl Iterator<Item = Process> {
        self.places.iter().filter(|(_, place)| matches!(place, Place::Ruled(..))).map(|(arrival, _)| arrival.0)
    }

    /// Who has not heard its ruling for so long will not hear it any more.
    pub fn forget_unheard(&mut self, now: Time, after: Duration) {
        self.places.forget(|place| matches!(place, Place::Ruled(_, since, _) if now.since(*since) >= after));
    }
}
