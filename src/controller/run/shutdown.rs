//! How a run ends: on its own or interrupted, and what is written before its slaves are dismissed.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::controller::ledger::Fact;
use crate::controller::run::failures::FailureKind;
use crate::controller::run::launch::LastWords;
use crate::controller::run::pace::Pace;
use crate::controller::run::results::{self, Ending};
use crate::controller::run::roster::{RunSlave, Stage};
use crate::controller::run::run::{Cause, END_AT_ONCE_WITHIN, Phase, Run, Timer};
use crate::controller::run::summary;
use crate::machine::{ChildId, ConfirmId, Exit, Outbox, Signal, SystemError, Time};
use crate::wire::{Bye, Code, Dismissed, Manner, Message, Stop, Verdict};
use crate::{exit_code, text};

/// How long the slaves of an embedded run have to exit after their dismissal.
const EXIT_WITHIN: Duration = Duration::from_secs(10);

/// How often the controller checks whether killed processes are gone.
const SWEEP_EVERY: Duration = Duration::from_millis(20);

/// The cost of an entry of a slave, or of a measurement, when the summary begins, in bytes that could be sent instead.
const COST_OF_ENTRY: usize = 64;

impl Run {
    /// Handles Ctrl-C, or a request of the system to exit.
    pub fn interrupt(&mut self, now: Time, signal: Signal, out: &mut Outbox) {
        match self.phase {
            Phase::Writing(_) => return,
            Phase::Over { .. } => return self.deadline(now, Timer::Exit, out),
            Phase::Queued | Phase::Gathering | Phase::Running | Phase::Finishing(_) | Phase::Ending(_) => {}
        }
        self.interrupt_because(now, format!("interrupted by {}", signal.name()), out);
    }

    fn interrupt_because(&mut self, now: Time, why: String, out: &mut Outbox) {
        self.enter(now, Fact::Interrupted { why: Cow::from(&why) }, out);
        match (self.interrupts, &self.phase) {
            (1, Phase::Ending(_)) => {
                self.event_log.view.line("interrupted; interrupt again to stop at once", out);
            }
            (1, _) => {
                self.event_log.view.line("interrupted: stopping everything; interrupt again to stop at once", out);
                self.end(now, Verdict::Interrupted, why, out);
            }
            (2, _) => {
                self.send_stop(out);
                self.timers.set(Timer::Stop, now + END_AT_ONCE_WITHIN);
            }
            _ => self.deadline(now, Timer::Stop, out),
        }
    }

    /// Handles an operator's request to end the run.
    pub fn cancel(&mut self, now: Time, at_once: bool, out: &mut Outbox) {
        if matches!(self.phase, Phase::Writing(_) | Phase::Over { .. }) {
            return;
        }
        let wanted = if at_once { 2 } else { 1 };
        while self.interrupts < wanted && !self.is_over() {
            self.interrupt_because(now, "stopped by an operator".to_owned(), out);
        }
    }

    pub(in crate::controller) fn finish_if_stopped(&mut self, now: Time, out: &mut Outbox) {
        let Phase::Ending(cause) = &self.phase else { return };
        let started = self.started().is_some();
        let over = |member: &RunSlave| match member.stage {
            Stage::Stopped | Stage::Lost => true,
            Stage::Absent | Stage::Joined | Stage::Ready => !started && member.conn.is_none(),
        };
        if self.roster.iter().all(over) {
            let cause = cause.clone();
            self.finish(now, cause, out);
        }
    }

    /// Writes the outcome, after nothing of the run is left on any slave. The verdict is final when that is written.
    fn finish(&mut self, now: Time, cause: Cause, out: &mut Outbox) {
        self.judge_measurements(now, &cause, out);
        let (verdict, why) = self.judge(&cause);
        self.event_log.view.end_output(out);
        self.enter(now, Fact::Ended { verdict, why: Cow::from(&why) }, out);
        self.outcome.begin(verdict, why);
    }

    /// Writes the report and then more of the summary, as far as the pace permits.
    pub(in crate::controller) fn write_more_of_summary(&mut self, now: Time, pace: &mut Pace, out: &mut Outbox) {
        if let Some(verdict) = self.outcome.needs_list() {
            if !self.affords_entries(now, pace) {
                return;
            }
            let never_began = self.never_began(verdict);
            self.outcome.list(never_began);
        }
        if let Some((verdict, why, never_began)) = self.outcome.needs_report() {
            if !self.affords_entries(now, pace) {
                return;
            }
            let ending = self.ending(verdict, why, never_began);
            let frame = results::frame(&self.test, &self.roster, &self.room.triggers, &ending);
            let report = summary::text(&self.test, &self.roster, Path::new(""), &ending);
            self.outcome.report(&self.results, frame, report, out);
        }
        self.outcome.write_more(now, self.started(), (&self.failures, &self.roster), pace, out);
    }

    /// Takes the cost of a look at all entries. Returns whether the pace permits it in this turn.
    fn affords_entries(&self, now: Time, pace: &mut Pace) -> bool {
        let entries: usize = self.test.slaves.iter().map(|slave| slave.entries.len()).sum();
        let cost = (entries + self.measurements.len()) * COST_OF_ENTRY;
        let affords = pace.affords(now, cost);
        if affords {
            pace.sends(cost);
        }
        affords
    }

    /// Returns a line for each group of entries that never began, for the report.
    fn never_began(&self, verdict: Verdict) -> Vec<String> {
        match verdict {
            Verdict::Interrupted => Vec::new(),
            Verdict::Failed | Verdict::Passed => crate::controller::run::never::lines(self, verdict == Verdict::Passed),
        }
    }

    fn ending<'a>(&'a self, verdict: Verdict, why: &'a str, never_began: &'a [String]) -> Ending<'a> {
        Ending {
            run: &self.id,
            verdict,
            why,
            then: self.later_cause(),
            failures: &self.failures,
            measurements: &self.measurements,
            never_began,
            start: self.times.started(),
            now: self.times.ended().unwrap_or_default(),
        }
    }

    /// Reports the outcome and dismisses the slaves, after it was written as far as possible.
    pub fn written(&mut self, now: Time, out: &mut Outbox) {
        let Phase::Writing(cause) = &self.phase else { return };
        let (verdict, why) = self.judge(cause);
        if !self.event_log.view.is_silent() {
            let never_began = self.never_began(verdict);
            let ending = self.ending(verdict, &why, &never_began);
            summary::print(&self.test, &self.roster, &self.results, &ending, out);
        }
        self.dismiss(verdict, &why, out);
        self.phase = Phase::Over { code: self.exit_code(verdict), verdict, why };
        if self.hosted.is_none() {
            self.timers.set(Timer::Exit, now + if self.interrupts > 1 { END_AT_ONCE_WITHIN } else { EXIT_WITHIN });
        }
        self.launch.end_unconnected(&self.roster, out);
        self.exit_if_alone(out);
    }

    fn dismiss(&self, verdict: Verdict, why: &str, out: &mut Outbox) {
        let dismissed = Dismissed { run: Cow::from(&self.id), verdict }.encode();
        let bye = Bye { code: Code::NoRun, reason: Cow::from("the run is over"), fatal: false }.encode();
        let stop = Stop { run: Cow::from(&self.id), reason: Cow::from(why), how: Manner::Now }.encode();
        for member in self.roster.iter() {
            let Some(conn) = member.conn else { continue };
            if member.stage == Stage::Lost {
                out.send(conn, stop.clone());
            }
            out.send(conn, dismissed.clone());
            if self.local.is_none() && self.hosted.is_none() {
                out.send(conn, bye.clone());
            }
        }
    }

    pub(in crate::controller) fn judge(&self, cause: &Cause) -> (Verdict, String) {
        match (cause.verdict, self.failures.first()) {
            (Verdict::Passed | Verdict::Failed, Some(first)) => {
                let headline = first.headline(self.started());
                // The next line of the report has this failure.
                let following = usize::from(cause.verdict == Verdict::Failed && cause.why != first.in_words());
                let why = match (self.failures.count() - 1).saturating_sub(following) {
                    0 => headline,
                    1 => format!("{headline} (and 1 more failure)"),
                    more => format!("{headline} (and {more} more failures)"),
                };
                (Verdict::Failed, why)
            }
            (verdict, _) => (verdict, cause.why.clone()),
        }
    }

    /// Returns what the headline omits: why the run ended after its first failure, or what had failed before it was
    /// interrupted.
    fn later_cause(&self) -> Option<String> {
        let (Phase::Ending(cause) | Phase::Writing(cause)) = &self.phase else { return None };
        let first = self.failures.first()?;
        match cause.verdict {
            Verdict::Passed => None,
            Verdict::Failed => (cause.why != first.in_words()).then(|| format!("then: {}", cause.why)),
            Verdict::Interrupted => Some(format!("before that: {}", first.headline(self.started()))),
        }
    }

    /// Returns the exit status of `arete run`.
    fn exit_code(&self, verdict: Verdict) -> u8 {
        match verdict {
            Verdict::Passed => exit_code::PASSED,
            Verdict::Failed if self.failures.first().is_some_and(|first| first.kind.is_infrastructure()) => {
                exit_code::INFRASTRUCTURE
            }
            Verdict::Failed => exit_code::FAILED,
            Verdict::Interrupted => exit_code::INTERRUPTED,
        }
    }

    /// Returns whether this confirmation is the one that the end of the run waits for.
    pub fn awaits(&self, confirm: ConfirmId) -> bool {
        self.outcome.awaits(confirm)
    }

    /// Handles the end of a slave's process of an embedded run, or of a launcher.
    pub fn child_ended(&mut self, now: Time, child: ChildId, how: Result<Exit, SystemError>, out: &mut Outbox) {
        let Some(slaves) = self.launch.ended(child) else { return };
        match self.phase {
            Phase::Writing(_) => return,
            Phase::Over { .. } => return self.exit_if_alone(out),
            Phase::Queued | Phase::Gathering | Phase::Running | Phase::Finishing(_) | Phase::Ending(_) => {}
        }
        if self.launch.is_by_command() {
            return self.launcher_ended(now, slaves, how, out);
        }
        let Some(&ix) = slaves.first() else { return };
        match how {
            Ok(exit) => {
                let why = format!("its process ended: {exit}");
                self.launch.read_next(LastWords::of_slave(ix, why, self.log_of_slave(ix)), out);
            }
            Err(error) => self.lose(now, ix, &format!("its process could not be started: {error}"), out),
        }
    }

    pub(in crate::controller) fn exit_if_alone(&mut self, out: &mut Outbox) {
        let Phase::Over { code, .. } = self.phase else { return };
        if self.hosted.is_some() || !self.launch.is_empty() {
            return;
        }
        if self.local.is_some() {
            return out.sweep(Signal::KILL);
        }
        self.launch.kill(Signal::KILL, out);
        out.exit(code);
    }

    /// Handles that `left` processes were killed that slaves of an embedded run had left behind.
    pub fn swept(&mut self, now: Time, left: usize, out: &mut Outbox) {
        match self.phase {
            Phase::Over { code, .. } if left == 0 => out.exit(code),
            Phase::Over { .. } => self.timers.set(Timer::Sweep, now + SWEEP_EVERY),
            _ => {}
        }
    }

    /// Handles that a file in the results directory could not be written.
    pub fn write_failed(&mut self, now: Time, path: PathBuf, error: String, out: &mut Outbox) {
        if self.event_log.writes(&path) {
            self.event_log.stop_writing();
        }
        if self.ledger.is_at(&path) {
            self.ledger.stop_writing();
            // Events that are not in the ledger could not be rebuilt after a restart.
            self.event_log.stop_writing();
        }
        let why = format!("cannot write {}: {error}", path.display());
        out.print(crate::machine::Stream::Err, format!("arete: {}\n", text::harmless(&why)));
        match &mut self.phase {
            Phase::Writing(_) => {
                if !self.outcome.is_final() {
                    let kind = FailureKind::Results;
                    self.enter(now, Fact::Failed { kind, slave: None, entry: None, why: Cow::from(&why) }, out);
                }
                if !self.outcome.write_failed(&path, &self.results, out) && !self.outcome.is_final() {
                    // The summary may still have room where the events have none.
                    self.outcome.begin(Verdict::Failed, why);
                }
            }
            Phase::Over { code, .. } => {
                if *code == exit_code::PASSED {
                    *code = exit_code::INFRASTRUCTURE;
                }
                self.exit_if_alone(out);
            }
            _ => self.abort(now, FailureKind::Results, why, out),
        }
    }
}
