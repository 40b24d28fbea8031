//! The run-policies: which entries run on which occasion.

use std::collections::BTreeMap;

use crate::machine::Exit;
use crate::wire::{Entry, Policy};

/// Something that can make entries run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Occasion<'a> {
    /// This many microseconds have passed since the start.
    Elapsed(u64),
    /// A poke of this entry, or of all.
    Poke(Option<&'a str>),
    /// This trigger has fired.
    Trigger(&'a str),
    /// This entry has exited. `exit` is `None` if no process ran.
    Exit { entry: &'a str, exit: Option<Exit> },
    /// This entry has become ready.
    Ready(&'a str),
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
            (Occasion::Exit { entry: exited, exit }, Policy::After(after)) => {
                *exited == after.entry && !after.ready && (after.exit.is_none() || after.exit == *exit)
            }
            (Occasion::Ready(ready), Policy::After(after)) => after.ready && *ready == after.entry,
            (Occasion::End, Policy::Finally) => true,
            _ => false,
        }
    }

    /// Returns the entries that it makes run, by index in the schedule.
    pub(super) fn entries(&self, schedule: &[Entry]) -> Vec<usize> {
        (0..schedule.len()).filter(|&index| self.runs(&schedule[index])).collect()
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
        if let Policy::After(after) = &entry.policy {
            followers.entry(&after.entry).or_default().push(index);
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
    let before = |index: usize| match &schedule[index].policy {
        Policy::After(after) => by_name.get(after.entry.as_str()).copied(),
        _ => None,
    };
    // The walk on which each entry was passed. A walk that meets itself has found a cycle.
    let (mut walks, mut first) = (vec![None; schedule.len()], None::<usize>);
    for start in 0..schedule.len() {
        let mut at = Some(start);
        while let Some(index) = at.filter(|index| walks[*index].is_none()) {
            walks[index] = Some(start);
            at = before(index);
        }
        if let Some(meets) = at.filter(|index| walks[*index] == Some(start)) {
            let around = std::iter::successors(before(meets), |index| before(*index).filter(|_| *index != meets));
            first = around.take(schedule.len()).chain([meets]).chain(first).min();
        }
    }
    first.map(|index| schedule[index].name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Action, After, Verdict};

    fn entry(name: &str, policy: Policy) -> Entry {
        Entry { name: name.to_owned(), policy, action: Action::End { verdict: Verdict::Passed } }
    }

    fn after(name: &str, exit: Option<Exit>) -> Policy {
        Policy::After(After { entry: name.to_owned(), exit, ready: false })
    }

    #[test]
    fn an_exit_runs_the_entries_that_wait_for_it_or_for_any_exit() {
        let schedule = [
            entry("a", Policy::At(0)),
            entry("any", after("a", None)),
            entry("zero", after("a", Some(Exit::Code(0)))),
            entry("three", after("a", Some(Exit::Code(3)))),
            entry("other", after("any", None)),
            entry("up", Policy::After(After { entry: "a".to_owned(), exit: None, ready: true })),
        ];
        let exit = |exit| Occasion::Exit { entry: "a", exit }.entries(&schedule);
        assert_eq!(exit(Some(Exit::Code(0))), [1, 2]);
        assert_eq!(exit(Some(Exit::Code(3))), [1, 3]);
        assert_eq!(exit(None), [1]);
        assert_eq!(Occasion::Ready("a").entries(&schedule), [5]);
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
        let chain = [entry("a", Policy::At(0)), entry("b", after("a", None)), entry("c", after("b", None))];
        assert_eq!(cycle(&chain), None);
        let round = [entry("x", after("b", None)), entry("a", after("b", None)), entry("b", after("a", None))];
        assert_eq!(cycle(&round), Some("a"));
    }

    #[test]
    fn a_cycle_is_found_after_thousands_of_entries_and_named_by_its_first() {
        // Each follows the one before it. A search from each entry would take minutes here.
        let chain = |first: &str| {
            let before = |nr: usize| if nr == 0 { first.to_owned() } else { format!("e{}", nr - 1) };
            (0..4_000).map(|nr| entry(&format!("e{nr}"), after(&before(nr), None))).collect::<Vec<_>>()
        };
        assert_eq!(cycle(&chain("another")), None);
        assert_eq!(cycle(&chain("e3999")), Some("e0"));
        assert_eq!(cycle(&chain("e0")), Some("e0"));
        let mut behind = chain("e1500");
        behind.rotate_left(1_000);
        assert_eq!(cycle(&behind), Some("e1000"));
    }
}
