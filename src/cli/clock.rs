//! The wall clock.

use arete::reactor;

/// Returns what to add to the clock of the loop to get microseconds since 1970 in UTC.
pub fn wall_offset() -> i64 {
    jiff::Timestamp::now().as_microsecond() - reactor::now().as_micros() as i64
}
