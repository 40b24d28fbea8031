//! Whether the slaves that the controller has started on this machine connect. They have nothing to wait for. If no
//! further one connects for a while, something prevents it: the loopback interface is down, or a filter blocks it.

use std::time::Duration;

/// The interval of the checks.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many checks in a row may see no new slave. Checks are counted instead of time: while a machine is suspended, or
/// so busy that this loop does not turn, no slave could have connected.
const LOOKS: u32 = 8;

/// The time of that many checks.
pub const PATIENCE: Duration = Duration::from_secs(LOOK_EVERY.as_secs() * LOOKS as u64);

/// The state of the checks.
#[derive(Default)]
pub struct Arrivals {
    came: usize,
    in_vain: u32,
}

impl Arrivals {
    /// Counts a check that sees `came` slaves. Returns `true` if there was no new one for too long.
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
    fn each_slave_that_connects_extends_the_wait() {
        let mut arrivals = Arrivals::default();
        let mut looks = |came: usize, times: u32| (0..times).map(|_| arrivals.look(came)).collect::<Vec<_>>();
        assert!(!looks(0, LOOKS - 1).contains(&true));
        assert!(!looks(1, LOOKS).contains(&true), "the first of these checks saw a new slave");
        assert_eq!(looks(1, 1), [true]);
    }
}
