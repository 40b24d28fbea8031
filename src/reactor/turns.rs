//! The durations of the turns of the loop, for figures.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::clock::now;
use crate::machine::Time;

/// The present turn, and the longest one.
pub struct Turns {
    begun: Time,
    longest: Duration,
    /// The same in processor time, which other programs do not lengthen. Measured only if it is logged.
    cpu: Option<(Duration, Duration)>,
}

impl Turns {
    pub fn new() -> Turns {
        let cpu = log::log_enabled!(log::Level::Debug).then(|| (cpu(), Duration::ZERO));
        Turns { begun: now(), longest: Duration::ZERO, cpu }
    }

    /// Returns when the present turn began.
    pub fn begun(&self) -> Time {
        self.begun
    }

    pub fn begin(&mut self) {
        self.begun = now();
        if let Some((begun, _)) = &mut self.cpu {
            *begun = cpu();
        }
    }

    pub fn end(&mut self) {
        self.longest = self.longest.max(now().since(self.begun));
        if let Some((begun, longest)) = &mut self.cpu {
            *longest = (*longest).max(cpu().saturating_sub(*begun));
        }
    }

    /// Logs the longest turn. `tests/hostile` and `tests/costs` read it.
    pub fn log_longest(&self) {
        let cpu = self.cpu.map_or(Duration::ZERO, |(_, longest)| longest);
        let (wall, cpu) = (self.longest.as_micros(), cpu.as_micros());
        log::debug!("the longest turn of the loop took {wall} us, {cpu} us of the processor");
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
