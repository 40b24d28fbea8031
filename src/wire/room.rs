//! The messages of clients: people and scripts that meet in a room without being slaves of a run.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::names;

/// The room of a client that names none.
pub const DEFAULT_ROOM: &str = "default";

/// The first message on a connection, from a client. Answered by [`Welcome`](super::Welcome), without a run, or by
/// [`Bye`](super::Bye). Short requests may follow it at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Join<'a> {
    /// The sender's [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u32,
    /// The client's program and version; for people.
    #[serde(borrow, deserialize_with = "names::name")]
    pub version: Cow<'a, str>,
    /// A random word that identifies the client's process, as in [`Hello`](super::Hello).
    #[serde(borrow, deserialize_with = "names::name")]
    pub incarnation: Cow<'a, str>,
    /// The name of a room, or the id of a run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The member for which the client speaks, `HOST` or `HOST#TAG`. Absent: the client can neither arrive at a barrier
    /// nor give a value.
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub member: Option<Cow<'a, str>>,
}

/// Requests a message when a trigger has fired. Answered by [`Triggered`](super::Triggered), at once or later, or by
/// [`Refused`](super::Refused).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch<'a> {
    /// The room that the client has joined.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The trigger.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
}

/// Creates a trigger in a room that is not a run. Repeating it with the same count changes nothing. Answered by
/// [`Created`] or [`Refused`](super::Refused).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Create<'a> {
    /// The room that the client has joined.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The name of the new trigger.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
    /// Its initial value, at least 1.
    pub count: u64,
}

/// Removes a trigger from a room that is not a run. Answered by [`Created`] or [`Refused`](super::Refused).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delete<'a> {
    /// The room that the client has joined.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The trigger.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
}

/// The answer to [`Create`] and [`Delete`]: it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Created<'a> {
    /// As in the request.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// As in the request.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
}

/// Requests the triggers of a room. Answered by [`Listing`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List<'a> {
    /// The room that the client has joined.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
}

/// The answer to [`List`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing<'a> {
    /// As in the request.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// All triggers of the room, by name.
    pub triggers: Vec<TriggerState>,
}

/// The state of one trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggerState {
    /// Its name.
    pub trigger: String,
    /// Its initial value.
    pub initial: u64,
    /// The notifies that it still needs.
    pub left: u64,
    /// Whether it has fired.
    pub fired: bool,
}
