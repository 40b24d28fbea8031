//! The answers to effects: which concern each belongs to.

use std::path::{Path, PathBuf};

use crate::controller::Controller;
use crate::controller::run::run::Run;
use crate::machine::{ChildId, ConfirmId, Exit, Input, Outbox, ReadId, SystemError, Time};

impl Controller {
    /// Handles a confirmation: a run that was handed in, or the end of a run, is on the disk.
    pub(in crate::controller) fn written(&mut self, now: Time, confirm: ConfirmId, out: &mut Outbox) {
        if let Some((conn, nr)) = self.host.as_mut().and_then(|host| host.unwritten.confirmed(confirm)) {
            self.confirm_submission(now, conn, nr, out);
        } else if let Some(run) = self.runs.values_mut().find(|run| run.awaits(confirm)) {
            run.written(now, out);
        }
    }

    /// Handles that a file could not be written: one of a run that was just handed in, of another run, or of none.
    pub(in crate::controller) fn write_failed(&mut self, now: Time, path: PathBuf, error: String, out: &mut Outbox) {
        if self.reject_unwritten(&path, &error, out) {
            return;
        }
        match self.run_of_file(&path) {
            Some(run) => run.write_failed(now, path, error, out),
            None => self.ledger_failed(&path, &error, out),
        }
    }

    /// Returns the run that has a file in its results. A controller that is not permanent has one run at most.
    fn run_of_file(&mut self, path: &Path) -> Option<&mut Run> {
        let hosts = self.host.is_some();
        self.runs.values_mut().find(|run| !hosts || run.has_file(path))
    }

    /// Handles what was read: for an operator, or for a slave that fetches a resource.
    pub(in crate::controller) fn read(
        &mut self,
        now: Time,
        read: ReadId,
        result: Result<&[u8], SystemError>,
        out: &mut Outbox,
    ) {
        if let Some(request) = self.host.as_mut().and_then(|host| host.archive.answers(read)) {
            return self.read_for_operator(request, &result, out);
        }
        if let Some(run) = self.runs.values_mut().find(|run| run.reads(read)) {
            run.on_read(now, read, result, out);
        }
    }

    /// Handles the end of a child: one that removes a directory, or one that starts a slave.
    pub(in crate::controller) fn child_ended(
        &mut self,
        now: Time,
        child: ChildId,
        end: Result<Exit, SystemError>,
        out: &mut Outbox,
    ) {
        if self.host.as_mut().is_some_and(|host| host.removed(child, &end, out)) {
            return;
        }
        if let Some(run) = self.embedded_run() {
            run.child_ended(now, child, end, out);
        }
    }

    /// Handles an input of a run that ends with its controller.
    pub(in crate::controller) fn of_embedded_run(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let Some(run) = self.embedded_run() else { return };
        match input {
            Input::Resized { columns, rows } => run.resize(columns, rows),
            Input::Swept { left } => run.swept(now, left, out),
            _ => {}
        }
    }

    fn embedded_run(&mut self) -> Option<&mut Run> {
        self.runs.values_mut().next().filter(|run| !run.is_hosted())
    }
}
