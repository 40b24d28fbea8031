//! The lists of entries that slaves share, prepared for the warnings: which entry runs before each, how often it runs,
//! and whether it can start.
//!
//! The cost must grow only with the number of entries, not with the length of a chain of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::test::{End, Test};
use crate::text;
use crate::variables::{self, Segment, Variable};
use crate::wire::{Action, Entry, Policy};

/// The number of times that something can happen in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// At most this number.
    AtMost(u64),
    /// The test shows no bound.
    Unknown,
}

/// The entries that some slaves share.
pub struct List<'a> {
    /// The entries.
    pub entries: &'a [Entry],
    /// The number of slaves that have them.
    pub slaves: u64,
    /// The entries that another entry ends.
    pub ended: BTreeSet<String>,
    places: BTreeMap<&'a str, usize>,
    /// For each entry, whether it can never start. Empty until [`List::find_starts`].
    never: Vec<bool>,
}

impl<'a> List<'a> {
    /// Returns all different lists of the slaves of a test.
    pub fn of(test: &'a Test) -> Vec<List<'a>> {
        let mut seen: BTreeMap<*const Entry, usize> = BTreeMap::new();
        let mut lists: Vec<List<'a>> = Vec::new();
        for slave in &test.slaves {
            // Slaves with the same schedules share their entries.
            let place = *seen.entry(slave.entries.as_ptr()).or_insert(lists.len());
            if place == lists.len() {
                lists.push(List::new(&slave.entries));
            }
            lists[place].slaves += 1;
        }
        lists
    }

    fn new(entries: &'a [Entry]) -> List<'a> {
        let places = entries.iter().enumerate().map(|(nr, entry)| (entry.name.as_str(), nr)).collect();
        let ended = if entries.iter().any(Entry::is_service) { ended(entries) } else { BTreeSet::new() };
        List { entries, slaves: 0, ended, places, never: Vec::new() }
    }

    /// Returns the entry after which this one runs.
    pub fn before(&self, nr: usize) -> Option<usize> {
        match &self.entries[nr].policy {
            Policy::After(after) => self.places.get(after.entry.as_str()).copied(),
            _ => None,
        }
    }

    /// Returns all entries in an order in which each one is after the entry that it waits for.
    fn in_order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.entries.len());
        let mut seen = vec![false; self.entries.len()];
        for nr in 0..self.entries.len() {
            let begin = order.len();
            let mut next = Some(nr);
            while let Some(nr) = next.filter(|nr| !std::mem::replace(&mut seen[*nr], true)) {
                order.push(nr);
                next = self.before(nr);
            }
            order[begin..].reverse();
        }
        order
    }

    /// Returns how often each entry can run on one slave.
    pub fn runs(&self) -> Vec<Times> {
        let mut runs = vec![Times::Unknown; self.entries.len()];
        for nr in self.in_order() {
            runs[nr] = match &self.entries[nr].policy {
                Policy::At(_) | Policy::Trigger(_) | Policy::Finally => Times::AtMost(1),
                Policy::Poke => Times::Unknown,
                Policy::After(_) => self.before(nr).map_or(Times::Unknown, |before| runs[before]),
            };
        }
        runs
    }

    /// Finds the entries that can never start in a test with this end and these triggers that never fire.
    pub fn find_starts(&mut self, end: &End, never_fires: &BTreeSet<&str>) {
        let mut never = vec![false; self.entries.len()];
        for nr in self.in_order() {
            never[nr] = match &self.entries[nr].policy {
                Policy::Poke | Policy::Finally => false,
                Policy::At(micros) => Duration::from_micros(*micros) >= limit(end),
                Policy::Trigger(trigger) => never_fires.contains(trigger.as_str()),
                Policy::After(_) => {
                    let ends = |before: usize| matches!(self.entries[before].action, Action::End { .. });
                    self.before(nr).is_some_and(|before| never[before] || ends(before))
                }
            };
        }
        self.never = never;
    }

    /// Returns the reason why an entry can never start; `None` if it may start.
    pub fn why_never(&self, nr: usize, end: &End) -> Option<String> {
        if self.never.get(nr) != Some(&true) {
            return None;
        }
        match &self.entries[nr].policy {
            Policy::At(_) => Some(format!("the run is over after {}", text::duration(limit(end)))),
            Policy::Trigger(trigger) => Some(format!("the trigger {trigger:?} cannot fire")),
            _ => {
                let before = &self.entries[self.before(nr)?];
                let ends = matches!(before.action, Action::End { .. });
                let obstacle = if ends { "ends the run" } else { "can never start" };
                Some(format!("the entry {:?} {obstacle}", before.name))
            }
        }
    }
}

/// Returns the longest time that a run can take.
fn limit(end: &End) -> Duration {
    let (End::Duration(end) | End::Idle { limit: end } | End::Trigger { limit: end, .. }) = end;
    *end
}

/// Returns the entries that one of these kills, or whose process id it uses.
fn ended(entries: &[Entry]) -> BTreeSet<String> {
    let mut ended = BTreeSet::new();
    for entry in entries {
        if let Action::Kill { entry, .. } = &entry.action {
            ended.insert(entry.clone());
        }
        let parts = command_of(entry).map(|text| variables::parse(text).unwrap_or_default());
        ended.extend(parts.into_iter().flatten().filter_map(|part| match part {
            Segment::Variable { variable: Variable::Pid(entry), .. } => Some(entry),
            _ => None,
        }));
    }
    ended
}

/// Returns the command of an entry; `None` for a built-in action.
pub fn command_of(entry: &Entry) -> Option<&str> {
    entry.shell().map(|shell| shell.command.as_str())
}
