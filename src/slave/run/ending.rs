//! The end of a run on this slave: stops the commands, kills the processes that are left, runs the `finally` entries,
//! and ships the rest of the output.

use std::time::Duration;

use crate::machine::Signal;
use crate::machine::faults::{Fault, injected};
use crate::slave::notifies::Waiter;
use crate::slave::process::{Doing, Due, EntryRun};
use crate::slave::run::{AfterSweep, Ending, Phase, Run};
use crate::slave::schedule::Occasion;
use crate::slave::shorten::clip;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::text;
use crate::wire::{EntryOutcome, Manner, SlaveEvent, Stopped};

/// Why a job has failed that did not exit while the end of the run waited for it.
const CUT_OFF: &str = "cut off by the end of the run";

/// Why an action has ended that the end of the run does not wait for.
const RUN_ENDED: &str = "the run has ended";

/// What the author of the test can do about that.
const MAKE_IT_A_SERVICE: &str = "if it is meant to run until then, make it a service";

/// The time of `finally` entries between SIGTERM and SIGKILL.
const FINALLY_GRACE: Duration = Duration::from_secs(1);

impl Run {
    /// The controller ends the run in this manner, or does so again after a reconnect.
    pub(in crate::slave) fn stop(&mut self, how: Manner, turn: &mut Turn<'_>) {
        let now = how == Manner::Now;
        match self.ending {
            None if how == Manner::Finish => {
                self.told_to_finish.get_or_insert(turn.now);
                self.begin_to_finish();
            }
            // The time to finish is under way already.
            None if how == Manner::Cut && self.timers.get(&Timer::Finish).is_some() => {}
            // This slave may have been away while the others finished, or may have begun a job as the run ended. A job
            // has the same time here as on the others.
            None if how == Manner::Cut && self.jobs_may_run() => {
                self.begin_to_finish();
                self.timers.set(Timer::Finish, self.told_to_finish.unwrap_or(turn.now) + self.part.grace);
            }
            None => self.begin_end(how, Ending { now, ..Ending::default() }, turn),
            Some(ending) if now && !ending.now => self.hurry(turn),
            Some(_) => {}
        }
    }

    /// The slave must exit: its part of the run ends.
    pub(in crate::slave) fn quit(&mut self, turn: &mut Turn<'_>) {
        if self.ending.is_none() {
            self.begin_end(Manner::Stop, Ending { by_itself: true, ..Ending::default() }, turn);
        }
    }

    /// Stops the commands. The jobs among them have failed.
    pub(super) fn cut(&mut self, turn: &mut Turn<'_>) {
        self.timers.cancel(&Timer::Finish);
        if self.ending.is_none() {
            self.begin_end(Manner::Cut, Ending::default(), turn);
        }
    }

    /// From now on no entry begins.
    fn begin_to_finish(&mut self) {
        self.phase = Phase::Finishing;
        self.queue.clear();
        for index in 0..self.part.entries.len() {
            self.timers.cancel(&Timer::At(index));
        }
    }

    /// The run ends before its start, when only a directory exists. The controller still waits for the report.
    pub(in crate::slave) fn never_begin(&mut self, turn: &mut Turn<'_>) {
        self.ending = Some(Ending { now: true, ..Ending::default() });
        self.nothing_left(turn);
    }

    /// The controller has been away too long: ends the run in order, without reports.
    pub(in crate::slave) fn give_up(&mut self, turn: &mut Turn<'_>) {
        let forgotten = Ending { forget: true, ..Ending::default() };
        match self.ending {
            None if self.begun() => self.begin_end(Manner::Stop, forgotten, turn),
            Some(ending) if self.begun() => {
                self.ending = Some(Ending { forget: true, ..ending });
                if self.shipping() {
                    self.nothing_left(turn);
                }
            }
            _ => self.abandon(turn),
        }
    }

    /// The run is over elsewhere: kills what is left here, without reports.
    pub(in crate::slave) fn abandon(&mut self, turn: &mut Turn<'_>) {
        match self.ending {
            None if self.begun() => {
                self.begin_end(Manner::Now, Ending { now: true, forget: true, ..Ending::default() }, turn)
            }
            Some(ending) if self.begun() => {
                self.ending = Some(Ending { forget: true, ..ending });
                if !ending.now {
                    self.hurry(turn);
                }
            }
            _ => {
                self.phase = Phase::Stopped;
                self.ending = Some(Ending { now: true, forget: true, ..Ending::default() });
            }
        }
    }

    fn begin_end(&mut self, how: Manner, ending: Ending, turn: &mut Turn<'_>) {
        if !self.begun() {
            return self.never_begin(turn);
        }
        self.ending = Some(ending);
        self.begin_to_finish();
        self.timers.cancel(&Timer::Finish);
        self.phase = Phase::Stopping;
        for (key, exit) in self.readies.end(&mut self.timers, turn.out) {
            self.process_over(key, exit, turn);
        }
        for key in self.processes.keys() {
            self.timers.cancel(&Timer::Timeout(key));
        }
        if how == Manner::Cut {
            self.fail_jobs();
            self.end_builtins(EntryOutcome::Failed, CUT_OFF, turn);
        } else {
            self.end_builtins(EntryOutcome::Stopped, RUN_ENDED, turn);
        }
        self.processes.stop_all();
        if ending.now {
            self.kill_all(turn);
            self.sweeps.send(Signal::KILL, turn.out);
        } else {
            // The sweep reaches all groups. A signal to each group would reach each process twice.
            self.processes.all_got(Signal::TERM);
            self.sweeps.send(Signal::TERM, turn.out);
            self.timers.set(Timer::Grace, turn.now + self.part.grace);
        }
    }

    /// The jobs that still run have failed.
    fn fail_jobs(&mut self) {
        let entries = self.part.entries.clone();
        for key in self.processes.keys() {
            let Some(run) = self.processes.get_mut(key) else { continue };
            let in_time = entries[run.entry].is_service() || run.told_to_end() || run.failed.is_some();
            if !in_time && !injected(Fault::CutOffPasses) {
                run.cut_off = true;
                run.failed = Some(format!("{CUT_OFF}; {MAKE_IT_A_SERVICE}"));
            }
        }
    }

    /// Continues the end at once instead of in order.
    fn hurry(&mut self, turn: &mut Turn<'_>) {
        self.ending = self.ending.map(|ending| Ending { now: true, ..ending });
        self.queue.clear_due();
        match self.phase {
            Phase::Stopping | Phase::Finally => {
                self.phase = Phase::Stopping;
                self.end_builtins(EntryOutcome::Stopped, RUN_ENDED, turn);
                self.kill_all(turn);
                self.sweeps.send(Signal::KILL, turn.out);
            }
            Phase::Sweeping(_) => self.timers.set(Timer::Sweep, turn.now),
            Phase::Shipping => self.nothing_left(turn),
            _ => {}
        }
    }

    /// Kills the groups of all commands.
    pub(in crate::slave) fn kill_all(&mut self, turn: &mut Turn<'_>) {
        for key in self.processes.children() {
            self.signal_run(key, Signal::KILL, turn);
        }
    }

    /// The end of the run does not wait for notifies, barriers and syncs that the controller has not answered.
    fn end_builtins(&mut self, outcome: EntryOutcome, why: &str, turn: &mut Turn<'_>) {
        for key in self.processes.keys() {
            if self.processes.get(key).is_some_and(EntryRun::has_process) {
                continue;
            }
            self.withdraw(|waiter| *waiter == Waiter::Entry(key), turn);
            if let Some(run) = self.take(key) {
                // The end of the run undoes a fault, so it is not cut off.
                let is_fault = matches!(run.doing, Doing::Fault | Doing::Heal(_));
                let (outcome, why) = if is_fault { (EntryOutcome::Stopped, RUN_ENDED) } else { (outcome, why) };
                self.finished(run.into(), None, outcome, Some(why.to_owned()), turn);
            }
        }
    }

    /// The grace is over.
    pub(super) fn grace_over(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Stopping => self.kill_all(turn),
            Phase::Sweeping(_) => self.timers.set(Timer::Sweep, turn.now),
            Phase::Finally => {
                let why = format!("ran longer than the grace of {}", text::duration(self.part.grace));
                for key in self.processes.children() {
                    self.end_early(key, &why, FINALLY_GRACE, turn);
                }
                self.end_builtins(EntryOutcome::Failed, "the controller did not count it in time", turn);
            }
            _ => {}
        }
    }

    /// Takes the next step of the end if the last one is done.
    pub(super) fn advance(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Finishing if self.idle.is_some() && self.timers.get(&Timer::Finish).is_some() => self.cut(turn),
            Phase::Stopping if self.nothing_runs() => self.begin_sweep(AfterSweep::Finally, turn),
            Phase::Healing(then) if self.healed() => self.after_healing(then, turn),
            Phase::Finally if self.nothing_runs() => self.begin_sweep(AfterSweep::Shipping, turn),
            Phase::Shipping if self.output.complete() && self.tails.complete() && self.reports.all_recorded() => {
                self.nothing_left(turn)
            }
            _ => {}
        }
    }

    /// Searches for the processes that commands have left. They have until the end of the grace.
    fn begin_sweep(&mut self, then: AfterSweep, turn: &mut Turn<'_>) {
        self.phase = Phase::Sweeping(then);
        let signal = match then {
            _ if self.urgent() => Signal::KILL,
            AfterSweep::Finally => Signal::NONE,
            AfterSweep::Shipping => Signal::TERM,
        };
        self.sweeps.begin(signal, turn.out);
    }

    pub(super) fn urgent(&self) -> bool {
        self.ending.is_some_and(|ending| ending.now)
    }

    /// The descendants of commands cannot be found: warns of that once.
    pub(super) fn unseen(&mut self, why: &str, turn: &mut Turn<'_>) {
        if self.sweeps.set_blind() {
            self.reports.push(SlaveEvent::Warning { text: clip(why).into() }, turn);
        }
    }

    /// A sweep has found `left` descendants.
    pub(super) fn swept(&mut self, left: usize, turn: &mut Turn<'_>) {
        if !self.sweeps.answered() {
            return;
        }
        if self.jobs_may_run() {
            if self.strays.seen(left) && !self.sweeps.blind() {
                self.reports.push(SlaveEvent::Cleared, turn);
            }
            return;
        }
        let Phase::Sweeping(then) = self.phase else { return };
        let again_after = self.sweeps.again_after().filter(|_| left > 0 && !injected(Fault::StopsTooEarly));
        if let Some(after) = again_after {
            return self.timers.set(Timer::Sweep, turn.now + after);
        }
        self.timers.cancel(&Timer::Sweep);
        self.timers.cancel(&Timer::Grace);
        if left > 0 {
            let text = format!("{left} processes of this run cannot be killed and are left");
            self.reports.push(SlaveEvent::Trouble { text: text.into() }, turn);
        }
        match then {
            AfterSweep::Finally => self.heal(then, turn),
            AfterSweep::Shipping => self.after_healing(then, turn),
        }
    }

    /// No process is left, and no fault.
    fn after_healing(&mut self, then: AfterSweep, turn: &mut Turn<'_>) {
        match then {
            _ if self.urgent() => self.nothing_left(turn),
            AfterSweep::Finally => self.clean_up(turn),
            AfterSweep::Shipping => self.ship(turn),
        }
    }

    /// Runs the `finally` entries.
    fn clean_up(&mut self, turn: &mut Turn<'_>) {
        let entries = Occasion::End.entries(&self.part.entries);
        if entries.is_empty() {
            return self.ship(turn);
        }
        self.phase = Phase::Finally;
        self.timers.set(Timer::Grace, turn.now + self.part.grace);
        for entry in entries {
            self.begin_entry(Due::new(entry, None), turn);
        }
    }

    /// Ships the rest of the output, and the files of `collect`.
    fn ship(&mut self, turn: &mut Turn<'_>) {
        if self.named().is_none() {
            return self.nothing_left(turn);
        }
        self.phase = Phase::Shipping;
        self.withdraw(|_| true, turn);
        turn.control.end(turn.out);
        for (entry, dir) in std::mem::take(&mut self.collects) {
            let entry = &self.part.entries[entry];
            let patterns = entry.shell().map_or(Vec::new(), |shell| shell.collect.clone());
            self.output.collect(&entry.name, dir, patterns, turn);
        }
        self.output.finish(turn);
    }

    /// The time for shipping is over.
    pub(in crate::slave) fn give_up_shipping(&mut self, turn: &mut Turn<'_>) {
        if self.shipping() {
            log::warn!("not everything that the commands wrote was shipped");
            self.nothing_left(turn);
        }
    }

    fn nothing_left(&mut self, turn: &mut Turn<'_>) {
        self.phase = Phase::Stopped;
        self.withdraw(|_| true, turn);
        turn.control.end(turn.out);
        self.say_stopped(turn);
    }

    pub(super) fn say_stopped(&self, turn: &mut Turn<'_>) {
        if self.named().is_some() {
            let by_itself = self.ending.is_some_and(|ending| ending.by_itself);
            turn.say(&Stopped { run: self.id().into(), by_itself });
        }
    }
}
