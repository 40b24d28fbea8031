//! The runs of entries that begin next.

use std::collections::{BTreeMap, VecDeque};

use crate::slave::process::Due;
use crate::slave::refusal::Refusal;

/// The most runs whose delay is not over.
const DELAYED_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The runs that begin in this turn, in order.
    due: VecDeque<Due>,
    /// The runs that begin when the process in one of their variables has an id.
    deferred: Vec<Due>,
    /// The runs that begin at an instant of their own, by the number of the delay.
    delayed: BTreeMap<u64, Due>,
    last_delay: u64,
}

impl Queue {
    /// Adds runs of these entries, by index in the schedule. `cause` is the trigger that starts them.
    pub(super) fn add(&mut self, entries: Vec<usize>, cause: Option<&str>) {
        self.due.extend(entries.into_iter().map(|entry| Due::new(entry, cause.map(str::to_owned))));
    }

    /// Keeps a run until an instant of its own. Returns the number of the delay. Fails if too many are kept.
    pub(super) fn delay(&mut self, entry: usize, cause: Option<&str>) -> Result<u64, Refusal> {
        if self.delayed.len() >= DELAYED_MAX {
            return Err(Refusal::Delays { most: DELAYED_MAX });
        }
        self.last_delay += 1;
        self.delayed.insert(self.last_delay, Due::new(entry, cause.map(str::to_owned)));
        Ok(self.last_delay)
    }

    /// A delay is over.
    pub(super) fn delay_over(&mut self, delay: u64) {
        self.due.extend(self.delayed.remove(&delay));
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

    /// Drops all runs, also the deferred and the delayed ones.
    pub(super) fn clear(&mut self) {
        self.due.clear();
        self.deferred.clear();
        self.delayed.clear();
    }

    /// Drops the runs that would begin in this turn.
    pub(super) fn clear_due(&mut self) {
        self.due.clear();
    }

    /// Returns whether this trigger has started a deferred or a delayed run.
    pub(super) fn defers_for(&self, trigger: &str) -> bool {
        self.deferred.iter().chain(self.delayed.values()).any(|due| due.cause.as_deref() == Some(trigger))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.deferred.is_empty() && self.delayed.is_empty()
    }
}
