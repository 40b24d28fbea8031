//! The runs of one `arete run`: one, its retries, or all combinations of a matrix one after another.
//!
//! Each run has a reactor and a directory of its own. A signal ends the run that it reaches, and no other one begins.

use std::path::{Path, PathBuf};

use arete::exit_code;
use arete::machine::Time;
use arete::reactor::{self, Latch};

use crate::cli::error::{Error, complain};
use crate::cli::github::Log;
use crate::cli::run::junit::{self, Suite, Summary};
use crate::cli::run::load::Loaded;
use crate::cli::run::matrix::Plan;
use crate::cli::run::options::{Done, RunOptions};
use crate::cli::run::rows::{Rows, TABLE, brief};
use crate::cli::run::{parallel, remote, results_dir};
use crate::cli::{directory, drive, stdout};

/// Runs a test once, with its results in a directory, from a time on.
pub type Once<'a> = &'a dyn Fn(Loaded, Option<PathBuf>, Time) -> Result<Done, Error>;

/// Runs a test, with all combinations of its params.
pub fn run(options: &RunOptions, begun: Time, once: Once<'_>) -> Result<u8, Error> {
    let mut plan = Plan::read(options.test_file()?, &options.params.given()?, &options.matrix, options.limit)?;
    if let Some(controller) = options.controller.as_ref().filter(|_| options.detach) {
        return hand_in_all(controller, options, plan, begun);
    }
    if !plan.is_matrix() && options.retries.is_none() {
        let loaded = plan.load(0)?;
        return alone(options, &plan.name, || once(loaded, options.results.clone(), begun));
    }
    // From here on a signal must not kill this process between two runs.
    let latch = drive::latch()?;
    let (top, _lock) = results_dir::make(options.results.clone(), &results_dir::stem(&plan.name))?;
    let directories = plan.directories();
    let directories = directories.iter().map(|name| if plan.is_matrix() { top.join(name) } else { top.clone() });
    let rows = Rows::new(&plan.name, plan.names().into_iter().zip(directories), options.retries.unwrap_or(0));
    let log = Log::of_environment();
    let rows = match (&options.controller, options.parallel.filter(|_| plan.count() > 1)) {
        (Some(controller), Some(at_once)) => parallel::run(controller, options, (plan, rows), at_once, (log, begun)),
        _ => Ok(one_after_another(options, (plan, rows), (log, &latch), once)),
    };
    results_dir::drop_if_empty(&top);
    let rows = rows?;
    if rows.are_of_a_matrix() {
        print_table(&rows, log, &top)?;
    }
    Ok(report(options, &rows.suites(), rows.code()))
}

/// Continues a run whose controller was killed.
pub fn resume(options: &RunOptions, run: impl FnOnce() -> Result<Done, Error>) -> Result<u8, Error> {
    alone(options, "resumed run", run)
}

/// Hands in the tests of all combinations, and prints the id of each run.
fn hand_in_all(controller: &str, options: &RunOptions, mut plan: Plan, begun: Time) -> Result<u8, Error> {
    let latch = if plan.is_matrix() { Some(drive::latch()?) } else { None };
    for nr in 0..plan.count() {
        let code = match latch.as_ref().is_some_and(Latch::has_caught) {
            true => exit_code::INTERRUPTED,
            false => remote::hand_in(controller, options, plan.load(nr)?, begun)?,
        };
        if code != exit_code::PASSED {
            if plan.is_matrix() {
                complain(format_args!("{nr} of {} combinations are handed in, the others are not", plan.count()));
            }
            return Ok(code);
        }
    }
    Ok(exit_code::PASSED)
}

/// Runs the only run of this command.
fn alone(options: &RunOptions, title: &str, run: impl FnOnce() -> Result<Done, Error>) -> Result<u8, Error> {
    let log = Log::of_environment();
    let done = log.within(Some(title).filter(|_| !options.quiet), false, || shown(options, run))?;
    let summary = Summary::read(&done.results).ok();
    let (code, results) = (done.code, done.results.clone());
    let test = summary.as_ref().map_or(title, |summary| &summary.test);
    let mut rows = Rows::new(test, std::iter::once((String::new(), results)), 0);
    rows.ended(0, done, summary.as_ref(), log);
    Ok(report(options, &rows.suites(), code))
}

/// Runs a test, and prints its failures and verdict if nothing else is printed.
fn shown(options: &RunOptions, run: impl FnOnce() -> Result<Done, Error>) -> Result<Done, Error> {
    let done = run()?;
    if options.quiet
        && let Ok(summary) = Summary::read(&done.results)
    {
        stdout::print_if_possible(&brief(&summary));
    }
    Ok(done)
}

/// Runs all combinations, with their retries, until a signal arrives.
fn one_after_another(
    options: &RunOptions,
    (mut plan, mut rows): (Plan, Rows),
    (log, latch): (Log, &Latch),
    once: Once<'_>,
) -> Rows {
    for nr in 0..plan.count() {
        let mut again = true;
        while again && !latch.has_caught() {
            let attempt = rows.next_attempt(nr);
            let results = attempt.results.clone();
            let ended = log.within(Some(&attempt.title), attempt.is_headed, || {
                let run = || once(plan.load(nr)?, Some(results.clone()), reactor::now());
                shown(options, run).inspect_err(|error| complain(error))
            });
            again = match ended {
                Ok(done) => {
                    let summary = Summary::read(&done.results).ok();
                    rows.ended(nr, done, summary.as_ref(), log)
                }
                Err(error) => {
                    rows.broken(nr, results, &Error::Run(Box::new(error)));
                    false
                }
            };
            stdout::print_if_possible(&rows.flaky_note(nr));
        }
    }
    rows
}

/// Prints the table, and writes it to a file.
fn print_table(rows: &Rows, log: Log, top: &Path) -> Result<(), Error> {
    let mut text = format!("\n{}", rows.table());
    if top.is_dir() {
        let file = top.join(TABLE);
        let written = directory::write(&file, &rows.table());
        written.map_err(Error::cannot(format_args!("write {}", file.display())))?;
        text += &format!("results are in {}\n", top.display());
    }
    log.within(None, false, || stdout::print(text))
}

/// Writes the file of `--junit` about runs of which the worst has this exit status. Returns the status, which is no success
/// any more if the file cannot be written.
fn report(options: &RunOptions, suites: &[Suite<'_>], code: u8) -> u8 {
    match options.junit.as_ref().map_or(Ok(()), |file| junit::write(suites, file)) {
        Ok(()) => code,
        Err(error) => {
            complain(&error);
            if code == exit_code::PASSED { error.code() } else { code }
        }
    }
}
