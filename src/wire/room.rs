//! The messages of clients: people and scripts that meet in a room without being slaves of a run.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The room of clients that name none.
pub const DEFAULT_ROOM: &str = "default";

/// The first message on a connection, from a client. Answered by [`Welcome`](super::Welcome), without a run, or by
/// [`Bye`](super::Bye).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Join<'a> {
    /// [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u32,
    /// The client's program and version, for people.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// Drawn at random when the client's process starts, as a slave's.
    #[serde(borrow)]
    pub incarnation: Cow<'a, str>,
    /// The room: a name, or a run's id.
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    /// The member that the client speaks for, `HOST` or `HOST#TAG`; absent: none, it can neither arrive nor give.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Cow<'a, str>>,
}

/// Asks to be told when a trigger has fired. Answered by [`Triggered`](super::Triggered), now or later, or by
/// [`Refused`](super::Refused).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
}

/// Makes a trigger in a room that is no run. Said again with the same count it changes nothing. Answered by
/// [`Created`] or [`Refused`](super::Refused).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Create<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    /// Its initial value, at least 1.
    pub count: u64,
}

/// Removes a trigger from a room that is no run. Answered by [`Created`] or [`Refused`](super::Refused).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delete<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
}

/// What was asked of a trigger has been done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Created<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
}

/// Asks for the triggers of a room. Answered by [`Listing`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
}

/// The triggers of a room, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    pub triggers: Vec<TriggerState>,
}

/// One trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggerState {
    pub trigger: String,
    pub initial: u64,
    pub left: u64,
    pub fired: bool,
}
