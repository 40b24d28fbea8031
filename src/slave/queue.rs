//! The runs of entries that begin next.

use std::collections::VecDeque;

use crate::slave::process::Due;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The runs that begin in this turn, in order.
    due: VecDeque<Due>,
    /// The runs that begin when the process in one of their variables has an id.
    deferred: Vec<Due>,
}

impl Queue {
    /// Adds runs of these entries, by index in the schedule. `cause` is the trigger that starts them.
    pub(super) fn add(&mut self, entries: Vec<usize>, cause: Option<&str>) {
        let due = |entry| Due { entry, cause: cause.map(str::to_owned), ..Due::default() };
        self.due.extend(entries.into_iter().map(due));
    }

    pub(super) fn next(&mut self) -> Option<Due> {
        self.due.pop_front()
    }

    /// Keeps a run until a process has an id.
    pub(super) fn defer(&mut self, due: Due) {
        self.deferred.push(due);
    }

    /// A process has got its id, or will get none: tries the deferred runs again.
    pub(super) fn retry_deferred(&mut self) {
        self.due.extend(self.deferred.drain(..));
    }

    /// Drops all runs, also the deferred ones.
    pub(super) fn clear(&mut self) {
        self.due.clear();
        self.deferred.clear();
    }

    /// Drops the runs that would begin in this turn.
    pub(super) fn clear_due(&mut self) {
        self.due.clear();
    }

    /// Returns whether this trigger has started a deferred run.
    pub(super) fn defers_for(&self, trigger: &str) -> bool {
        self.deferred.iter().any(|due| due.cause.as_deref() == Some(trigger))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.deferred.is_empty()
    }
}
