//! The unfinished runs of an earlier permanent controller.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::controller::Controller;
use crate::controller::config::Config;
use crate::controller::host::archive::Archived;
use crate::controller::ledger::{self, Damage, LedgerError, Past, TimeLine};
use crate::controller::run::roster::{RunSlave, Stage};
use crate::controller::run::run::{Hosted, Run};
use crate::machine::faults::{Fault, injected};
use crate::machine::{Outbox, Time};
use crate::testfile;

impl Controller {
    /// Takes up an unfinished run from its directory, and repairs its time line. Fails if its ledger contradicts itself: then
    /// the controller does not have this run, and the error names the place.
    pub fn take_up(&mut self, directory: &Path, past: &Past, time_line: &mut dyn TimeLine) -> Result<(), LedgerError> {
        if injected(Fault::RunForgottenOnRestart) {
            return Ok(());
        }
        let path = directory.join(ledger::FILE);
        let subject = path.display().to_string();
        let Some(terms) = &past.header.run else {
            return Err(LedgerError::Line { path, number: 1, damage: Damage::NoRun });
        };
        let mut known = |file: &str| terms.shipped.get(file).cloned().ok_or_else(|| "is not known any more".to_owned());
        let test = testfile::parse(&subject, &terms.test, &mut known);
        let first = |problems: Vec<testfile::Problem>| problems.first().map(ToString::to_string).unwrap_or_default();
        let test = test.map_err(|problems| LedgerError::Test(first(problems)))?;
        let config = Config {
            test: Rc::new(test),
            run: terms.id.clone(),
            results: directory.to_owned(),
            wait: terms.wait.map(Duration::from_micros),
            lost_after: Duration::from_micros(terms.lost_after),
            local: None,
            listening: None,
            follow: false,
            terminal: None,
            colors: false,
            wall_offset: past.header.wall_offset,
        };
        let (submission, submitted) = (terms.submission.clone().unwrap_or_default(), terms.submitted.clone());
        let size = terms.test.len();
        let mut run =
            Run::new(config, &self.budget).hosted(Hosted { submission, submitted, size, ..Hosted::default() });
        run.limit(terms.limits);
        run.ledger.open(path.clone(), past.whole(), u64::MAX);
        run.restore_files(past);
        let nr = self.runs.insert(run);
        if let Err(why) = self.replay_all(past, &path, Some(nr), time_line) {
            self.runs.remove(nr);
            return Err(why);
        }
        let run = self.runs.get(nr).filter(|run| !run.is_queued());
        if let (Some(run), Some(host)) = (run, &mut self.host) {
            // A run that was cancelled in the queue never had its slaves: another run may have them.
            let has = |(ix, member): &(usize, &RunSlave)| run.needs(*ix) && member.stage > Stage::Absent;
            for (ix, member) in run.roster.iter().enumerate().filter(has) {
                host.expect(member.machine(), (nr, ix));
            }
        }
        Ok(())
    }

    /// Also has these finished runs, the latest last.
    pub fn remembering(mut self, over: Vec<Archived>) -> Controller {
        if let Some(host) = &mut self.host {
            over.into_iter().for_each(|archived| host.archive.put(archived));
        }
        self
    }

    /// Continues the unfinished runs of an earlier controller.
    pub(in crate::controller) fn take_up_runs(&mut self, now: Time, out: &mut Outbox) {
        for run in self.runs.values_mut() {
            log::info!("run {} goes on", run.id);
            run.resume(now, self.keeper.life(), out);
        }
        self.look_at_queue(now);
    }
}
