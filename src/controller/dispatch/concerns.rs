//! Which run of a controller an input concerns, and what the run does about it.

use std::path::Path;

use crate::controller::Controller;
use crate::controller::run::failures;
use crate::controller::run::run::{Phase, Run};
use crate::machine::{Input, Outbox, Time};

impl Controller {
    /// The run in whose results a file is, or the only one that there is.
    pub(in crate::controller) fn run_concerned(&mut self, path: &Path) -> Option<&mut Run> {
        let hosts = self.host.is_some();
        self.runs.values_mut().find(|run| !hosts || path.starts_with(&run.results))
    }

    /// What concerns a run alone.
    pub(in crate::controller) fn of_a_run(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let run = match &input {
            Input::WriteFailed { path, .. } => self.run_concerned(path),
            Input::Read { read, .. } if self.host.is_some() => {
                self.runs.values_mut().find(|run| run.resources.reads(*read))
            }
            Input::Written => {
                let writing = self.runs.values_mut().filter(|run| matches!(run.phase, Phase::Writing(_)));
                writing.min_by_key(|run| run.confirmed_after)
            }
            // Only a run that ends with its controller starts processes and has a terminal.
            _ => self.runs.values_mut().next().filter(|run| run.hosted.is_none()),
        };
        let Some(run) = run else { return };
        match input {
            Input::Resized { columns, rows } => run.event_log.view.resize(columns, rows),
            Input::SpawnFailed { child, error } => run.child_ended(now, child, Err(error), out),
            Input::Exited { child, exit } => run.child_ended(now, child, Ok(exit), out),
            Input::Read { read, result } if run.launch.reads(read) => run.last_words(now, read, result, out),
            Input::Read { read, result } => {
                if let Err(why) = run.resources.read(read, result, out) {
                    run.abort(now, failures::FailureKind::Resource, why, out);
                }
            }
            Input::Written => run.written(now, out),
            Input::WriteFailed { path, error } => run.write_failed(now, path, error.text, out),
            Input::Swept { left } => run.swept(now, left, out),
            _ => {}
        }
    }
}
