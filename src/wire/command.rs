//! The requests of a command to the slave that runs it, on the slave's control socket, and the answers.
//!
//! A connection carries one request. Barriers and syncs of commands are in `rendezvous.rs`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::raw_json::RawJson;

/// `arete poke`: starts one `poke` entry, or all of them. Answered by [`Done`] or [`Failure`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PokeRequest<'a> {
    /// The entry to start. Absent: all `poke` entries of the slave.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Cow<'a, str>>,
}

/// `arete notify`. Answered by [`Done`] when the controller has counted the notify, or by [`Failure`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotifyRequest<'a> {
    /// The trigger to notify.
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    /// As in [`Notify`](super::Notify). Absent: no data.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson<'a>>,
}

/// `arete wait`. Answered by [`Done`] when the trigger has fired, or by [`Failure`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitRequest<'a> {
    /// The trigger to wait for.
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    /// The entry that runs the command, from `ARETE_ENTRY`. Absent: the command was not started by an entry.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Cow<'a, str>>,
}

/// `arete ready`: this run of an entry is ready. Answered by [`Done`] or [`Failure`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadyRequest<'a> {
    /// The entry that runs the command.
    #[serde(borrow)]
    pub entry: Cow<'a, str>,
    /// As in [`SlaveEvent::Spawned`](super::SlaveEvent::Spawned).
    pub nr: u32,
}

/// `arete record`: values that the command has measured. Answered by [`Done`] when the slave keeps them, or by [`Failure`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordRequest<'a> {
    /// The entry that runs the command, from `ARETE_ENTRY`. Absent: the command was not started by an entry.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Cow<'a, str>>,
    /// As in [`SlaveEvent::Spawned`](super::SlaveEvent::Spawned). Absent: as for the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nr: Option<u32>,
    /// The measurements. All of them are kept, or none.
    #[serde(borrow)]
    pub measurements: Vec<Measurement<'a>>,
}

/// One value that a command has measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement<'a> {
    /// What was measured.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The value.
    pub value: f64,
    /// The unit of the value. Absent: it has none.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Cow<'a, str>>,
    /// A lower value is better than a higher one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lower_is_better: bool,
}

/// The request of a command has been carried out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Done<'a> {
    /// For a notify: the notifies that the trigger still needs. Absent for other requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// For a notify: the trigger had fired before, so its data is dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// For a wait: the data of the notifies, as in [`Triggered`](super::Triggered).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<RawJson<'a>>,
}

/// The request of a command cannot be carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure<'a> {
    /// Why, for people.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}
