//! The time that a command may take in all, counted from the start of the process.

use std::time::Duration;

use arete::machine::Time;
use arete::reactor::now;

/// The start of a command, and the time that it may take.
#[derive(Clone, Copy)]
pub struct Deadline {
    pub begun: Time,
    pub timeout: Option<Duration>,
}

impl Deadline {
    /// Returns the time that is left. `None` means no limit.
    pub fn left(self) -> Option<Duration> {
        self.timeout.map(|timeout| (self.begun + timeout).since(now()))
    }

    pub fn is_over(self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}
