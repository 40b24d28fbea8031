//! The messages that open, keep up and end the connection of a slave.
//!
//! They come before and between those of a run, and carry none of its facts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::code::Code;
use super::operate::Measured;
use crate::machine::Time;

/// The first message on a connection, from the slave. Answered by [`Welcome`] or [`Bye`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u32,
    /// The slave's program and version, for people: `arete 0.1.0`.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// The slave's name in the test.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Drawn at random when the slave's process starts: 1 to 64 letters, digits, `-` and `_`.
    #[serde(borrow)]
    pub incarnation: Cow<'a, str>,
    /// The run that this process is in, if any.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Cow<'a, str>>,
    /// The labels of the slave: `arch`, `os`, and those of its configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What to add to its clock to get microseconds since 1970 in UTC, when it began; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc: Option<i64>,
    /// The secret that a controller gave to a slave that it started itself.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Cow<'a, str>>,
}

/// The answer to [`Hello`]: the slave is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome<'a> {
    pub protocol: u32,
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// The run that the controller has for this slave now, if any. A slave that is in another run has missed its end:
    /// it stops and forgets that run.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Cow<'a, str>>,
    /// The last [`Report`](super::Report) of this incarnation in this run that the controller has, 0 for none. The
    /// slave sends the later ones again.
    #[serde(default)]
    pub recorded: u64,
    /// The controller launches its slaves: this one exits when the run ends, or at once if there is no run for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leave: bool,
}

/// Asks for a [`Pong`]; sent by the slave, at least every [`PING_EVERY`](crate::session::PING_EVERY).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ping<'a> {
    /// The slave's clock. The pong repeats it.
    pub time: Time,
    /// What the slave has measured of its clock, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    #[serde(skip)]
    pub lifetime: PhantomData<&'a ()>,
}

/// The answer to [`Ping`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pong<'a> {
    /// The time in the ping.
    pub time: Time,
    /// The controller's clock.
    pub now: Time,
    #[serde(skip)]
    pub lifetime: PhantomData<&'a ()>,
}

/// The last message before the connection is closed, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bye<'a> {
    /// Absent: `leaves`.
    #[serde(default)]
    pub code: Code,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Connecting again cannot succeed: another protocol, a wrong incarnation, or a name that is not in the test.
    #[serde(default)]
    pub fatal: bool,
}
