//! The control socket: what the commands that run here, and people on this machine, ask of the slave. One request a
//! connection, answered by `done` or `error`.

use std::collections::BTreeMap;

use crate::machine::{ConnId, Outbox, Time};
use crate::wire::{Bound, Done, Failure, Frames, FromCommand, LINE_MAX_BEFORE_HELLO, Message};

use super::{Slave, requests};

/// So many requests may wait at a time.
const REQUESTS_MAX: usize = 4096;

/// So many connections may be there that have not said what they want; the oldest of more goes.
const SILENT_MAX: usize = 64;

/// The longest reason that is given, in bytes.
const REASON_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Control {
    conns: BTreeMap<ConnId, Asking>,
}

/// How far a request is.
#[derive(Debug)]
enum Asking {
    /// The line has not ended yet.
    Line(Frames),
    /// The answer comes when the controller has counted the notify.
    Counting,
    /// The answer comes when this trigger has fired.
    Waiting(String),
}

/// The beginning of a text that someone else may have made long.
pub(super) fn clip(text: &str) -> &str {
    let end = (0..=REASON_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

impl Control {
    pub(super) fn accepted(&mut self, conn: ConnId, out: &mut Outbox) {
        self.conns.insert(conn, Asking::Line(Frames::default()));
        if self.conns.len() > REQUESTS_MAX {
            return self.fail(conn, &format!("{REQUESTS_MAX} requests wait already; try again later"), out);
        }
        let mut silent =
            self.conns.iter().filter(|(_, asking)| matches!(asking, Asking::Line(_))).map(|(conn, _)| *conn);
        if let Some(oldest) = silent.next().filter(|_| silent.count() >= SILENT_MAX) {
            self.fail(oldest, "it has not said what it wants, and others want something", out);
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    /// Takes bytes of a request; gives its line when it has ended.
    fn line(&mut self, conn: ConnId, bytes: &[u8]) -> Result<Option<Vec<u8>>, Bound> {
        let Some(Asking::Line(frames)) = self.conns.get_mut(&conn) else { return Ok(None) };
        let mut first = None;
        frames.feed(bytes, LINE_MAX_BEFORE_HELLO, |line| {
            first = Some(line.to_vec());
            false
        })?;
        Ok(first)
    }

    /// The request waits until the controller has counted its notify.
    pub(super) fn counts(&mut self, conn: ConnId) {
        self.conns.insert(conn, Asking::Counting);
    }

    /// The request waits for a trigger.
    pub(super) fn waits(&mut self, conn: ConnId, trigger: &str) {
        self.conns.insert(conn, Asking::Waiting(trigger.to_owned()));
    }

    /// What was asked for has been done.
    pub(super) fn done(&mut self, conn: ConnId, left: Option<u64>, out: &mut Outbox) {
        if self.conns.remove(&conn).is_some() {
            out.send(conn, Done { left, notes: None }.encode());
            out.close(conn, "done");
        }
    }

    /// What was asked for cannot be done.
    pub(super) fn fail(&mut self, conn: ConnId, reason: &str, out: &mut Outbox) {
        if self.conns.remove(&conn).is_some() {
            let reason = clip(reason);
            out.send(conn, Failure { reason: reason.into() }.encode());
            out.close(conn, reason);
        }
    }

    /// Answers those that wait for this trigger.
    pub(super) fn fired(&mut self, trigger: &str, out: &mut Outbox) {
        let waits = |asking: &Asking| matches!(asking, Asking::Waiting(it) if it == trigger);
        for conn in self.which(waits) {
            self.done(conn, None, out);
        }
    }

    /// Answers all that wait: the run has ended.
    pub(super) fn end(&mut self, out: &mut Outbox) {
        for conn in self.which(|asking| !matches!(asking, Asking::Line(_))) {
            self.fail(conn, "the run has ended", out);
        }
    }

    fn which(&self, wanted: impl Fn(&Asking) -> bool) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, asking)| wanted(asking)).map(|(conn, _)| *conn).collect()
    }
}

impl Slave {
    /// Bytes of a request arrived.
    pub(super) fn requested(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        let line = match self.control.line(conn, bytes) {
            Ok(None) => return,
            Ok(Some(line)) => line,
            Err(bound) => return self.control.fail(conn, &bound.to_string(), out),
        };
        let request = match FromCommand::decode(&line) {
            Ok(request) => request,
            Err(malformed) => return self.control.fail(conn, &malformed.to_string(), out),
        };
        let (Some(run), mut turn) = self.parts(now, out) else {
            return self.control.fail(conn, "no run is in progress on this slave", out);
        };
        if let Err(reason) = requests::answer(run, conn, &request, &mut turn) {
            self.control.fail(conn, &reason, out);
        }
    }
}
