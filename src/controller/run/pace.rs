//! How much of long work is done in one turn of the loop.
//!
//! The parts of a run's slaves and its summary can be hundreds of megabytes. All runs share one allowance, so a turn stays
//! short however many of them start or end at once. The rest is done a moment later.

use std::time::Duration;

use crate::machine::Time;

/// The allowance of one turn, in bytes that are sent or written.
const AT_ONCE: usize = 4 * 1024 * 1024;

/// The bytes that could be sent in the time in which one byte is encoded.
const ENCODING: usize = 4;

/// The time between two pieces, which belongs to the peers.
const PAUSE: Duration = Duration::from_millis(1);

/// The allowance of the controller.
#[derive(Debug)]
pub struct Pace {
    at_once: usize,
    left: usize,
    due: Option<Time>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace::of(AT_ONCE)
    }
}

impl Pace {
    /// Returns a pace with an allowance of this many bytes.
    pub fn of(at_once: usize) -> Pace {
        Pace { at_once, left: at_once, due: None }
    }

    /// Grants a new allowance if one is due. The loop calls this once in a turn.
    pub fn renew(&mut self, now: Time) {
        if self.due.is_some_and(|due| due <= now) {
            (self.left, self.due) = (self.at_once, None);
        }
    }

    /// Returns whether the allowance of this turn is used up. If so, the rest is due after a pause.
    pub fn is_used_up(&mut self, now: Time) -> bool {
        let used_up = self.left == 0;
        if used_up {
            self.retry_after(now, PAUSE);
        }
        used_up
    }

    /// Returns whether work of this cost in bytes that are sent fits into the rest of the allowance. If not, it is due after
    /// a pause, and then it fits in any case.
    pub fn affords(&mut self, now: Time, cost: usize) -> bool {
        let affords = self.left >= cost || self.left == self.at_once;
        if !affords {
            self.retry_after(now, PAUSE);
        }
        affords
    }

    /// Takes the cost of sending or writing these bytes, even if less is left.
    pub fn sends(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Takes the cost of encoding these bytes, even if less is left.
    pub fn encodes(&mut self, bytes: usize) {
        self.sends(bytes.saturating_mul(ENCODING));
    }

    /// Makes the next piece due after this time, unless one is due earlier.
    pub fn retry_after(&mut self, now: Time, pause: Duration) {
        let at = now + pause;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Returns when the next piece is due.
    pub fn due(&self) -> Option<Time> {
        self.due
    }
}
