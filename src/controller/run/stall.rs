//! Whether anything still happens in a run.

use std::time::Duration;

use crate::machine::Time;

/// How long nothing happens before it is told who waits.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// What had happened when it was looked last, and since when nothing has.
#[derive(Debug, Default)]
pub struct Standstill {
    /// Events, and bytes of output.
    seen: (u64, u64),
    since: Time,
    told: bool,
}

impl Standstill {
    /// So many events and bytes of output there are now. Whether nothing has happened for so long that it is to be told,
    /// and was not.
    pub fn is_due(&mut self, now: Time, seen: (u64, u64)) -> bool {
        if self.seen != seen {
            *self = Standstill { seen, since: now, told: false };
            return false;
        }
        !self.told && now.since(self.since) >= STALLED_AFTER
    }

    /// It was told: not again until something happens. To tell it was an event.
    pub fn tell(&mut self, now: Time, seen: (u64, u64)) {
        *self = Standstill { seen, since: now, told: true };
    }
}
