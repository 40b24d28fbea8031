//! Triggers: named counters. A notify takes one off; at zero the trigger fires, once.
//!
//! Slaves state totals ("I have notified this three times"), so that a statement can be repeated on any connection and
//! counts once: what counts is the greatest total that each incarnation of each slave has stated, added up.

use std::collections::BTreeMap;

use crate::machine::Time;

/// Who states a total: a slave, by its place in the test, and which of its incarnations.
pub type Stater = (usize, u32);

/// The triggers of one room.
#[derive(Debug, Default)]
pub struct Triggers {
    by_name: BTreeMap<String, Trigger>,
    fired: Vec<String>,
}

/// One counter.
#[derive(Debug)]
pub struct Trigger {
    /// The value it began with, at least 1.
    pub initial: u64,
    /// How many notifies have counted, late ones included.
    pub notified: u64,
    /// When it fired.
    pub fired: Option<Time>,
    totals: BTreeMap<Stater, u64>,
}

impl Trigger {
    /// What is left until it fires.
    pub fn left(&self) -> u64 {
        self.initial.saturating_sub(self.notified)
    }
}

/// What a statement changed.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Counted {
    /// How many notifies were new.
    pub new: u64,
    /// What is left now.
    pub left: u64,
    /// This statement made the trigger fire.
    pub fires: bool,
    /// The trigger had fired before: the new notifies changed nothing.
    pub late: bool,
}

impl Triggers {
    pub fn new(initial: &BTreeMap<String, u64>) -> Triggers {
        let trigger = |&initial| Trigger { initial, notified: 0, fired: None, totals: BTreeMap::new() };
        Triggers {
            by_name: initial.iter().map(|(name, initial)| (name.clone(), trigger(initial))).collect(),
            fired: Vec::new(),
        }
    }

    /// `who` has notified `name` so often, all in all. `None` when there is no such trigger.
    pub fn state(&mut self, now: Time, who: Stater, name: &str, total: u64) -> Option<Counted> {
        let trigger = self.by_name.get_mut(name)?;
        let known = match trigger.totals.get_mut(&who) {
            Some(known) => known,
            None => trigger.totals.entry(who).or_default(),
        };
        let new = total.saturating_sub(*known);
        *known += new;
        let late = trigger.fired.is_some();
        trigger.notified = trigger.notified.saturating_add(new);
        let fires = !late && trigger.left() == 0;
        if fires {
            trigger.fired = Some(now);
            self.fired.push(name.to_owned());
        }
        debug_assert_eq!(trigger.fired.is_some(), trigger.left() == 0, "a trigger has fired when nothing is left");
        Some(Counted { new, left: trigger.left(), fires, late })
    }

    pub fn get(&self, name: &str) -> Option<&Trigger> {
        self.by_name.get(name)
    }

    /// Those that have fired, in that order.
    pub fn fired(&self) -> &[String] {
        &self.fired
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Trigger)> {
        self.by_name.iter().map(|(name, trigger)| (name.as_str(), trigger))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1);

    fn triggers(initial: u64) -> Triggers {
        Triggers::new(&BTreeMap::from([("t".to_owned(), initial)]))
    }

    #[test]
    fn a_trigger_fires_when_its_count_reaches_zero_and_never_again() {
        let mut triggers = triggers(2);
        let first = triggers.state(NOW, (0, 0), "t", 1).unwrap();
        assert_eq!(first, Counted { new: 1, left: 1, fires: false, late: false });
        let second = triggers.state(NOW, (1, 0), "t", 1).unwrap();
        assert_eq!(second, Counted { new: 1, left: 0, fires: true, late: false });
        let third = triggers.state(NOW, (1, 0), "t", 2).unwrap();
        assert_eq!(third, Counted { new: 1, left: 0, fires: false, late: true });
        assert_eq!(triggers.fired(), ["t"]);
    }

    #[test]
    fn a_total_said_again_or_out_of_order_counts_once() {
        let mut triggers = triggers(9);
        for total in [3, 3, 1, 2, 3] {
            triggers.state(NOW, (0, 0), "t", total);
        }
        assert_eq!(triggers.get("t").unwrap().left(), 6);
    }

    #[test]
    fn incarnations_of_one_slave_add_up() {
        let mut triggers = triggers(9);
        triggers.state(NOW, (0, 0), "t", 3);
        triggers.state(NOW, (0, 1), "t", 2);
        assert_eq!(triggers.get("t").unwrap().left(), 4);
    }

    #[test]
    fn an_unknown_trigger_counts_nothing() {
        assert_eq!(triggers(1).state(NOW, (0, 0), "other", 1), None);
    }

    #[test]
    fn an_absurd_total_fires_and_does_not_overflow() {
        let mut triggers = triggers(5);
        assert!(triggers.state(NOW, (0, 0), "t", u64::MAX).unwrap().fires);
        assert_eq!(triggers.state(NOW, (1, 0), "t", u64::MAX).unwrap().left, 0);
    }
}
