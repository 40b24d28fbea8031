//! The fate of the slaves that a run has started: they join, or the last lines of their logs explain why not.

use std::path::PathBuf;

use crate::controller::run::arrivals::{LOOK_EVERY, PATIENCE};
use crate::controller::run::failures::FailureKind;
use crate::controller::run::launch::{LastWords, Launch, Launcher, SLAVE_LOG, log_of};
use crate::controller::run::roster::Stage;
use crate::controller::run::run::{Phase, Run, Timer};
use crate::machine::{Exit, Outbox, ReadId, SystemError, Time};
use crate::text;

impl Run {
    /// Returns the path of the log of a slave of this machine.
    pub(in crate::controller) fn log_of_slave(&self, ix: usize) -> PathBuf {
        self.results.join(&self.roster.get(ix).name).join(SLAVE_LOG)
    }

    /// Handles the end of a launcher. It has failed if one of its slaves has not joined.
    pub(in crate::controller) fn launcher_ended(
        &mut self,
        now: Time,
        mut slaves: Vec<usize>,
        how: Result<Exit, SystemError>,
        out: &mut Outbox,
    ) {
        let log = log_of(&slaves, &self.roster, &self.results);
        slaves.retain(|&ix| self.roster.get(ix).stage == Stage::Absent);
        match how {
            _ if slaves.is_empty() => log::debug!("a launcher has ended after its slaves had joined"),
            Ok(exit) => self.launch.read_next(LastWords::of_launcher(slaves, exit, log), out),
            Err(error) => {
                self.lose_unlaunched(now, &slaves, &format!("its launcher could not be started: {error}"), out)
            }
        }
    }

    /// Also starts the slaves with commands.
    pub fn launch_by(&mut self, launcher: Launcher) {
        self.launch = Launch::by(launcher);
    }

    /// Returns whether it waits for this read.
    pub fn reads(&self, read: ReadId) -> bool {
        self.launch.reads(read) || self.resources.reads(read)
    }

    /// Handles what was read: a piece of a log, or of a resource.
    pub fn on_read(&mut self, now: Time, read: ReadId, result: Result<&[u8], SystemError>, out: &mut Outbox) {
        if self.launch.reads(read) {
            self.last_words(now, read, result, out);
        } else if let Err(error) = self.resources.read(read, result, out) {
            self.abort(now, FailureKind::Resource, error.to_string(), out);
        }
    }

    fn last_words(&mut self, now: Time, read: ReadId, said: Result<&[u8], SystemError>, out: &mut Outbox) {
        let Some(words) = self.launch.last_words(read, said, out) else { return };
        if self.is_over() {
            return;
        }
        let reason = words.in_words();
        match self.launch.is_by_command() {
            true => self.lose_unlaunched(now, &words.slaves, &reason, out),
            false => words.slaves.iter().for_each(|&ix| self.lose(now, ix, &reason, out)),
        }
    }

    fn lose_unlaunched(&mut self, now: Time, slaves: &[usize], reason: &str, out: &mut Outbox) {
        for &ix in slaves {
            if self.roster.get(ix).stage == Stage::Absent {
                self.lose(now, ix, reason, out);
            }
        }
    }

    /// Starts to wait for the slaves of this machine.
    pub(in crate::controller) fn await_arrivals(&mut self, now: Time) {
        self.timers.set(Timer::Arrivals, now + LOOK_EVERY);
    }

    /// Checks which slaves of this machine have joined. If none has for too long, the missing are lost.
    pub(in crate::controller) fn check_arrivals(&mut self, now: Time, out: &mut Outbox) {
        if self.phase != Phase::Gathering {
            return;
        }
        let absent = |ix: &usize| self.roster.get(*ix).stage == Stage::Absent && self.launch.runs(*ix);
        let absent: Vec<usize> = (0..self.roster.len()).filter(absent).collect();
        if absent.is_empty() {
            return;
        }
        if !self.launch.arrivals.look(self.roster.len() - absent.len()) {
            return self.await_arrivals(now);
        }
        for ix in absent {
            let why = format!("it has not connected within {}", text::duration(PATIENCE));
            let words = LastWords::of_slave(ix, why, self.log_of_slave(ix));
            self.launch.read_next(words, out);
        }
    }
}
