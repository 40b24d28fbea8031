//! How a run ends: interrupted or by itself, and what is written and said of it before its slaves are let go.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ledger::Fact;
use super::results::{self, Ending};
use super::roster::{Member, Stage};
use super::run::{Cause, GIVE_UP_WITHIN, Phase, Run, Timer};
use crate::machine::{ChildId, Exit, Outbox, Signal, Time};
use crate::wire::{Bye, Code, Dismissed, Message, Stop, Verdict};
use crate::{exit_code, spoken};

/// How long the slaves of an embedded run have to exit after their dismissal.
const EXIT_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether what was killed is gone.
const SWEEP_EVERY: Duration = Duration::from_millis(20);

/// What became of a run, in its results directory.
const SUMMARY: &str = "summary.json";

/// What became of it in words.
const REPORT: &str = "report.txt";

impl Run {
    /// Somebody pressed Ctrl-C, or the system ends us.
    pub fn interrupt(&mut self, now: Time, signal: Signal, out: &mut Outbox) {
        match self.phase {
            Phase::Writing(_) => return,
            Phase::Over { .. } => return self.deadline(now, Timer::Exit, out),
            Phase::Queued | Phase::Gathering | Phase::Running | Phase::Ending(_) => {}
        }
        self.interrupt_because(now, format!("interrupted by {}", signal.name()), out);
    }

    fn interrupt_because(&mut self, now: Time, why: String, out: &mut Outbox) {
        self.enter(now, Fact::Interrupted { why: Cow::from(&why) }, out);
        match (self.interrupts, &self.phase) {
            (1, Phase::Ending(_)) => {
                self.journal.view.line("interrupted; again to give up at once", out);
            }
            (1, _) => {
                self.journal.view.line("interrupted: everything is being stopped; again to give up at once", out);
                self.end(now, Verdict::Interrupted, why, out);
            }
            (2, _) => {
                self.tell_stop(out);
                self.timers.set(Timer::Stop, now + GIVE_UP_WITHIN);
            }
            _ => self.deadline(now, Timer::Stop, out),
        }
    }

    /// An operator ends it.
    pub fn cancelled(&mut self, now: Time, at_once: bool, out: &mut Outbox) {
        if matches!(self.phase, Phase::Writing(_) | Phase::Over { .. }) {
            return;
        }
        let wanted = if at_once { 2 } else { 1 };
        while self.interrupts < wanted && !self.is_over() {
            self.interrupt_because(now, "stopped by an operator".to_owned(), out);
        }
    }

    pub(super) fn finish_if_stopped(&mut self, now: Time, out: &mut Outbox) {
        let Phase::Ending(cause) = &self.phase else { return };
        let started = self.start.is_some();
        let over = |member: &Member| match member.stage {
            Stage::Stopped | Stage::Lost => true,
            Stage::Absent | Stage::Joined | Stage::Ready => !started && member.conn.is_none(),
        };
        if self.roster.iter().all(over) {
            let cause = cause.clone();
            self.finish(now, cause, out);
        }
    }

    /// Nothing of the run is left anywhere: writes what became of it. The verdict stands when that has been written.
    fn finish(&mut self, now: Time, cause: Cause, out: &mut Outbox) {
        let (verdict, why) = self.judge(&cause);
        self.journal.view.end_output(out);
        self.enter(now, Fact::Ended { verdict, why: Cow::from(&why) }, out);
        self.write_summary(verdict, &why, out);
        self.confirm(out);
    }

    /// Asks for word that all of it is written.
    pub(super) fn confirm(&mut self, out: &mut Outbox) {
        self.confirmed_after = out.next_serial();
        out.confirm();
    }

    pub(super) fn write_summary(&self, verdict: Verdict, why: &str, out: &mut Outbox) {
        let (path, ending) = (self.results.join(SUMMARY), self.ending(verdict, why));
        results::write_summary(path, &self.test, &self.roster, &self.room.triggers, &ending, out);
        let report = super::report::text(&self.test, &self.roster, Path::new(""), &ending);
        out.persist(self.results.join(REPORT), report.into_bytes());
    }

    fn ending<'a>(&'a self, verdict: Verdict, why: &'a str) -> Ending<'a> {
        let start = self.start.as_ref().map(|(at, wall)| (*at, wall.as_str()));
        let now = self.ended.unwrap_or_default();
        Ending { run: &self.id, verdict, why, failures: &self.failures, start, now }
    }

    /// What became of the run is written, as far as it can be: tells it, and lets the slaves go.
    pub fn written(&mut self, now: Time, out: &mut Outbox) {
        let Phase::Writing(cause) = &self.phase else { return };
        let (verdict, why) = self.judge(cause);
        match &mut self.hosted {
            Some(hosted) => hosted.why = why.clone(),
            None => super::report::print(&self.test, &self.roster, &self.results, &self.ending(verdict, &why), out),
        }
        self.dismiss(verdict, &why, out);
        let code = cause.code.unwrap_or(match verdict {
            Verdict::Passed => exit_code::PASSED,
            Verdict::Failed => exit_code::FAILED,
            Verdict::Interrupted => exit_code::INTERRUPTED,
        });
        self.phase = Phase::Over { code, verdict };
        if self.hosted.is_none() {
            self.timers.set(Timer::Exit, now + if self.interrupts > 1 { GIVE_UP_WITHIN } else { EXIT_WITHIN });
        }
        self.launch.end_the_useless(&self.roster, out);
        self.exit_if_alone(out);
    }

    fn dismiss(&self, verdict: Verdict, why: &str, out: &mut Outbox) {
        let dismissed = Dismissed { run: Cow::from(&self.id), verdict }.encode();
        let bye = Bye { code: Code::NoRun, reason: Cow::from("the run is over"), fatal: false }.encode();
        let stop = Stop { run: Cow::from(&self.id), reason: Cow::from(why), now: true }.encode();
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

    pub(super) fn judge(&self, cause: &Cause) -> (Verdict, String) {
        match (cause.verdict, self.failures.first()) {
            (Verdict::Passed, Some(first)) if self.failed > 1 => {
                (Verdict::Failed, format!("{first} (and {} more failures)", self.failed - 1))
            }
            (Verdict::Passed, Some(first)) => (Verdict::Failed, first.clone()),
            (verdict, _) => (verdict, cause.why.clone()),
        }
    }

    /// A child of an embedded run is gone, or a launcher.
    pub fn child_ended(&mut self, now: Time, child: ChildId, how: Result<Exit, String>, out: &mut Outbox) {
        let Some(slaves) = self.launch.ended(child) else { return };
        match self.phase {
            Phase::Writing(_) => return,
            Phase::Over { .. } => return self.exit_if_alone(out),
            Phase::Queued | Phase::Gathering | Phase::Running | Phase::Ending(_) => {}
        }
        if self.launch.is_by_command() {
            return self.launcher_ended(now, slaves, how, out);
        }
        let Some(&ix) = slaves.first() else { return };
        let log = self.results.join(&self.roster.get(ix).name).join("arete.log");
        let reason = match how {
            Ok(exit) => format!("its process ended: {exit}; its log is {}", log.display()),
            Err(error) => format!("its process could not be started: {error}"),
        };
        self.lose(now, ix, &reason, out);
    }

    pub(super) fn exit_if_alone(&mut self, out: &mut Outbox) {
        let Phase::Over { code, .. } = self.phase else { return };
        if let Some(hosted) = &mut self.hosted {
            hosted.done = true;
            return;
        }
        match self.local {
            None if self.launch.is_empty() => {
                self.launch.kill(Signal::KILL, out);
                out.exit(code);
            }
            None => {}
            Some(_) if self.launch.is_empty() => out.sweep(Signal::KILL),
            Some(_) => {}
        }
    }

    /// So many processes that slaves of an embedded run left when they died were killed.
    pub fn swept(&mut self, now: Time, left: usize, out: &mut Outbox) {
        match self.phase {
            Phase::Over { code, .. } if left == 0 => out.exit(code),
            Phase::Over { .. } => self.timers.set(Timer::Sweep, now + SWEEP_EVERY),
            _ => {}
        }
    }

    /// Something in the results directory could not be written.
    pub fn write_failed(&mut self, now: Time, path: PathBuf, error: String, out: &mut Outbox) {
        if self.journal.writes(&path) {
            self.journal.give_up();
        }
        if self.ledger.is_at(&path) {
            self.ledger.give_up();
            // What the time line said beyond the ledger, nobody could make true again.
            self.journal.give_up();
        }
        let why = format!("cannot write {}: {error}", path.display());
        out.print(crate::machine::Stream::Err, format!("arete: {}\n", spoken::harmless(&why)));
        match &mut self.phase {
            Phase::Writing(_) if self.over_before => {}
            Phase::Writing(_) => {
                self.enter(now, Fact::Failed { why: Cow::from(&why) }, out);
                // The summary may still have room where the events have none.
                if path != self.results.join(SUMMARY) {
                    self.write_summary(Verdict::Failed, &why, out);
                }
            }
            Phase::Over { code, .. } => {
                if *code == exit_code::PASSED {
                    *code = exit_code::FAILED;
                }
                self.exit_if_alone(out);
            }
            _ => self.abort(now, why, out),
        }
    }
}
