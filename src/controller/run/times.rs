//! When a run started and ended.

use crate::controller::reply::utc;
use crate::machine::Time;

/// The start and the end of a run.
#[derive(Default)]
pub struct Times {
    /// The start, once it was set, and the wall clock then.
    start: Option<(Time, String)>,
    ended: Option<Time>,
    wall_offset: i64,
}

impl Times {
    pub fn new(wall_offset: i64) -> Times {
        Times { wall_offset, ..Times::default() }
    }

    pub fn start(&mut self, at: Time, wall_clock: String) {
        self.start = Some((at, wall_clock));
    }

    pub fn end(&mut self, now: Time) {
        self.ended = Some(now);
    }

    /// Returns the start and the wall clock then, if it was set.
    pub fn started(&self) -> Option<(Time, &str)> {
        self.start.as_ref().map(|(at, wall_clock)| (*at, &**wall_clock))
    }

    pub fn ended(&self) -> Option<Time> {
        self.ended
    }

    /// Returns how long the run has lasted, or did, in seconds.
    pub fn seconds(&self, now: Time) -> Option<f64> {
        let (start, _) = self.started().filter(|(at, _)| *at <= now)?;
        Some(self.ended.unwrap_or(now).since(start).as_secs_f64())
    }

    /// Returns the wall clock at an instant.
    pub fn utc(&self, at: Time) -> String {
        utc(at, self.wall_offset)
    }
}
