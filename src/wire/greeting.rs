//! The messages that open the connection of a slave, and those that keep alive and end the connection of any peer.
//!
//! They are sent before and between the messages of a run, and carry none of its facts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::code::Code;
use super::names;
use super::operate::Measured;
use crate::machine::Time;

/// The first message on a connection, from the slave. Answered by [`Welcome`] or [`Bye`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// The sender's [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u32,
    /// The slave's program and version, such as `arete 0.1.0`; for people.
    #[serde(borrow, deserialize_with = "names::name")]
    pub version: Cow<'a, str>,
    /// The slave's own name. It is its name in the test, unless the test selects machines by labels.
    #[serde(borrow, deserialize_with = "names::name")]
    pub name: Cow<'a, str>,
    /// A random word that identifies the slave's process: 1 to 64 letters, digits, `-` and `_`.
    #[serde(borrow, deserialize_with = "names::name")]
    pub incarnation: Cow<'a, str>,
    /// The run in which this process takes part. Absent: none.
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub run: Option<Cow<'a, str>>,
    /// The labels of the slave: `arch`, `os`, and those of its configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The time to add to the slave's clock to get UTC in microseconds since 1970, measured when the process started;
    /// for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc: Option<i64>,
    /// The secret that a controller gave to a slave that it started itself. Absent in a slave that was started
    /// otherwise.
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub secret: Option<Cow<'a, str>>,
}

/// The answer to [`Hello`], [`Join`](super::room::Join) or [`Operate`](super::operate::Operate): the peer is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome<'a> {
    /// The controller's [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u32,
    /// The controller's program and version; for people.
    #[serde(borrow, deserialize_with = "names::name")]
    pub version: Cow<'a, str>,
    /// The run that the controller has for this slave. Absent: none. A slave that is in another run has missed its end:
    /// it stops that run and forgets it.
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub run: Option<Cow<'a, str>>,
    /// The number of the last [`Report`](super::Report) of this incarnation in this run that the controller has
    /// recorded; 0 for none. The slave sends the later ones again.
    #[serde(default)]
    pub recorded: u64,
    /// The controller launches its own slaves. The slave exits when the run ends, or at once if there is no run for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leave: bool,
}

/// Asks for a [`Pong`]; sent by every peer of the controller, at least every [`PING_EVERY`](crate::session::PING_EVERY).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ping<'a> {
    /// The time on the sender's clock. The pong repeats it.
    pub time: Time,
    /// What the sender has measured of its clock; for people. Absent until the first measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Gives the type the lifetime parameter that every message has; never sent.
    #[serde(skip)]
    pub lifetime: PhantomData<&'a ()>,
}

/// The answer to [`Ping`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pong<'a> {
    /// The time in the ping.
    pub time: Time,
    /// The time on the controller's clock.
    pub now: Time,
    /// Gives the type the lifetime parameter that every message has; never sent.
    #[serde(skip)]
    pub lifetime: PhantomData<&'a ()>,
}

/// The last message before the sender closes the connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bye<'a> {
    /// Why, for programs. Absent: [`Code::Leaves`].
    #[serde(default)]
    pub code: Code,
    /// Why, for people.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// A new connection cannot succeed: the protocol differs, the incarnation is not valid, or the name is not in the
    /// test.
    #[serde(default)]
    pub fatal: bool,
}
