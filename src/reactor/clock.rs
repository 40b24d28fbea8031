//! The clock of the loop, the only one that it reads.

use crate::machine::Time;

/// Returns the time. All processes of this system share the clock. It counts while the system is suspended, so that
/// after a suspension nothing that has expired is taken as valid.
pub fn now() -> Time {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Time::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000)
}
