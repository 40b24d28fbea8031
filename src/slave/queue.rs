//! The runs of entries that are to begin.

use std::collections::VecDeque;

use crate::slave::process::Due;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What begins in this turn, in order.
    due: VecDeque<Due>,
    /// What begins when a process that it names has an id.
    deferred: Vec<Due>,
}

impl Queue {
    /// Lets these entries, named by their places in the schedule, begin in this turn. `cause` is the trigger that set
    /// them off.
    pub(super) fn add(&mut self, entries: Vec<usize>, cause: Option<&str>) {
        let due = |entry| Due { entry, cause: cause.map(str::to_owned), ..Due::default() };
        self.due.extend(entries.into_iter().map(due));
    }

    pub(super) fn next(&mut self) -> Option<Due> {
        self.due.pop_front()
    }

    /// Keeps what names a process that has no id yet.
    pub(super) fn defer(&mut self, due: Due) {
        self.deferred.push(due);
    }

    /// A process has got its id, or will get none: what was deferred is tried again.
    pub(super) fn retry_deferred(&mut self) {
        self.due.extend(self.deferred.drain(..));
    }

    /// From now on nothing begins.
    pub(super) fn clear(&mut self) {
        self.due.clear();
        self.deferred.clear();
    }

    /// What begins in this turn does not begin.
    pub(super) fn clear_due(&mut self) {
        self.due.clear();
    }

    /// Whether something deferred was set off by this trigger.
    pub(super) fn defers_for(&self, trigger: &str) -> bool {
        self.deferred.iter().any(|due| due.cause.as_deref() == Some(trigger))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.deferred.is_empty()
    }
}
