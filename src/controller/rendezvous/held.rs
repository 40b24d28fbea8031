//! What meetings hold of the memory for members: a round who shall meet, a ruling its words and its line, and each value
//! what its arrival costs.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Place, Rendezvous, Ruling};
use crate::controller::budget::Budget;
use crate::machine::Timers;

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
        }
    }

    /// What arrivals hold of.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Nobody hears this ruling any more.
    pub fn forget_ruling(&mut self, ruling: &Rc<Ruling>) {
        self.places.retain(|_, place| !matches!(place, Place::Ruled(other) if Rc::ptr_eq(other, ruling)));
    }
}
