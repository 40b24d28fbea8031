//! Whether the slaves that the controller has started on this machine come to it. They have nothing to wait for, so when
//! no further one comes for a while, something keeps them away: the loopback is down, or something filters it.

use std::time::Duration;

/// How often it is looked who has come.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often nobody else may have come. Looks are counted, not time: while a machine is suspended, or so busy that this
/// loop does not turn, nobody could have come.
const LOOKS: u32 = 8;

/// How long nobody may have come in all.
pub const PATIENCE: Duration = Duration::from_secs(LOOK_EVERY.as_secs() * LOOKS as u64);

/// How it goes.
#[derive(Default)]
pub struct Arrivals {
    came: usize,
    in_vain: u32,
}

impl Arrivals {
    /// So many have come by now. `true`: nobody has for too long.
    pub fn look(&mut self, came: usize) -> bool {
        if came > self.came {
            (self.came, self.in_vain) = (came, 0);
        } else {
            self.in_vain += 1;
        }
        self.in_vain >= LOOKS
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
