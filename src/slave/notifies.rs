//! How often this slave has notified each trigger of its run: totals, which can be said again, and who waits for the
//! controller to have counted.

use std::collections::{BTreeMap, VecDeque};

use crate::machine::ConnId;

use super::process::RunKey;

/// Who wants to know that a notify was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A run of an entry whose action it is.
    Entry(RunKey),
    /// A command that asked on the control socket.
    Command(ConnId),
}

#[derive(Debug, Default)]
struct Total {
    said: u64,
    noted: u64,
    /// With the total that each waits for, in order.
    waiters: VecDeque<(u64, Waiter)>,
}

#[derive(Debug, Default)]
pub(super) struct Notifies {
    by_trigger: BTreeMap<String, Total>,
}

impl Notifies {
    /// Counts one more notify; gives the total.
    pub(super) fn add(&mut self, trigger: &str, waiter: Waiter) -> u64 {
        let total = self.by_trigger.entry(trigger.to_owned()).or_default();
        total.said += 1;
        total.waiters.push_back((total.said, waiter));
        total.said
    }

    /// The controller has counted so many: who need wait no longer.
    pub(super) fn noted(&mut self, trigger: &str, count: u64) -> Vec<Waiter> {
        let Some(total) = self.by_trigger.get_mut(trigger) else { return Vec::new() };
        total.noted = total.noted.max(count.min(total.said));
        let noted = total.noted;
        let answered = total.waiters.partition_point(|(count, _)| *count <= noted);
        total.waiters.drain(..answered).map(|(_, waiter)| waiter).collect()
    }

    /// The controller does not know the trigger: all who wait for it.
    pub(super) fn refused(&mut self, trigger: &str) -> Vec<Waiter> {
        let Some(total) = self.by_trigger.get_mut(trigger) else { return Vec::new() };
        total.noted = total.said;
        total.waiters.drain(..).map(|(_, waiter)| waiter).collect()
    }

    /// All totals.
    pub(super) fn totals(&self) -> BTreeMap<String, u64> {
        self.by_trigger.iter().map(|(trigger, total)| (trigger.clone(), total.said)).collect()
    }

    /// The totals that the controller has not answered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (&str, u64)> {
        let open = self.by_trigger.iter().filter(|(_, total)| total.noted < total.said);
        open.map(|(trigger, total)| (trigger.as_str(), total.said))
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
        assert_eq!([1, 2, 3].map(|n| notifies.add("go", command(n))), [1, 2, 3]);
        assert_eq!(notifies.noted("go", 2), [command(1), command(2)]);
        assert_eq!(notifies.noted("go", 2), []);
        assert_eq!(notifies.unanswered().collect::<Vec<_>>(), [("go", 3)]);
        assert_eq!(notifies.noted("go", 3), [command(3)]);
        assert_eq!(notifies.unanswered().count(), 0);
        assert_eq!(notifies.totals()["go"], 3);
    }

    #[test]
    fn an_answer_to_what_was_never_said_answers_nothing_later() {
        let mut notifies = Notifies::default();
        assert_eq!(notifies.noted("go", 7), []);
        notifies.add("go", command(1));
        assert_eq!(notifies.noted("go", u64::MAX), [command(1)]);
        notifies.add("go", command(2));
        assert_eq!(notifies.unanswered().collect::<Vec<_>>(), [("go", 2)]);
    }
}
