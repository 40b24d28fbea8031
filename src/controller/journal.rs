//! What is written and shown of a run as it happens: every event goes to `events.jsonl` and to the view.

use std::path::PathBuf;

use super::event::{self, Event};
use super::view::View;
use crate::machine::{Outbox, Time};

/// How many events before the start are kept; more than this only slaves that come and go without end can make.
const HELD_MAX: usize = 200_000;

/// Records events.
pub struct Journal {
    path: PathBuf,
    pub view: View,
    start: Option<Time>,
    /// Events before the start, which cannot say yet how long before it they were.
    held: Vec<(Time, Vec<u8>)>,
    log: Vec<u8>,
    /// The log could not be written; nothing more is.
    broken: bool,
    /// The last event has been recorded.
    closed: bool,
    /// What happened in a former life is gone through again: it was shown, and is written as a whole at the end.
    replaying: bool,
}

impl Journal {
    pub fn new(path: PathBuf, view: View) -> Journal {
        let (held, log) = (Vec::new(), Vec::new());
        Journal { path, view, start: None, held, log, broken: false, closed: false, replaying: false }
    }

    /// Keeps what follows to itself.
    pub fn replay(&mut self) {
        self.replaying = true;
    }

    /// All of a former life is there: the file holds just that, whatever a crash has left out of it or torn.
    pub fn replayed(&mut self, out: &mut Outbox) {
        self.replaying = false;
        let log = std::mem::take(&mut self.log);
        if self.start.is_some() {
            out.persist(self.path.clone(), log);
        }
    }

    /// Something happened at `at`.
    pub fn record(&mut self, at: Time, slave: Option<&str>, event: &Event<'_>, out: &mut Outbox) {
        if self.closed {
            return;
        }
        if !self.replaying {
            self.view.event(self.start.map(|start| at.diff(start)), slave, event, out);
        }
        self.put(at, event::encode(slave, event), out);
    }

    /// The same of an event that is encoded already, and that was shown.
    pub fn put(&mut self, at: Time, encoded: Vec<u8>, out: &mut Outbox) {
        match self.start {
            Some(start) => {
                event::write_line(&mut self.log, start, at, &encoded);
                self.flush(out);
            }
            None if self.held.len() < HELD_MAX => self.held.push((at, encoded)),
            None => {}
        }
    }

    /// The run starts at `start`, or, when it never does, times count from `start` all the same.
    pub fn begin(&mut self, start: Time, out: &mut Outbox) {
        self.start = Some(start);
        for (at, encoded) in std::mem::take(&mut self.held) {
            event::write_line(&mut self.log, start, at, &encoded);
        }
        self.flush(out);
    }

    /// The run is over: nothing follows its last event.
    pub fn close(&mut self, out: &mut Outbox) {
        self.closed = true;
        self.view.close(out);
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn has_begun(&self) -> bool {
        self.start.is_some()
    }

    pub fn writes(&self, path: &std::path::Path) -> bool {
        self.path == path
    }

    pub fn give_up(&mut self) {
        self.broken = true;
    }

    fn flush(&mut self, out: &mut Outbox) {
        if self.replaying {
            return;
        }
        let log = std::mem::take(&mut self.log);
        if !self.broken && !log.is_empty() {
            out.append(self.path.clone(), log);
        }
    }
}
