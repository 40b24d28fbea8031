//! How a run ends: interrupted or by itself, and what is written and said of it before its slaves are let go.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::controller::ledger::Fact;
use crate::controller::run::failures::FailureKind;
use crate::controller::run::launch::LastWords;
use crate::controller::run::results::{self, Ending};
use crate::controller::run::roster::{RunSlave, Stage};
use crate::controller::run::run::{Cause, GIVE_UP_WITHIN, Phase, Run, Timer};
use crate::machine::{ChildId, Exit, Outbox, Signal, SystemError, Time};
use crate::wire::{Bye, Code, Dismissed, Manner, Message, Stop, Verdict};
use crate::{exit_code, text};

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
            Phase::Queued | Phase::Gathering | Phase::Running | Phase::Finishing(_) | Phase::Ending(_) => {}
        }
        self.interrupt_because(now, format!("interrupted by {}", signal.name()), out);
    }

    fn interrupt_because(&mut self, now: Time, why: String, out: &mut Outbox) {
        self.enter(now, Fact::Interrupted { why: Cow::from(&why) }, out);
        match (self.interrupts, &self.phase) {
            (1, Phase::Ending(_)) => {
                self.event_log.view.line("interrupted; again to give up at once", out);
            }
            (1, _) => {
                self.event_log.view.line("interrupted: everything is being stopped; again to give up at once", out);
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

    pub(in crate::controller) fn finish_if_stopped(&mut self, now: Time, out: &mut Outbox) {
        let Phase::Ending(cause) = &self.phase else { return };
        let started = self.start.is_some();
        let over = |member: &RunSlave| match member.stage {
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
        self.event_log.view.end_output(out);
        self.enter(now, Fact::Ended { verdict, why: Cow::from(&why) }, out);
        self.write_summary(verdict, &why, out);
        self.confirm(out);
    }

    /// Asks for word that all of it is written.
    pub(in crate::controller) fn confirm(&mut self, out: &mut Outbox) {
        self.confirmed_after = out.next_serial();
        out.confirm();
    }

    pub(in crate::controller) fn write_summary(&self, verdict: Verdict, why: &str, out: &mut Outbox) {
        let (path, ending) = (self.results.join(SUMMARY), self.ending(verdict, why));
        results::write_summary(path, &self.test, &self.roster, &self.room.triggers, &ending, out);
        let report = crate::controller::run::summary::text(&self.test, &self.roster, Path::new(""), &ending);
        out.persist(self.results.join(REPORT), report.into_bytes());
    }

    fn ending<'a>(&'a self, verdict: Verdict, why: &'a str) -> Ending<'a> {
        let start = self.start.as_ref().map(|(at, wall)| (*at, wall.as_str()));
        let now = self.ended.unwrap_or_default();
        let never_began = match verdict {
            Verdict::Interrupted => Vec::new(),
            Verdict::Failed | Verdict::Passed => crate::controller::run::never::lines(self, verdict == Verdict::Passed),
        };
        Ending {
            run: &self.id,
            verdict,
            why,
            then: self.what_came_then(),
            failures: &self.failures,
            never_began,
            start,
            now,
        }
    }

    /// What became of the run is written, as far as it can be: tells it, and lets the slaves go.
    pub fn written(&mut self, now: Time, out: &mut Outbox) {
        let Phase::Writing(cause) = &self.phase else { return };
        let (verdict, why) = self.judge(cause);
        match &mut self.hosted {
            Some(hosted) => hosted.why = why.clone(),
            None => crate::controller::run::summary::print(
                &self.test,
                &self.roster,
                &self.results,
                &self.ending(verdict, &why),
                out,
            ),
        }
        self.dismiss(verdict, &why, out);
        self.phase = Phase::Over { code: self.exit_code(verdict), verdict };
        if self.hosted.is_none() {
            self.timers.set(Timer::Exit, now + if self.interrupts > 1 { GIVE_UP_WITHIN } else { EXIT_WITHIN });
        }
        self.launch.end_the_useless(&self.roster, out);
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
                // The line below the headline tells of this one.
                let told = usize::from(cause.verdict == Verdict::Failed && cause.why != first.in_words());
                let why = match (self.failures.count() - 1).saturating_sub(told) {
                    0 => headline,
                    1 => format!("{headline} (and 1 more failure)"),
                    more => format!("{headline} (and {more} more failures)"),
                };
                (Verdict::Failed, why)
            }
            (verdict, _) => (verdict, cause.why.clone()),
        }
    }

    /// What the headline does not say: why the run ended after its first failure, or what had failed before somebody
    /// interrupted it.
    fn what_came_then(&self) -> Option<String> {
        let (Phase::Ending(cause) | Phase::Writing(cause)) = &self.phase else { return None };
        let first = self.failures.first()?;
        match cause.verdict {
            Verdict::Passed => None,
            Verdict::Failed => (cause.why != first.in_words()).then(|| format!("then: {}", cause.why)),
            Verdict::Interrupted => Some(format!("before that: {}", first.headline(self.started()))),
        }
    }

    /// How `arete run` exits when the run is over.
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

    /// A child of an embedded run is gone, or a launcher.
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
                self.launch.read_on(LastWords::of_slave(ix, why, self.log_of_slave(ix)), out);
            }
            Err(error) => self.lose(now, ix, &format!("its process could not be started: {error}"), out),
        }
    }

    pub(in crate::controller) fn exit_if_alone(&mut self, out: &mut Outbox) {
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
        if self.event_log.writes(&path) {
            self.event_log.give_up();
        }
        if self.ledger.is_at(&path) {
            self.ledger.give_up();
            // What the time line said beyond the ledger, nobody could make true again.
            self.event_log.give_up();
        }
        let why = format!("cannot write {}: {error}", path.display());
        out.print(crate::machine::Stream::Err, format!("arete: {}\n", text::harmless(&why)));
        match &mut self.phase {
            Phase::Writing(_) if self.over_before => {}
            Phase::Writing(_) => {
                let fact = Fact::Failed { kind: FailureKind::Results, slave: None, entry: None, why: Cow::from(&why) };
                self.enter(now, fact, out);
                // The summary may still have room where the events have none.
                if path != self.results.join(SUMMARY) {
                    self.write_summary(Verdict::Failed, &why, out);
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
