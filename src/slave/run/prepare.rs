//! The time before the start: fetches the resources, reports that the slave is ready, and waits for the instant.

use std::fmt;
use std::time::Duration;

use crate::machine::Time;
use crate::slave::injections::Check;
use crate::slave::resources::Changed;
use crate::slave::run::{Phase, Run};
use crate::slave::schedule::Occasion;
use crate::slave::shorten::clip;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::wire::{Chunk, Policy, Prepare, Ready, SlaveEvent, Unready};

impl Run {
    /// Makes the directory and requests the resources.
    pub(in crate::slave) fn prepare(&mut self, turn: &mut Turn<'_>) {
        if let Err(why) = self.part.check() {
            return self.cannot(&why, turn);
        }
        turn.out.make_dir(self.dir.work());
        if !self.config.keep {
            turn.out.persist(self.dir.mark(), Vec::new());
        }
        if let Err(why) = self.check_faults(turn) {
            return self.cannot(&why, turn);
        }
        let fetched = self.resources.fetch(turn);
        self.after_fetch(fetched, turn);
    }

    /// The addresses of other slaves have changed before the start.
    pub(in crate::slave) fn prepare_again(&mut self, prepare: &Prepare<'_>, turn: &mut Turn<'_>) {
        if self.begun() {
            return;
        }
        self.part.addresses.clone_from(&prepare.addresses);
        if let Err(why) = self.check_addresses() {
            return self.cannot(&why, turn);
        }
        if self.phase == Phase::Waiting {
            self.say_ready(turn);
        }
    }

    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>, turn: &mut Turn<'_>) {
        if self.phase == Phase::Preparing {
            let fetched = self.resources.chunk(chunk, turn);
            self.after_fetch(fetched, turn);
        }
    }

    fn after_fetch(&mut self, fetched: Result<(), Changed>, turn: &mut Turn<'_>) {
        match fetched {
            Ok(()) => self.try_ready(turn),
            Err(why) => self.cannot(&why, turn),
        }
    }

    /// Reports that the slave cannot take part.
    pub(super) fn cannot(&mut self, why: &impl fmt::Display, turn: &mut Turn<'_>) {
        let reason = why.to_string();
        log::error!("run {}: {reason}", self.id());
        self.phase = Phase::Waiting;
        self.unready = Some(clip(&reason).to_owned());
        self.say_ready(turn);
    }

    /// Reports that the slave is ready, if it has become so.
    pub(super) fn try_ready(&mut self, turn: &mut Turn<'_>) {
        let checked = self.injections.check == Check::Done;
        if self.phase == Phase::Preparing && self.resources.complete() && checked && turn.link.measured() {
            self.phase = Phase::Waiting;
            self.say_ready(turn);
        }
    }

    pub(super) fn say_ready(&self, turn: &mut Turn<'_>) {
        let run = self.id().into();
        match &self.unready {
            None => turn.say(&Ready { run }),
            Some(reason) => turn.say(&Unready { run, reason: reason.as_str().into() }),
        }
    }

    /// The controller has named the start, on its clock.
    pub(super) fn start_at(&mut self, at: Time, turn: &mut Turn<'_>) {
        if self.phase == Phase::Waiting && self.unready.is_none() {
            self.phase = Phase::Starting;
            self.start = turn.link.clock().to_ours(at);
            self.timers.set(Timer::Start, self.start);
        }
    }

    /// The run starts.
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>) {
        if self.phase != Phase::Starting {
            return;
        }
        self.phase = Phase::Running;
        let late = turn.now.since(self.start);
        let uncertain = turn.link.clock().uncertainty().unwrap_or_default();
        self.reports.push(SlaveEvent::Begun { late, uncertain }, turn);
        let late = late.as_micros() as u64;
        let mut due = Occasion::Elapsed(late).entries(&self.part.entries);
        due.sort_by_key(|&index| self.at(index));
        for index in 0..self.part.entries.len() {
            if let Some(at) = self.at(index).filter(|at| *at > late) {
                self.timers.set(Timer::At(index), self.start + Duration::from_micros(at));
            }
        }
        self.queue.add(due, None);
        for trigger in self.triggers.take_early() {
            self.triggered(&trigger, None, turn);
        }
    }

    fn at(&self, index: usize) -> Option<u64> {
        match self.part.entries[index].policy {
            Policy::At(at) => Some(at),
            _ => None,
        }
    }
}
