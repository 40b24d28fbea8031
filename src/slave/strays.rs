//! Whether processes still run that commands have left behind: they may notify, poke and come to barriers as their
//! commands could.

use std::time::Duration;

use crate::machine::faults::{Fault, injected};
use crate::machine::{Time, Timers};
use crate::slave::timer::Timer;

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

    /// Plans the next look, or none while commands or sweeps are under way (`busy`): the last of them plans it.
    pub(super) fn plan_look(&self, busy: bool, now: Time, timers: &mut Timers<Timer>) {
        match self {
            Strays::Possible(looks) if !busy => {
                if timers.get(&Timer::Strays).is_none() {
                    timers.set(Timer::Strays, now + LOOK_AFTER * (1 << looks.min(&LOOK_DOUBLES)));
                }
            }
            _ => timers.cancel(&Timer::Strays),
        }
    }

    /// A look begins.
    pub(super) fn look(&mut self) {
        if let Strays::Possible(looks) = self {
            *self = Strays::Looking(*looks + 1);
        }
    }

    /// A look has found `left` processes. Returns whether that is news: there are none any more.
    pub(super) fn seen(&mut self, left: usize) -> bool {
        let Strays::Looking(looks) = *self else { return false };
        let gone = left == 0 || injected(Fault::StraysIgnored);
        *self = if gone { Strays::Gone } else { Strays::Possible(looks) };
        gone
    }
}
