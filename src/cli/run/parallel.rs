//! `--parallel`: the combinations of a matrix side by side at a permanent controller, whose queue gives them slaves.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;

use arete::machine::Time;
use arete::operator::{Job, Jobs, Operator, Several, Show};
use arete::reactor;

use crate::cli::drive;
use crate::cli::error::{Error, complain};
use crate::cli::github::Log;
use crate::cli::run::junit::Summary;
use crate::cli::run::matrix::Plan;
use crate::cli::run::options::{Done, RunOptions};
use crate::cli::run::remote::{self, Host};
use crate::cli::run::results_dir;
use crate::cli::run::rows::{Attempt, Rows, brief};

/// The combinations that are left, and those that run.
struct Left<'a> {
    options: &'a RunOptions,
    host: Host,
    plan: Plan,
    rows: Rows,
    log: Log,
    waiting: VecDeque<usize>,
    /// The directories of those that run, with their locks.
    working: BTreeMap<usize, (PathBuf, File)>,
}

/// Runs all combinations at a controller, `at_once` of them at the same time. Returns the rows with their runs.
pub fn run(
    controller: &str,
    options: &RunOptions,
    (plan, rows): (Plan, Rows),
    at_once: usize,
    (log, begun): (Log, Time),
) -> Result<Rows, Error> {
    let host = Host::find(controller, options, begun)?;
    let reactor = drive::reactor(host.tls())?;
    let waiting = (0..plan.count()).collect();
    let mut several = Several::new(Left { options, host, plan, rows, log, waiting, working: BTreeMap::new() }, at_once);
    reactor.run(&mut several);
    Ok(several.into_jobs().rows)
}

impl Left<'_> {
    /// Returns the job of a combination, and its directory.
    fn job(&mut self, id: usize) -> Result<Job<Operator>, Error> {
        let Attempt { title, results, .. } = self.rows.next_attempt(id);
        let loaded = self.plan.load(id)?;
        let (results, lock) = results_dir::make(Some(results), "")?;
        let task = remote::task(self.options, loaded, Some(results.clone()))?;
        let show = Show { silent: self.options.quiet, follow: self.options.follow, ..Show::default() };
        let operator = self.host.operator(task, show, reactor::now());
        self.working.insert(id, (results, lock));
        let begins = if self.options.quiet { String::new() } else { format!("{title} begins\n") };
        let (before, after) = self.log.frame(Some(&title), true);
        Ok(Job { id, operator, begins, before, after })
    }
}

impl Jobs for Left<'_> {
    type Worker = Operator;

    fn next(&mut self) -> Option<Job<Operator>> {
        while let Some(id) = self.waiting.pop_front() {
            match self.job(id) {
                Ok(job) => return Some(job),
                Err(error) => {
                    complain(&error);
                    let results = self.rows.next_attempt(id).results;
                    self.rows.broken(id, results, &Error::Run(Box::new(error)));
                }
            }
        }
        None
    }

    fn ended(&mut self, id: usize, code: u8) -> String {
        let Some((results, _lock)) = self.working.remove(&id) else { return String::new() };
        results_dir::drop_if_empty(&results);
        let summary = Summary::read(&results).ok();
        let mut text = summary.as_ref().filter(|_| self.options.quiet).map(brief).unwrap_or_default();
        if self.rows.ended(id, Done { code, results }, summary.as_ref(), self.log) {
            self.waiting.push_front(id);
        }
        text += &self.rows.flaky_note(id);
        text
    }
}
