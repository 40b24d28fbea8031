//! Members are not left waiting for slaves that are lost, nor for members that cannot come any more.
//!
//! A slave that is lost is lost to the meetings of its run in the same turn, and to whoever comes to one later. Whether
//! the others can still come is looked at once a second, because that takes a look at every entry of the run.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::controller::run::stall::Standstill;
use crate::machine::Time;
use crate::machine::faults::{Fault, injected};

/// The slaves of a run that are lost, and whether nothing happens any more.
#[derive(Debug, Default)]
pub struct Absent {
    /// In that order.
    lost: Vec<usize>,
    /// Why each of them is.
    reasons: BTreeMap<usize, Rc<str>>,
    /// When it was looked last who can still come.
    looked: Time,
    /// How many of them the meetings of the run know of.
    known: usize,
    pub standstill: Standstill,
}

impl Absent {
    pub fn lose(&mut self, slave: usize, reason: &str) {
        self.lost.push(slave);
        self.reasons.entry(slave).or_insert_with(|| Rc::from(reason));
    }

    /// The slaves that members need not wait for, in the order in which they were lost.
    pub fn lost(&self) -> &[usize] {
        if injected(Fault::LostSlaveAwaited) { &[] } else { &self.lost }
    }

    /// Why members need not wait for this slave, if it is lost.
    pub fn reason(&self, slave: usize) -> Option<&Rc<str>> {
        self.reasons.get(&slave).filter(|_| !injected(Fault::LostSlaveAwaited))
    }

    /// Whether slaves were lost of which the meetings do not know.
    pub fn has_news(&self) -> bool {
        self.known < self.lost.len()
    }

    /// Takes those slaves: the meetings know of them from now on.
    pub fn take_news(&mut self) -> Vec<usize> {
        let known = std::mem::replace(&mut self.known, self.lost.len());
        self.lost().iter().skip(known).copied().collect()
    }

    /// It is looked who can still come.
    pub fn look(&mut self, now: Time) {
        self.looked = now;
    }

    /// When it was looked last who can still come.
    pub fn looked(&self) -> Time {
        self.looked
    }
}
