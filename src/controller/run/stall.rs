//! Whether anything still happens in a run.

use std::time::Duration;

use crate::machine::Time;

/// How long nothing must happen before the run is searched for a standstill.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The events and the output at the last look, and since when there are no others.
#[derive(Debug, Default)]
pub struct Standstill {
    /// How many events and how many bytes of output there were.
    seen: (u64, u64),
    since: Time,
    recorded: bool,
    /// A search has found that not everything waits.
    searched: bool,
}

impl Standstill {
    /// Returns whether to search the run for a standstill: nothing has happened for long enough, and what a search would
    /// find is not known. `seen`: how many events and how many bytes of output there are now.
    pub fn is_due(&mut self, now: Time, seen: (u64, u64)) -> bool {
        if self.seen != seen {
            *self = Standstill { seen, since: now, recorded: false, searched: false };
            return false;
        }
        !self.recorded && !self.searched && now.since(self.since) >= STALLED_AFTER
    }

    /// Notes that a search has found that not everything waits. That holds until something happens.
    pub fn found_none(&mut self) {
        self.searched = true;
    }

    /// Notes that the commands of slaves wait for other things, which is not an event.
    pub fn waits_changed(&mut self) {
        self.searched = false;
    }

    /// Notes that the standstill was recorded, which is an event. It is not recorded again until something else happens.
    pub fn record(&mut self, now: Time, seen: (u64, u64)) {
        *self = Standstill { seen, since: now, recorded: true, searched: false };
    }
}
