//! How many times this slave has notified each trigger of its run, and what waits until the controller has counted
//! that.
//!
//! The slave sends totals. A total can be sent again after a reconnect and still counts once.

use std::collections::{BTreeMap, VecDeque};

use serde_json::value::RawValue;

use crate::machine::ConnId;
use crate::slave::process::RunKey;

/// With this many notifies that the controller has not counted, notifies of commands are refused.
const UNCOUNTED_MAX: u64 = 4096;

/// The same for their data, in bytes. After a reconnect all of that is sent at once.
const DATA_MAX: usize = 4 * 1024 * 1024;

/// The receiver of the answer when a notify is counted or a member is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A run of an entry with that action.
    Entry(RunKey),
    /// A command, on the control socket.
    Command(ConnId),
    /// None: the notify follows from the readiness of an entry.
    None,
}

#[derive(Debug, Default)]
struct Total {
    said: u64,
    noted: u64,
    /// The waiters, each with the total that it waits for, in order.
    waiters: VecDeque<(u64, Waiter)>,
    /// The data of the notifies that the controller has not counted, each with its total, in order.
    data: VecDeque<(u64, Box<RawValue>)>,
}

#[derive(Debug, Default)]
pub(super) struct Notifies {
    by_trigger: BTreeMap<String, Total>,
}

impl Notifies {
    /// Returns whether notifies of commands must be refused, because the controller has counted too few.
    pub(super) fn full(&self) -> bool {
        let uncounted: u64 = self.by_trigger.values().map(|total| total.said - total.noted).sum();
        let data = self.by_trigger.values().flat_map(|total| &total.data).map(|(_, data)| data.get().len());
        uncounted >= UNCOUNTED_MAX || data.sum::<usize>() >= DATA_MAX
    }

    /// Counts one more notify. Returns the total.
    pub(super) fn add(&mut self, trigger: &str, data: Option<&RawValue>, waiter: Waiter) -> u64 {
        let total = self.by_trigger.entry(trigger.to_owned()).or_default();
        total.said += 1;
        total.waiters.push_back((total.said, waiter));
        total.data.extend(data.map(|data| (total.said, data.to_owned())));
        total.said
    }

    /// The controller has counted up to this total. Returns the waiters that this answers, each with its own total.
    pub(super) fn noted(&mut self, trigger: &str, count: u64) -> Vec<(u64, Waiter)> {
        let Some(total) = self.by_trigger.get_mut(trigger) else { return Vec::new() };
        total.noted = total.noted.max(count.min(total.said));
        let noted = total.noted;
        let carried = total.data.partition_point(|(count, _)| *count <= noted);
        total.data.drain(..carried);
        let answered = total.waiters.partition_point(|(count, _)| *count <= noted);
        total.waiters.drain(..answered).collect()
    }

    /// The controller does not know the trigger. Returns all waiters for it.
    pub(super) fn refused(&mut self, trigger: &str) -> Vec<Waiter> {
        let Some(total) = self.by_trigger.get_mut(trigger) else { return Vec::new() };
        total.noted = total.said;
        total.data.clear();
        total.waiters.drain(..).map(|(_, waiter)| waiter).collect()
    }

    /// Returns the totals, each up to the first notify that must be sent alone because it carries data.
    pub(super) fn totals(&self) -> BTreeMap<String, u64> {
        let total = |total: &Total| total.data.front().map_or(total.said, |(count, _)| count - 1);
        let totals = self.by_trigger.iter().map(|(trigger, it)| (trigger.clone(), total(it)));
        totals.filter(|(_, total)| *total > 0).collect()
    }

    /// Returns what the controller has not answered, in order: the notifies with data, and the totals.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (&str, u64, Option<&RawValue>)> {
        let open = self.by_trigger.iter().filter(|(_, total)| total.noted < total.said);
        open.flat_map(|(trigger, total)| {
            let plain = total.data.back().is_none_or(|(count, _)| *count < total.said);
            let carrying = total.data.iter().map(|(count, data)| (trigger.as_str(), *count, Some(&**data)));
            carrying.chain(plain.then_some((trigger.as_str(), total.said, None)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(number: u64) -> Waiter {
        Waiter::Command(ConnId(number))
    }

    #[test]
    fn one_answer_may_cover_several_notifies() {
        let mut notifies = Notifies::default();
        assert_eq!([1, 2, 3].map(|n| notifies.add("go", None, command(n))), [1, 2, 3]);
        assert_eq!(notifies.noted("go", 2), [(1, command(1)), (2, command(2))]);
        assert_eq!(notifies.noted("go", 2), []);
        assert_eq!(notifies.unanswered().map(|(trigger, count, _)| (trigger, count)).collect::<Vec<_>>(), [("go", 3)]);
        assert_eq!(notifies.noted("go", 3), [(3, command(3))]);
        assert_eq!(notifies.unanswered().count(), 0);
        assert_eq!(notifies.totals()["go"], 3);
    }

    #[test]
    fn uncounted_notifies_have_a_bound() {
        let mut notifies = Notifies::default();
        let most = (1..).find(|&nr| {
            notifies.add(if nr % 2 == 0 { "go" } else { "stop" }, None, command(nr));
            notifies.full()
        });
        assert_eq!(most, Some(UNCOUNTED_MAX));
        notifies.noted("go", 1);
        assert!(!notifies.full());
        let mut notifies = Notifies::default();
        let data = RawValue::from_string(format!("{:?}", "x".repeat(60_000))).unwrap();
        let most = (1..).find(|&nr| {
            notifies.add("go", Some(&data), command(nr));
            notifies.full()
        });
        assert_eq!(most, Some(DATA_MAX as u64 / 60_000 + 1));
    }

    #[test]
    fn an_answer_beyond_the_total_answers_no_later_notify() {
        let mut notifies = Notifies::default();
        assert_eq!(notifies.noted("go", 7), []);
        notifies.add("go", None, command(1));
        assert_eq!(notifies.noted("go", u64::MAX), [(1, command(1))]);
        notifies.add("go", None, command(2));
        assert_eq!(notifies.unanswered().map(|(trigger, count, _)| (trigger, count)).collect::<Vec<_>>(), [("go", 2)]);
    }

    #[test]
    fn notifies_with_data_are_sent_again_one_by_one_and_in_no_earlier_total() {
        let mut notifies = Notifies::default();
        let data = RawValue::from_string("{\"x\":1}".to_owned()).unwrap();
        notifies.add("go", None, command(1));
        notifies.add("go", Some(&data), command(2));
        notifies.add("go", None, command(3));
        assert_eq!(notifies.totals()["go"], 1);
        let again: Vec<_> = notifies.unanswered().map(|(_, count, data)| (count, data.is_some())).collect();
        assert_eq!(again, [(2, true), (3, false)]);
        notifies.noted("go", 2);
        assert_eq!(notifies.totals()["go"], 3);
    }
}
