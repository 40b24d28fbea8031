//! Looks at the descendants of a run's commands: how many answers are to come, and how often what is left was killed.

use std::time::Duration;

use crate::machine::{Outbox, Signal};

/// How soon it is looked again whether what was left is gone.
const SWEEP_EVERY: Duration = Duration::from_millis(50);

/// That time doubles this many times, because a look at every process of a machine is work.
const SWEEP_DOUBLES: u32 = 3;

/// How many times what is left is killed before the slave gives it up.
const KILLS_MAX: u32 = 50;

#[derive(Debug, Default)]
pub(super) struct Sweeps {
    /// Answers that are still to come.
    outstanding: u32,
    /// How often it was looked again for what is left.
    tries: u32,
    /// How often that was killed.
    kills: u32,
    /// It was reported that descendants cannot be looked for.
    blind: bool,
}

impl Sweeps {
    /// Sends a signal to every descendant; [`Signal::NONE`] only counts them.
    pub(super) fn send(&mut self, signal: Signal, out: &mut Outbox) {
        self.outstanding += 1;
        out.sweep(signal);
    }

    /// A series of sweeps begins, with this signal.
    pub(super) fn begin(&mut self, signal: Signal, out: &mut Outbox) {
        self.tries = 0;
        self.kills = 0;
        self.send(signal, out);
    }

    /// Takes an answer. Returns whether it is the last one that was to come: earlier ones are out of date.
    pub(super) fn answered(&mut self) -> bool {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.outstanding == 0
    }

    pub(super) fn under_way(&self) -> bool {
        self.outstanding > 0
    }

    /// After how long to look again; `None`: what is left has been killed often enough.
    pub(super) fn again_after(&self) -> Option<Duration> {
        let doubled = if self.kills > 0 { 0 } else { self.tries.min(SWEEP_DOUBLES) };
        (self.kills < KILLS_MAX).then_some(SWEEP_EVERY * (1 << doubled))
    }

    /// Looks again for what is left, and kills it if `kills`.
    pub(super) fn again(&mut self, kills: bool, out: &mut Outbox) {
        self.tries += 1;
        self.kills += u32::from(kills);
        self.send(if kills { Signal::KILL } else { Signal::NONE }, out);
    }

    /// Descendants cannot be looked for. Returns whether that is news.
    pub(super) fn set_blind(&mut self) -> bool {
        !std::mem::replace(&mut self.blind, true)
    }

    pub(super) fn blind(&self) -> bool {
        self.blind
    }
}
