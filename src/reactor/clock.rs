//! The clock of the loop, the only one that it reads.

use crate::machine::Time;

/// The time, by a clock that all processes of this system share and that also counts while the system is suspended, so
/// that nobody wakes up and takes what has run out for good.
pub fn now() -> Time {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Time::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000)
}
