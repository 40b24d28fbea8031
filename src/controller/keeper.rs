//! What a controller keeps beyond its own life: its ledger, and a clock that goes on after a restart.
//!
//! The ledger of a controller with one run is also that run's. The ledger of a permanent controller is that of its rooms,
//! and each of its runs has a ledger of its own.
//!
//! A long ledger of rooms is rewritten without what is over and forgotten (`rewrite.rs`).

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::controller::ledger::{FORMAT, Fact, Header, Keep, Ledger, Past};
use crate::controller::rewrite::{PIECE, Rewrite};
use crate::controller::room::rooms::Rooms;
use crate::controller::session::processes::Processes;
use crate::machine::{Outbox, Time};
use crate::session::VERSION;

/// From this length on, in bytes, a ledger of rooms is rewritten when it has doubled: most of it is obsolete by then.
const REWRITE_FROM: u64 = 1024 * 1024;

/// Owns the controller's ledger and the offset of its clock.
#[derive(Default)]
pub struct Keeper {
    ledger: Ledger,
    /// The place of the ledger, and what it records about the system; `None`: nothing is kept.
    keep: Option<Keep>,
    /// Set once the ledger has begun, or was read.
    header: Option<Header>,
    /// Whether this controller continues an earlier one.
    resumes: bool,
    /// The last instant of the earlier one.
    resumed_after: Time,
    /// How far the controller's clock is ahead of the system's, in microseconds: after a reboot it goes on from where it
    /// was.
    shift: i64,
}

impl Keeper {
    /// Keeps a ledger from now on.
    pub fn keep(&mut self, keep: Keep) {
        self.open(&keep, 0);
        self.keep = Some(keep);
    }

    fn open(&self, keep: &Keep, length: u64) {
        self.ledger.open(keep.path.clone(), length, keep.rewrite_from.unwrap_or(REWRITE_FROM));
    }

    /// Continues the ledger and the clock of an earlier controller. Returns the path of the ledger.
    pub fn resume(&mut self, past: &Past) -> PathBuf {
        let keep = self.keep.take().unwrap_or_default();
        self.shift = past.shift(&keep.boot, keep.wall_offset);
        self.open(&keep, past.whole());
        self.header = Some(past.header.clone());
        self.resumes = true;
        let path = keep.path.clone();
        self.keep = Some(keep);
        path
    }

    /// Keeps the clock from going back before this instant, at which an earlier controller did something.
    pub fn goes_on_after(&mut self, last: Time) {
        self.resumed_after = self.resumed_after.max(last);
    }

    /// Begins the ledger, or sets the clock after the last instant of the earlier controller. Must be called before every
    /// other input is handled, because both determine the time of the facts.
    pub fn begin(&mut self, now: Time, out: &mut Outbox) {
        let Some(keep) = &self.keep else { return };
        if self.resumes {
            // Whatever the wall clock says, nothing happens before what has happened.
            let lag = self.resumed_after.as_micros() as i64 - (now.as_micros() as i64 + self.shift);
            self.shift += lag.max(0);
            return;
        }
        let (by, boot, run) = (VERSION.to_owned(), keep.boot.clone(), keep.terms.clone());
        let header = Header { format: FORMAT, by, wall_offset: keep.wall_offset, begun: now, boot, shift: 0, run };
        self.ledger.head(&header);
        self.ledger.flush(out.mark(), out);
        self.header = Some(header);
    }

    /// Returns whether this controller continues an earlier one.
    pub fn resumes(&self) -> bool {
        self.resumes
    }

    /// Returns whether a ledger is kept.
    pub fn keeps(&self) -> bool {
        self.keep.is_some()
    }

    /// Returns the boot of the system and how far the clock is ahead of it, as a ledger states them after a restart.
    pub fn life(&self) -> (&str, i64) {
        (self.keep.as_ref().map_or("", |keep| &keep.boot), self.shift)
    }

    /// Returns the controller's time at an instant of the system's clock.
    pub fn time(&self, system: Time) -> Time {
        system.offset(self.shift)
    }

    /// Returns the instant of the system's clock at this time of the controller's.
    pub fn system_time(&self, time: Time) -> Time {
        time.offset(-self.shift)
    }

    /// Returns how far wall-clock time is ahead of the controller's clock, in microseconds, if it is `of_system` ahead of
    /// the system's.
    pub fn wall_offset(&self, of_system: i64) -> i64 {
        of_system - self.shift
    }

    /// Returns the ledger for facts that belong to no run.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// States in a ledger of rooms that another controller continues it.
    pub fn write_resumed(&self) {
        if self.keeps() {
            let (boot, shift) = self.life();
            self.ledger.write(&Fact::Resumed { boot: Cow::from(boot), shift });
        }
    }

    /// Handles that a file could not be written. Returns whether it was the ledger: the controller must then end, because
    /// after a restart nothing that it answers from now on would be known.
    pub fn write_failed(&self, path: &Path) -> bool {
        self.ledger.keep_old(path);
        let is_ledger = self.ledger.is_at(path);
        if is_ledger {
            self.ledger.stop_writing();
        }
        is_ledger
    }

    /// Writes the next piece of a ledger of rooms that is being rewritten, or begins to rewrite it if it is long.
    pub fn rewrite_if_long(&self, now: Time, is_of_rooms: bool, of: (&Processes, &Rooms), out: &mut Outbox) {
        let (processes, rooms) = of;
        if !self.ledger.is_open() {
            return;
        }
        if let (Some(keep), Some(header)) = (&self.keep, &self.header)
            && self.ledger.is_long()
            && is_of_rooms
        {
            let facts = [
                Fact::Rewriting,
                Fact::Resumed { boot: Cow::from(&keep.boot), shift: self.shift },
                Fact::LastRound(rooms.last_round()),
            ];
            let piece = keep.rewrite_from.map_or(PIECE, |from| PIECE.min(from / 4));
            self.ledger.rewrite(Rewrite::begin(&keep.path, header, now, piece, &facts, out));
        }
        let Some(mut rewrite) = self.ledger.take_rewrite() else { return };
        if rewrite.write_more(now, processes, rooms.by_name(), out) {
            let (path, length) = rewrite.finish();
            self.ledger.rewritten(path, length, out);
        } else {
            self.ledger.rewrite(rewrite);
        }
    }
}
