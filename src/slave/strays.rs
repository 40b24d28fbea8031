//! Whether processes still run that commands have left behind.
//!
//! Such a process may notify, poke and arrive at barriers like its command, so nothing may be reported as impossible
//! while one runs.

use std::time::Duration;

use crate::machine::faults::{Fault, injected};
use crate::machine::{Time, Timers};
use crate::slave::timer::Timer;

/// How long no command must have run before the search for processes. The search is costly, and often the next command
/// begins at once.
const LOOK_AFTER: Duration = Duration::from_millis(20);

/// How many times that wait doubles while a process is left.
const LOOK_DOUBLES: u32 = 6;

/// What is known about such processes.
#[derive(Debug, Default)]
pub(super) enum Strays {
    /// There are none.
    #[default]
    Gone,
    /// Commands have run since the last search, or it has found processes. The count is that of searches so far.
    Possible(u32),
    /// A search is under way.
    Looking(u32),
}

impl Strays {
    /// A command was started.
    pub(super) fn may_come(&mut self) {
        *self = Strays::Possible(0);
    }

    /// Plans the next search, unless commands or sweeps are under way (`busy`).
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

    /// A search begins.
    pub(super) fn look(&mut self) {
        if let Strays::Possible(looks) = self {
            *self = Strays::Looking(*looks + 1);
        }
    }

    /// A search has found `left` processes. Returns whether this search shows that none is left.
    pub(super) fn seen(&mut self, left: usize) -> bool {
        let Strays::Looking(looks) = *self else { return false };
        let gone = left == 0 || injected(Fault::StraysIgnored);
        *self = if gone { Strays::Gone } else { Strays::Possible(looks) };
        gone
    }
}
