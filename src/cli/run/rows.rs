//! The runs of one command, and their table: a row for each combination, with each attempt to pass it.

use std::path::PathBuf;

use arete::exit_code;
use arete::text::{cut, harmless};

use crate::cli::error::Error;
use crate::cli::github::{ANNOTATIONS_MAX, Kind, Log};
use crate::cli::run::junit::{Failure, Suite, Summary};
use crate::cli::run::options::Done;

/// The longest reason in the table, in characters.
const REASON_MAX: usize = 100;

/// The most failures that are printed of a run without its other events.
const FAILURES_MAX: usize = 20;

/// The file with the table, in the directory above those of the combinations.
pub const TABLE: &str = "report.txt";

/// A run that is about to begin.
pub struct Attempt {
    /// What names it for people.
    pub title: String,
    /// Whether the title is printed before its output.
    pub is_headed: bool,
    /// The directory for its results.
    pub results: PathBuf,
}

/// A run that is over, in short.
struct Past {
    results: PathBuf,
    code: u8,
    verdict: &'static str,
    seconds: Option<f64>,
    why: String,
}

/// A combination with its runs.
struct Row {
    /// Its name; empty if there is no matrix.
    name: String,
    directory: PathBuf,
    attempts: Vec<Past>,
}

/// All combinations.
pub struct Rows {
    /// The name of the test.
    test: String,
    rows: Vec<Row>,
    retries: u32,
}

impl Past {
    /// Returns what `summary` tells about a run that is over. `None`: the run has written no summary.
    fn of(done: Done, summary: Option<&Summary>) -> Past {
        let Done { code, results } = done;
        let verdict = match code {
            exit_code::PASSED => "passed",
            exit_code::INTERRUPTED => "interrupted",
            _ => "failed",
        };
        let why = summary.map_or_else(|| "there is no outcome: see the messages".to_owned(), |it| it.why.clone());
        Past { results, code, verdict, seconds: summary.map(|it| it.duration), why }
    }
}

impl Row {
    fn last(&self) -> Option<&Past> {
        self.attempts.last()
    }

    /// Returns whether the test passed at last, after it had failed.
    fn is_flaky(&self) -> bool {
        self.attempts.len() > 1 && self.last().is_some_and(|last| last.code == exit_code::PASSED)
    }

    /// Returns the verdict, the duration and the reason for the table.
    fn cells(&self) -> [String; 3] {
        let Some(last) = self.last() else {
            return ["not run".to_owned(), "-".to_owned(), "interrupted".to_owned()];
        };
        let took = last.seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.3} s"));
        let line = |text: &str| cut(&harmless(text), REASON_MAX).into_owned();
        let (verdict, why) = match (self.is_flaky(), last.code) {
            (true, _) => ("flaky", line(&format!("attempt 1: {}", self.attempts[0].why))),
            (_, exit_code::PASSED) => (last.verdict, String::new()),
            _ => (last.verdict, line(&last.why)),
        };
        [verdict.to_owned(), took, why]
    }
}

/// Returns how bad an exit status is. One that says that the test has failed is worse than one that says nothing about it.
fn badness(code: u8) -> u8 {
    match code {
        exit_code::PASSED => 0,
        exit_code::INFRASTRUCTURE => 1,
        exit_code::FAILED => 3,
        exit_code::USAGE => 4,
        exit_code::INTERRUPTED => 5,
        _ => 2,
    }
}

impl Rows {
    /// Returns rows without runs. Each has its name and its directory.
    pub fn new(test: &str, rows: impl Iterator<Item = (String, PathBuf)>, retries: u32) -> Rows {
        let row = |(name, directory)| Row { name, directory, attempts: Vec::new() };
        Rows { test: test.to_owned(), rows: rows.map(row).collect(), retries }
    }

    /// Returns whether they are combinations of a matrix.
    pub fn are_of_a_matrix(&self) -> bool {
        self.rows.iter().any(|row| !row.name.is_empty())
    }

    /// Returns the name of a row for people.
    fn name(&self, nr: usize) -> &str {
        let name = &self.rows[nr].name;
        if name.is_empty() { &self.test } else { name }
    }

    /// Returns the next attempt of a row.
    pub fn next_attempt(&self, nr: usize) -> Attempt {
        let Row { directory, attempts, .. } = &self.rows[nr];
        let number = attempts.len() + 1;
        let mut title = self.name(nr).to_owned();
        if self.rows.len() > 1 {
            title += &format!(" ({} of {})", nr + 1, self.rows.len());
        }
        if number > 1 {
            title += &format!(", attempt {number} of at most {}", self.retries + 1);
        }
        let results = match self.retries {
            0 => directory.clone(),
            _ => directory.join(format!("attempt-{number}")),
        };
        Attempt { title, is_headed: number > 1 || self.are_of_a_matrix(), results }
    }

    /// Takes in a run that is over. Returns whether it is run again.
    pub fn ended(&mut self, nr: usize, done: Done, summary: Option<&Summary>, log: Log) -> bool {
        let row = &mut self.rows[nr];
        let failed = matches!(done.code, exit_code::FAILED | exit_code::INFRASTRUCTURE) && summary.is_some();
        let again = failed && (row.attempts.len() as u32) < self.retries;
        let title = if row.name.is_empty() { String::new() } else { format!("{}: ", row.name) };
        annotate(&title, done.code, again, summary, log);
        row.attempts.push(Past::of(done, summary));
        again
    }

    /// Takes in a run that could not be started.
    pub fn broken(&mut self, nr: usize, results: PathBuf, error: &Error) {
        let past = Past { results, code: error.code(), verdict: "failed", seconds: None, why: error.to_string() };
        self.rows[nr].attempts.push(past);
    }

    /// Returns a line that a test is flaky; empty if it is not.
    pub fn flaky_note(&self, nr: usize) -> String {
        let row = &self.rows[nr];
        match row.is_flaky() {
            true => format!("{} is flaky: it passed in attempt {}\n", self.name(nr), row.attempts.len()),
            false => String::new(),
        }
    }

    /// Returns the exit status of the worst. A combination that was not run counts as interrupted.
    pub fn code(&self) -> u8 {
        let codes = self.rows.iter().map(|row| row.last().map_or(exit_code::INTERRUPTED, |last| last.code));
        codes.max_by_key(|code| badness(*code)).unwrap_or(exit_code::PASSED)
    }

    /// Returns the table: a line for each combination, and the number of those with each verdict.
    pub fn table(&self) -> String {
        let head = ["combination", "verdict", "duration", "reason"].map(str::to_owned);
        let mut lines = vec![head];
        let mut counts: Vec<(String, usize)> = Vec::new();
        for row in &self.rows {
            let [verdict, took, why] = row.cells();
            match counts.iter_mut().find(|(word, _)| *word == verdict) {
                Some((_, count)) => *count += 1,
                None => counts.push((verdict.clone(), 1)),
            }
            lines.push([row.name.clone(), verdict, took, why]);
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        let mut text = String::new();
        for [name, verdict, took, why] in &lines {
            let line =
                format!("{name:<a$}  {verdict:<b$}  {took:>c$}  {why}", a = widths[0], b = widths[1], c = widths[2]);
            text += &format!("{}\n", line.trim_end());
        }
        let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        text + &format!("{} combinations: {}\n", self.rows.len(), counts.join(", "))
    }

    /// Returns the suites of the JUnit file.
    pub fn suites(&self) -> Vec<Suite<'_>> {
        let suite = |row| {
            let Row { name, attempts, .. }: &Row = row;
            Suite {
                test: &self.test,
                combination: name,
                attempts: attempts.iter().map(|past| &*past.results).collect(),
                why: row.last().map_or("not run: interrupted", |last| &last.why),
            }
        };
        self.rows.iter().map(suite).collect()
    }
}

/// Prints what has failed as annotations. An attempt after which there is another is no error.
fn annotate(title: &str, code: u8, again: bool, summary: Option<&Summary>, log: Log) {
    let Some(summary) = summary.filter(|_| code != exit_code::PASSED) else { return };
    let kind = if again { Kind::Warning } else { Kind::Error };
    for failure in summary.failures.iter().take(ANNOTATIONS_MAX) {
        let words =
            [&failure.slave, &failure.entry].into_iter().flatten().fold(String::new(), |all, it| all + " " + it);
        log.annotate(kind, &format!("{title}{}{words}", summary.test), &in_words(failure));
    }
    if summary.failures.is_empty() {
        log.annotate(kind, &format!("{title}{}", summary.test), &summary.why);
    }
}

fn in_words(Failure { text, tail, .. }: &Failure) -> String {
    if tail.is_empty() { text.clone() } else { format!("{text}\n{tail}") }
}

/// Returns what has failed in a run, and its verdict.
pub fn brief(summary: &Summary) -> String {
    let mut text = String::new();
    for failure in summary.failures.iter().take(FAILURES_MAX) {
        text += &format!("  {}\n", harmless(&failure.text));
        text.extend(failure.tail.lines().map(|line| format!("      | {}\n", harmless(line))));
    }
    match summary.failures.len().saturating_sub(FAILURES_MAX) {
        0 => {}
        more => text += &format!("  and {more} more failed\n"),
    }
    let verdict = if summary.verdict == "interrupted" { "was interrupted" } else { &summary.verdict };
    text + &format!(
        "{} {} after {:.3} s: {}\n",
        harmless(&summary.test),
        harmless(verdict),
        summary.duration,
        harmless(&summary.why)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(codes: &[&[u8]]) -> Rows {
        let named = codes.iter().enumerate().map(|(nr, _)| (format!("n={nr}"), PathBuf::from(format!("r/n={nr}"))));
        let mut rows = Rows::new("t", named, 1);
        for (nr, codes) in codes.iter().enumerate() {
            for &code in *codes {
                rows.ended(nr, Done { code, results: PathBuf::new() }, None, Log::of_environment());
                rows.rows[nr].attempts.last_mut().expect("an attempt").why = "why\n::error::x".to_owned();
            }
        }
        rows
    }

    #[test]
    fn the_exit_status_is_that_of_the_worst() {
        for (codes, worst) in [
            (&[&[0][..], &[0]][..], 0),
            (&[&[0], &[7]], 7),
            (&[&[1], &[7], &[0]], 1),
            (&[&[2], &[1]], 2),
            (&[&[1], &[130], &[2]], 130),
            (&[&[0], &[]], 130),
            (&[&[1, 0], &[0]], 0),
        ] {
            assert_eq!(rows(codes).code(), worst, "{codes:?}");
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_combination() {
        let table = rows(&[&[0], &[1, 0], &[1, 1], &[]]).table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            [
                "combination  verdict  duration  reason",
                "n=0          passed          -",
                "n=1          flaky           -  attempt 1: why?::error::x",
                "n=2          failed          -  why?::error::x",
                "n=3          not run         -  interrupted",
                "4 combinations: 1 passed, 1 flaky, 1 failed, 1 not run",
            ]
        );
    }
}
