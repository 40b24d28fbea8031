//! The lists of entries that slaves share, prepared for the warnings: which entry runs before each, how often it runs,
//! and whether it can start.
//!
//! The cost must grow only with the number of entries, not with the length of a chain of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::test::{End, Test};
use crate::graph;
use crate::text;
use crate::variables::{self, Segment, Variable};
use crate::wire::{Action, Entry, Policy, Shell};

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

    /// Returns whether the entry of this name is a service.
    pub fn is_service(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|nr| self.entries[*nr].is_service())
    }

    /// Returns the entries after which this one runs.
    pub fn befores(&self, nr: usize) -> Vec<usize> {
        match &self.entries[nr].policy {
            Policy::After(after) => {
                after.of.iter().filter_map(|it| self.places.get(it.entry.as_str()).copied()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns all entries in an order in which each one is after those that it waits for. A test has no cycle.
    fn in_order(&self) -> Vec<usize> {
        let befores: Vec<_> = (0..self.entries.len()).map(|nr| self.befores(nr)).collect();
        graph::order(&befores).unwrap_or_default()
    }

    /// Returns how often each entry can run on one slave.
    pub fn runs(&self) -> Vec<Times> {
        let mut runs = vec![Times::Unknown; self.entries.len()];
        for nr in self.in_order() {
            runs[nr] = match &self.entries[nr].policy {
                Policy::At(_) | Policy::Trigger(_) | Policy::Finally => Times::AtMost(1),
                Policy::Poke => Times::Unknown,
                Policy::After(after) if after.of.len() > 1 => Times::AtMost(1),
                Policy::After(_) => self.befores(nr).first().map_or(Times::Unknown, |before| runs[*before]),
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
                Policy::After(after) => {
                    let barred = |before: &usize| never[*before] || self.ends(*before);
                    let befores = self.befores(nr);
                    if after.any { befores.iter().all(barred) } else { befores.iter().any(barred) }
                }
            };
        }
        self.never = never;
    }

    /// Returns whether an entry ends the run.
    fn ends(&self, nr: usize) -> bool {
        matches!(self.entries[nr].action, Action::End { .. })
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
                let before = self.befores(nr).into_iter().find(|before| self.never[*before] || self.ends(*before))?;
                let obstacle = if self.ends(before) { "ends the run" } else { "can never start" };
                Some(format!("the entry {:?} {obstacle}", self.entries[before].name))
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
        let parts = command_of(entry).map(|text| variables::parse(&text).unwrap_or_default());
        ended.extend(parts.into_iter().flatten().filter_map(|part| match part {
            Segment::Variable { variable: Variable::Pid(entry), .. } => Some(entry),
            _ => None,
        }));
    }
    ended
}

/// Returns the command of an entry; `None` for a built-in action.
pub fn command_of(entry: &Entry) -> Option<Cow<'_, str>> {
    entry.shell().map(Shell::text)
}
