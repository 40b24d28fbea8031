//! The events of a run: each is written to `events.jsonl` and shown as a line.

use std::path::PathBuf;

use crate::controller::ledger::FileError;
use crate::machine::{Outbox, Time};
use crate::timeline::event::{self, Event};
use crate::timeline::view::View;

/// The limit for events before the start, in bytes. Only slaves that reconnect without end, or send refused messages,
/// can reach it.
const HELD_MAX: usize = 32 * 1024 * 1024;

/// The memory of an event before the start besides its bytes.
const HELD_COST: usize = 64;

/// How many bytes of replayed events are written at a time.
const PIECE: usize = 64 * 1024;

/// The end of a run with too many events may add 1/8 of the limit.
const FOR_THE_END: u64 = 8;

/// Records events.
pub struct EventLog {
    path: PathBuf,
    pub(super) view: View,
    start: Option<Time>,
    /// Events before the start. They are written later, because their times are relative to the start.
    held: Vec<(Time, Vec<u8>)>,
    /// Their size, in bytes.
    held_bytes: usize,
    /// The length of the file, and how much was recorded, in bytes.
    length: u64,
    recorded: u64,
    /// How many events were recorded, and how many end the run.
    events: u64,
    events_max: u64,
    log: Vec<u8>,
    /// A write has failed, so that nothing more is written.
    broken: bool,
    /// The last event was recorded.
    closed: bool,
    /// A ledger is being replayed: its events were shown before, and are written in pieces.
    replaying: bool,
    /// Why the file could not be rebuilt after a restart.
    not_rebuilt: Option<FileError>,
}

impl EventLog {
    pub fn new(path: PathBuf, view: View) -> EventLog {
        EventLog {
            path,
            view,
            start: None,
            held: Vec::new(),
            held_bytes: 0,
            length: 0,
            recorded: 0,
            events: 0,
            events_max: crate::controller::room::sync::EVENTS_MAX,
            log: Vec::new(),
            broken: false,
            closed: false,
            replaying: false,
            not_rebuilt: None,
        }
    }

    /// Returns the length of the file, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns how many events were recorded.
    pub fn count(&self) -> u64 {
        self.events
    }

    /// Returns how many bytes were recorded, including those that wait for the start.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    pub fn set_events_max(&mut self, events_max: u64) {
        self.events_max = events_max;
    }

    /// Returns the limit for events if it was exceeded.
    pub fn passed(&self) -> Option<u64> {
        (self.events > self.events_max).then_some(self.events_max)
    }

    /// Starts a replay: the events that follow are not shown.
    pub fn replay(&mut self) {
        self.replaying = true;
    }

    /// Returns whether a ledger is being replayed.
    pub fn is_replaying(&self) -> bool {
        self.replaying
    }

    /// Ends a replay: the events that follow are new.
    pub fn replayed(&mut self, out: &mut Outbox) {
        self.append(out);
        self.replaying = false;
    }

    /// Notes how the rebuilding of the file has ended.
    pub fn rebuilt(&mut self, done: Result<(), FileError>) {
        self.not_rebuilt = done.err();
    }

    /// Takes the reason why the file could not be rebuilt.
    pub fn take_not_rebuilt(&mut self) -> Option<FileError> {
        self.not_rebuilt.take()
    }

    /// Records an event at `at`.
    pub fn record(&mut self, at: Time, slave: Option<&str>, event: &Event<'_>, out: &mut Outbox) {
        self.record_encoded(at, slave, event, event::encode(slave, event), out);
    }

    /// As [`record`](EventLog::record), for an event whose encoding is known.
    pub fn record_encoded(
        &mut self,
        at: Time,
        slave: Option<&str>,
        event: &Event<'_>,
        encoded: Vec<u8>,
        out: &mut Outbox,
    ) {
        let last = matches!(event, Event::Ending { .. } | Event::Ended { .. });
        if self.closed || (self.events >= self.events_max + self.events_max / FOR_THE_END && !last) {
            return;
        }
        if !self.replaying {
            self.view.event(self.start.map(|start| at.diff(start)), slave, event, out);
        }
        self.put(at, encoded, out);
    }

    /// Records an encoded event, without showing it.
    pub fn put(&mut self, at: Time, encoded: Vec<u8>, out: &mut Outbox) {
        self.events += 1;
        self.recorded += encoded.len() as u64;
        match self.start {
            Some(start) => {
                event::write_line(&mut self.log, start, at, &encoded);
                self.flush(out);
            }
            None if self.held_bytes + encoded.len() + HELD_COST <= HELD_MAX => {
                self.held_bytes += encoded.len() + HELD_COST;
                self.held.push((at, encoded));
            }
            None => {}
        }
    }

    /// Sets the start of the run, to which all times are relative. If the run never starts, this is the time of its
    /// end.
    pub fn begin(&mut self, start: Time, out: &mut Outbox) {
        self.start = Some(start);
        for (at, encoded) in std::mem::take(&mut self.held) {
            event::write_line(&mut self.log, start, at, &encoded);
        }
        self.flush(out);
    }

    /// Ends the log after the last event.
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

    pub fn stop_writing(&mut self) {
        self.broken = true;
    }

    fn flush(&mut self, out: &mut Outbox) {
        if !self.replaying || self.log.len() >= PIECE {
            self.append(out);
        }
    }

    fn append(&mut self, out: &mut Outbox) {
        let log = std::mem::take(&mut self.log);
        if !self.broken && !log.is_empty() {
            self.length += log.len() as u64;
            out.append_soon(self.path.clone(), log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_before_the_start_are_held_within_their_bound() {
        let mut event_log = EventLog::new("/r/events.jsonl".into(), View::new(false, None, false, 1));
        let (mut out, text) = (Outbox::new(), "x".repeat(2_000));
        for _ in 0..3 * HELD_MAX / 2_000 {
            event_log.record(Time::default(), Some("a"), &Event::Disconnected { reason: (&*text).into() }, &mut out);
            out.drain();
        }
        let held: usize = event_log.held.iter().map(|(_, event)| event.len() + HELD_COST).sum();
        assert!(held <= HELD_MAX && held > HELD_MAX - 3_000, "{held}");
        event_log.begin(Time::default(), &mut out);
        assert_eq!(event_log.held.len(), 0);
    }
}
