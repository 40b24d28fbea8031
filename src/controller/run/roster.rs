//! The slaves of a run: their connections, their stages, and the runs of their entries.
//!
//! The record of the runs of entries is for the summary, and has bounds: slaves can report millions of runs, each with a
//! long text. Each slave has a share that depends on the test alone, so a slave that reports much never takes the place of
//! another. The record counts against the memory of the controller. `events.jsonl` has everything.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

use crate::controller::room::rendezvous::Process;
use crate::controller::session::budget::{Budget, Held};
use crate::machine::{ConnId, Exit, Time};
use crate::testfile::{self, Test};
use crate::wire::EntryOutcome;
use crate::wire::rendezvous::Wait;

/// The most runs of entries that are kept of one slave.
const RUNS_KEPT: usize = 10_000;

/// The runs of entries that are kept of all slaves together. A slave with many entries may have more than an equal share
/// of them: twice as many as it has entries.
const RUNS_KEPT_OF_ALL: usize = 200_000;

/// The bytes of texts that are kept whole in one run: why runs of entries ended as they did, and warnings.
const TEXTS_KEPT: usize = 1024 * 1024;

/// The bytes that are always kept of a text.
const SHORT: usize = 80;

/// The end of a text that is not kept whole.
const CUT: &str = "...";

/// The most warnings of a slave in the report.
const WARNINGS_KEPT: usize = 5;

/// The room for long texts that is left in a run.
#[derive(Debug)]
struct Texts {
    budget: Budget,
    left: Cell<usize>,
}

impl Texts {
    /// Returns a text whole if there is room for it, and otherwise its beginning.
    fn keep(&self, text: &str) -> String {
        let short = beginning(text);
        if short.len() == text.len() {
            return short;
        }
        if let Some(left) = self.left.get().checked_sub(text.len())
            && self.budget.has_room_for(text.len())
        {
            self.left.set(left);
            return text.to_owned();
        }
        short
    }
}

/// Returns the beginning of a text that there is no room for, or all of it if it is short.
pub fn beginning(text: &str) -> String {
    if text.len() <= SHORT + CUT.len() {
        return text.to_owned();
    }
    let end = (0..=SHORT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned() + CUT
}

/// The stage of a slave in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It has not connected.
    Absent,
    /// It has connected, and gets ready.
    Joined,
    /// It waits for the start, or has started.
    Ready,
    /// It has stopped: nothing of the run is left on it.
    Stopped,
    /// It will not come back to this run.
    Lost,
}

/// A slave of a run.
#[derive(Debug)]
pub struct RunSlave {
    pub name: String,
    /// The name of the machine that serves as this slave, if it differs.
    pub machine: Option<Rc<str>>,
    pub stage: Stage,
    pub conn: Option<ConnId>,
    /// When its connection was lost. `None` while it is connected, and before it first connects.
    pub gone: Option<Time>,
    pub address: Option<IpAddr>,
    incarnation: Option<Box<str>>,
    /// Its process, from its first hello on.
    pub process: Option<Process>,
    /// The number of its last report that was recorded.
    pub recorded: u64,
    /// The time in its last report.
    pub reported: Time,
    /// Its report after its last job had exited. `None` while a job runs or is going to.
    pub idle: Option<Idle>,
    /// Whether no command runs on it, and no process that a command left in the background.
    pub cleared: bool,
    /// Whether everything has exited on it that the end trigger started.
    pub settled: bool,
    /// How late it started, and how wrong that can be.
    pub begun: Option<(Duration, Duration)>,
    /// The triggers that it may have missed, and that were not sent again yet.
    pub owed: VecDeque<String>,
    /// The runs of its entries that are kept: the first ones.
    pub runs: Vec<EntryRun>,
    /// The most runs that are kept.
    runs_max: usize,
    /// The places in `runs` of the runs that have not ended.
    open: BTreeMap<(String, u32), usize>,
    /// The place in `runs` of the last run of each entry.
    last: BTreeMap<String, usize>,
    /// The number of its texts that are not kept whole.
    pub shortened: usize,
    texts: Rc<Texts>,
    /// The memory of its runs and warnings.
    held: Held,
    /// The numbers of the runs of each entry. All runs count, kept or not.
    pub counts: BTreeMap<String, Counts>,
    /// The lengths of its files, in bytes, by their names in the results.
    pub files: BTreeMap<String, u64>,
    /// The number of directories of these files.
    pub directories: usize,
    /// Its commands that wait, by its last message about these.
    pub waits: Vec<Wait>,
    /// Its first warnings, and the number of all.
    pub warnings: (Vec<String>, usize),
}

/// The state of a slave on which no job runs, and only a trigger or a poke could start one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    /// The number of triggers that the slave had heard of.
    pub heard: u64,
    /// Whether services run, or are going to without a trigger or a poke.
    pub services: bool,
}

/// A run of an entry.
#[derive(Debug)]
pub struct EntryRun {
    pub entry: String,
    pub nr: u32,
    pub pid: Option<u32>,
    pub spawned: Option<Time>,
    /// Whether it has become ready.
    pub ready: bool,
    pub end: Option<RunEnd>,
}

/// The numbers of the runs of an entry: all, and those of each outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub runs: usize,
    pub passed: usize,
    pub stopped: usize,
    pub failed: usize,
    /// The attempts that failed and were followed by another one.
    pub retried: usize,
    /// The runs that passed at a later attempt. They count as passed too.
    pub flaky: usize,
}

impl Counts {
    /// Returns the number of runs that have ended.
    pub fn ended(&self) -> usize {
        self.passed + self.stopped + self.failed + self.retried
    }

    /// Adds the numbers of another slave.
    pub fn add(&mut self, more: &Counts) {
        self.runs += more.runs;
        self.passed += more.passed;
        self.stopped += more.stopped;
        self.failed += more.failed;
        self.retried += more.retried;
        self.flaky += more.flaky;
    }
}

/// The end of a run of an entry.
#[derive(Debug)]
pub struct RunEnd {
    pub at: Time,
    pub exit: Option<Exit>,
    pub outcome: EntryOutcome,
    /// The number of this attempt at the job: 1, 2, 3, ...
    pub attempt: u32,
    pub why: Option<String>,
}

impl RunSlave {
    fn new(name: &str, runs_max: usize, texts: Rc<Texts>) -> RunSlave {
        RunSlave {
            name: name.to_owned(),
            runs_max,
            held: texts.budget.hold(0),
            texts,
            machine: None,
            stage: Stage::Absent,
            conn: None,
            gone: None,
            address: None,
            incarnation: None,
            process: None,
            recorded: 0,
            reported: Time::default(),
            idle: None,
            cleared: true,
            settled: false,
            begun: None,
            owed: VecDeque::new(),
            runs: Vec::new(),
            open: BTreeMap::new(),
            last: BTreeMap::new(),
            shortened: 0,
            counts: BTreeMap::new(),
            files: BTreeMap::new(),
            directories: 0,
            waits: Vec::new(),
            warnings: (Vec::new(), 0),
        }
    }

    /// Keeps a warning, if it is one of the first.
    pub fn warn(&mut self, text: &str) {
        self.warnings.1 += 1;
        if self.warnings.0.len() < WARNINGS_KEPT {
            let text = self.keep(text);
            self.held.grow(size_of::<String>() + text.len());
            self.warnings.0.push(text);
        }
    }

    /// Returns what is kept of a text, and counts the texts that are not kept whole.
    fn keep(&mut self, text: &str) -> String {
        let kept = self.texts.keep(text);
        self.shortened += usize::from(kept.len() < text.len());
        kept
    }

    /// Returns the name of the machine that serves as this slave.
    pub fn machine(&self) -> &str {
        self.machine.as_deref().unwrap_or(&self.name)
    }

    pub fn is_incarnation(&self, incarnation: &str) -> bool {
        self.incarnation.as_deref() == Some(incarnation)
    }

    /// Lets another process serve as this slave. Forgets what the process before it has reported.
    pub fn begin_incarnation(&mut self, incarnation: &str) {
        let machine = self.machine.take();
        *self = RunSlave {
            incarnation: Some(incarnation.into()),
            machine,
            address: self.address,
            ..RunSlave::new(&self.name, self.runs_max, self.texts.clone())
        };
    }

    pub fn spawned(&mut self, at: Time, entry: &str, nr: u32, pid: Option<u32>) {
        self.counts.entry(entry.to_owned()).or_default().runs += 1;
        self.cleared &= pid.is_none();
        if self.knows_all_runs() {
            self.open.insert((entry.to_owned(), nr), self.runs.len());
            self.add(EntryRun { entry: entry.to_owned(), nr, pid, spawned: Some(at), ready: false, end: None });
        }
    }

    fn add(&mut self, run: EntryRun) {
        self.held.grow(size_of::<EntryRun>() + run.entry.len());
        match self.last.get_mut(&run.entry) {
            Some(last) => *last = self.runs.len(),
            None => drop(self.last.insert(run.entry.clone(), self.runs.len())),
        }
        self.runs.push(run);
    }

    /// Returns the last run of an entry among those that are kept.
    pub fn last_run(&self, entry: &str) -> Option<&EntryRun> {
        self.last.get(entry).map(|last| &self.runs[*last])
    }

    /// Records that a run of an entry has become ready.
    pub fn entry_ready(&mut self, entry: &str, nr: u32) {
        if let Some(&known) = self.open.get(&(entry.to_owned(), nr)) {
            self.runs[known].ready = true;
        }
    }

    /// Records that a run of an entry has ended, and why. Sets the text of `end`.
    pub fn exited(&mut self, entry: &str, nr: u32, mut end: RunEnd, why: Option<&str>) {
        let counts = self.counts.entry(entry.to_owned()).or_default();
        match end.outcome {
            EntryOutcome::Passed => {
                counts.passed += 1;
                counts.flaky += usize::from(end.attempt > 1);
            }
            EntryOutcome::Retried => counts.retried += 1,
            EntryOutcome::Stopped => counts.stopped += 1,
            EntryOutcome::Failed => counts.failed += 1,
        }
        // A run that could not begin has no report of its beginning.
        counts.runs = counts.runs.max(counts.ended());
        let known = self.open.remove(&(entry.to_owned(), nr));
        if known.is_none() && !self.knows_all_runs() {
            return;
        }
        end.why = why.map(|why| self.keep(why));
        self.held.grow(end.why.as_ref().map_or(0, String::len));
        match known {
            Some(known) => self.runs[known].end = Some(end),
            None => {
                let entry = entry.to_owned();
                self.add(EntryRun { entry, nr, pid: None, spawned: None, ready: false, end: Some(end) });
            }
        }
    }

    /// Returns how many runs and entries it keeps, which is what freeing it costs.
    pub fn size(&self) -> usize {
        self.runs.len() + self.counts.len()
    }

    /// Returns whether all runs of its entries are kept.
    pub fn knows_all_runs(&self) -> bool {
        self.runs.len() < self.runs_max
    }

    /// Returns whether nothing runs, and only a poke or a trigger after the first `fired` ones could start something.
    pub fn has_nothing_to_do(&self, fired: u64) -> bool {
        self.idle.is_some_and(|idle| idle.heard == fired && !idle.services)
    }

    /// Returns the runs of entries that have begun and not ended.
    pub fn running(&self) -> impl Iterator<Item = &EntryRun> {
        self.runs.iter().filter(|run| run.end.is_none())
    }
}

/// All slaves of a run, in the order of the test file.
#[derive(Debug)]
pub struct Roster {
    members: Vec<RunSlave>,
    by_name: BTreeMap<String, usize>,
}

impl Roster {
    /// Returns the slaves of a test, all of them absent.
    pub fn new(test: &Test, budget: &Budget) -> Roster {
        let share = RUNS_KEPT_OF_ALL / test.slaves.len().max(1);
        let texts = Rc::new(Texts { budget: budget.clone(), left: Cell::new(TEXTS_KEPT) });
        let slave = |slave: &testfile::Slave| {
            let runs_max = share.max(2 * slave.entries.len()).min(RUNS_KEPT);
            RunSlave::new(&slave.name, runs_max, texts.clone())
        };
        Roster {
            members: test.slaves.iter().map(slave).collect(),
            by_name: test.slaves.iter().enumerate().map(|(ix, slave)| (slave.name.clone(), ix)).collect(),
        }
    }

    /// Returns the slaves, so that their memory can be freed in pieces.
    pub fn into_slaves(self) -> Vec<RunSlave> {
        self.members
    }

    /// Returns the slave that follows another one in the order of names, or the first one.
    pub fn after(&self, name: Option<&str>) -> Option<&RunSlave> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let (_, ix) = self.by_name.range::<str, _>((from, Bound::Unbounded)).next()?;
        Some(&self.members[*ix])
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub fn get(&self, ix: usize) -> &RunSlave {
        &self.members[ix]
    }

    pub fn get_mut(&mut self, ix: usize) -> &mut RunSlave {
        &mut self.members[ix]
    }

    pub fn iter(&self) -> std::slice::Iter<'_, RunSlave> {
        self.members.iter()
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns the connections of the slaves.
    pub fn connected(&self) -> impl Iterator<Item = ConnId> {
        self.members.iter().filter_map(|member| member.conn)
    }

    pub fn names(&self, which: impl Fn(&RunSlave) -> bool) -> Vec<&str> {
        self.members.iter().filter(|member| which(member)).map(|member| member.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(budget: &Budget) -> Roster {
        let text = r#"{"name": "t", "end": {"duration": 1}, "slaves": {"n[1-100]": ["s"]},
            "schedules": {"s": [{"name": "x", "poke": true, "shell": "true"}]}}"#;
        Roster::new(&testfile::parse("t", text, &mut |_| Err(String::new())).expect("a test"), budget)
    }

    fn end() -> RunEnd {
        RunEnd { at: Time::default(), exit: None, outcome: EntryOutcome::Failed, attempt: 1, why: None }
    }

    #[test]
    fn what_is_kept_of_reports_has_a_bound_and_counts_against_the_memory() {
        let budget = Budget::new(1 << 30);
        let (mut roster, text) = (roster(&budget), "\u{202e}".repeat(2_000));
        for ix in 0..100 {
            let member = roster.get_mut(ix);
            (1..=12_000).for_each(|nr| member.exited("x", nr, end(), Some(&text)));
            (0..10).for_each(|_| member.warn(&text));
            assert_eq!(member.runs.len(), RUNS_KEPT_OF_ALL / 100, "each has its share");
            assert!(!member.knows_all_runs());
        }
        let whole = |member: &RunSlave| {
            member.runs.iter().filter(|run| run.end.as_ref().unwrap().why.as_ref() == Some(&text)).count()
        };
        assert_eq!(roster.iter().map(whole).sum::<usize>(), TEXTS_KEPT / text.len(), "the first ones");
        assert_eq!(roster.get(99).shortened, RUNS_KEPT_OF_ALL / 100 + WARNINGS_KEPT);
        let cost = size_of::<EntryRun>() + SHORT + CUT.len() + 8;
        assert!(budget.held() < RUNS_KEPT_OF_ALL * cost + 2 * TEXTS_KEPT, "{}", budget.held());
        roster.get_mut(0).begin_incarnation("i");
        let held = budget.held();
        drop(roster);
        assert!(held > 0 && budget.held() == 0);
    }

    #[test]
    fn texts_are_short_when_the_memory_is_full() {
        let (budget, text) = (Budget::new(1_000), "x".repeat(900));
        let mut roster = roster(&budget);
        let full = budget.hold(500);
        roster.get_mut(0).exited("x", 1, end(), Some(&text));
        drop(full);
        roster.get_mut(0).exited("x", 2, end(), Some("short"));
        let why: Vec<_> = roster.get(0).runs.iter().filter_map(|run| run.end.as_ref()?.why.as_deref()).collect();
        assert_eq!(why, [&*("x".repeat(SHORT) + CUT), "short"]);
    }

    #[test]
    fn the_last_run_of_an_entry_is_found_among_others() {
        let mut roster = roster(&Budget::default());
        let member = roster.get_mut(0);
        member.spawned(Time::default(), "x", 1, None);
        member.spawned(Time::default(), "y", 1, None);
        member.spawned(Time::default(), "x", 2, None);
        member.exited("x", 1, end(), None);
        assert_eq!(member.last_run("x").map(|run| (run.nr, run.end.is_some())), Some((2, false)));
        assert!(member.last_run("z").is_none());
    }
}
