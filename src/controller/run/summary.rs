//! The report of a run for people: the verdict, what failed, and which files to read.

use std::collections::BTreeMap;
use std::path::Path;

use crate::controller::run::failures::{Failure, Failures};
use crate::controller::run::results::{Ending, start_skew};
use crate::controller::run::roster::{Counts, Roster, Stage};
use crate::machine::{Outbox, Stream};
use crate::testfile::Test;
use crate::text;
use crate::wire::Verdict;

/// The most kinds of failures in the report.
const FAILED_SHOWN: usize = 20;

/// Prints the report of a run, and the path of its results.
pub fn print(test: &Test, roster: &Roster, results: &Path, ending: &Ending, out: &mut Outbox) {
    let results_are_in = format!("results are in {}\n", results.display());
    out.print_surely(Stream::Out, text(test, roster, results, ending) + &results_are_in);
}

/// Returns the report of a run. It names files in the directory `results`.
pub fn text(test: &Test, roster: &Roster, results: &Path, ending: &Ending) -> String {
    let mut text = String::from("\n");
    text += &entries(roster);
    text += &ending.measurements.table();
    let lost = roster.names(|member| member.stage == Stage::Lost);
    if !lost.is_empty() {
        text += &format!("  lost: {}\n", text::list(&lost));
    }
    text += &failed(ending.failures, roster, results);
    text += &warnings(roster);
    text.extend(ending.never_began.iter().map(|line| format!("  never began: {}\n", text::harmless(line))));
    if let Some((skew, uncertain)) = start_skew(roster) {
        text += &format!("  start skew {} (clocks known to {})\n", text::duration(skew), text::duration(uncertain));
    }
    let verdict = match ending.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Interrupted => "was interrupted",
    };
    let took = ending
        .start
        .map_or_else(String::new, |(start, _)| format!(" after {:.3} s", ending.now.since(start).as_secs_f64()));
    text += &format!("{} {verdict}{took}: {}\n", test.name, text::harmless(ending.why));
    text.extend(ending.then.iter().map(|then| format!("  {}\n", text::harmless(then))));
    text
}

/// Returns a line for each entry, with the numbers of its runs by outcome.
fn entries(roster: &Roster) -> String {
    let mut counts: Vec<(&str, Counts)> = Vec::new();
    for member in roster.iter() {
        // In the order of their names, and most slaves have the same entries: the next one is usually there.
        let mut at = 0;
        for (entry, more) in &member.counts {
            if counts.get(at).is_none_or(|(name, _)| *name != entry.as_str()) {
                at += counts[at..].partition_point(|(name, _)| *name < entry.as_str());
            }
            if counts.get(at).is_none_or(|(name, _)| *name != entry.as_str()) {
                counts.insert(at, (entry, Counts::default()));
            }
            counts[at].1.add(more);
            at += 1;
        }
    }
    let width = counts.iter().map(|(entry, _)| entry.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (entry, counts) in counts {
        let parts = [
            (counts.passed - counts.flaky, "passed"),
            (counts.flaky, "flaky (passed at a later attempt)"),
            (counts.stopped, "stopped"),
            (counts.failed, "failed"),
            (counts.retried, "tried again"),
            (counts.runs - counts.ended(), "unknown"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts.map(|(count, word)| format!("{count} {word}")).collect();
        text += &format!("  {entry:<width$}  {}\n", parts.join(", "));
    }
    text
}

/// Failures that are the same on several slaves.
struct Alike<'a> {
    failures: Vec<&'a Failure>,
}

impl Alike<'_> {
    fn slaves(&self) -> Vec<&str> {
        self.failures.iter().filter_map(|failure| failure.slave.as_deref()).collect()
    }

    /// Returns the slaves, the reason, the file with the output, and the last lines of the output.
    fn in_words(&self, roster: &Roster, results: &Path) -> String {
        let [first, ..] = self.failures[..] else { return String::new() };
        let mut text = format!("  {}", text::harmless(&first.of(&text::list(&self.slaves()))));
        if let Some(output) = output_of(first, roster) {
            text += &format!("; see {}", results.join(output).display());
        }
        text.push('\n');
        let Some(told) = self.failures.iter().find(|failure| failure.tail.is_some()) else { return text };
        let tail = told.tail.as_deref().unwrap_or_default();
        text.extend(tail.lines().map(|line| format!("      | {}\n", text::harmless(line))));
        if self.failures.iter().any(|failure| failure.tail != told.tail) {
            let slave = told.slave.as_deref().unwrap_or_default();
            text += &format!("      ({slave} wrote this, others wrote something else)\n");
        }
        text
    }
}

/// Returns the name in the results of the file that explains a failure best: the standard error of the run, or its output.
fn output_of(failure: &Failure, roster: &Roster) -> Option<String> {
    let (slave, name) = (failure.slave.as_deref()?, failure.run_name()?);
    let files = &roster.get(roster.find(slave)?).files;
    let written = ["err", "out"].map(|kind| format!("{name}.{kind}"));
    let file = written.into_iter().find(|file| files.get(file).is_some_and(|&length| length > 0))?;
    Some(format!("{slave}/{file}"))
}

/// Returns the failures on slaves and of measurements. Those that are the same on several slaves are one line. The headline has any other.
fn failed(failures: &Failures, roster: &Roster, results: &Path) -> String {
    let mut alike: Vec<Alike<'_>> = Vec::new();
    let mut slots = BTreeMap::new();
    let is_listed = |failure: &&Failure| failure.slave.is_some() || failure.is_of_measurements();
    for failure in failures.kept().iter().filter(is_listed) {
        let place = *slots.entry((failure.kind, &failure.entry, &failure.reason)).or_insert(alike.len());
        match alike.get_mut(place) {
            Some(same) => same.failures.push(failure),
            None => alike.push(Alike { failures: vec![failure] }),
        }
    }
    let mut text: String = alike.iter().take(FAILED_SHOWN).map(|same| same.in_words(roster, results)).collect();
    let told: usize = alike.iter().take(FAILED_SHOWN).map(|same| same.failures.len()).sum();
    let elsewhere = failures.kept().iter().filter(|failure| !is_listed(failure)).count();
    match failures.count() - elsewhere - told {
        0 => {}
        more => text += &format!("  and {more} more failed\n"),
    }
    text
}

/// Returns the first warnings of each slave.
fn warnings(roster: &Roster) -> String {
    let mut text = String::new();
    for member in roster.iter() {
        let (first, count) = &member.warnings;
        for warning in first {
            text += &format!("  {} warning: {}\n", member.name, text::harmless(warning));
        }
        if *count > first.len() {
            text += &format!("  {} and {} warnings more, in events.jsonl\n", member.name, count - first.len());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::run::failures::FailureKind;
    use crate::controller::session::budget::Budget;
    use crate::machine::Time;
    use crate::testfile::{self, Test};

    fn test(slaves: &str) -> Test {
        let text = format!(
            r#"{{"name": "t", "end": {{"duration": 1}}, "slaves": {{"{slaves}": ["s"]}},
            "schedules": {{"s": [{{"name": "check", "at": 0, "shell": "false"}}]}}}}"#
        );
        testfile::parse("t", &text, &mut |_| Err(String::new())).expect("a test")
    }

    fn failure(slave: &str, tail: &str) -> Failure {
        Failure {
            entry: Some(("check".to_owned(), 1)),
            tail: (!tail.is_empty()).then(|| tail.to_owned()),
            ..Failure::of_slave(FailureKind::Entry, Time::default(), slave, "exit status 1, expected 0".to_owned())
        }
    }

    #[test]
    fn two_hundred_equal_failures_are_one_line_with_the_last_lines_below() {
        let (test, mut failures) = (test("node[001-200]"), Failures::default());
        (1..=200).for_each(|nr| failures.add(failure(&format!("node{nr:03}"), "no disk\ngiving up")));
        let text = failed(&failures, &Roster::new(&test, &Budget::default()), Path::new(""));
        let wanted = "  node[001-200] check failed: exit status 1, expected 0\n      | no disk\n      | giving up\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn last_lines_that_differ_are_those_of_one_slave_and_harmless() {
        let (test, mut failures) = (test("n[1-3]"), Failures::default());
        for (slave, tail) in [("n1", ""), ("n2", "a\u{1b}[2J"), ("n3", "b")] {
            failures.add(failure(slave, tail));
        }
        let text = failed(&failures, &Roster::new(&test, &Budget::default()), Path::new(""));
        assert!(text.contains("      | a?[2J\n      (n2 wrote this, others wrote something else)\n"), "{text}");
    }

    #[test]
    fn too_many_kinds_of_failures_are_counted() {
        let (test, mut failures) = (test("n1"), Failures::default());
        for nr in 0..FAILED_SHOWN + 5 {
            failures.add(Failure { reason: format!("exit status {nr}"), ..failure("n1", "") });
        }
        assert!(
            failed(&failures, &Roster::new(&test, &Budget::default()), Path::new(""))
                .ends_with("  and 5 more failed\n")
        );
    }
}
