//! The control socket, through which commands and people on this machine send requests to the slave.
//!
//! A connection carries one request and its answer, `done` or `error`. [`Control`] owns the connections and knows which
//! answer each awaits. Only the user of the slave and root may connect.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::machine::{Bytes, ConnId, Outbox, Peer};
use crate::slave::refusal::Refusal;
use crate::slave::shorten::clip;
use crate::verdict::RoundResult;
use crate::wire::rendezvous::{Met, NOTE_MAX, Wait};
use crate::wire::{Bound, Done, Failure, Frames, LINE_MAX_BEFORE_HELLO, LINE_MOST_OF_VALUE, Message, RawJson};

/// The most requests that may wait at a time.
const REQUESTS_MAX: usize = 4096;

/// The most connections without a request. If there are more, the oldest is closed.
const SILENT_MAX: usize = 64;

/// The user id of root.
const ROOT: u32 = 0;

/// The longest line of a request other than a sync, in bytes: a notify may carry data.
const LINE_MAX: usize = LINE_MAX_BEFORE_HELLO + NOTE_MAX;

/// How many bytes of unfinished lines all requests may hold together. Beyond that, the limit of a sync is [`LINE_MAX`]
/// too.
const PARTIAL_MAX: usize = LINE_MOST_OF_VALUE;

/// The beginning of the request that may be as long as a value, without its spaces.
const SYNC_HEAD: &[u8] = b"{\"type\":\"sync\"";

/// The beginning of a line, without its spaces, as far as it decides the limit.
#[derive(Debug, Default)]
struct Head(Vec<u8>);

impl Head {
    /// Takes further bytes of the line, and returns its limit in bytes.
    fn line_max(&mut self, bytes: &[u8]) -> usize {
        let missing = SYNC_HEAD.len() - self.0.len();
        self.0.extend(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).take(missing));
        if self.0 == SYNC_HEAD { LINE_MOST_OF_VALUE } else { LINE_MAX }
    }
}

#[derive(Debug, Default)]
pub(super) struct Control {
    conns: BTreeMap<ConnId, Asking>,
}

/// The state of a request.
#[derive(Debug)]
enum Asking {
    /// The line is incomplete. Its beginning decides its limit.
    Line(Frames, Head),
    /// The answer is sent when the controller has counted the notify.
    Counting,
    /// The answer is the verdict of a barrier or a sync.
    Meeting,
    /// The answer is sent when this trigger has fired, for a command of this entry.
    Waiting(String, Option<String>),
}

impl Control {
    /// A process of this machine connects. Processes of other users are turned away, except those of root.
    pub(super) fn accepted(&mut self, conn: ConnId, peer: &Peer, uid: u32, out: &mut Outbox) {
        if !matches!(peer, Peer::Local { uid: theirs, .. } if *theirs == uid || *theirs == ROOT) {
            log::warn!("{peer} was turned away from the control socket");
            let reason = format!("the slave runs as user {uid}: only that user and root may use its control socket");
            out.send(conn, Failure { reason: reason.into() }.encode());
            return out.close(conn, "it is another user's");
        }
        self.conns.insert(conn, Asking::Line(Frames::default(), Head::default()));
        if self.conns.len() > REQUESTS_MAX {
            return self.fail(conn, &Refusal::TooMany(REQUESTS_MAX), out);
        }
        let mut silent =
            self.conns.iter().filter(|(_, asking)| matches!(asking, Asking::Line(..))).map(|(conn, _)| *conn);
        if let Some(oldest) = silent.next().filter(|_| silent.count() >= SILENT_MAX) {
            self.fail(oldest, &Refusal::Silent, out);
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    /// Takes bytes of a request. Returns its line once that is complete. Fails if the line is too long.
    pub(super) fn line(&mut self, conn: ConnId, bytes: &[u8]) -> Result<Option<Vec<u8>>, Bound> {
        let partial = |asking: &Asking| if let Asking::Line(frames, _) = asking { frames.held() } else { 0 };
        let crowded = self.conns.values().map(partial).sum::<usize>() + bytes.len() > PARTIAL_MAX;
        let Some(Asking::Line(frames, head)) = self.conns.get_mut(&conn) else { return Ok(None) };
        let mut first = None;
        let max = head.line_max(bytes);
        frames.feed(bytes, if crowded { LINE_MAX } else { max }, |line| {
            first = Some(line.to_vec());
            false
        })?;
        Ok(first)
    }

    /// The request waits until the controller has counted its notify.
    pub(super) fn counts(&mut self, conn: ConnId) {
        self.conns.insert(conn, Asking::Counting);
    }

    /// The request waits for the verdict of a barrier or a sync.
    pub(super) fn meets(&mut self, conn: ConnId) {
        self.conns.insert(conn, Asking::Meeting);
    }

    /// Sends the verdict, after the map of a sync.
    pub(super) fn met(&mut self, conn: ConnId, verdict: &RoundResult, map: Option<Bytes>, out: &mut Outbox) {
        if self.conns.remove(&conn).is_some() {
            if let Some(map) = map {
                out.send(conn, map);
            }
            let reason = verdict.reason.as_str().into();
            out.send(conn, Met { verdict: verdict.verdict, who: verdict.who.clone(), reason }.encode());
            out.close(conn, "done");
        }
    }

    /// The request waits for a trigger.
    pub(super) fn waits(&mut self, conn: ConnId, trigger: &str, entry: Option<String>) {
        self.conns.insert(conn, Asking::Waiting(trigger.to_owned(), entry));
    }

    /// Returns the triggers that commands wait for.
    pub(super) fn commands_wait(&self) -> impl Iterator<Item = Wait> {
        self.conns.values().filter_map(|asking| match asking {
            Asking::Waiting(trigger, Some(entry)) => {
                Some(Wait { entry: entry.clone(), trigger: Some(trigger.clone()), ..Wait::default() })
            }
            _ => None,
        })
    }

    /// Answers that the request is done. `notes`: the data of the notifies, for a wait.
    pub(super) fn done(&mut self, conn: ConnId, notes: Option<&RawValue>, out: &mut Outbox) {
        self.answer(conn, &Done { notes: notes.map(|json| RawJson { json }), ..Done::default() }, out);
    }

    /// Answers that the controller has counted a notify.
    pub(super) fn noted(&mut self, conn: ConnId, left: u64, late: bool, out: &mut Outbox) {
        self.answer(conn, &Done { left: Some(left), late, notes: None }, out);
    }

    fn answer(&mut self, conn: ConnId, done: &Done<'_>, out: &mut Outbox) {
        if self.conns.remove(&conn).is_some() {
            out.send(conn, done.encode());
            out.close(conn, "done");
        }
    }

    /// Answers that the request is refused.
    pub(super) fn fail(&mut self, conn: ConnId, why: &Refusal, out: &mut Outbox) {
        if self.conns.remove(&conn).is_some() {
            let reason = why.to_string();
            let reason = clip(&reason);
            out.send(conn, Failure { reason: reason.into() }.encode());
            out.close(conn, reason);
        }
    }

    /// Answers the requests that wait for this trigger.
    pub(super) fn fired(&mut self, trigger: &str, notes: Option<&RawValue>, out: &mut Outbox) {
        let waits = |asking: &Asking| matches!(asking, Asking::Waiting(it, _) if it == trigger);
        for conn in self.which(waits) {
            self.done(conn, notes, out);
        }
    }

    /// Refuses all requests that wait, because the run has ended.
    pub(super) fn end(&mut self, out: &mut Outbox) {
        for conn in self.which(|asking| !matches!(asking, Asking::Line(..))) {
            self.fail(conn, &Refusal::Ended, out);
        }
    }

    fn which(&self, wanted: impl Fn(&Asking) -> bool) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, asking)| wanted(asking)).map(|(conn, _)| *conn).collect()
    }
}
