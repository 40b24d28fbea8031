//! The entries of a run that never began, and what each of them waited for.
//!
//! The report of a run has a line for each. Slaves that share their entries and their fate share the line.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::controller::run::failures::FailureKind;
use crate::controller::run::roster::{RunEnd, RunSlave, Stage};
use crate::controller::run::run::Run;
use crate::text;
use crate::wire::{After, Condition, Entry, EntryOutcome, Policy, When};

/// The most lines in a report.
const LINES_MAX: usize = 20;

/// The most entries of a chain that a line names.
const LINKS_MAX: usize = 10;

/// Returns a line for each entry that never began and each reason, with the slaves to which it applies: `node[1-3] client
/// (waits for trigger up: 1 of 1 left)`. It omits entries that only the end starts, and entries that only a poke starts
/// unless the run could not continue without one. For a run that has `passed`, it also omits entries that wait for one of
/// several exits.
pub fn lines(run: &Run, passed: bool) -> Vec<String> {
    let mut found: Vec<(String, String, Vec<&str>)> = Vec::new();
    let stuck = is_stuck(run);
    // Slaves share their entries.
    let mut by_name: BTreeMap<*const Entry, Rc<BTreeMap<&str, &Entry>>> = BTreeMap::new();
    // The lines of the slaves on which nothing began, by their entries: a run that did not start can have thousands.
    let mut unbegun: BTreeMap<*const Entry, Vec<usize>> = BTreeMap::new();
    let left = run.roster.iter().enumerate().filter(|(_, member)| member.stage != Stage::Lost);
    for (ix, member) in left {
        let entries = &run.test.slaves[ix].entries;
        let began_nothing = member.counts.is_empty();
        if let Some(lines) = unbegun.get(&entries.as_ptr()).filter(|_| began_nothing) {
            lines.iter().for_each(|line| found[*line].2.push(&member.name));
            continue;
        }
        let mut lines = Vec::new();
        let index = || Rc::new(entries.iter().map(|entry| (entry.name.as_str(), entry)).collect());
        let by_name = by_name.entry(entries.as_ptr()).or_insert_with(index).clone();
        let mut causes = Causes { run, member, stuck, by_name, known: BTreeMap::new() };
        for entry in entries.iter().filter(|entry| !member.counts.contains_key(&entry.name)) {
            let is_full = found.len() > LINES_MAX;
            if passed && is_branch(entry) || is_full && !found.iter().any(|(name, ..)| *name == entry.name) {
                continue;
            }
            let Some(why) = causes.waits_for(entry) else { continue };
            let line = match found.iter().position(|(name, other, _)| *name == entry.name && *other == why) {
                Some(known) => known,
                None if is_full => continue,
                None => {
                    found.push((entry.name.clone(), why, Vec::new()));
                    found.len() - 1
                }
            };
            found[line].2.push(&member.name);
            lines.push(line);
        }
        if began_nothing {
            unbegun.insert(entries.as_ptr(), lines);
        }
    }
    let more = found.len() > LINES_MAX;
    found.truncate(LINES_MAX);
    let line = |(entry, why, slaves): &(String, String, Vec<&str>)| format!("{} {entry} ({why})", text::list(slaves));
    let mut lines: Vec<String> = found.iter().map(line).collect();
    lines.extend(more.then(|| "and more".to_owned()));
    lines
}

/// Returns whether an entry waits for one of several exits or entries. A run can pass without it.
fn is_branch(entry: &Entry) -> bool {
    let of_one = |it: &Condition| matches!(it.when, When::Exited(_) | When::Failed);
    matches!(&entry.policy, Policy::After(after) if after.any || after.of.iter().any(of_one))
}

/// Returns why an entry that ran did not start the entry that waits for it.
fn became_of(member: &RunSlave, condition: &Condition) -> String {
    let name = &condition.entry;
    match member.last_run(name).and_then(|run| run.end.as_ref()) {
        _ if condition.when == When::Ready => format!("{name} never was"),
        Some(end) if end.outcome == EntryOutcome::Stopped => format!("{name} was stopped"),
        Some(end) if end.outcome == EntryOutcome::Passed && condition.when == When::Failed => {
            format!("{name} passed")
        }
        Some(RunEnd { exit: Some(exit), .. }) if condition.when != When::Ended => format!("{name}: {exit}"),
        Some(_) => format!("{name} exited when nothing began any more"),
        None => format!("{name} had not exited"),
    }
}

fn is_stuck(run: &Run) -> bool {
    run.failures.kept().iter().any(|failure| failure.kind == FailureKind::Stuck)
}

/// The causes for which entries of one slave have not begun.
struct Causes<'a> {
    run: &'a Run,
    member: &'a RunSlave,
    /// The run could not continue without a poke.
    stuck: bool,
    by_name: Rc<BTreeMap<&'a str, &'a Entry>>,
    /// For each entry of a chain, why the entry at its end has not begun; `None`: the run does not need it.
    known: BTreeMap<&'a str, Option<Rc<str>>>,
}

impl<'a> Causes<'a> {
    /// Returns what an entry that has not begun waits for; `None`: nothing that the run needs.
    fn waits_for(&mut self, entry: &'a Entry) -> Option<String> {
        let cause = self.cause(entry)?;
        let (mut entry, mut chain) = (entry, String::new());
        for link in 0.. {
            let Policy::After(after) = &entry.policy else { break };
            if link == LINKS_MAX {
                chain += "and so on; ";
                break;
            }
            let condition = self.obstacle(after)?;
            chain += &format!("waits until {} {}; ", condition.entry, condition.when);
            if self.member.counts.contains_key(&condition.entry) {
                break;
            }
            entry = self.by_name.get(condition.entry.as_str())?;
        }
        Some(chain + &cause)
    }

    /// Returns the condition that an entry still waits for: the first one whose entry has not begun, otherwise the first
    /// one that its last run has not met.
    fn obstacle<'b>(&self, after: &'b After) -> Option<&'b Condition> {
        let has_begun = |it: &&Condition| self.member.counts.contains_key(&it.entry);
        let is_met = |it: &Condition| {
            let end = self.member.last_run(&it.entry).and_then(|run| run.end.as_ref());
            match it.when {
                When::Ready => self.member.last_run(&it.entry).is_some_and(|run| run.ready),
                When::Ended => end.is_some(),
                When::Failed => end.is_some_and(|end| end.outcome == EntryOutcome::Failed),
                When::Exited(exit) => end.is_some_and(|end| end.exit == Some(exit)),
            }
        };
        let of = &after.of;
        of.iter().find(|it| !has_begun(it)).or_else(|| of.iter().find(|it| !is_met(it))).or(of.first())
    }

    /// Follows a chain to its end, each entry once.
    fn cause(&mut self, entry: &'a Entry) -> Option<Rc<str>> {
        let (mut entry, mut passed) = (entry, Vec::new());
        let cause = loop {
            if let Some(known) = self.known.get(entry.name.as_str()) {
                break known.clone();
            }
            // A test has no circle of entries, so this ends.
            self.known.insert(&entry.name, None);
            passed.push(entry.name.as_str());
            match &entry.policy {
                Policy::After(after) => match self.obstacle(after) {
                    Some(condition) if self.member.counts.contains_key(&condition.entry) => {
                        break Some(Rc::from(became_of(self.member, condition)));
                    }
                    Some(condition) => match self.by_name.get(condition.entry.as_str()) {
                        Some(other) => entry = other,
                        None => break None,
                    },
                    None => break None,
                },
                policy => break self.first_cause(policy).map(Rc::from),
            }
        };
        for name in passed {
            self.known.insert(name, cause.clone());
        }
        cause
    }

    /// Returns what an entry waits for that waits for no other entry.
    fn first_cause(&self, policy: &Policy) -> Option<String> {
        let run = self.run;
        Some(match policy {
            Policy::Poke if self.stuck => "waits for a poke".to_owned(),
            Policy::Finally | Policy::Poke | Policy::After(_) => return None,
            Policy::At(_) if run.started().is_none() => "the run did not start".to_owned(),
            Policy::At(micros) => {
                format!("waits for its time, {} after the start", text::duration(Duration::from_micros(*micros)))
            }
            Policy::Trigger(trigger) => match run.room.triggers.get(trigger)? {
                state if state.fired.is_some() => format!("trigger {trigger} fired when nothing began any more"),
                state => format!("waits for trigger {trigger}: {} of {} left", state.left(), state.initial),
            },
        })
    }
}
