//! The overflow: arrivals at a round with a complete count. They wait in the order of arrival, for the next round or
//! for the place of a member that is lost or withdraws.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::arrival::ArrivalRequest;
use crate::machine::Time;

/// The arrivals that wait for the next round.
#[derive(Debug, Default)]
pub struct Overflow {
    /// In the order of arrival.
    waiting: BTreeMap<u64, ArrivalRequest>,
    orders: BTreeMap<Rc<str>, u64>,
    /// When the timeout of each expires.
    deadlines: BTreeSet<(Time, u64)>,
    ends: BTreeMap<u64, Time>,
    last: u64,
    /// The length of all their values, in bytes.
    pub weight: usize,
}

impl Overflow {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &ArrivalRequest> {
        self.waiting.values()
    }

    pub fn first(&self) -> Option<&ArrivalRequest> {
        self.waiting.first_key_value().map(|(_, request)| request)
    }

    pub fn get(&self, member: &str) -> Option<&ArrivalRequest> {
        self.waiting.get(self.orders.get(member)?)
    }

    /// Returns the earliest timeout.
    pub fn deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub fn push(&mut self, request: ArrivalRequest, now: Time) {
        self.last += 1;
        if let Some(timeout) = request.timeout {
            self.deadlines.insert((now + timeout, self.last));
            self.ends.insert(self.last, now + timeout);
        }
        self.weight += request.value.json.len();
        self.orders.insert(request.member.clone(), self.last);
        self.waiting.insert(self.last, request);
    }

    /// Removes the arrival of a member.
    pub fn take(&mut self, member: &str) -> Option<ArrivalRequest> {
        let order = *self.orders.get(member)?;
        self.remove(order)
    }

    /// Removes the first arrival. Its timeout becomes the time that is left.
    pub fn pop(&mut self, now: Time) -> Option<ArrivalRequest> {
        let (&order, _) = self.waiting.first_key_value()?;
        let left = self.ends.get(&order).map(|end| end.since(now));
        let request = self.remove(order)?;
        Some(ArrivalRequest { timeout: left, ..request })
    }

    /// Removes an arrival with an expired timeout.
    pub fn pop_due(&mut self, now: Time) -> Option<ArrivalRequest> {
        let &(_, order) = self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.remove(order)
    }

    fn remove(&mut self, order: u64) -> Option<ArrivalRequest> {
        let request = self.waiting.remove(&order)?;
        self.orders.remove(&request.member);
        self.weight -= request.value.json.len();
        if let Some(end) = self.ends.remove(&order) {
            self.deadlines.remove(&(end, order));
        }
        Some(request)
    }
}
