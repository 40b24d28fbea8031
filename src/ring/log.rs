//! The log of a node, which goes to standard output.
//!
//! Lines contain text of other nodes. Therefore a line must never hold a character that a terminal obeys, and each complaint
//! is logged once.

use std::collections::BTreeSet;

use crate::machine::{Outbox, Stream, Time, harmless};

/// The most different complaints that are logged.
const COMPLAINTS_MAX: usize = 100;

/// The log of a node.
#[derive(Debug)]
pub struct Log {
    wall_offset: i64,
    complaints: BTreeSet<String>,
}

impl Log {
    /// Returns a log with the times of a clock: see [`wall_time`].
    pub fn new(wall_offset: i64) -> Log {
        Log { wall_offset, complaints: BTreeSet::new() }
    }

    /// Prints a line.
    pub fn tell(&self, now: Time, text: &str, out: &mut Outbox) {
        out.print(Stream::Out, format!("{} {}\n", wall_time(now, self.wall_offset), harmless(text)));
    }

    /// Prints a complaint, unless it was printed before.
    pub fn complain(&mut self, now: Time, text: String, out: &mut Outbox) {
        if self.complaints.len() < COMPLAINTS_MAX && self.complaints.insert(text.clone()) {
            self.tell(now, &text, out);
        }
    }
}

/// Returns the time in UTC, for people. `wall_offset` is what to add to get microseconds since 1970.
pub fn wall_time(now: Time, wall_offset: i64) -> String {
    let micros = (now.as_micros() as i64).saturating_add(wall_offset);
    format!("{:.3}", jiff::Timestamp::from_microsecond(micros).unwrap_or_default())
}
