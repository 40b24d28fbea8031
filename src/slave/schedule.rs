//! The run-policies: which entries run on which occasion.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph;
use crate::machine::Exit;
use crate::machine::faults::{Fault, injected};
use crate::wire::{Condition, Entry, EntryOutcome, Policy, When};

/// Something that can make entries run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Occasion<'a> {
    /// This many microseconds have passed since the start.
    Elapsed(u64),
    /// A poke of this entry, or of all.
    Poke(Option<&'a str>),
    /// This trigger has fired.
    Trigger(&'a str),
    /// All commands have ended, so `finally` entries run.
    End,
}

impl Occasion<'_> {
    /// Returns whether it makes `entry` run.
    pub(super) fn runs(&self, entry: &Entry) -> bool {
        match (self, &entry.policy) {
            (Occasion::Elapsed(micros), Policy::At(at)) => at <= micros,
            (Occasion::Poke(only), Policy::Poke) => only.is_none_or(|only| only == entry.name),
            (Occasion::Trigger(fired), Policy::Trigger(trigger)) => fired == trigger,
            (Occasion::End, Policy::Finally) => true,
            _ => false,
        }
    }

    /// Returns the entries that it makes run, by index in the schedule.
    pub(super) fn entries(&self, schedule: &[Entry]) -> Vec<usize> {
        (0..schedule.len()).filter(|&index| self.runs(&schedule[index])).collect()
    }
}

/// Something that has happened to an entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Happened {
    /// It has exited. `exit` is `None` if no process ran.
    Exited { exit: Option<Exit>, outcome: EntryOutcome },
    /// It has become ready.
    Ready,
}

impl Happened {
    fn meets(self, when: When) -> bool {
        match (self, when) {
            (Happened::Ready, when) => when == When::Ready,
            (Happened::Exited { .. }, When::Ended) => true,
            (Happened::Exited { exit, .. }, When::Exited(wanted)) => exit == Some(wanted),
            (Happened::Exited { outcome, .. }, When::Failed) => outcome == EntryOutcome::Failed,
            (Happened::Exited { .. }, When::Ready) => false,
        }
    }
}

/// The conditions of the `after` entries of a schedule, and those that are met.
#[derive(Debug)]
pub(super) struct Conditions {
    /// By the name of the entry that they are about: the entry that waits, and the number of its condition.
    about: BTreeMap<String, Vec<(usize, usize)>>,
    /// The conditions that are met, of entries with several.
    met: BTreeMap<usize, BTreeSet<usize>>,
    /// The entries with several conditions that have been told to run.
    told: BTreeSet<usize>,
}

impl Conditions {
    pub(super) fn new(schedule: &[Entry]) -> Conditions {
        let mut about: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
        for (index, entry) in schedule.iter().enumerate() {
            for (nr, condition) in before(entry).iter().enumerate() {
                about.entry(condition.entry.clone()).or_default().push((index, nr));
            }
        }
        Conditions { about, met: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// Records what has happened to an entry. Returns the entries that run now, by index in the schedule: each with one
    /// condition every time, each with several once.
    pub(super) fn happened(&mut self, to: &str, what: Happened, schedule: &[Entry]) -> Vec<usize> {
        let mut run = Vec::new();
        for &(index, nr) in self.about.get(to).into_iter().flatten() {
            let Policy::After(after) = &schedule[index].policy else { continue };
            if !what.meets(after.of[nr].when) {
                continue;
            }
            if after.of.len() == 1 {
                run.push(index);
                continue;
            }
            let met = self.met.entry(index).or_default();
            met.insert(nr);
            if (after.any || met.len() == after.of.len())
                && (self.told.insert(index) || injected(Fault::ConditionMetTwice))
            {
                run.push(index);
            }
        }
        run
    }
}

/// Returns the conditions of an entry; none unless it is an `after` entry.
fn before(entry: &Entry) -> &[Condition] {
    match &entry.policy {
        Policy::After(after) => &after.of,
        _ => &[],
    }
}

/// Returns whether one of these entries is a job, or a job follows one of them through `after`.
pub(super) fn lead_to_a_job(indices: impl Iterator<Item = usize>, schedule: &[Entry]) -> bool {
    let mut todo: Vec<usize> = indices.collect();
    if todo.is_empty() {
        return false;
    }
    let mut followers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, entry) in schedule.iter().enumerate() {
        for condition in before(entry) {
            followers.entry(&condition.entry).or_default().push(index);
        }
    }
    let mut reached = vec![false; schedule.len()];
    while let Some(index) = todo.pop() {
        if !schedule[index].is_service() {
            return true;
        }
        if !std::mem::replace(&mut reached[index], true) {
            todo.extend(followers.get(schedule[index].name.as_str()).into_iter().flatten());
        }
    }
    false
}

/// Returns the first entry that waits for itself through `after`.
pub(super) fn cycle(schedule: &[Entry]) -> Option<&str> {
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, entry) in schedule.iter().enumerate() {
        by_name.entry(&entry.name).or_insert(index);
    }
    let befores: Vec<Vec<usize>> = schedule
        .iter()
        .map(|entry| before(entry).iter().filter_map(|it| by_name.get(it.entry.as_str()).copied()).collect())
        .collect();
    graph::order(&befores).err().map(|cycle| schedule[cycle[0]].name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Action, After, Verdict};

    fn entry(name: &str, policy: Policy) -> Entry {
        Entry { name: name.to_owned(), policy, action: Action::End { verdict: Verdict::Passed } }
    }

    fn condition(name: &str, when: When) -> Condition {
        Condition { entry: name.to_owned(), when }
    }

    fn after(name: &str, when: When) -> Policy {
        Policy::After(After { of: vec![condition(name, when)], any: false, delay: 0 })
    }

    const PASSED: Happened = Happened::Exited { exit: Some(Exit::Code(0)), outcome: EntryOutcome::Passed };
    const FAILED: Happened = Happened::Exited { exit: Some(Exit::Code(3)), outcome: EntryOutcome::Failed };
    const NOT_STARTED: Happened = Happened::Exited { exit: None, outcome: EntryOutcome::Failed };

    #[test]
    fn an_exit_runs_the_entries_that_wait_for_it_or_for_any_exit() {
        let schedule = [
            entry("a", Policy::At(0)),
            entry("any", after("a", When::Ended)),
            entry("zero", after("a", When::Exited(Exit::Code(0)))),
            entry("three", after("a", When::Exited(Exit::Code(3)))),
            entry("other", after("any", When::Ended)),
            entry("up", after("a", When::Ready)),
            entry("failed", after("a", When::Failed)),
        ];
        let mut conditions = Conditions::new(&schedule);
        let mut happened = |what| conditions.happened("a", what, &schedule);
        assert_eq!(happened(PASSED), [1, 2]);
        assert_eq!(happened(FAILED), [1, 3, 6]);
        assert_eq!(happened(NOT_STARTED), [1, 6]);
        assert_eq!(happened(Happened::Ready), [5]);
        assert_eq!(happened(PASSED), [1, 2], "each time");
    }

    #[test]
    fn an_entry_with_several_conditions_runs_once_when_all_or_the_first_are_met() {
        let both = vec![condition("a", When::Ended), condition("b", When::Ready)];
        let several = |any| Policy::After(After { of: both.clone(), any, delay: 0 });
        let schedule = [
            entry("a", Policy::At(0)),
            entry("b", Policy::At(0)),
            entry("all", several(false)),
            entry("any", several(true)),
        ];
        let mut conditions = Conditions::new(&schedule);
        let mut happened = |to: &str, what| conditions.happened(to, what, &schedule);
        assert_eq!(happened("b", PASSED), [0; 0], "it was not ready");
        assert_eq!(happened("a", PASSED), [3]);
        assert_eq!(happened("a", PASSED), [0; 0], "the same condition again");
        assert_eq!(happened("b", Happened::Ready), [2]);
        assert_eq!(happened("a", PASSED), [0; 0], "both have run");
    }

    #[test]
    fn each_occasion_runs_its_own_policy_only() {
        let schedule = [
            entry("a", Policy::At(5)),
            entry("p", Policy::Poke),
            entry("q", Policy::Poke),
            entry("t", Policy::Trigger("go".to_owned())),
            entry("f", Policy::Finally),
        ];
        assert_eq!(Occasion::Elapsed(4).entries(&schedule), [0; 0]);
        assert_eq!(Occasion::Elapsed(5).entries(&schedule), [0]);
        assert_eq!(Occasion::Poke(None).entries(&schedule), [1, 2]);
        assert_eq!(Occasion::Poke(Some("q")).entries(&schedule), [2]);
        assert_eq!(Occasion::Trigger("go").entries(&schedule), [3]);
        assert_eq!(Occasion::Trigger("stay").entries(&schedule), [0; 0]);
        assert_eq!(Occasion::End.entries(&schedule), [4]);
    }

    #[test]
    fn a_cycle_is_found_and_a_chain_is_not_a_cycle() {
        let chain =
            [entry("a", Policy::At(0)), entry("b", after("a", When::Ended)), entry("c", after("b", When::Ended))];
        assert_eq!(cycle(&chain), None);
        let round = [
            entry("x", after("b", When::Ended)),
            entry("a", after("b", When::Ended)),
            entry("b", after("a", When::Ended)),
        ];
        assert_eq!(cycle(&round), Some("a"));
    }

    #[test]
    fn a_cycle_is_found_after_thousands_of_entries_and_named_by_its_first() {
        // Each follows the one before it. A search from each entry would take minutes here.
        let chain = |first: &str| {
            let before = |nr: usize| if nr == 0 { first.to_owned() } else { format!("e{}", nr - 1) };
            (0..4_000).map(|nr| entry(&format!("e{nr}"), after(&before(nr), When::Ended))).collect::<Vec<_>>()
        };
        assert_eq!(cycle(&chain("another")), None);
        assert_eq!(cycle(&chain("e3999")), Some("e0"));
        assert_eq!(cycle(&chain("e0")), Some("e0"));
        let mut behind = chain("e1500");
        behind.rotate_left(1_000);
        assert_eq!(cycle(&behind), Some("e1000"));
    }
}
