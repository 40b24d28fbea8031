//! The history of a run: counts of the reports about each entry of its slaves.
//!
//! Each report changes a few numbers here. Without them, the look at who can still come would go through every run of
//! every entry each second.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::run::plan::{Plan, SlaveIx, Starts};
use crate::machine::{Exit, Time};
use crate::wire::rendezvous::Wait;
use crate::wire::{EntryOutcome, SlaveEvent, When};

/// The reports of all slaves, counted.
#[derive(Debug, Clone, Default)]
pub struct History {
    slaves: Vec<SlaveHistory>,
}

/// The reports of one slave, counted.
#[derive(Debug, Clone, Default)]
pub struct SlaveHistory {
    /// The entries of which something was reported.
    entries: BTreeMap<u16, EntryHistory>,
    /// The runs of entries that have not ended, and whether each is ready.
    open: BTreeMap<(u16, u32), bool>,
    /// When its first failure was, and what it was.
    failed: Option<(Time, String)>,
    /// The entries whose commands wait for something.
    waiting: BTreeSet<u16>,
}

/// The reports about one entry, counted.
#[derive(Debug, Clone, Default)]
pub struct EntryHistory {
    /// How many runs have begun, or could not begin, with all attempts.
    runs: usize,
    /// How many runs have not ended.
    open: usize,
    /// How many failed attempts at a job are not followed by the next one yet.
    retried: usize,
    /// How many attempts were followed by another one, or will be.
    attempts: usize,
    ended: usize,
    failed: usize,
    ready: usize,
    /// The exits that other entries wait for, with the number of each.
    exits: Vec<(Exit, usize)>,
}

impl History {
    pub fn new(plan: &Plan) -> History {
        History { slaves: vec![SlaveHistory::default(); plan.slaves()] }
    }

    pub fn of(&self, ix: SlaveIx) -> &SlaveHistory {
        &self.slaves[ix]
    }

    /// Forgets the reports of a slave, because another process serves as it now.
    pub fn forget(&mut self, ix: SlaveIx) {
        self.slaves[ix] = SlaveHistory::default();
    }

    /// Sets what the commands of a slave wait for.
    pub fn set_waits(&mut self, plan: &Plan, ix: SlaveIx, waits: &[Wait]) {
        self.slaves[ix].waiting = waits.iter().filter_map(|wait| plan.shape(ix).find(&wait.entry)).collect();
    }

    /// Counts a report of a slave. Unless `open`, a run that begins is not remembered as one that has not ended, because
    /// the slave has had too many.
    pub fn report(&mut self, plan: &Plan, ix: SlaveIx, (at, open): (Time, bool), what: &SlaveEvent<'_>) {
        let (shape, slave) = (plan.shape(ix), &mut self.slaves[ix]);
        match what {
            SlaveEvent::Spawned { entry, nr, .. } => {
                let Some(entry) = shape.find(entry) else { return };
                let known = slave.entries.entry(entry).or_default();
                known.runs += 1;
                known.retried = known.retried.saturating_sub(1);
                if open {
                    known.open += usize::from(slave.open.insert((entry, *nr), false).is_none());
                }
            }
            SlaveEvent::EntryReady { entry, nr, .. } => {
                let Some(entry) = shape.find(entry) else { return };
                if let Some(ready) = slave.open.get_mut(&(entry, *nr)).filter(|ready| !**ready) {
                    *ready = true;
                    slave.entries.entry(entry).or_default().ready += 1;
                }
            }
            SlaveEvent::Exited { entry, nr, exit, outcome, why, .. } => {
                let Some(number) = shape.find(entry) else { return };
                let awaited = &shape.entries[usize::from(number)].awaited;
                slave.exited((number, *nr), *outcome, exit.filter(|exit| awaited.contains(exit)));
                if *outcome == EntryOutcome::Failed {
                    slave.fail(at, entry, *exit, why.as_deref());
                }
            }
            _ => {}
        }
    }
}

impl EntryHistory {
    /// Returns how many runs have begun, or could not begin. All attempts at a job are one run.
    pub fn begun(&self) -> usize {
        self.runs - (self.attempts - self.retried)
    }

    /// Returns whether a run has not ended.
    pub fn goes_on(&self) -> bool {
        self.open > 0 || self.is_between_attempts()
    }

    /// Returns whether an attempt at a job has failed, and the next one has not begun.
    pub fn is_between_attempts(&self) -> bool {
        self.retried > 0
    }
}

impl SlaveHistory {
    pub fn entry(&self, nr: u16) -> Option<&EntryHistory> {
        self.entries.get(&nr)
    }

    /// Returns whether any run of an entry has not ended.
    pub fn runs_anything(&self) -> bool {
        self.entries.values().any(EntryHistory::goes_on)
    }

    pub fn first_failure(&self) -> Option<&str> {
        self.failed.as_ref().map(|(_, what)| what.as_str())
    }

    /// Returns whether the command of an entry waits for something.
    pub fn waits(&self, nr: u16) -> bool {
        self.waiting.contains(&nr)
    }

    /// Returns whether an entry begins without a trigger or a poke, as far as is known.
    pub fn is_due(&self, nr: u16, starts: &Starts) -> bool {
        let begun = self.entry(nr).map_or(0, EntryHistory::begun);
        let met = |&(other, when): &(u16, When)| self.count(other, when) > begun;
        match starts {
            Starts::At => begun == 0,
            Starts::All(of) if of.len() == 1 => met(&of[0]),
            Starts::All(of) => begun == 0 && of.iter().all(met),
            Starts::Any(of) => begun == 0 && of.iter().any(met),
            Starts::Poke | Starts::Trigger(_) | Starts::Finally => false,
        }
    }

    /// Returns how often the event has happened that another entry waits for.
    pub fn count(&self, nr: u16, when: When) -> usize {
        let Some(known) = self.entries.get(&nr) else { return 0 };
        match when {
            When::Ready => known.ready,
            When::Ended => known.ended,
            When::Failed => known.failed,
            When::Exited(exit) => known.exits.iter().find(|(one, _)| *one == exit).map_or(0, |(_, count)| *count),
        }
    }

    fn exited(&mut self, (entry, nr): (u16, u32), outcome: EntryOutcome, awaited: Option<Exit>) {
        let known = self.entries.entry(entry).or_default();
        let began = self.open.remove(&(entry, nr)).is_some();
        known.open -= usize::from(began);
        // A run that could not begin was not reported as spawned.
        let attempts = known.ended + known.attempts + 1;
        if known.runs < attempts {
            known.runs = attempts;
            known.retried = known.retried.saturating_sub(1);
        }
        if outcome == EntryOutcome::Retried {
            known.attempts += 1;
            known.retried += 1;
            return;
        }
        known.ended += 1;
        known.failed += usize::from(outcome == EntryOutcome::Failed);
        if let Some(exit) = awaited {
            match known.exits.iter_mut().find(|(one, _)| *one == exit) {
                Some((_, count)) => *count += 1,
                None => known.exits.push((exit, 1)),
            }
        }
    }

    fn fail(&mut self, at: Time, entry: &str, exit: Option<Exit>, why: Option<&str>) {
        if self.failed.as_ref().is_some_and(|(first, _)| *first <= at) {
            return;
        }
        let why = why.unwrap_or("failed");
        // The line of the entry itself also has the exit that was expected.
        let exit = exit.map(|exit| exit.to_string()).filter(|exit| why.starts_with(exit.as_str()));
        self.failed = Some((at, format!("its entry {entry} failed ({})", exit.as_deref().unwrap_or(why))));
    }
}
