//! The alarm clock that ends a wait at the next deadline, by the clock of [`now`](super::clock::now). A poll's own timeout counts
//! in whole milliseconds, rounded up, and what is to happen on many machines at one instant would happen up to one later.

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
    /// When it goes off next, if it does.
    set: Option<Time>,
}

impl Alarm {
    pub fn new(registry: &Registry) -> io::Result<Alarm> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token(SourceKind::Alarm, 0), Interest::READABLE)?;
        Ok(Alarm { timer, set: None })
    }

    /// Sees to it that a poll wakes at `deadline` at the latest. An earlier alarm stays, because deadlines that keep
    /// moving away, as those of busy peers do, then cost one wake in vain instead of a system call each turn.
    pub fn wake_by(&mut self, deadline: Time) -> io::Result<()> {
        if self.set.is_some_and(|at| at <= deadline) {
            return Ok(());
        }
        // Zero would stop the clock instead.
        let micros = deadline.as_micros().max(1);
        let it_value = Timespec { tv_sec: (micros / 1_000_000) as i64, tv_nsec: (micros % 1_000_000 * 1_000) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.set = Some(deadline);
        Ok(())
    }

    /// It has gone off. Nothing needs to be read: setting it anew makes the next event.
    pub fn went_off(&mut self) {
        self.set = None;
    }
}
