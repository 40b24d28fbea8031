//! The actions `"barrier"` and `"sync"` of an entry.
//!
//! The declarations of barriers and syncs are in `meetings.rs`.

use super::context::{Context, Resources, expanded};
use super::fields::{self, Object, transposed};
use super::json::{KeyValue, Value, ValueKind};
use super::meetings::{Meetings, Membership};
use super::members::Attendees;
use super::problem::Problems;
use crate::exit_code;
use crate::machine::Exit;
use crate::session;
use crate::wire::rendezvous::Party;
use crate::wire::{Action, Expect};

/// The keys that can go with `"barrier"`.
pub const BARRIER_OPTIONS: [&str; 8] = ["members", "count", "as", "timeout", "fresh", "harmonize", "abort", "expect"];

/// The keys that can go with `"sync"`. `"data"` is required.
pub const SYNC_OPTIONS: [&str; 7] = ["data", "members", "count", "as", "timeout", "all_alive", "expect"];

/// The words for the exit statuses of a barrier or a sync.
pub const OUTCOMES: [(&str, u8); 4] = [
    ("released", exit_code::PASSED),
    ("timed-out", exit_code::TIME_LIMIT),
    ("aborted", exit_code::ABORTED),
    ("lost", exit_code::LOST),
];

/// The longest reason of `"abort"`, in bytes.
pub const ABORT_MAX: usize = 2_000;

/// The keys that `"barrier"` and `"sync"` have in common.
struct Common {
    name: String,
    tag: Option<String>,
    /// The members in the entry, unless the meeting declares them.
    party: Option<Party>,
    timeout: Option<u64>,
}

/// Reads the keys that both have in common, and notes the membership of the slave.
fn common(
    member: &KeyValue,
    object: &Object<'_>,
    meetings: &Meetings,
    context: &mut Context<'_, '_>,
) -> Option<Common> {
    let noun = meetings.noun();
    let name = fields::string(&member.value, &format!("{:?}", member.key), context.problems);
    let name = name
        .filter(|name| fields::check_meeting(name, member.value.span.start, &format!("a {noun}"), context.problems));
    let tag = transposed(object.get("as").map(|value| tag(value, context.problems)));
    let own = context.names.meet.groups.attendees(object, context.problems);
    let timeout = object.get("timeout");
    let timeout = timeout.map(|value| fields::time_above_zero(value, "\"timeout\"", context.problems));
    let timeout = transposed(timeout);
    let (name, own) = (name?, own?);
    let attendees = meetings.agree(&member.value, own.as_ref(), context.problems);
    let (tag, attendees) = (tag?, attendees?);
    if let Attendees::Members(members) = &attendees {
        let (at, meeting) = (member.value.span.start, format!("{noun} {name:?}"));
        context.require(Membership::new(at, meeting, tag.clone(), members.clone()));
    }
    let timeout = timeout?.or_else(|| meetings.timeout(name)).map(|timeout| timeout.as_micros() as u64);
    let party = if meetings.declares_members(name) { None } else { Some(attendees.party()) };
    Some(Common { name: name.to_owned(), tag, party, timeout })
}

/// Reads the tag of a member.
fn tag(value: &Value, problems: &mut Problems<'_>) -> Option<String> {
    let text = fields::string(value, "\"as\"", problems)?;
    let Some(tag) = text.strip_prefix('#') else {
        problems.add(value.span.start, format!("\"as\" is \"#\" and a tag, such as \"#first\", found {text:?}"));
        return None;
    };
    if !session::is_tag(tag) {
        let rule = format!("a tag has at most {} bytes of UTF-8 without control characters", session::WORDS_MAX);
        problems.add(value.span.start, format!("\"as\": {rule}"));
        return None;
    }
    Some(tag.to_owned())
}

/// Reads the action `"barrier"`.
pub fn barrier(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let fresh = object.get("fresh").map(|value| fields::time(value, "\"fresh\"", context.problems));
    let harmonize = flag(object, "harmonize", context.problems);
    let abort = object.get("abort").map(|value| abort(value, context));
    let usual = if abort.is_some() { exit_code::ABORTED } else { exit_code::PASSED };
    let expect = expect(object, usual, context.problems);
    let common = common(member, object, &context.names.meet.barriers, context)?;
    let fresh = transposed(fresh)?.map(|fresh| fresh.as_micros() as u64);
    let Common { name: barrier, tag, party, timeout } = common;
    let (abort, harmonize, expect) = (transposed(abort)?, harmonize?, expect?);
    Some(Action::Barrier { barrier, tag, party, timeout, fresh, abort, harmonize, expect })
}

/// Reads the action `"sync"`.
pub fn sync(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let value = match object.get("data") {
        Some(value) => data(value, context),
        None => {
            let message = "\"sync\" needs the key \"data\": the value that this member gives";
            context.problems.add(object.at, message);
            None
        }
    };
    let all_alive = flag(object, "all_alive", context.problems);
    let expect = expect(object, exit_code::PASSED, context.problems);
    let common = common(member, object, &context.names.meet.syncs, context)?;
    let Common { name: session, tag, party, timeout } = common;
    Some(Action::Sync { session, tag, party, timeout, all_alive: all_alive?, value: value?, expect: expect? })
}

/// Reads the reason with which an entry aborts its barrier.
fn abort(value: &Value, context: &mut Context<'_, '_>) -> Option<String> {
    let text = fields::string(value, "\"abort\"", context.problems)?;
    if text.trim().is_empty() || text.len() > ABORT_MAX {
        let message = format!("\"abort\" is the reason, 1 to {ABORT_MAX} bytes long, such as \"no disk\"");
        context.problems.add(value.span.start, message);
        return None;
    }
    expanded(value, text, Resources::No, context)
}

/// Reads the statuses with which a barrier or a sync passes; by default `usual`.
fn expect(object: &Object<'_>, usual: u8, problems: &mut Problems<'_>) -> Option<Expect> {
    let of = |codes: Vec<u8>| Expect::Of(codes.into_iter().map(|code| Exit::Code(code.into())).collect());
    let Some(value) = object.get("expect") else { return Some(of(vec![usual])) };
    match &value.kind {
        ValueKind::String(text) if text == "any" => Some(Expect::Any),
        ValueKind::List(items) if items.is_empty() => {
            problems.add(value.span.start, "\"expect\" is an empty list: the entry could never pass");
            None
        }
        ValueKind::List(items) => {
            let codes: Vec<_> = items.iter().map(|item| status(item, "an item of \"expect\"", problems)).collect();
            codes.into_iter().collect::<Option<_>>().map(of)
        }
        _ => status(value, "\"expect\"", problems).map(|code| of(vec![code])),
    }
}

/// Reads an exit status: a number or a word.
fn status(value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<u8> {
    match &value.kind {
        ValueKind::Number(_) => fields::integer(value, noun, 0..=255, problems).map(|code| code as u8),
        _ => fields::word(value, noun, &OUTCOMES, problems),
    }
}

/// Reads a key that is `true`, `false` or absent.
fn flag(object: &Object<'_>, key: &str, problems: &mut Problems<'_>) -> Option<bool> {
    let Some(value) = object.get(key) else { return Some(false) };
    match value.kind {
        ValueKind::Bool(flag) => Some(flag),
        _ => fields::mismatch(value, &format!("{key:?} is true or false"), problems),
    }
}

/// Reads any JSON, whose strings may have variables.
pub fn data(value: &Value, context: &mut Context<'_, '_>) -> Option<serde_json::Value> {
    match &value.kind {
        ValueKind::Null => Some(serde_json::Value::Null),
        ValueKind::Bool(bool) => Some((*bool).into()),
        ValueKind::Number(number) => Some(serde_json::Value::Number(number.clone())),
        ValueKind::String(text) => expanded(value, text, Resources::No, context).map(serde_json::Value::String),
        ValueKind::List(items) => {
            let items: Vec<_> = items.iter().map(|item| data(item, context)).collect();
            items.into_iter().collect::<Option<Vec<_>>>().map(serde_json::Value::Array)
        }
        ValueKind::Object(_) => {
            let members = fields::members(value, "\"data\"", context.problems)?;
            let members: Vec<_> =
                members.iter().map(|member| Some((member.key.clone(), data(&member.value, context)?))).collect();
            members.into_iter().collect::<Option<_>>().map(serde_json::Value::Object)
        }
    }
}
