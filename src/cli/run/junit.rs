//! `arete run --junit FILE`: the outcome of a run as CI servers read it.
//!
//! The run is one suite. Each run of an entry is a case, with the tail of its output if it has failed, and the case `run`
//! has the verdict, because a run can fail although each entry has passed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};
use serde::Deserialize;

use crate::cli::directory;
use crate::cli::error::Error;
use crate::cli::run::measurements::{self, Measurements};
use crate::cli::run::results_dir::SUMMARY;

/// What is read of `summary.json`; see arete-results(5).
#[derive(Deserialize)]
struct Summary {
    test: String,
    run: String,
    verdict: String,
    why: String,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    failures: Vec<Failure>,
    #[serde(default)]
    measurements: Measurements,
    slaves: BTreeMap<String, Slave>,
}

#[derive(Deserialize)]
struct Failure {
    kind: String,
    slave: Option<String>,
    entry: Option<String>,
    nr: Option<u32>,
    text: String,
    #[serde(default)]
    tail: String,
}

#[derive(Deserialize)]
struct Slave {
    entries: BTreeMap<String, Vec<EntryRun>>,
}

#[derive(Deserialize)]
struct EntryRun {
    nr: u32,
    spawned: Option<f64>,
    exited: Option<f64>,
    outcome: Option<String>,
    why: Option<String>,
}

/// Writes the outcome of the run in the directory `results` to the file `to`. Fails if the run has written none.
pub fn write(results: &Path, to: &Path) -> Result<(), Error> {
    let path = results.join(SUMMARY);
    let unread = |why: String| Error::failed(format!("--junit: cannot read {}: {why}", path.display()));
    let text = std::fs::read(&path).map_err(|error| unread(arete::reactor::plain(&error)))?;
    let summary: Summary = serde_json::from_slice(&text).map_err(|error| unread(error.to_string()))?;
    let text = report(&summary).to_string().map_err(|error| Error::failed(format!("--junit: {error}")))?;
    directory::write(to, &text).map_err(Error::cannot(format_args!("write {}", to.display())))
}

fn report(summary: &Summary) -> Report {
    let mut suite = TestSuite::new(&*summary.test);
    suite.set_time(time(summary.duration));
    for (name, value) in [("run", &summary.run), ("verdict", &summary.verdict), ("why", &summary.why)] {
        suite.add_property(Property::new(name, &**value));
    }
    measurements::add_properties(&mut suite, &summary.measurements);
    let mut run = TestCase::new("run", verdict(summary));
    run.set_classname(&*summary.test).set_time(time(summary.duration));
    suite.add_test_case(run);
    for (slave, part) in &summary.slaves {
        for (entry, runs) in &part.entries {
            let is_last = |run: &&EntryRun| run.outcome.as_deref() != Some(RETRIED);
            let several = runs.iter().filter(is_last).count() > 1;
            let mut attempts = Vec::new();
            for one in runs {
                if one.outcome.as_deref() == Some(RETRIED) {
                    attempts.push(attempt(one));
                    continue;
                }
                let name = if several { format!("{entry} #{}", one.nr) } else { entry.clone() };
                let mut status = status(summary, slave, entry, one);
                status.add_reruns(attempts.drain(..));
                let mut case = TestCase::new(name, status);
                case.set_classname(format!("{}.{slave}", summary.test));
                if let (Some(begin), Some(end)) = (one.spawned, one.exited) {
                    case.set_time(time(end - begin));
                }
                suite.add_test_case(case);
            }
        }
    }
    let mut report = Report::new(&*summary.test);
    report.add_test_suite(suite);
    report
}

/// The outcome of an attempt at a job that another one follows.
const RETRIED: &str = "retried";

/// Returns an attempt that failed before the last one.
fn attempt(run: &EntryRun) -> TestRerun {
    let mut rerun = TestRerun::new(NonSuccessKind::Failure);
    rerun.set_message(run.why.as_deref().unwrap_or("it has failed"));
    if let (Some(begin), Some(end)) = (run.spawned, run.exited) {
        rerun.set_time(time(end - begin));
    }
    rerun
}

/// Returns a time in seconds as a duration.
fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Returns the verdict as a status. A failure that is no entry's, such as the loss of a slave, has its words here.
fn verdict(summary: &Summary) -> TestCaseStatus {
    if summary.verdict == "passed" {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let of_run: Vec<&str> =
        summary.failures.iter().filter(|failure| failure.entry.is_none()).map(|failure| &*failure.text).collect();
    status.set_message(&*summary.why).set_type(&*summary.verdict).set_description(of_run.join("\n"));
    status
}

fn status(summary: &Summary, slave: &str, entry: &str, run: &EntryRun) -> TestCaseStatus {
    match run.outcome.as_deref() {
        Some("passed" | "stopped") => TestCaseStatus::success(),
        Some(_) => {
            let is_it = |failure: &&Failure| {
                failure.slave.as_deref() == Some(slave)
                    && failure.entry.as_deref() == Some(entry)
                    && failure.nr.is_none_or(|nr| nr == run.nr)
            };
            let failure = summary.failures.iter().find(is_it);
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let why = run.why.as_deref().or(failure.map(|failure| &*failure.text)).unwrap_or("it has failed");
            status.set_message(why);
            if let Some(failure) = failure {
                status.set_type(&*failure.kind).set_description(&*failure.tail);
            }
            status
        }
        None => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("its end is not known");
            status
        }
    }
}
