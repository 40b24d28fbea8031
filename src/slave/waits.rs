//! Reports to the controller what the commands of this slave wait for, so that it can explain a run in which nothing
//! happens any more. Short waits are not reported: most are over before a person could ask.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::machine::{Time, Timers};
use crate::slave::assignment::Assignment;
use crate::slave::members::Members;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::wire::rendezvous::{self, Wait};

/// How often the waits are collected, while a command waits.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The most waits in a report. A person reads a few of them.
const WAITS_MAX: usize = 1_000;

/// The waits that the controller knows.
#[derive(Debug, Default)]
pub(super) struct ReportedWaits {
    told: BTreeSet<Wait>,
}

impl ReportedWaits {
    /// A command waits: plans the next report, unless one is planned.
    pub(super) fn watch(&self, now: Time, timers: &mut Timers<Timer>) {
        if timers.get(&Timer::Waits).is_none() {
            timers.set(Timer::Waits, now + LOOK_EVERY);
        }
    }

    /// After a reconnect the controller may know nothing.
    pub(super) fn forget(&mut self, now: Time, timers: &mut Timers<Timer>) {
        self.told.clear();
        self.watch(now, timers);
    }

    /// Reports what commands wait for, if that has changed.
    pub(super) fn tell(
        &mut self,
        part: &Assignment,
        members: &Members,
        timers: &mut Timers<Timer>,
        turn: &mut Turn<'_>,
    ) {
        let waits = members.commands_wait().chain(turn.control.commands_wait());
        let ours = waits.filter(|wait| part.index_of(&wait.entry).is_some());
        let waits: BTreeSet<Wait> = ours.take(WAITS_MAX).collect();
        if waits != self.told {
            turn.say(&rendezvous::Waits { run: part.run.as_str().into(), waits: waits.iter().cloned().collect() });
            self.told = waits;
        }
        if !self.told.is_empty() {
            self.watch(turn.now, timers);
        }
    }
}
