//! The slaves of a run: who is connected, how far each has come, and what each has said that its entries did.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;

use crate::controller::room::rendezvous::Process;
use crate::machine::{ConnId, Exit, Time};
use crate::testfile::Test;
use crate::wire::EntryOutcome;
use crate::wire::rendezvous::Wait;

/// How many runs of entries the summary keeps of one slave; `events.jsonl` has them all.
const RUNS_KEPT: usize = 10_000;

/// How many of its warnings the report has.
const WARNINGS_KEPT: usize = 5;

/// How far a slave has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Never seen, or gone again before the start.
    Absent,
    /// It has its part of the test.
    Joined,
    /// It waits for the start, or has started.
    Ready,
    /// Nothing of the run is left on it.
    Stopped,
    /// It will not come back to this run.
    Lost,
}

/// One slave.
#[derive(Debug)]
pub struct RunSlave {
    pub name: String,
    /// The machine that serves as this slave, if its name is another.
    pub machine: Option<Rc<str>>,
    pub stage: Stage,
    pub conn: Option<ConnId>,
    /// When its connection went; `None` while it stands and before the first.
    pub gone: Option<Time>,
    pub address: Option<IpAddr>,
    incarnation: Option<Box<str>>,
    /// The number of its process, from its hello on.
    pub process: Option<Process>,
    /// The last report that has been recorded.
    pub recorded: u64,
    /// When what it reported last happened.
    pub reported: Time,
    /// What it said when its last job had exited; `None`: a job runs or will.
    pub idle: Option<Idle>,
    /// Nothing runs on it that a command has started or left behind.
    pub cleared: bool,
    /// What the end trigger set off on it has exited.
    pub settled: bool,
    /// How late it started and how wrong that can be, in microseconds.
    pub begun: Option<(u64, u64)>,
    /// The triggers that it is still to be told again, since it has come back.
    pub owed: VecDeque<String>,
    /// The first runs of its entries.
    pub runs: Vec<EntryRun>,
    /// Where in `runs` those stand that have not ended.
    open: BTreeMap<(String, u32), usize>,
    /// How many runs of each entry have begun, passed, were stopped and have failed, all counted.
    pub counts: BTreeMap<String, Counts>,
    /// By name in the results: how many bytes have been kept.
    pub files: BTreeMap<String, u64>,
    /// How many directories these lie in.
    pub directories: usize,
    /// What its commands have waited for a while, as it said last.
    pub waits: Vec<Wait>,
    /// What it has warned of: the first warnings, and how many there were.
    pub warnings: (Vec<String>, usize),
}

/// No job runs on a slave, and only a trigger or a poke could start one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    /// How many triggers the slave had heard.
    pub heard: u64,
    /// Whether services run, or will by themselves.
    pub services: bool,
}

/// One run of one entry.
#[derive(Debug)]
pub struct EntryRun {
    pub entry: String,
    pub nr: u32,
    pub pid: Option<u32>,
    pub spawned: Option<Time>,
    /// It has become ready.
    pub ready: bool,
    pub end: Option<RunEnd>,
}

/// What became of the runs of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub runs: usize,
    pub passed: usize,
    pub stopped: usize,
    pub failed: usize,
}

/// How a run of an entry ended.
#[derive(Debug)]
pub struct RunEnd {
    pub at: Time,
    pub exit: Option<Exit>,
    pub outcome: EntryOutcome,
    pub why: Option<String>,
}

impl RunSlave {
    fn new(name: &str) -> RunSlave {
        RunSlave {
            name: name.to_owned(),
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
            counts: BTreeMap::new(),
            files: BTreeMap::new(),
            directories: 0,
            waits: Vec::new(),
            warnings: (Vec::new(), 0),
        }
    }

    /// It has warned of something.
    pub fn warn(&mut self, text: &str) {
        self.warnings.1 += 1;
        if self.warnings.0.len() < WARNINGS_KEPT {
            self.warnings.0.push(text.to_owned());
        }
    }

    /// The name under which the machine that serves says hello.
    pub fn machine(&self) -> &str {
        self.machine.as_deref().unwrap_or(&self.name)
    }

    pub fn is_incarnation(&self, incarnation: &str) -> bool {
        self.incarnation.as_deref() == Some(incarnation)
    }

    /// Another process speaks for this slave now; what the former one said of its part is void.
    pub fn begin_incarnation(&mut self, incarnation: &str) {
        let machine = self.machine.take();
        *self = RunSlave {
            incarnation: Some(incarnation.into()),
            machine,
            address: self.address,
            ..RunSlave::new(&self.name)
        };
    }

    pub fn spawned(&mut self, at: Time, entry: &str, nr: u32, pid: Option<u32>) {
        self.counts.entry(entry.to_owned()).or_default().runs += 1;
        self.cleared &= pid.is_none();
        if self.runs.len() < RUNS_KEPT {
            self.open.insert((entry.to_owned(), nr), self.runs.len());
            self.runs.push(EntryRun { entry: entry.to_owned(), nr, pid, spawned: Some(at), ready: false, end: None });
        }
    }

    /// A run of an entry has become ready.
    pub fn entry_ready(&mut self, entry: &str, nr: u32) {
        if let Some(&known) = self.open.get(&(entry.to_owned(), nr)) {
            self.runs[known].ready = true;
        }
    }

    pub fn exited(&mut self, entry: &str, nr: u32, end: RunEnd) {
        let counts = self.counts.entry(entry.to_owned()).or_default();
        match end.outcome {
            EntryOutcome::Passed => counts.passed += 1,
            EntryOutcome::Stopped => counts.stopped += 1,
            EntryOutcome::Failed => counts.failed += 1,
        }
        // A run that could not begin was not said to have.
        counts.runs = counts.runs.max(counts.passed + counts.stopped + counts.failed);
        let full = self.runs.len() >= RUNS_KEPT;
        match self.open.remove(&(entry.to_owned(), nr)) {
            Some(known) => self.runs[known].end = Some(end),
            None if !full => {
                self.runs.push(EntryRun {
                    entry: entry.to_owned(),
                    nr,
                    pid: None,
                    spawned: None,
                    ready: false,
                    end: Some(end),
                });
            }
            None => {}
        }
    }

    /// Whether every run of its entries is among those that are kept.
    pub fn knows_all_runs(&self) -> bool {
        self.runs.len() < RUNS_KEPT
    }

    /// Whether nothing runs, and only a trigger beyond so many, or a poke, could start something.
    pub fn has_nothing_to_do(&self, fired: u64) -> bool {
        self.idle.is_some_and(|idle| idle.heard == fired && !idle.services)
    }

    /// The runs of entries that have begun and not ended.
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
    pub fn new(test: &Test) -> Roster {
        Roster {
            members: test.slaves.iter().map(|slave| RunSlave::new(&slave.name)).collect(),
            by_name: test.slaves.iter().enumerate().map(|(ix, slave)| (slave.name.clone(), ix)).collect(),
        }
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

    /// The connections that stand.
    pub fn connected(&self) -> impl Iterator<Item = ConnId> {
        self.members.iter().filter_map(|member| member.conn)
    }

    pub fn names(&self, which: impl Fn(&RunSlave) -> bool) -> Vec<&str> {
        self.members.iter().filter(|member| which(member)).map(|member| member.name.as_str()).collect()
    }
}
