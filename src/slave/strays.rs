//! Whether processes still run that commands have left behind: they may notify, poke and come to barriers as their
//! commands could.

use std::time::Duration;

use crate::machine::faults::{Fault, injected};
use crate::machine::{Signal, Time};
use crate::slave::run::Run;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::wire::Happened;

/// How long no command has run before it is looked what they have left: looking at all processes is work, and the next
/// command often comes at once.
const LOOK_AFTER: Duration = Duration::from_millis(20);

/// That time doubles so often while something is left.
const LOOK_DOUBLES: u32 = 6;

/// What is known of processes that commands have left.
#[derive(Debug, Default)]
pub(super) enum Strays {
    /// There are none.
    #[default]
    Gone,
    /// Commands have run since it was looked last, or something was left then; so often it was.
    Possible(u32),
    /// The answer of a look is to come.
    Looking(u32),
}

impl Strays {
    /// A command was started.
    pub(super) fn may_come(&mut self) {
        *self = Strays::Possible(0);
    }

    /// When it is to be looked, if nothing is started until then; `None`: nothing can be left.
    fn look_at(&self, now: Time) -> Option<Time> {
        match self {
            Strays::Possible(looks) => Some(now + LOOK_AFTER * (1 << looks.min(&LOOK_DOUBLES))),
            Strays::Gone | Strays::Looking(_) => None,
        }
    }

    fn look(&mut self) {
        if let Strays::Possible(looks) = self {
            *self = Strays::Looking(*looks + 1);
        }
    }

    /// So many processes are left. Whether that is news: there are none any more.
    fn seen(&mut self, left: usize) -> bool {
        let Strays::Looking(looks) = *self else { return false };
        let gone = left == 0 || injected(Fault::StraysIgnored);
        *self = if gone { Strays::Gone } else { Strays::Possible(looks) };
        gone
    }
}

impl Run {
    /// Plans the next look, while no command runs.
    pub(super) fn await_strays(&mut self, turn: &mut Turn<'_>) {
        let look_at = self.strays.look_at(turn.now).filter(|_| !self.processes.has_children() && self.sweeps == 0);
        match look_at {
            None => self.timers.cancel(&Timer::Strays),
            Some(at) if self.timers.get(&Timer::Strays).is_none() => self.timers.set(Timer::Strays, at),
            Some(_) => {}
        }
    }

    pub(super) fn look_for_strays(&mut self, turn: &mut Turn<'_>) {
        self.strays.look();
        self.sweep(Signal::NONE, turn);
    }

    /// The answer of a look, while the run goes on.
    pub(super) fn saw_strays(&mut self, left: usize, turn: &mut Turn<'_>) {
        if self.strays.seen(left) && !self.unseen {
            self.reports.push(Happened::Cleared, turn);
        }
    }
}
