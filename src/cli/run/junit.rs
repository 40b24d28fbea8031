//! `arete run --junit FILE`: the outcome of a run as CI servers read it.
//!
//! A run is a suite, also with its retries. Each run of an entry is a case, with the tail of its output if it has failed, and the case `run`
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
pub struct Summary {
    pub test: String,
    run: String,
    pub verdict: String,
    pub why: String,
    #[serde(default)]
    pub duration: f64,
    #[serde(default)]
    pub failures: Vec<Failure>,
    #[serde(default)]
    measurements: Measurements,
    slaves: BTreeMap<String, Slave>,
}

#[derive(Deserialize)]
pub struct Failure {
    kind: String,
    pub slave: Option<String>,
    pub entry: Option<String>,
    nr: Option<u32>,
    pub text: String,
    #[serde(default)]
    pub tail: String,
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

/// A suite of the file: a combination of params, or the only run.
pub struct Suite<'a> {
    /// The name of the test.
    pub test: &'a str,
    /// The name of the combination; empty if there is no matrix.
    pub combination: &'a str,
    /// The directories with the results of all attempts, in their order.
    pub attempts: Vec<&'a Path>,
    /// Why there is no outcome, if there is none.
    pub why: &'a str,
}

impl Summary {
    /// Reads the outcome of the run in a directory.
    pub fn read(results: &Path) -> Result<Summary, Error> {
        let path = results.join(SUMMARY);
        let unread = |why: String| Error::failed(format!("--junit: cannot read {}: {why}", path.display()));
        let text = std::fs::read(&path).map_err(|error| unread(arete::reactor::plain(&error)))?;
        serde_json::from_slice(&text).map_err(|error| unread(error.to_string()))
    }

    /// Returns a run of an entry.
    fn run_of(&self, slave: &str, entry: &str, nr: u32) -> Option<&EntryRun> {
        self.slaves.get(slave)?.entries.get(entry)?.iter().find(|run| run.nr == nr)
    }
}

/// Writes the outcome of runs to the file `to`. Fails if the only run has written none.
pub fn write(suites: &[Suite<'_>], to: &Path) -> Result<(), Error> {
    let mut report = Report::new(suites.first().map_or("arete", |suite| suite.test));
    for suite in suites {
        let attempts: Result<Vec<Summary>, Error> =
            suite.attempts.iter().map(|attempt| Summary::read(attempt)).collect();
        report.add_test_suite(match attempts {
            Ok(attempts) if !attempts.is_empty() => of_attempts(suite.combination, &attempts),
            Err(error) if suites.len() == 1 => return Err(error),
            _ => of_none(suite),
        });
    }
    let text = report.to_string().map_err(|error| Error::failed(format!("--junit: {error}")))?;
    // The schema of Jenkins does not allow this attribute at the outermost element, which is the first that has it.
    let text = text.replacen(&format!(" skipped=\"{}\"", report.skipped), "", 1);
    directory::write(to, &text).map_err(Error::cannot(format_args!("write {}", to.display())))
}

/// Returns the name of a suite.
fn suite_name(test: &str, combination: &str) -> String {
    if combination.is_empty() { test.to_owned() } else { format!("{test} {combination}") }
}

/// Returns the suite of a combination without an outcome.
fn of_none(Suite { test, combination, attempts, why }: &Suite<'_>) -> TestSuite {
    let name = suite_name(test, combination);
    let mut status = match attempts.is_empty() {
        true => TestCaseStatus::skipped(),
        false => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_message(*why);
    let mut case = TestCase::new("run", status);
    case.set_classname(&*name).set_time(Duration::ZERO);
    let mut suite = TestSuite::new(name);
    suite.add_test_case(case);
    suite
}

/// Returns the suite of the last attempt. What has failed in an earlier attempt is in the cases of the last one.
fn of_attempts(combination: &str, attempts: &[Summary]) -> TestSuite {
    let Some((summary, earlier)) = attempts.split_last() else { return TestSuite::new(combination) };
    let name = suite_name(&summary.test, combination);
    let mut suite = TestSuite::new(&*name);
    suite.set_time(time(summary.duration));
    for (name, value) in [("run", &summary.run), ("verdict", &summary.verdict), ("why", &summary.why)] {
        suite.add_property(Property::new(name, &**value));
    }
    measurements::add_properties(&mut suite, &summary.measurements);
    if !earlier.is_empty() {
        suite.add_property(Property::new("attempts", attempts.len().to_string()));
    }
    let mut of_run = verdict(summary);
    of_run.add_reruns(earlier.iter().filter_map(|attempt| rerun(&verdict(attempt))));
    let mut run = TestCase::new("run", of_run);
    run.set_classname(&*name).set_time(time(summary.duration));
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
                let case_name = if several { format!("{entry} #{}", one.nr) } else { entry.clone() };
                let mut of_entry = status(summary, slave, entry, one);
                let before = earlier.iter().filter_map(|attempt| {
                    let run = attempt.run_of(slave, entry, one.nr)?;
                    rerun(&status(attempt, slave, entry, run))
                });
                of_entry.add_reruns(before);
                of_entry.add_reruns(attempts.drain(..));
                let mut case = TestCase::new(case_name, of_entry);
                case.set_classname(format!("{name}.{slave}"));
                if let (Some(begin), Some(end)) = (one.spawned, one.exited) {
                    case.set_time(time(end - begin));
                }
                suite.add_test_case(case);
            }
        }
    }
    suite
}

/// Returns a status of an earlier attempt as a rerun; `None` if it has not failed.
fn rerun(status: &TestCaseStatus) -> Option<TestRerun> {
    let TestCaseStatus::NonSuccess { kind, message, ty, description, .. } = status else { return None };
    let mut rerun = TestRerun::new(*kind);
    // The schema of Jenkins demands a type.
    rerun.set_type(ty.as_deref().unwrap_or("failed"));
    if let Some(message) = message {
        rerun.set_message(message.as_str());
    }
    if let Some(description) = description {
        rerun.set_description(description.as_str());
    }
    Some(rerun)
}

/// The outcome of an attempt at a job that another one follows.
const RETRIED: &str = "retried";

/// Returns an attempt that failed before the last one.
fn attempt(run: &EntryRun) -> TestRerun {
    let mut rerun = TestRerun::new(NonSuccessKind::Failure);
    rerun.set_type("failed").set_message(run.why.as_deref().unwrap_or("it has failed"));
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
