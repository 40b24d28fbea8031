//! What the commands of this slave wait for, told to the controller so that it can say who waits for whom when nothing
//! happens any more. A short wait is not told: most are over before anybody could ask.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::slave::run::Run;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::wire::rendezvous::{Wait, Waits};

/// How often it is looked what commands wait for, while any does.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How many waits are told at most. A person reads a few of them.
const WAITS_MAX: usize = 1_000;

impl Run {
    /// A command waits, or the controller may not know what waits.
    pub(super) fn watch_waits(&mut self, turn: &mut Turn<'_>) {
        if self.timers.get(&Timer::Waits).is_none() {
            self.timers.set(Timer::Waits, turn.now + LOOK_EVERY);
        }
    }

    /// The controller has forgotten what was said.
    pub(super) fn say_waits_again(&mut self, turn: &mut Turn<'_>) {
        self.waits_said.clear();
        self.watch_waits(turn);
    }

    /// Says what commands wait for, if that has changed.
    pub(super) fn say_waits(&mut self, turn: &mut Turn<'_>) {
        let ours = |wait: &Wait| self.part.entries.iter().any(|entry| entry.name == wait.entry);
        let waits = self.members.commands_wait().chain(turn.control.commands_wait());
        let waits: BTreeSet<Wait> = waits.filter(ours).take(WAITS_MAX).collect();
        if waits != self.waits_said {
            turn.say(&Waits { run: self.id().into(), waits: waits.iter().cloned().collect() });
            self.waits_said = waits;
        }
        if !self.waits_said.is_empty() {
            self.watch_waits(turn);
        }
    }
}
