//! Whether the slaves that the controller has started on this machine come to it. They have nothing to wait for, so when
//! no further one comes for a while, something keeps them away: the loopback is down, or something filters it.

use std::time::Duration;

use crate::controller::run::launch::LastWords;
use crate::controller::run::roster::Stage;
use crate::controller::run::run::{Phase, Run, Timer};
use crate::machine::{Outbox, Time};
use crate::spoken;

/// How often it is looked who has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often nobody else may have come. Looks are counted, not time: while a machine is suspended, or so busy that this
/// loop does not turn, nobody could have come.
const LOOKS: u32 = 8;

/// How it goes.
#[derive(Default)]
pub struct Arrivals {
    came: usize,
    in_vain: u32,
}

impl Arrivals {
    /// So many have come by now. `true`: nobody has for too long.
    fn look(&mut self, came: usize) -> bool {
        if came > self.came {
            (self.came, self.in_vain) = (came, 0);
        } else {
            self.in_vain += 1;
        }
        self.in_vain >= LOOKS
    }
}

impl Run {
    /// The slaves of this machine were started.
    pub(in crate::controller) fn await_arrivals(&mut self, now: Time) {
        self.timers.set(Timer::Arrivals, now + LOOK_EVERY);
    }

    /// Gives up those that do not come, in their last words.
    pub(in crate::controller) fn look_who_came(&mut self, now: Time, out: &mut Outbox) {
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
            let why = format!("it has not come within {}", spoken::duration(LOOK_EVERY * LOOKS));
            let words = LastWords::of_slave(ix, why, self.log_of_slave(ix));
            self.launch.read_on(words, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_gives_the_others_as_long_again() {
        let mut arrivals = Arrivals::default();
        let mut looks = |came: usize, times: u32| (0..times).map(|_| arrivals.look(came)).collect::<Vec<_>>();
        assert!(!looks(0, LOOKS - 1).contains(&true));
        assert!(!looks(1, LOOKS).contains(&true), "the first of these looks has seen somebody come");
        assert_eq!(looks(1, 1), [true]);
    }
}
