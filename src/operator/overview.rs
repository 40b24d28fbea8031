//! The slaves and the runs of a controller, as tables for people or as JSON for programs.

use std::time::Duration;

use serde::Serialize;

use super::pending_requests::{Next, Talk};
use crate::machine::{Outbox, Stream, Time};
use crate::wire::operate::{RunState, RunStatus, Runs, SlaveState, Slaves};
use crate::{exit_code, text};

/// How often a table is refreshed.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The most slaves or runs in a table.
const ROWS_MAX: usize = 100_000;

/// A column is not made narrower than this to fit a terminal.
const COLUMN_MIN: usize = 6;

/// The space between columns.
const GAP: &str = "  ";

/// Which tables to show, and how.
#[derive(Debug, Clone)]
pub struct OverviewOptions {
    /// Shows the slaves and the runs that are not over. Otherwise shows all runs.
    pub slaves: bool,
    /// Prints JSON instead of tables.
    pub json: bool,
    /// Refreshes the tables until it is interrupted.
    pub watch: bool,
}

/// Collects the slaves and runs of a controller, and shows them.
pub struct Overview {
    what: OverviewOptions,
    controller: String,
    terminal: Option<(u16, u16)>,
    slaves: Vec<SlaveState>,
    runs: Vec<RunState>,
    /// The list of slaves, or of runs, is incomplete.
    wants_slaves: bool,
    wants_runs: bool,
    again: Option<Time>,
    /// How many lines are on the screen.
    drawn: usize,
}

/// The output of `arete status --json`.
#[derive(Serialize)]
struct Status<'a> {
    controller: &'a str,
    slaves: &'a [SlaveState],
    runs: Vec<&'a RunState>,
    queue: Vec<&'a RunState>,
}

/// The output of `arete runs --json`.
#[derive(Serialize)]
struct AllRuns<'a> {
    runs: &'a [RunState],
}

impl Overview {
    pub fn new(what: OverviewOptions, controller: String, terminal: Option<(u16, u16)>) -> Overview {
        Overview {
            what,
            controller,
            terminal,
            slaves: Vec::new(),
            runs: Vec::new(),
            wants_slaves: false,
            wants_runs: false,
            again: None,
            drawn: 0,
        }
    }

    pub fn watches(&self) -> bool {
        self.what.watch
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.terminal = self.terminal.map(|_| (columns, rows));
    }

    pub fn begin(&mut self, talk: &mut Talk<'_>) {
        self.again = None;
        self.slaves.clear();
        self.runs.clear();
        self.wants_slaves = self.what.slaves && talk.slaves("");
        self.wants_runs = talk.runs("", !self.what.slaves);
    }

    pub fn slaves(&mut self, slaves: Slaves<'_>, talk: &mut Talk<'_>) -> Next {
        let last = slaves.slaves.last().map(|slave| slave.slave.clone());
        self.slaves.extend(slaves.slaves);
        match last.filter(|_| slaves.more && self.slaves.len() < ROWS_MAX) {
            Some(last) => self.wants_slaves = talk.slaves(&last),
            None => self.wants_slaves = false,
        }
        self.show(talk)
    }

    pub fn runs(&mut self, runs: Runs<'_>, talk: &mut Talk<'_>) -> Next {
        let last = runs.runs.last().map(|run| run.run.clone());
        self.runs.extend(runs.runs);
        match last.filter(|_| runs.more && self.runs.len() < ROWS_MAX) {
            Some(last) => self.wants_runs = talk.runs(&last, !self.what.slaves),
            None => self.wants_runs = false,
        }
        self.show(talk)
    }

    /// Shows the tables when the lists are complete.
    fn show(&mut self, talk: &mut Talk<'_>) -> Next {
        if self.wants_slaves || self.wants_runs {
            return Next::On;
        }
        if self.what.json {
            talk.out.print_surely(Stream::Out, self.json());
        } else {
            self.draw(talk.out);
        }
        if !self.what.watch {
            return Next::Over(exit_code::PASSED);
        }
        self.again = Some(talk.now + WATCH_EVERY);
        Next::On
    }

    fn draw(&mut self, out: &mut Outbox) {
        let width = self.terminal.map(|(columns, _)| usize::from(columns));
        let text = if self.what.slaves {
            self.status(width)
        } else {
            runs_table(&self.runs.iter().collect::<Vec<_>>(), width)
        };
        match self.terminal.filter(|_| self.what.watch) {
            None if self.what.watch => out.print_surely(Stream::Out, text + "\n"),
            None => out.print_surely(Stream::Out, text),
            Some((_, rows)) => {
                let most = usize::from(rows).saturating_sub(1).max(1);
                let lines: Vec<&str> = text.lines().take(most).collect();
                let erase = match self.drawn {
                    0 => String::new(),
                    lines => format!("\x1b[{lines}A\r\x1b[J"),
                };
                self.drawn = lines.len();
                out.print(Stream::Out, format!("{erase}{}\n", lines.join("\n")));
            }
        }
    }

    fn json(&self) -> Vec<u8> {
        let (queue, runs) = self.runs.iter().partition(|run| run.state == RunStatus::Queued);
        let json = if self.what.slaves {
            serde_json::to_vec(&Status { controller: &self.controller, slaves: &self.slaves, runs, queue })
        } else {
            serde_json::to_vec(&AllRuns { runs: &self.runs })
        };
        let mut line = text::harmless_json(json.unwrap_or_default());
        line.push(b'\n');
        line
    }

    fn status(&self, width: Option<usize>) -> String {
        let (queue, runs): (Vec<&RunState>, Vec<&RunState>) =
            self.runs.iter().partition(|run| run.state == RunStatus::Queued);
        let mut text = slaves_table(&self.slaves, width);
        for (title, runs) in [("runs", runs), ("queue", queue)] {
            text += &format!("\n{title}:");
            text += &if runs.is_empty() { " none\n".to_owned() } else { format!("\n{}", runs_table(&runs, width)) };
        }
        text
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.again
    }

    pub fn fire(&mut self, talk: &mut Talk<'_>) {
        if self.again.take_if(|at| *at <= talk.now).is_some() {
            self.begin(talk);
        }
    }
}

fn slaves_table(slaves: &[SlaveState], width: Option<usize>) -> String {
    if slaves.is_empty() {
        return "no slaves are connected\n".to_owned();
    }
    let row = |slave: &SlaveState| {
        let labels: Vec<_> = slave.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let state = match (slave.connected, &slave.run) {
            (None, _) => "gone",
            (Some(_), Some(_)) => "busy",
            (Some(_), None) => "idle",
        };
        let serves = match (&slave.run, &slave.serves_as) {
            (Some(run), Some(name)) => format!("{run} as {name}"),
            (run, _) => run.clone().unwrap_or_default(),
        };
        [
            slave.slave.clone(),
            state.to_owned(),
            slave.connected.map(age).unwrap_or_default(),
            slave.address.clone(),
            slave.version.clone(),
            slave.offset.map(offset).unwrap_or_default(),
            slave.round_trip.map(|micros| format!("{:.1}ms", micros as f64 / 1e3)).unwrap_or_default(),
            labels.join(" "),
            serves,
        ]
    };
    let heads = ["SLAVE", "STATE", "SINCE", "ADDRESS", "VERSION", "OFFSET", "TRIP", "LABELS", "RUN"];
    table(heads, slaves.iter().map(row).collect(), width)
}

fn runs_table(runs: &[&RunState], width: Option<usize>) -> String {
    if runs.is_empty() {
        return "there are no runs\n".to_owned();
    }
    let row = |run: &&RunState| {
        [
            run.run.clone(),
            run.test.clone(),
            run.in_words().to_owned(),
            run.submitted.clone(),
            run.seconds.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default(),
            format!("{}/{}", run.connected, run.slaves),
            run.why.clone(),
        ]
    };
    let heads = ["RUN", "TEST", "STATE", "SUBMITTED", "TOOK", "SLAVES", "WHY"];
    table(heads, runs.iter().map(row).collect(), width)
}

/// How long, roughly: `42s`, `12min`, `3h12min`, `5d3h`.
fn age(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e12) as u64;
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}min"),
        3_600..86_400 => format!("{hours}h{:02}min", minutes % 60),
        _ => format!("{}d{:02}h", hours / 24, hours % 24),
    }
}

/// How far a clock is ahead of the controller's: `+0.3ms`, `-12s`, `+2d00h`.
fn offset(micros: i64) -> String {
    match micros.unsigned_abs() {
        0..=1_000_000 => format!("{:+.1}ms", micros as f64 / 1e3),
        far => format!("{}{}", if micros < 0 { '-' } else { '+' }, age(far as f64 / 1e6)),
    }
}

/// Columns side by side. The widest are cut until a row fits the terminal, the first one last.
fn table<const N: usize>(heads: [&str; N], rows: Vec<[String; N]>, width: Option<usize>) -> String {
    let rows: Vec<_> = rows.into_iter().map(|row| row.map(|cell| text::harmless(&cell).into_owned())).collect();
    let mut widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(heads[column].len())
    });
    let most = width.map_or(usize::MAX, |width| width.saturating_sub(GAP.len() * (N - 1)));
    while widths.iter().sum::<usize>() > most {
        // The names in the first column can be copied as long as there is anything else to cut.
        let (first, others) = widths.split_at_mut(1);
        let others = others.iter_mut().max().filter(|widest| **widest > COLUMN_MIN);
        let Some(widest) = others.or(first.first_mut().filter(|first| **first > COLUMN_MIN)) else { break };
        *widest -= 1;
    }
    let line = |cells: [&str; N]| {
        let cells: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| fitted(cell, width)).collect();
        format!("{}\n", cells.join(GAP).trim_end())
    };
    let head = line(heads);
    let rows = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    head + &rows.collect::<String>()
}

/// A cell in a column of this width; what is cut off ends in `~`.
fn fitted(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return format!("{cell:<width$}");
    }
    let kept: String = cell.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_the_terminal_and_says_nothing_that_it_would_obey() {
        let rows = || vec![["a".to_owned(), "x".repeat(90), "y\x1b[2J".to_owned()]];
        let wide = table(["NAME", "LABELS", "RUN"], rows(), None);
        assert_eq!(wide, format!("NAME  {:<90}  RUN\na     {}  y?[2J\n", "LABELS", "x".repeat(90)));
        let narrow = table(["NAME", "LABELS", "RUN"], rows(), Some(40));
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(narrow.contains("xx~  y?[2J"), "{narrow}");
        // As narrow as it goes.
        assert!(table(["NAME", "LABELS", "RUN"], rows(), Some(3)).contains("xxxxx~"));
    }

    #[test]
    fn a_clock_that_is_far_off_is_not_told_of_in_milliseconds() {
        assert_eq!([300, -12_000_000, 172_800_000_000].map(offset), ["+0.3ms", "-12s", "+2d00h"]);
    }

    #[test]
    fn ages_are_short() {
        assert_eq!([7.9, 61.0, 3_725.0, 90_000.0].map(age), ["7s", "1min", "1h02min", "1d01h"]);
    }
}
