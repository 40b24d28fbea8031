//! Who has come to a count that is complete already: they wait, in the order in which they came, for the next round, or
//! for the place of one that is lost or leaves before the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::arrival::Comer;
use crate::machine::Time;

/// Those who wait for the next round.
#[derive(Debug)]
pub struct Surplus<V> {
    /// By their order.
    comers: BTreeMap<u64, Comer<V>>,
    orders: BTreeMap<Rc<str>, u64>,
    /// When the patience of each ends.
    deadlines: BTreeSet<(Time, u64)>,
    ends: BTreeMap<u64, Time>,
    last: u64,
    /// How long their values are together, in bytes.
    pub weight: usize,
}

impl<V> Default for Surplus<V> {
    fn default() -> Self {
        Surplus {
            comers: BTreeMap::new(),
            orders: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            ends: BTreeMap::new(),
            last: 0,
            weight: 0,
        }
    }
}

impl<V> Surplus<V> {
    pub fn is_empty(&self) -> bool {
        self.comers.is_empty()
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Comer<V>> {
        self.comers.values()
    }

    pub fn first(&self) -> Option<&Comer<V>> {
        self.comers.first_key_value().map(|(_, comer)| comer)
    }

    pub fn get(&self, member: &str) -> Option<&Comer<V>> {
        self.comers.get(self.orders.get(member)?)
    }

    /// When the first of them loses its patience.
    pub fn deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub fn push(&mut self, comer: Comer<V>, now: Time) {
        self.last += 1;
        if let Some(timeout) = comer.timeout {
            self.deadlines.insert((now + timeout, self.last));
            self.ends.insert(self.last, now + timeout);
        }
        self.weight += comer.weight;
        self.orders.insert(comer.member.clone(), self.last);
        self.comers.insert(self.last, comer);
    }

    /// Takes out a member.
    pub fn take(&mut self, member: &str) -> Option<Comer<V>> {
        let order = *self.orders.get(member)?;
        self.remove(order)
    }

    /// Takes out who came first, patient for what is left of its time.
    pub fn pop(&mut self, now: Time) -> Option<Comer<V>> {
        let (&order, _) = self.comers.first_key_value()?;
        let left = self.ends.get(&order).map(|end| end.since(now));
        let comer = self.remove(order)?;
        Some(Comer { timeout: left, ..comer })
    }

    /// Takes out one whose patience is over.
    pub fn pop_due(&mut self, now: Time) -> Option<Comer<V>> {
        let &(_, order) = self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.remove(order)
    }

    fn remove(&mut self, order: u64) -> Option<Comer<V>> {
        let comer = self.comers.remove(&order)?;
        self.orders.remove(&comer.member);
        self.weight -= comer.weight;
        if let Some(end) = self.ends.remove(&order) {
            self.deadlines.remove(&(end, order));
        }
        Some(comer)
    }
}
