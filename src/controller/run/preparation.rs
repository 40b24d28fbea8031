//! The slaves of a run that need their parts before the start, and the lines that carry these.
//!
//! Slaves with the same entries share one line, which is encoded once. The lines that wait in the queues of peers have a
//! bound, and count against the memory of the controller.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::controller::session::budget::{Budget, Held};
use crate::machine::Bytes;
use crate::wire::{Entry, LINE_MAX};

/// The most bytes of lines of one run that may wait in the queues of peers before another line is made.
const QUEUED_MAX: usize = 16 * 1024 * 1024;

/// The slaves that need their parts, and the lines that carry these.
pub struct Preparation {
    budget: Budget,
    /// In the order of the test.
    marked: BTreeSet<usize>,
    /// The lines for the slaves that have these entries, and whether each slave gets it with a number of its own.
    shared: BTreeMap<*const Entry, (Line, bool)>,
    /// The lines that no further slave gets.
    others: Vec<Line>,
    /// The key of the line that was made last.
    latest: Option<*const Entry>,
    /// The bytes of the lines that were not sent yet at the last sweep, and of those made since.
    queued: usize,
}

/// A line, and its share of the controller's memory.
struct Line {
    bytes: Bytes,
    _held: Held,
}

impl Line {
    fn is_queued(&self) -> bool {
        Rc::strong_count(&self.bytes) > 1
    }
}

impl Preparation {
    /// Returns a preparation without marked slaves.
    pub fn new(budget: &Budget) -> Preparation {
        Preparation {
            budget: budget.clone(),
            marked: BTreeSet::new(),
            shared: BTreeMap::new(),
            others: Vec::new(),
            latest: None,
            queued: 0,
        }
    }

    /// Returns whether there is nothing to do and nothing to forget.
    pub fn is_empty(&self) -> bool {
        self.marked.is_empty() && self.shared.is_empty() && self.others.is_empty()
    }

    /// Marks a slave: it gets its part soon.
    pub fn mark(&mut self, slave: usize) {
        self.marked.insert(slave);
    }

    /// Returns whether a slave still needs its part.
    pub fn awaits(&self, slave: usize) -> bool {
        self.marked.contains(&slave)
    }

    /// Returns the first marked slave.
    pub fn first(&self) -> Option<usize> {
        self.marked.first().copied()
    }

    /// Unmarks a slave, which has its part or needs none now.
    pub fn unmark(&mut self, slave: usize) {
        self.marked.remove(&slave);
    }

    /// Forgets all marks and all lines.
    pub fn clear(&mut self) {
        *self = Preparation::new(&self.budget);
    }

    /// Makes new lines for all slaves from now on, because an address has changed.
    pub fn outdate(&mut self) {
        self.others.extend(std::mem::take(&mut self.shared).into_values().map(|(line, _)| line));
    }

    /// Forgets the lines that have left all queues, except for the latest, which the next slave may share.
    pub fn sweep(&mut self) {
        let latest = self.latest;
        self.shared.retain(|key, (line, _)| line.is_queued() || latest == Some(*key));
        self.others.retain(Line::is_queued);
        let lines = self.shared.values().map(|(line, _)| line).chain(&self.others);
        self.queued = lines.filter(|line| line.is_queued()).map(|line| line.bytes.len()).sum();
    }

    /// Returns whether another line must wait until peers have read some. One line can always be made.
    pub fn is_full(&self) -> bool {
        self.queued > 0 && (self.queued >= QUEUED_MAX || !self.budget.has_room_for(LINE_MAX))
    }

    /// Returns the line for the slaves that have these entries, if it was made.
    pub fn shared(&self, entries: *const Entry) -> Option<(Bytes, bool)> {
        self.shared.get(&entries).map(|(line, has_index)| (line.bytes.clone(), *has_index))
    }

    /// Keeps a line for all slaves that have these entries. `has_index`: each of them gets it with a number of its own.
    pub fn share(&mut self, entries: *const Entry, bytes: Bytes, has_index: bool) {
        let line = self.line(bytes);
        self.shared.insert(entries, (line, has_index));
        self.latest = Some(entries);
    }

    /// Counts a line that one slave gets alone.
    pub fn count(&mut self, bytes: Bytes) {
        let line = self.line(bytes);
        self.others.push(line);
    }

    fn line(&mut self, bytes: Bytes) -> Line {
        self.queued += bytes.len();
        Line { _held: self.budget.hold(bytes.len()), bytes }
    }
}
