//! Continues a run after a restart of the controller.

use std::borrow::Cow;
use std::time::Duration;

use crate::controller::ledger::{Fact, FileError, Past, Terms};
use crate::controller::run::launch;
use crate::controller::run::roster::Stage;
use crate::controller::run::run::{END_AT_ONCE_WITHIN, EVENTS, Phase, Run, Timer};
use crate::controller::run::times::Times;
use crate::machine::{Outbox, Time};
use crate::testfile::End;
use crate::timeline::event::Event;
use crate::timeline::view::run_name;

/// How long a resumed run waits for reports of its slaves if its limit has passed meanwhile.
const HEAR_SLAVES: Duration = Duration::from_secs(5);

/// Why an embedded run ends after a restart of its controller.
const DIED_WITH_US: &str = "it ended with the controller that had started it, which was killed";

impl Run {
    /// Takes the state that the results directory has besides the ledger.
    pub(in crate::controller) fn restore_files(&mut self, past: &Past) {
        self.times = Times::new(past.header.wall_offset);
        self.event_log.replay();
        self.begun = Some(past.header.begun);
        let local = |terms: &Terms| terms.listen.is_none() || terms.launch.as_deref() == Some(launch::LOCAL);
        self.embedded = self.hosted.is_none() && past.header.run.as_ref().is_some_and(local);
        self.shipped.find(past.files(), &self.roster);
    }

    /// Ends a replay: the events that follow are new. Returns whether the run had started.
    pub(in crate::controller) fn end_replay(&mut self, out: &mut Outbox) -> bool {
        self.event_log.replayed(out);
        self.event_log.has_begun()
    }

    /// Handles how the rebuilding of the time line has ended.
    pub(in crate::controller) fn time_line_rebuilt(&mut self, done: Result<(), FileError>) {
        self.event_log.rebuilt(done);
    }

    /// Replays notifies into the time line.
    pub(in crate::controller) fn replay_notify(
        &mut self,
        at: Time,
        from: &str,
        trigger: &str,
        counted: crate::controller::room::trigger::Counted,
        out: &mut Outbox,
    ) {
        let from = (!from.is_empty()).then_some(from);
        let event =
            Event::Notified { trigger: trigger.into(), count: counted.new, left: counted.left, late: counted.late };
        self.event_log.record(at, from, &event, out);
        if counted.fires {
            self.event_log.record(at, None, &Event::Triggered { trigger: trigger.into() }, out);
        }
    }

    /// Continues the run. If it is over, its outcome is reported again.
    pub(in crate::controller) fn resume(&mut self, now: Time, clock: (&str, i64), out: &mut Outbox) {
        self.go_on(now, clock, out);
        if let Some(error) = self.event_log.take_not_rebuilt() {
            self.write_failed(now, self.results.join(EVENTS), error.0, out);
        }
    }

    fn go_on(&mut self, now: Time, (boot, shift): (&str, i64), out: &mut Outbox) {
        self.shipped.adopt_found(&self.entries, &mut self.roster);
        if let Phase::Writing(cause) = &self.phase {
            let (verdict, why) = self.judge(cause);
            return self.outcome.begin_final(verdict, why);
        }
        self.enter(now, Fact::Resumed { boot: Cow::from(boot), shift }, out);
        for ix in 0..self.roster.len() {
            let member = self.roster.get_mut(ix);
            member.gone = (member.stage > Stage::Absent).then_some(now);
        }
        self.begin_outputs(out);
        match self.phase {
            Phase::Queued | Phase::Gathering => {
                if let (Some(wait), Some(begun)) = (self.wait, self.begun) {
                    self.timers.set(Timer::Wait, (begun + wait).max(now + HEAR_SLAVES));
                }
                self.launch.start_absent(&self.roster, &self.results, out);
            }
            Phase::Running => self.extend_passed_limit(now),
            Phase::Finishing(_) => self.timers.set(Timer::Finish, now + self.test.grace.max(HEAR_SLAVES)),
            Phase::Ending(_) if self.interrupts > 1 => self.timers.set(Timer::Stop, now + END_AT_ONCE_WITHIN),
            Phase::Ending(_) | Phase::Writing(_) | Phase::Over { .. } => self.stopping(now),
        }
        if self.embedded {
            for ix in 0..self.roster.len() {
                self.lose(now, ix, DIED_WITH_US, out);
            }
        }
        self.finish_if_stopped(now, out);
    }

    /// Extends a limit that has passed while the controller was down, because slaves may report that the test ended in
    /// time.
    fn extend_passed_limit(&mut self, now: Time) {
        let at = self.timers.get(&Timer::End).unwrap_or(now);
        if !matches!(self.test.end, End::Duration(_)) {
            self.timers.set(Timer::End, at.max(now + HEAR_SLAVES));
        }
    }

    /// Creates missing output files of commands. They exist from a command's start on, even if the controller was
    /// killed before it created them.
    fn begin_outputs(&mut self, out: &mut Outbox) {
        for ix in 0..self.roster.len() {
            let started = self.roster.get(ix).runs.iter().filter(|run| run.pid.is_some());
            let names: Vec<String> = started.map(|run| run_name(&run.entry, run.nr)).collect();
            for name in names {
                self.begin_output(ix, &name, out);
            }
        }
    }
}
