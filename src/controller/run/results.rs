//! The results directory: the files that slaves ship, and the content of `summary.json`.
//!
//! A slave writes below its own directory only, under the names of its own entries, and within bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use serde::Serialize;

use crate::controller::room::trigger::Triggers;
use crate::controller::run::failures::{self, Failure, Failures};
use crate::controller::run::measurements::{InSummary, Measurements};
use crate::controller::run::roster::{EntryRun, Roster, RunSlave, Stage};
use crate::controller::run::slave_error::OutputError;
use crate::machine::faults::{Fault, injected};
use crate::machine::{Exit, Outbox, Time};
use crate::session::files;
use crate::testfile::Test;
use crate::text;
use crate::wire::{Action, Entry, EntryOutcome, Verdict};

/// The longest file that is kept, in bytes.
pub const FILE_MAX: u64 = 1 << 30;

/// The most files of one slave.
const FILES_MAX: usize = 20_000;

/// The most directories that the files of one slave lie in. Each takes an inode, and time in every listing of the results.
const DIRECTORIES_MAX: usize = 5_000;

/// Keeps a piece of a file that a slave ships. Returns the length of the file and how much of the piece was new, in bytes.
/// Fails if the slave may not ship the file, or if the piece is longer than the `room` that is left in the run. `entry`
/// finds the entries of the slave by name.
pub fn keep<'a>(
    results: &std::path::Path,
    member: &mut RunSlave,
    entry: impl Fn(&str) -> Option<&'a Entry>,
    file: &str,
    (offset, data): (u64, &[u8]),
    room: u64,
    out: &mut Outbox,
) -> Result<(u64, usize), OutputError> {
    let named = || file.to_owned();
    files::check_shipped(file).map_err(|error| OutputError::Name { file: named(), error })?;
    if !is_results_file(file, entry) {
        return Err(OutputError::NotShipped { file: named() });
    }
    let known = member.files.get(file).copied();
    if known.is_none() && member.files.len() >= FILES_MAX {
        return Err(OutputError::TooManyFiles { max: FILES_MAX });
    }
    let length = known.unwrap_or(0);
    if offset > length {
        return Err(OutputError::Gap { file: named(), offset, length });
    }
    if known.is_none() && stands_in_the_way(member, file) {
        return Err(OutputError::Clash { file: named() });
    }
    let made = if known.is_none() { new_directories(member, file) } else { 0 };
    if member.directories + made > DIRECTORIES_MAX {
        return Err(OutputError::TooManyDirectories { max: DIRECTORIES_MAX });
    }
    let offset = if injected(Fault::OutputKeptAgain) { length } else { offset };
    let new = data.get((length - offset).min(data.len() as u64) as usize..).unwrap_or_default();
    if length + new.len() as u64 > FILE_MAX {
        return Err(OutputError::LongFile { file: named(), max: FILE_MAX });
    }
    if new.len() as u64 > room {
        return Err(OutputError::OutputMax);
    }
    if known.is_none() || !new.is_empty() {
        out.write_at(results.join(&member.name).join(file), length, new.to_vec(), false);
        member.files.insert(file.to_owned(), length + new.len() as u64);
        member.directories += made;
    }
    Ok((length + new.len() as u64, new.len()))
}

/// Returns whether the path of a file and that of another file of the slave need the same name, once for a file and once
/// for a directory.
fn stands_in_the_way(member: &RunSlave, file: &str) -> bool {
    let above = file.match_indices('/').any(|(at, _)| member.files.contains_key(&file[..at]));
    let inside = format!("{file}/");
    above || member.files.range(inside.clone()..).next().is_some_and(|(other, _)| other.starts_with(&inside))
}

/// Counts the directories of these files.
pub fn directories_of(files: &BTreeMap<String, u64>) -> usize {
    let above = |file: &'_ str| file.match_indices('/').map(|(at, _)| file[..at].to_owned()).collect::<Vec<_>>();
    files.keys().flat_map(|file| above(file)).collect::<BTreeSet<_>>().len()
}

/// Counts the directories above a file that contain no other file of the slave.
fn new_directories(member: &RunSlave, file: &str) -> usize {
    let is_new = |directory: &str| {
        member
            .files
            .range::<str, _>((Bound::Included(directory), Bound::Unbounded))
            .next()
            .is_none_or(|(other, _)| !other.starts_with(directory))
    };
    file.match_indices('/').filter(|(at, _)| is_new(&file[..=*at])).count()
}

/// Returns whether a slave with these entries can ship a file of this name: `ENTRY.out`, `ENTRY.2.err`,
/// `ENTRY.files/PATH`. `entry` finds the entries of the slave by name.
pub fn is_results_file<'a>(file: &str, entry: impl Fn(&str) -> Option<&'a Entry>) -> bool {
    let Some((name, rest)) = file.split_once('.').filter(|_| files::check_shipped(file).is_ok()) else { return false };
    let Some(entry) = entry(name) else { return false };
    let kind = match rest.split_once('.') {
        Some((nr, kind)) if nr.parse::<u32>().is_ok_and(|n| n > 1 && n.to_string() == nr) => kind,
        _ => rest,
    };
    match (&entry.action, kind.split_once('/')) {
        // The map of a sync.
        (Action::Sync { .. }, None) => kind == "out",
        (Action::Shell(_), None) => kind == "out" || kind == "err",
        (Action::Shell(_), Some((directory, path))) => directory == "files" && !path.is_empty(),
        _ => false,
    }
}

/// The failures and the slaves of a summary without any.
const NO_FAILURES: &[u8] = b"\n  \"failures\": []";
const NO_SLAVES: &[u8] = b"\n  \"slaves\": {}";

/// The bytes before and after one of them in an object that has nothing else.
const FAILURES_ALONE: (&str, &str) = ("{\n  \"failures\": [", "\n  ]\n}");
const SLAVES_ALONE: (&str, &str) = ("{\n  \"slaves\": {", "\n  }\n}");

/// The content of `summary.json`. Times are seconds since the start.
#[derive(Serialize)]
struct Summary<'a> {
    test: &'a str,
    run: &'a str,
    verdict: Verdict,
    why: &'a str,
    /// The events after the first failure, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<&'a str>,
    /// Only that there are some: they are added one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<[(); 0]>,
    /// The number of later failures, which only `events.jsonl` has.
    #[serde(skip_serializing_if = "is_zero")]
    failures_left_out: usize,
    /// The wall-clock time of the start, unless the run never started.
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    /// The time between the first and the last start of a slave.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_skew: Option<f64>,
    /// Empty: they are added one by one.
    slaves: BTreeMap<&'a str, ()>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    measurements: BTreeMap<&'a str, InSummary<'a>>,
    triggers: BTreeMap<&'a str, TriggerSummary>,
}

#[derive(Serialize)]
struct FailureSummary<'a> {
    kind: failures::FailureKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    slave: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nr: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<Exit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tail: Option<&'a str>,
}

#[derive(Serialize)]
struct SlaveSummary<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    state: &'static str,
    entries: BTreeMap<&'a str, Vec<RunSummary<'a>>>,
    /// The number of later runs of entries, which only `events.jsonl` has.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: usize,
    /// The number of texts that are whole only in `events.jsonl`.
    #[serde(skip_serializing_if = "is_zero")]
    shortened: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct RunSummary<'a> {
    nr: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spawned: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exited: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<Exit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<EntryOutcome>,
    /// The number of this attempt at a job, if that is not the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

#[derive(Serialize)]
struct TriggerSummary {
    initial: u64,
    notified: u64,
    left: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fired: Option<f64>,
}

/// How a run ended, for its summary.
pub struct Ending<'a> {
    pub run: &'a str,
    pub verdict: Verdict,
    pub why: &'a str,
    /// The events after the first failure, in words.
    pub then: Option<String>,
    pub failures: &'a Failures,
    pub measurements: &'a Measurements,
    /// A line for each entry that never began, if the run failed.
    pub never_began: &'a [String],
    /// The instant of the start, and its wall-clock time.
    pub start: Option<(Time, &'a str)>,
    pub now: Time,
}

/// The bytes of `summary.json` around its failures and its slaves.
pub struct Frame {
    pub before_failures: Vec<u8>,
    pub before_slaves: Vec<u8>,
    pub after_slaves: Vec<u8>,
}

/// Returns `summary.json` without its failures and slaves.
pub fn frame(test: &Test, roster: &Roster, triggers: &Triggers, ending: &Ending) -> Frame {
    let since = |at: Time| since(ending.start.map(|(start, _)| start), at);
    let summary = Summary {
        test: &test.name,
        run: ending.run,
        verdict: ending.verdict,
        why: ending.why,
        then: ending.then.as_deref(),
        failures: ending.failures.first().map(|_| []),
        failures_left_out: ending.failures.count() - ending.failures.kept().len(),
        started: ending.start.map(|(_, wall)| wall),
        duration: since(ending.now),
        start_skew: start_skew(roster).map(|(skew, _)| skew.as_secs_f64()),
        slaves: BTreeMap::new(),
        measurements: ending.measurements.in_summary(roster),
        triggers: triggers
            .iter()
            .map(|(name, trigger)| {
                let fired = trigger.fired.and_then(since);
                let (initial, notified, left) = (trigger.initial, trigger.notified, trigger.left());
                (name, TriggerSummary { initial, notified, left, fired })
            })
            .collect(),
    };
    let bytes = pretty(&summary);
    // No string matches, because JSON escapes line breaks.
    let end_of = |empty: &[u8]| memchr::memmem::find(&bytes, empty).map(|at| at + empty.len() - 1);
    let failures = end_of(NO_FAILURES).unwrap_or(0);
    let slaves = end_of(NO_SLAVES).expect("the slaves are always there");
    let close: &[u8] = if failures > 0 { b"\n  " } else { b"" };
    Frame {
        before_failures: bytes[..failures].to_vec(),
        before_slaves: [close, &bytes[failures..slaves]].concat(),
        after_slaves: [&b"\n  "[..], &bytes[slaves..], b"\n"].concat(),
    }
}

/// Returns the bytes of one slave in `summary.json`. A comma must separate them from those of the slave before.
pub fn slave_in_summary(member: &RunSlave, start: Option<Time>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Alone<'a> {
        slaves: BTreeMap<&'a str, SlaveSummary<'a>>,
    }
    let slaves = BTreeMap::from([(member.name.as_str(), slave_summary(member, &|at| since(start, at)))]);
    without(&pretty(&Alone { slaves }), SLAVES_ALONE)
}

/// Returns the bytes of one failure in `summary.json`. A comma must separate them from those of the failure before.
pub fn failure_in_summary(failure: &Failure, start: Option<Time>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Alone<'a> {
        failures: [FailureSummary<'a>; 1],
    }
    let failures = [failure_summary(failure, &|at| since(start, at))];
    without(&pretty(&Alone { failures }), FAILURES_ALONE)
}

fn without(bytes: &[u8], (before, after): (&str, &str)) -> Vec<u8> {
    bytes[before.len()..bytes.len() - after.len()].to_vec()
}

/// Returns the seconds from the start to an instant, if the run has started.
fn since(start: Option<Time>, at: Time) -> Option<f64> {
    start.map(|start| at.diff(start) as f64 / 1e6)
}

fn pretty(summary: &impl Serialize) -> Vec<u8> {
    let bytes = serde_json::to_vec_pretty(summary).expect("a summary of plain fields always encodes");
    text::harmless_json(bytes)
}

fn failure_summary<'a>(failure: &'a Failure, since: &impl Fn(Time) -> Option<f64>) -> FailureSummary<'a> {
    FailureSummary {
        kind: failure.kind,
        slave: failure.slave.as_deref(),
        entry: failure.entry.as_ref().map(|(entry, _)| entry.as_str()),
        nr: failure.entry.as_ref().map(|(_, nr)| *nr),
        exit: failure.exit,
        time: since(failure.at),
        text: failure.in_words(),
        tail: failure.tail.as_deref(),
    }
}

fn slave_summary<'a>(member: &'a RunSlave, since: &impl Fn(Time) -> Option<f64>) -> SlaveSummary<'a> {
    let mut entries: BTreeMap<&str, Vec<RunSummary>> = BTreeMap::new();
    for run in &member.runs {
        entries.entry(&run.entry).or_default().push(run_summary(run, since));
    }
    let left_out = member.counts.values().map(|counts| counts.runs).sum::<usize>().saturating_sub(member.runs.len());
    let state = match member.stage {
        Stage::Absent => "absent",
        Stage::Joined => "joined",
        Stage::Ready => "ready",
        Stage::Stopped => "stopped",
        Stage::Lost => "lost",
    };
    let address = member.address.map(|address| address.to_string());
    SlaveSummary { address, state, entries, left_out, shortened: member.shortened }
}

fn run_summary<'a>(run: &'a EntryRun, since: &impl Fn(Time) -> Option<f64>) -> RunSummary<'a> {
    let end = run.end.as_ref();
    RunSummary {
        nr: run.nr,
        pid: run.pid,
        spawned: run.spawned.and_then(since),
        exited: end.and_then(|end| since(end.at)),
        exit: end.and_then(|end| end.exit),
        outcome: end.map(|end| end.outcome),
        attempt: end.map(|end| end.attempt).filter(|attempt| *attempt > 1),
        why: end.and_then(|end| end.why.as_deref()),
    }
}

/// Returns the time between the first and the last start of a slave, and how wrong that can be. Returns `None` until two
/// slaves have started.
pub fn start_skew(roster: &Roster) -> Option<(Duration, Duration)> {
    let begun = || roster.iter().filter_map(|member| member.begun);
    let first = begun().map(|(late, _)| late).min()?;
    let last = begun().map(|(late, _)| late).max()?;
    let uncertain = begun().map(|(_, uncertain)| uncertain).max()?;
    (begun().count() > 1).then(|| (last - first, uncertain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Expect, Policy};

    fn entries() -> Vec<Entry> {
        let action = Action::Shell(Box::default());
        let sync = Action::Sync {
            session: "s".to_owned(),
            tag: None,
            party: None,
            timeout: None,
            all_alive: false,
            value: 1.into(),
            expect: Expect::default(),
        };
        let entry = |name: &str, action| Entry { name: name.to_owned(), policy: Policy::Poke, action };
        vec![entry("make", action), entry("give", sync)]
    }

    #[test]
    fn a_summary_says_how_many_failures_it_leaves_out() {
        let test = crate::testfile::parse(
            "t",
            r#"{"name": "t", "end": {"duration": 1}, "slaves": {"a": ["s"]},
            "schedules": {"s": [{"name": "x", "at": 0, "shell": "false"}]}}"#,
            &mut |_| Err(String::new()),
        )
        .expect("a test");
        let roster = Roster::new(&test, &crate::controller::session::budget::Budget::default());
        let mut failures = Failures::default();
        let mut left_out = |count| {
            let kind = failures::FailureKind::Entry;
            (0..count).for_each(|_| failures.add(Failure::of_run(kind, Time::default(), "x".to_owned())));
            let ending = Ending {
                run: "r",
                verdict: Verdict::Failed,
                why: "x",
                then: None,
                failures: &failures,
                measurements: &Measurements::new(&crate::controller::session::budget::Budget::default()),
                never_began: &[],
                start: None,
                now: Time::default(),
            };
            let frame = frame(&test, &roster, &Triggers::default(), &ending);
            let whole = [frame.before_failures, frame.before_slaves, frame.after_slaves].concat();
            let summary: serde_json::Value = serde_json::from_slice(&whole).expect("it is JSON");
            summary.get("failures_left_out").cloned()
        };
        assert_eq!(left_out(1_000), None);
        assert_eq!(left_out(7), Some(7.into()));
    }

    #[test]
    fn a_slave_ships_only_files_of_its_entries() {
        let entries = entries();
        let is_ours = |file: &str| is_results_file(file, |name| entries.iter().find(|entry| entry.name == name));
        for good in ["make.out", "make.2.err", "make.files/a.log", "give.out", "give.2.out", "make.10.files/sub/a.log"]
        {
            assert!(is_ours(good), "{good}");
        }
        let bad = [
            "make",
            "give.err",
            "give.files/x",
            "other.out",
            "make.1.out",
            "make.02.out",
            "make.files/../x",
            "make.files/",
            "make.log",
        ];
        for bad in bad.into_iter().chain([
            "/etc/passwd",
            "make.files//x",
            "make.files/a\0",
            "make.files/a\n",
            "make.files/\u{9b}2J",
            "make.files/\u{202e}x",
            &format!("make.files{}/x", "/d".repeat(files::DEPTH_MAX)),
            "../make.out",
            "summary.json",
        ]) {
            assert!(!is_ours(bad), "{bad}");
        }
    }
}
