//! The last words of a run, for people: the verdict, what failed and where to look.

use std::collections::BTreeMap;
use std::path::Path;

use super::results::{Ending, start_skew};
use super::roster::{Counts, Roster, Stage};
use super::view::run_name;
use crate::machine::{Outbox, Stream};
use crate::spoken;
use crate::testfile::Test;
use crate::wire::{Outcome, Verdict};

/// How many failed runs of entries are told one by one.
const FAILED_SHOWN: usize = 20;

/// Prints the summary of a run.
pub fn print(test: &Test, roster: &Roster, results: &Path, ending: &Ending, out: &mut Outbox) {
    let results_are_in = format!("results are in {}\n", results.display());
    out.print_surely(Stream::Out, text(test, roster, results, ending) + &results_are_in);
}

/// The summary of a run, which names its files in the directory `results`.
pub fn text(test: &Test, roster: &Roster, results: &Path, ending: &Ending) -> String {
    let mut text = String::from("\n");
    text += &entries(roster);
    let lost = roster.names(|member| member.stage == Stage::Lost);
    if !lost.is_empty() {
        text += &format!("  lost: {}\n", spoken::list(&lost));
    }
    text += &failed(roster, results);
    text += &warnings(roster);
    if let Some((skew, uncertain)) = start_skew(roster) {
        text += &format!("  start skew {} (clocks known to {})\n", spoken::duration(skew), spoken::duration(uncertain));
    }
    let verdict = match ending.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Interrupted => "was interrupted",
    };
    let took = ending
        .start
        .map_or_else(String::new, |(start, _)| format!(" after {:.3} s", ending.now.since(start).as_secs_f64()));
    text += &format!("{} {verdict}{took}: {}\n", test.name, spoken::harmless(ending.why));
    text
}

/// A line an entry: how often it ran, and what became of it.
fn entries(roster: &Roster) -> String {
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for (entry, more) in roster.iter().flat_map(|member| &member.counts) {
        let sum = counts.entry(entry).or_default();
        *sum = Counts {
            runs: sum.runs + more.runs,
            passed: sum.passed + more.passed,
            stopped: sum.stopped + more.stopped,
            failed: sum.failed + more.failed,
        };
    }
    let width = counts.keys().map(|entry| entry.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (entry, counts) in counts {
        let unknown = counts.runs - counts.passed - counts.stopped - counts.failed;
        let parts =
            [(counts.passed, "passed"), (counts.stopped, "stopped"), (counts.failed, "failed"), (unknown, "unknown")];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts.map(|(count, word)| format!("{count} {word}")).collect();
        text += &format!("  {entry:<width$}  {}\n", parts.join(", "));
    }
    text
}

/// A line each failed run: on which slave, why, and where its errors are.
fn failed(roster: &Roster, results: &Path) -> String {
    let mut text = String::new();
    let mut more = 0;
    for (shown, (member, run)) in
        roster.iter().flat_map(|member| member.runs.iter().map(move |run| (member, run))).filter(is_failed).enumerate()
    {
        if shown >= FAILED_SHOWN {
            more += 1;
            continue;
        }
        let name = run_name(&run.entry, run.nr);
        let why = run.end.as_ref().and_then(|end| end.why.as_deref()).unwrap_or("failed");
        text += &format!("  {} {name}: {}", member.name, spoken::harmless(why));
        let errors = format!("{name}.err");
        if member.files.get(&errors).is_some_and(|&length| length > 0) {
            text += &format!("; see {}", results.join(&member.name).join(errors).display());
        }
        text.push('\n');
    }
    if more > 0 {
        text += &format!("  and {more} more failed\n");
    }
    text
}

/// What slaves have warned of: the first warnings of each.
fn warnings(roster: &Roster) -> String {
    let mut text = String::new();
    for member in roster.iter() {
        let (first, count) = &member.warnings;
        for warning in first {
            text += &format!("  {} warning: {}\n", member.name, spoken::harmless(warning));
        }
        if *count > first.len() {
            text += &format!("  {} and {} warnings more, in events.jsonl\n", member.name, count - first.len());
        }
    }
    text
}

fn is_failed((_, run): &(&super::roster::Member, &super::roster::EntryRun)) -> bool {
    run.end.as_ref().is_some_and(|end| end.outcome == Outcome::Failed)
}
