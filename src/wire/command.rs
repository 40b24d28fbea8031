//! What a command says to the slave that runs it, and hears from it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::raw_json::RawJson;

/// `arete poke`: run this `poke` entry, or all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PokeRequest<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Cow<'a, str>>,
}

/// `arete notify`: answered when the controller has counted it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotifyRequest<'a> {
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson<'a>>,
}

/// `arete wait`: answered when the trigger has fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitRequest<'a> {
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    /// The entry whose command it is, as `ARETE_ENTRY` says.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Cow<'a, str>>,
}

/// `arete ready`: this run of an entry is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadyRequest<'a> {
    #[serde(borrow)]
    pub entry: Cow<'a, str>,
    /// As in [`SlaveEvent::Spawned`](super::SlaveEvent::Spawned).
    pub nr: u32,
}

/// What a command asked for has been done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Done<'a> {
    /// For a notify: what is left of the trigger's count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// For a notify: the trigger had fired already, so nobody is told what it carries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// For a wait: who notified with what, as in [`Triggered`](super::Triggered).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<RawJson<'a>>,
}

/// What a command asked for cannot be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure<'a> {
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}
