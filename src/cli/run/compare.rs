//! `arete compare`: the results of two runs side by side.
//!
//! Only `summary.json` of each is read. The exit status tells whether the second run is worse.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arete::measure::unit::{factor, of_record};
use arete::measure::{number, with_unit};
use arete::reactor::plain;
use arete::{exit_code, text};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::error::Error;
use crate::cli::run::measurements::{Measured, Measurements};
use crate::cli::run::results_dir::SUMMARY;
use crate::cli::stdout;

#[derive(Args)]
pub struct CompareOptions {
    /// The results directory of the first run
    first: PathBuf,
    /// The results directory of the second run, which may be better or worse
    second: PathBuf,
    /// Exit with 1 if the mean of a measurement is worse by more than PERCENT of the first [default: no limit]
    #[arg(long, value_name = "PERCENT", value_parser = percent, allow_hyphen_values = true)]
    threshold: Option<f64>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// The files of a results directory that a run has before it is over.
const OF_A_RUN: [&str; 3] = ["events.jsonl", "state.jsonl", "test.json"];

/// The most entries that are printed.
const ENTRIES_SHOWN: usize = 50;

/// What is read of `summary.json`; see arete-results(5).
#[derive(Deserialize)]
struct Summary {
    test: String,
    run: String,
    verdict: String,
    why: String,
    duration: Option<f64>,
    #[serde(default)]
    measurements: Measurements,
    slaves: BTreeMap<String, Slave>,
}

#[derive(Deserialize)]
struct Slave {
    entries: BTreeMap<String, Vec<EntryRun>>,
}

#[derive(Deserialize)]
struct EntryRun {
    outcome: Option<String>,
}

/// A value of both runs.
#[derive(Debug, PartialEq, Serialize)]
struct Both<T> {
    first: T,
    second: T,
}

/// The comparison, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Compared {
    test: Both<String>,
    run: Both<String>,
    verdict: Both<String>,
    why: Both<String>,
    duration: Both<Option<f64>>,
    /// The entries whose outcomes differ.
    entries: Vec<EntryChange>,
    measurements: BTreeMap<String, Change>,
    /// Whether the second run is worse, as the exit status tells.
    worse: bool,
}

/// An entry of a slave whose outcomes differ. `None`: it has not run there.
#[derive(Debug, PartialEq, Serialize)]
struct EntryChange {
    slave: String,
    entry: String,
    first: Option<String>,
    second: Option<String>,
}

/// The means of a measurement in both runs. A missing one was not recorded there.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    /// The unit of both means. That of the second run is converted.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    first: Option<f64>,
    second: Option<f64>,
    /// The change in per cent of the first mean. Absent if that is 0, or one is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
    how: How,
    /// It is worse by more than the threshold.
    beyond: bool,
}

/// How a measurement has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum How {
    Better,
    Worse,
    Same,
    /// The units do not measure the same.
    UnitsDiffer,
    OnlyFirst,
    OnlySecond,
}

/// Compares two results directories, and prints how they differ.
pub fn run(options: &CompareOptions) -> Result<u8, Error> {
    let (first, second) = (read(&options.first)?, read(&options.second)?);
    let compared = compare(&first, &second, options.threshold);
    let printed = match options.json {
        true => serde_json::to_string_pretty(&compared).expect("plain fields always encode") + "\n",
        false => in_words(&compared, options.threshold),
    };
    stdout::print(printed)?;
    Ok(if compared.worse { exit_code::FAILED } else { exit_code::PASSED })
}

fn percent(text: &str) -> Result<f64, Error> {
    let value = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    let value = value.filter(|value| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| Error::usage("write a number of per cent from 0, such as 5 or 2.5"))
}

/// Reads the summary in a results directory. Fails with what the directory is instead.
fn read(directory: &Path) -> Result<Summary, Error> {
    let (shown, path) = (directory.display(), directory.join(SUMMARY));
    let bytes = std::fs::read(&path).map_err(|error| {
        if !directory.is_dir() {
            return Error::usage(format!("compare: {shown} is not a directory: name the results directory of a run"));
        }
        if path.exists() {
            return Error::usage(format!("compare: cannot read {}: {}", path.display(), plain(&error)));
        }
        match OF_A_RUN.iter().any(|file| directory.join(file).exists()) {
            true => Error::usage(format!(
                "compare: the run in {shown} is not over: wait for its end, or continue it with arete run --resume {shown}"
            )),
            false => Error::usage(format!("compare: {shown} has no results of a run: it lacks {SUMMARY}")),
        }
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::usage(format!("compare: {} is not the summary of a run: {error}", path.display())))
}

fn compare(first: &Summary, second: &Summary, threshold: Option<f64>) -> Compared {
    let names: BTreeSet<&String> = first.measurements.keys().chain(second.measurements.keys()).collect();
    let measurements: BTreeMap<String, Change> = names
        .into_iter()
        .map(|name| (name.clone(), change(first.measurements.get(name), second.measurements.get(name), threshold)))
        .collect();
    let failed = first.verdict == "passed" && second.verdict != "passed";
    let both = |of: fn(&Summary) -> &String| Both { first: of(first).clone(), second: of(second).clone() };
    Compared {
        test: both(|summary| &summary.test),
        run: both(|summary| &summary.run),
        verdict: both(|summary| &summary.verdict),
        why: both(|summary| &summary.why),
        duration: Both { first: first.duration, second: second.duration },
        entries: entries(first, second),
        worse: failed || measurements.values().any(|change| change.beyond),
        measurements,
    }
}

fn change(first: Option<&Measured>, second: Option<&Measured>, threshold: Option<f64>) -> Change {
    let unit = first.or(second).and_then(|measured| measured.unit.clone());
    let (a, b) = (first.map(|it| it.mean), second.map(|it| it.mean));
    let change = |how| Change { unit: unit.clone(), first: a, second: b, percent: None, how, beyond: false };
    let (Some(first), Some(second)) = (first, second) else {
        return change(if first.is_some() { How::OnlyFirst } else { How::OnlySecond });
    };
    let Some(factor) = factor(second.unit.as_deref(), first.unit.as_deref()) else { return change(How::UnitsDiffer) };
    let mean = second.mean * factor;
    let difference = mean - first.mean;
    let percent = (first.mean != 0.0).then(|| difference / first.mean.abs() * 100.0);
    let how = match difference {
        // A conversion may have rounded.
        _ if difference.abs() <= 1e-12 * first.mean.abs() => How::Same,
        _ if (difference < 0.0) == second.lower_is_better => How::Better,
        _ => How::Worse,
    };
    // From 0, every change is larger than any part of it.
    let size = percent.map_or(f64::INFINITY, f64::abs);
    let beyond = how == How::Worse && threshold.is_some_and(|threshold| size > threshold);
    Change { second: Some(mean), percent, beyond, ..change(how) }
}

/// Returns the entries whose outcomes differ.
fn entries(first: &Summary, second: &Summary) -> Vec<EntryChange> {
    let outcomes = |summary: &Summary| -> BTreeMap<(String, String), String> {
        let entries = summary.slaves.iter().flat_map(|(slave, part)| {
            let of_slave =
                part.entries.iter().map(move |(entry, runs)| ((slave.clone(), entry.clone()), outcome(runs)));
            of_slave.collect::<Vec<_>>()
        });
        entries.collect()
    };
    let (first, second) = (outcomes(first), outcomes(second));
    let all: BTreeSet<&(String, String)> = first.keys().chain(second.keys()).collect();
    let differ = all.into_iter().filter(|key| first.get(*key) != second.get(*key));
    differ
        .map(|key| EntryChange {
            slave: key.0.clone(),
            entry: key.1.clone(),
            first: first.get(key).cloned(),
            second: second.get(key).cloned(),
        })
        .collect()
}

/// Returns the worst outcome of the runs of an entry.
fn outcome(runs: &[EntryRun]) -> String {
    let outcomes = || runs.iter().map(|run| run.outcome.as_deref());
    let worst =
        ["failed", "stopped", "passed"].into_iter().find(|word| outcomes().any(|outcome| outcome == Some(word)));
    match worst {
        Some("failed") => "failed",
        _ if outcomes().any(|outcome| outcome.is_none()) => "unknown",
        worst => worst.unwrap_or("unknown"),
    }
    .to_owned()
}

fn in_words(compared: &Compared, threshold: Option<f64>) -> String {
    let Compared { test, run, verdict, duration, .. } = compared;
    let mut rows = vec![
        row("test", &test.first, &test.second, ""),
        row("run", &run.first, &run.second, ""),
        row("verdict", &verdict.first, &verdict.second, if compared.has_failed() { "worse" } else { "" }),
    ];
    let seconds = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.3} s"));
    let longer = duration.first.zip(duration.second).filter(|(first, _)| *first > 0.0);
    let longer = longer.map_or_else(String::new, |(first, second)| signed((second - first) / first * 100.0));
    rows.push(row("duration", &seconds(duration.first), &seconds(duration.second), &longer));
    for (name, change) in &compared.measurements {
        rows.push(measurement_row(name, change));
    }
    let mut printed = table(&rows);
    if test.first != test.second {
        printed += &format!("note: these are different tests: {} and {}\n", test.first, test.second);
    }
    for (which, verdict, why) in
        [("first", &verdict.first, &compared.why.first), ("second", &verdict.second, &compared.why.second)]
    {
        if verdict != "passed" {
            printed += &format!("the {which} run {verdict}: {why}\n");
        }
    }
    let shown = compared.entries.iter().take(ENTRIES_SHOWN);
    for EntryChange { slave, entry, first, second } in shown {
        let word = |outcome: &Option<String>| outcome.clone().unwrap_or_else(|| "absent".to_owned());
        printed += &format!("{slave} {entry}: {} in the first run, {} in the second\n", word(first), word(second));
    }
    if let Some(more @ 1..) = compared.entries.len().checked_sub(ENTRIES_SHOWN) {
        printed += &format!("and {more} entries more differ; --json prints all\n");
    }
    let beyond: Vec<&str> =
        compared.measurements.iter().filter(|(_, change)| change.beyond).map(|(name, _)| name.as_str()).collect();
    if let (Some(threshold), false) = (threshold, beyond.is_empty()) {
        printed += &format!("worse by more than {}%: {}\n", number(threshold), text::list(&beyond));
    }
    // Texts of both files may come from anywhere.
    printed.lines().map(|line| text::harmless(line).into_owned() + "\n").collect()
}

impl Compared {
    fn has_failed(&self) -> bool {
        self.verdict.first == "passed" && self.verdict.second != "passed"
    }
}

type Row = [String; 4];

fn row(name: &str, first: &str, second: &str, change: &str) -> Row {
    [name, first, second, change].map(str::to_owned)
}

fn measurement_row(name: &str, change: &Change) -> Row {
    let value =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| with_unit(value, change.unit.as_deref()));
    let percent = change.percent.map_or_else(String::new, |percent| signed(percent) + " ");
    let how = match change.how {
        How::Better => percent + "better",
        How::Worse => percent + "worse",
        How::Same => "same".to_owned(),
        How::UnitsDiffer => format!("not compared: the first was recorded {}", of_record(change.unit.as_deref())),
        How::OnlyFirst => "only in the first run".to_owned(),
        How::OnlySecond => "only in the second run".to_owned(),
    };
    let second = if change.how == How::UnitsDiffer {
        change.second.map_or_else(String::new, number)
    } else {
        value(change.second)
    };
    row(name, &value(change.first), &second, &how)
}

fn signed(percent: f64) -> String {
    format!("{percent:+.1}%")
}

fn table(rows: &[Row]) -> String {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2].map(width);
    let line = |[name, first, second, change]: &Row| {
        let [a, b, c] = widths;
        format!("{name:<a$}  {first:<b$}  {second:<c$}  {change}").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(mean: f64, unit: &str, lower_is_better: bool) -> Measured {
        let unit = Some(unit.to_owned());
        Measured { unit, lower_is_better, count: 1, min: mean, max: mean, mean, median: mean, sum: mean }
    }

    fn changed(first: Measured, second: Measured, threshold: Option<f64>) -> (How, Option<String>, bool) {
        let change = change(Some(&first), Some(&second), threshold);
        (change.how, change.percent.map(signed), change.beyond)
    }

    #[test]
    fn a_change_is_better_or_worse_by_the_direction_of_the_measurement() {
        let percent = |text: &str| Some(text.to_owned());
        let (fast, slow) = (|| measured(100.0, "Mbit/s", false), || measured(0.09, "Gbit/s", false));
        assert_eq!(changed(fast(), slow(), None), (How::Worse, percent("-10.0%"), false));
        assert_eq!(changed(fast(), slow(), Some(9.0)), (How::Worse, percent("-10.0%"), true));
        assert_eq!(changed(fast(), slow(), Some(11.0)), (How::Worse, percent("-10.0%"), false));
        assert_eq!(changed(slow(), fast(), Some(0.0)), (How::Better, percent("+11.1%"), false));
        let late = |value| measured(value, "ms", true);
        assert_eq!(changed(late(10.0), late(5.0), Some(0.0)), (How::Better, percent("-50.0%"), false));
        assert_eq!(changed(late(0.0), late(1.0), Some(1000.0)), (How::Worse, None, true));
        assert_eq!(changed(late(0.0), late(0.0), Some(0.0)), (How::Same, None, false));
        assert_eq!(changed(late(10.0), fast(), Some(0.0)), (How::UnitsDiffer, None, false));
    }

    #[test]
    fn the_outcome_of_an_entry_is_its_worst() {
        let runs = |outcomes: &[Option<&str>]| {
            outcomes.iter().map(|outcome| EntryRun { outcome: outcome.map(str::to_owned) }).collect::<Vec<_>>()
        };
        assert_eq!(outcome(&runs(&[Some("passed"), Some("failed"), None])), "failed");
        assert_eq!(outcome(&runs(&[Some("passed"), None])), "unknown");
        assert_eq!(outcome(&runs(&[Some("passed"), Some("passed")])), "passed");
    }
}
