//! The outcome of a run on its way to the disk: its report, then its summary, then the confirmation that both are written.

use std::path::Path;

use crate::controller::run::failures::Failures;
use crate::controller::run::pace::Pace;
use crate::controller::run::results::Frame;
use crate::controller::run::roster::Roster;
use crate::controller::run::summary_file::{self, SummaryFile};
use crate::machine::{ConfirmId, Outbox, Time};
use crate::wire::Verdict;

/// The outcome of a run, in its results directory.
const SUMMARY: &str = "summary.json";

/// The outcome in words, in the same directory.
const REPORT: &str = "report.txt";

/// The files of an outcome.
#[derive(Default)]
pub struct OutcomeFiles {
    /// The summary, until it is written.
    summary: Option<Summary>,
    /// A part of an earlier summary may be on the disk.
    again: bool,
    /// The confirmation that all is written, once it was requested.
    confirmation: Option<ConfirmId>,
    /// The lengths of the summary and of the report together, in bytes.
    length: u64,
    /// The run had ended before a restart: its verdict is final even if nothing can be written now.
    is_final: bool,
}

/// A summary that is to be written.
enum Summary {
    /// Nothing is written yet.
    Due(Verdict, String),
    /// The entries that never began are known, as lines.
    Listed(Verdict, String, Vec<String>),
    /// It is being written.
    Begun(SummaryFile),
}

impl OutcomeFiles {
    /// Lets the summary and the report be written, from their beginnings. A confirmation that was requested before does
    /// not end the run.
    pub fn begin(&mut self, verdict: Verdict, why: String) {
        self.again = self.is_final || self.summary.is_some();
        (self.summary, self.confirmation) = (Some(Summary::Due(verdict, why)), None);
    }

    /// As [`begin`](OutcomeFiles::begin), for a run that had ended before a restart.
    pub fn begin_final(&mut self, verdict: Verdict, why: String) {
        self.is_final = true;
        self.begin(verdict, why);
    }

    /// Returns whether the verdict is final, whatever can be written.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// Returns whether the end of the run waits for this confirmation.
    pub fn awaits(&self, confirm: ConfirmId) -> bool {
        self.confirmation == Some(confirm)
    }

    /// Returns how much is written, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the verdict if the entries that never began are needed next.
    pub fn needs_list(&self) -> Option<Verdict> {
        match self.summary {
            Some(Summary::Due(verdict, _)) => Some(verdict),
            _ => None,
        }
    }

    /// Takes the entries that never began, as lines.
    pub fn list(&mut self, never_began: Vec<String>) {
        if let Some(Summary::Due(verdict, why)) = self.summary.take() {
            self.summary = Some(Summary::Listed(verdict, why, never_began));
        }
    }

    /// Returns the verdict, its cause and the entries that never began if the report is needed next.
    pub fn needs_report(&self) -> Option<(Verdict, &str, &[String])> {
        match &self.summary {
            Some(Summary::Listed(verdict, why, never_began)) => Some((*verdict, why, never_began)),
            _ => None,
        }
    }

    /// Writes the report, and begins the summary.
    pub fn report(&mut self, results: &Path, frame: Frame, report: String, out: &mut Outbox) {
        self.length = report.len() as u64;
        out.persist(results.join(REPORT), report.into_bytes());
        self.summary = Some(Summary::Begun(SummaryFile::new(results.join(SUMMARY), frame, self.again)));
    }

    /// Writes more of a summary that was begun, as far as the pace permits. When all of it is written, the run waits for
    /// the disk.
    pub fn write_more(
        &mut self,
        now: Time,
        start: Option<Time>,
        known: (&Failures, &Roster),
        pace: &mut Pace,
        out: &mut Outbox,
    ) {
        if let Some(Summary::Begun(file)) = &mut self.summary
            && file.write(now, start, known, pace, out)
        {
            self.length += file.length();
            (self.summary, self.confirmation) = (None, Some(out.confirm()));
        }
    }

    /// Handles that a file could not be written. Returns whether it is the summary: then the run ends without it.
    pub fn write_failed(&mut self, path: &Path, results: &Path, out: &mut Outbox) -> bool {
        let is_summary = summary_file::writes(path, &results.join(SUMMARY));
        if is_summary {
            (self.summary, self.confirmation) = (None, Some(out.confirm()));
        }
        is_summary
    }
}
