//! The faults that this slave has injected for its run, and how far each is.
//!
//! This file owns what is injected now. A fault is in effect only after its record is on the disk, and the process that
//! undoes it removes the record. Therefore a later process finds everything that a killed slave has left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine::{ChildId, Command, ConfirmId, Outbox, ReadId};
use crate::slave::fault_record::{FAULTS, FaultRecord, RECORD};
use crate::slave::process::{FaultNr, RunKey};

/// The most faults that may be in effect at a time.
pub(super) const FAULTS_MAX: usize = 100;

/// The longest time that a process may take to inject a fault or to undo one.
pub(super) const DONE_WITHIN: Duration = Duration::from_secs(20);

/// How many times a fault is undone before the slave gives up.
pub(super) const TRIES_MAX: u32 = 3;

/// How long the slave waits until it tries again.
pub(super) const TRY_AGAIN: Duration = Duration::from_millis(500);

/// A fault of the run.
#[derive(Debug)]
pub(super) struct Injected {
    /// The index of its entry in the schedule.
    pub(super) entry: usize,
    pub(super) nr: u32,
    /// What it is, for people.
    pub(super) what: String,
    /// The run of its entry, if it has not ended.
    pub(super) run: Option<RunKey>,
    pub(super) lasts: Option<Duration>,
    pub(super) stage: Stage,
    pub(super) kind: Kind,
    /// It was in effect.
    pub(super) began: bool,
    /// It must be undone as soon as that is possible.
    pub(super) unwanted: bool,
    /// Why it could not be injected.
    pub(super) failed: Option<String>,
    /// How many times it could not be undone.
    pub(super) tries: u32,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The commands whose groups are stopped. They end with this slave, so there is no record.
    Pause(Vec<ChildId>),
    /// The record, which is written once. A crash is injected when the controller knows of it.
    Recorded { record: Box<FaultRecord>, is_crash: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The record is being written.
    Recording(ConfirmId),
    /// It is injected once the controller knows of it.
    Announced,
    Injecting(ChildId),
    /// The reason is being read why it could not be injected.
    Explaining(ReadId),
    InEffect,
    /// It waits to be undone.
    Due,
    Undoing(ChildId),
    /// The reason is being read why it could not be undone.
    ExplainingUndo(ReadId),
}

/// The process that checks, before the start, what the faults of the run need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Check {
    /// The run needs nothing.
    #[default]
    Done,
    Runs(ChildId),
    /// The reason is being read why something is missing.
    Explaining(ReadId),
}

#[derive(Debug, Default)]
pub(super) struct Injections {
    all: BTreeMap<FaultNr, Injected>,
    pub(super) check: Check,
    last: u64,
}

impl Injections {
    /// Returns the name of the next record of a run.
    pub(super) fn next_name(&self, run: &str) -> String {
        format!("{run}-{}", self.last + 1)
    }

    pub(super) fn add(&mut self, injected: Injected) -> FaultNr {
        self.last += 1;
        let nr = FaultNr(self.last);
        self.all.insert(nr, injected);
        nr
    }

    pub(super) fn get_mut(&mut self, nr: FaultNr) -> Option<&mut Injected> {
        self.all.get_mut(&nr)
    }

    pub(super) fn get(&self, nr: FaultNr) -> Option<&Injected> {
        self.all.get(&nr)
    }

    pub(super) fn remove(&mut self, nr: FaultNr) -> Option<Injected> {
        self.all.remove(&nr)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= FAULTS_MAX
    }

    pub(super) fn all(&self) -> Vec<FaultNr> {
        self.all.keys().copied().collect()
    }

    /// Returns the faults of an entry.
    pub(super) fn of_entry(&self, entry: usize) -> Vec<FaultNr> {
        self.all.iter().filter(|(_, fault)| fault.entry == entry).map(|(nr, _)| *nr).collect()
    }

    /// Returns whether a fault of this entry is to be undone.
    pub(super) fn undoes(&self, entry: usize) -> bool {
        self.all.values().any(|fault| fault.entry == entry && fault.unwanted)
    }

    /// Returns the fault in this stage. There are few.
    pub(super) fn at(&self, stage: Stage) -> Option<FaultNr> {
        self.all.iter().find(|(_, fault)| fault.stage == stage).map(|(nr, _)| *nr)
    }

    /// Returns the fault that a process injects or undoes.
    pub(super) fn of_child(&self, child: ChildId) -> Option<FaultNr> {
        self.at(Stage::Injecting(child)).or_else(|| self.at(Stage::Undoing(child)))
    }

    /// Returns the fault with this record.
    pub(super) fn with_record(&self, dir: &Path, run: &str, path: &Path) -> Option<FaultNr> {
        self.all.keys().copied().find(|nr| record_of(*nr, dir, run) == path)
    }

    /// Returns whether another pause than `nr` stops the group of this command.
    pub(super) fn pauses(&self, nr: FaultNr, child: ChildId) -> bool {
        let pauses = |fault: &Injected| matches!(&fault.kind, Kind::Pause(children) if children.contains(&child));
        self.all.iter().any(|(other, fault)| *other != nr && pauses(fault))
    }
}

/// Returns the path of the record of a fault.
pub(super) fn record_of(nr: FaultNr, dir: &Path, run: &str) -> PathBuf {
    dir.join(FAULTS).join(format!("{run}-{}{RECORD}", nr.0))
}

/// Returns the name of the file with the output of a fault's processes.
pub(super) fn log_of(nr: FaultNr) -> String {
    format!("{}.log", nr.0)
}

/// Starts the hidden subcommand `fault` of arete. Its output is in the file `log`. `dir` is the directory of the slave.
pub(super) fn start(words: &[&str], dir: &Path, log: PathBuf, dies_with_us: bool, out: &mut Outbox) -> ChildId {
    let argv = ["arete", "fault"].iter().chain(words).map(|&word| word.to_owned()).collect();
    out.spawn(Command {
        argv,
        // By this variable the next slave of this directory finds the process.
        env: vec![("ARETE_DIR".to_owned(), dir.display().to_string())],
        arete_on_path: true,
        stdout: Some(log.clone()),
        stderr: Some(log),
        dies_with_us,
        ..Command::default()
    })
}
