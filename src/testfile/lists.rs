//! The entries of slaves that share them, prepared for questions about each: what comes before it, how often it runs, and
//! whether it can start. An answer takes no longer for a long chain of entries than for a short one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::test::{End, Test};
use crate::variables::{self, Segment, Variable};
use crate::wire::{Action, Entry, Policy};

/// How often something can happen in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// At most so often.
    AtMost(u64),
    /// There is no bound that the test shows.
    Unknown,
}

/// The entries of some slaves.
pub struct List<'a> {
    pub entries: &'a [Entry],
    /// How many slaves have them.
    pub slaves: u64,
    /// The entries that another one ends.
    pub ended: BTreeSet<String>,
    places: BTreeMap<&'a str, usize>,
    /// Which entries can never start, once that was found.
    never: Vec<bool>,
}

impl<'a> List<'a> {
    /// Each list that slaves of the test have.
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

    /// The entry that this one runs after.
    pub fn before(&self, nr: usize) -> Option<usize> {
        match &self.entries[nr].policy {
            Policy::After(after) => self.places.get(after.entry.as_str()).copied(),
            _ => None,
        }
    }

    /// All entries, each behind the one that it runs after.
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

    /// How often each entry can run.
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

    /// Finds the entries whose occasion cannot arise in a test that ends so, with these triggers that never fire.
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

    /// Why an entry cannot start, if the test shows that.
    pub fn why_never(&self, nr: usize, end: &End) -> Option<String> {
        if self.never.get(nr) != Some(&true) {
            return None;
        }
        match &self.entries[nr].policy {
            Policy::At(_) => Some(format!("the run is over after {}", text(limit(end)))),
            Policy::Trigger(trigger) => Some(format!("the trigger {trigger:?} cannot fire")),
            _ => {
                let before = &self.entries[self.before(nr)?];
                let ends = matches!(before.action, Action::End { .. });
                let what = if ends { "ends the run" } else { "can never start" };
                Some(format!("the entry {:?} {what}", before.name))
            }
        }
    }
}

/// How long a run takes at most.
fn limit(end: &End) -> Duration {
    let (End::Duration(end) | End::Idle { limit: end } | End::Trigger { limit: end, .. }) = end;
    *end
}

/// The entries that one of these kills, or has the process id of.
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

pub fn command_of(entry: &Entry) -> Option<&str> {
    entry.shell().map(|shell| shell.command.as_str())
}

/// A duration as the test file takes it.
fn text(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}
