//! The messages of triggers: a slave or a client notifies a trigger, and the controller informs all that wait when it
//! fires.
//!
//! A [`Notify`] carries a total, not a difference, so that repeating it on a later connection counts once.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::code::Code;
use super::names;
use super::raw_json::RawJson;
use super::times::counted;

/// A slave or a client has notified a trigger. Answered by [`Noted`] or [`Refused`]; one answer may cover several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notify<'a> {
    /// The run, or the room that the client has joined.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The trigger.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
    /// The notifies of this trigger by this incarnation in this room, this one included: 1, 2, 3, ...
    #[serde(deserialize_with = "counted")]
    pub count: u64,
    /// Data for the commands that wait for the trigger, at most [`NOTE_MAX`](super::rendezvous::NOTE_MAX) bytes of
    /// JSON.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson<'a>>,
}

/// The answer to [`Notify`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noted<'a> {
    /// As in [`Notify`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// As in [`Notify`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
    /// The count in the notify that is answered. All earlier ones are answered with it.
    pub count: u64,
    /// The notifies that the trigger still needs. 0: it has fired.
    pub left: u64,
    /// The notifies that arrived before the trigger fired. The data of later ones is dropped. Absent: all arrived in
    /// time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_time: Option<u64>,
}

/// The answer to a message that names a trigger or a room that does not exist, or that the trigger does not accept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused<'a> {
    /// As in the message that is refused.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// As in the message that is refused.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
    /// Why, for programs.
    pub code: Code,
    /// Why, for people.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// A trigger has fired. Sent to every slave of the run, and again after a reconnect; the repetition changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Triggered<'a> {
    /// The run, or the room of a client.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The trigger.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
    /// The data of the notifies that had some, in their order: a list of objects `{"from": member, "data": ...}`.
    /// Absent: none had data.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<RawJson<'a>>,
}
