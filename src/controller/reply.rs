//! Answers to peers that are refused, and times for people.

use std::borrow::Cow;

use crate::machine::{ConnId, Outbox, Time};
use crate::wire::operate::Denied;
use crate::wire::{Bye, Code, Message};

/// How much of the reason of a `bye` is repeated, in characters.
const REASON_MAX: usize = 200;

/// Refuses a connection; the peer may try again.
pub fn refusal(code: Code, reason: String) -> Bye<'static> {
    Bye { code, reason: Cow::from(reason), fatal: false }
}

/// Answers a `bye`: its sender leaves.
pub fn leaves(bye: &Bye<'_>) -> Bye<'static> {
    refusal(Code::Leaves, bye.reason.chars().take(REASON_MAX).collect())
}

/// Refuses a connection for good, because another attempt cannot succeed.
pub fn fatal(code: Code, reason: String) -> Bye<'static> {
    Bye { code, reason: Cow::from(reason), fatal: true }
}

/// Returns a time as UTC, with milliseconds: `2026-01-31T12:00:00.000Z`.
pub fn utc(at: Time, wall_offset: i64) -> String {
    let micros = (at.as_micros() as i64).saturating_add(wall_offset);
    let wall = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    format!("{wall:.3}")
}

/// Refuses a request of an operator.
pub fn deny(conn: ConnId, run: Option<&str>, code: Code, reason: String, out: &mut Outbox) {
    let run = run.map(|run| Cow::from(run.chars().take(crate::session::NAME_MAX).collect::<String>()));
    out.send(conn, Denied { run, code, reason: Cow::from(reason) }.encode());
}
