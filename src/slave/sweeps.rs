//! Searches for descendants of a run's commands, and counts the answers that are outstanding and the attempts to kill.

use std::time::Duration;

use crate::machine::{Outbox, Signal};

/// How soon to search again while a process is left.
const SWEEP_EVERY: Duration = Duration::from_millis(50);

/// How many times that wait doubles, because a search through all processes is costly.
const SWEEP_DOUBLES: u32 = 3;

/// How many times SIGKILL is sent before the slave gives up.
const KILLS_MAX: u32 = 50;

#[derive(Debug, Default)]
pub(super) struct Sweeps {
    /// How many answers are outstanding.
    outstanding: u32,
    /// How many searches were repeated.
    tries: u32,
    /// How many times SIGKILL was sent.
    kills: u32,
    /// The slave has reported that descendants cannot be found.
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

    /// Takes an answer. Returns whether it is the last outstanding one; the caller ignores the others, which are out of
    /// date.
    pub(super) fn answered(&mut self) -> bool {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.outstanding == 0
    }

    pub(super) fn under_way(&self) -> bool {
        self.outstanding > 0
    }

    /// Returns the wait until the next search. `None`: SIGKILL was sent too many times.
    pub(super) fn again_after(&self) -> Option<Duration> {
        let doubled = if self.kills > 0 { 0 } else { self.tries.min(SWEEP_DOUBLES) };
        (self.kills < KILLS_MAX).then_some(SWEEP_EVERY * (1 << doubled))
    }

    /// Searches again, and kills what it finds if `kills`.
    pub(super) fn again(&mut self, kills: bool, out: &mut Outbox) {
        self.tries += 1;
        self.kills += u32::from(kills);
        self.send(if kills { Signal::KILL } else { Signal::NONE }, out);
    }

    /// Descendants cannot be found. Returns whether that is new.
    pub(super) fn set_blind(&mut self) -> bool {
        !std::mem::replace(&mut self.blind, true)
    }

    pub(super) fn blind(&self) -> bool {
        self.blind
    }
}
