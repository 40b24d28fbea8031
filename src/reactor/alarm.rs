//! The alarm clock that ends a wait at the next deadline, by the clock of [`now`](super::clock::now).
//!
//! A poll's own timeout counts in whole milliseconds, rounded up. Actions that must happen on many machines at one instant
//! would be late by up to a millisecond.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::tokens::{SourceKind, token};
use crate::machine::Time;

pub struct Alarm {
    timer: OwnedFd,
    /// When the timer expires, if it is set.
    set: Option<Time>,
}

impl Alarm {
    pub fn new(registry: &Registry) -> io::Result<Alarm> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token(SourceKind::Alarm, 0), Interest::READABLE)?;
        Ok(Alarm { timer, set: None })
    }

    /// Makes a poll wake at `deadline` at the latest. An earlier alarm stays: the deadlines of busy peers move away all the
    /// time, and one useless wake costs less than a system call each turn.
    pub fn wake_by(&mut self, deadline: Time) -> io::Result<()> {
        if self.set.is_some_and(|at| at <= deadline) {
            return Ok(());
        }
        // Zero would stop the timer instead.
        let micros = deadline.as_micros().max(1);
        let it_value = Timespec { tv_sec: (micros / 1_000_000) as i64, tv_nsec: (micros % 1_000_000 * 1_000) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.set = Some(deadline);
        Ok(())
    }

    /// Notes that the timer has expired. It need not be read, because setting it again makes the next event.
    pub fn went_off(&mut self) {
        self.set = None;
    }
}
