//! The deadlines of a run: for its slaves to be ready, for its end, and for its slaves to stop.

use crate::controller::run::failures::FailureKind;
use crate::controller::run::roster::{RunSlave, Stage};
use crate::controller::run::run::{END_AT_ONCE_WITHIN, Phase, Run, Timer};
use crate::controller::run::standstill;
use crate::machine::{Outbox, Signal, Time};
use crate::testfile::End;
use crate::text;
use crate::timeline::view::run_name;
use crate::wire::Verdict;

/// How many busy slaves a message names when the limit passes.
const BUSY_MAX: usize = 10;

impl Run {
    /// Returns the next deadline.
    pub fn next_deadline(&self) -> Option<Time> {
        [self.timers.next(), self.look_due()].into_iter().flatten().min()
    }

    /// Removes and returns a timer that is due.
    pub fn pop_due(&mut self, now: Time) -> Option<Timer> {
        self.timers.pop_due(now)
    }

    /// Handles a deadline of the run.
    pub fn deadline(&mut self, now: Time, timer: Timer, out: &mut Outbox) {
        match timer {
            Timer::Wait => self.on_wait_due(now, out),
            Timer::End => self.on_end_due(now, out),
            Timer::Finish => {
                if let Phase::Finishing(why) = &self.phase {
                    let why = why.clone();
                    self.pass(now, why, out);
                }
            }
            Timer::Stop => {
                let late = |ix: &usize| self.roster.get(*ix).stage < Stage::Stopped;
                for ix in (0..self.roster.len()).filter(late).collect::<Vec<_>>() {
                    self.lose(now, ix, "it did not stop in time", out);
                }
            }
            Timer::Exit => {
                if self.launch.terminate_once(out) {
                    return self.timers.set(Timer::Exit, now + END_AT_ONCE_WITHIN);
                }
                self.launch.kill(Signal::KILL, out);
                out.sweep(Signal::KILL);
                if let Phase::Over { code, .. } = self.phase {
                    out.exit(code);
                }
            }
            Timer::Sweep => out.sweep(Signal::KILL),
            Timer::Arrivals => self.check_arrivals(now, out),
        }
    }

    /// The run has waited too long in the queue, for what `waits_for` says.
    pub fn leave_queue(&mut self, now: Time, waits_for: &str, out: &mut Outbox) {
        let waited = text::duration(self.wait.unwrap_or_default());
        self.stop_waiting(now, format!("waited {waited} in the queue for {waits_for}"), out);
    }

    fn on_wait_due(&mut self, now: Time, out: &mut Outbox) {
        let missing = self.roster.names(|member| member.conn.is_none());
        let unready = self.roster.names(|member| member.conn.is_some() && member.stage < Stage::Ready);
        let mut why = format!("waited {} for the slaves", text::duration(self.wait.unwrap_or_default()));
        if !missing.is_empty() {
            why += &format!("; missing: {}", text::list(&missing));
        }
        if !unready.is_empty() {
            why += &format!("; connected but not ready: {}", text::list(&unready));
        }
        self.stop_waiting(now, why, out);
    }

    fn stop_waiting(&mut self, now: Time, why: String, out: &mut Outbox) {
        self.abort(now, FailureKind::SlavesMissing, why, out);
    }

    fn on_end_due(&mut self, now: Time, out: &mut Outbox) {
        match &self.test.end {
            End::Duration(duration) => {
                self.end(now, Verdict::Passed, format!("its {} are over", text::duration(*duration)), out)
            }
            End::Trigger { trigger, limit } => {
                let limit = text::duration(*limit);
                let why = match self.room.triggers.get(trigger).filter(|trigger| trigger.fired.is_none()) {
                    Some(state) => {
                        format!(
                            "its limit of {limit} passed and {trigger} has {} of {} left",
                            state.left(),
                            state.initial
                        )
                    }
                    None => format!("its limit of {limit} passed and what {trigger} set off still runs"),
                };
                let why = why + &standstill::in_words(self);
                self.abort(now, FailureKind::Limit, why, out);
            }
            End::Idle { limit } => {
                let busy = self.slaves_left().filter(|member| member.idle.is_none());
                let busy: Vec<String> = busy.take(BUSY_MAX).map(busy_in_words).collect();
                let why = format!(
                    "its limit of {} passed and it is not idle: still running on {}{}",
                    text::duration(*limit),
                    busy.join(", "),
                    standstill::in_words(self)
                );
                self.abort(now, FailureKind::Limit, why, out);
            }
        }
    }
}

/// `a (sleeper, make)`: a slave and what runs on it.
fn busy_in_words(member: &RunSlave) -> String {
    let running: Vec<_> = member.running().map(|run| run_name(&run.entry, run.nr)).take(BUSY_MAX).collect();
    match running[..] {
        [] => member.name.clone(),
        _ => format!("{} ({})", member.name, running.join(", ")),
    }
}
