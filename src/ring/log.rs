//! The lines of a node's log.

use crate::machine::Time;

/// Returns the time in UTC, for people. `wall_offset` is what to add to get microseconds since 1970.
pub fn wall_time(now: Time, wall_offset: i64) -> String {
    let micros = (now.as_micros() as i64).saturating_add(wall_offset);
    format!("{:.3}", jiff::Timestamp::from_microsecond(micros).unwrap_or_default())
}
