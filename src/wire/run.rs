//! The messages of a run: a slave gets its part, reports what happens, ships its files, and stops.
//!
//! A slave can repeat what it states here ([`Report`], [`Output`], [`State`]) on any later connection. Each message
//! carries a number, an offset or a total, so that it counts once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frame::base64_bytes;
use super::names;
use super::schedule::{Entry, Resource};
use super::slave_event::SlaveEvent;
use super::times::counted_each;
use super::verdict::Verdict;
use crate::machine::{Bytes, Time};

/// Gives a slave its part of a run. Sent again after a reconnect if the slave's hello did not name the run. Answered by
/// [`Ready`] when the slave has its resources, or by [`Unready`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Prepare<'a> {
    /// The id of the run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The name of the test.
    #[serde(borrow)]
    pub test: Cow<'a, str>,
    /// The slave's name in the test. Absent: its own name; they differ if the test selects machines by labels.
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub serve_as: Option<Cow<'a, str>>,
    /// All entries of the slave.
    pub entries: Cow<'a, [Entry]>,
    /// The resources that these entries use.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// Every trigger of the test.
    #[serde(default)]
    pub triggers: Vec<String>,
    /// The timeouts, in microseconds, that the test declares for barriers and syncs, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timeouts: BTreeMap<String, u64>,
    /// The values of the test's params, by name. Its commands have them in their environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The addresses of the slaves that these entries name in `@{NAME.address}`.
    #[serde(default)]
    pub addresses: BTreeMap<String, String>,
    /// The number of the slave in the test, from 1. Absent: no entry of the slave uses it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub index: u32,
    /// The number of slaves of the test.
    #[serde(default)]
    pub count: u32,
    /// The trigger that ends the run. Absent: the test ends otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_trigger: Option<String>,
    /// The time between SIGTERM and SIGKILL for what runs at the end, in microseconds.
    pub grace: u64,
}

impl Prepare<'_> {
    /// Returns the line of a part with what one slave has for itself: the name under which it serves, and its number.
    /// `line` is the same part without these, so what slaves have in common is encoded once.
    pub fn of_slave(line: &[u8], serve_as: Option<&str>, index: Option<u32>) -> Bytes {
        let mut own = Vec::with_capacity(line.len() + serve_as.map_or(0, str::len) + 32);
        own.extend_from_slice(line.strip_suffix(b"}\n").unwrap_or(line));
        if let Some(name) = serve_as {
            own.extend_from_slice(b",\"serve_as\":");
            serde_json::to_writer(&mut own, name).expect("a text always encodes");
        }
        if let Some(index) = index {
            own.extend_from_slice(format!(",\"index\":{index}").as_bytes());
        }
        own.extend_from_slice(b"}\n");
        Bytes::from(own)
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The slave has its resources and its directory, knows its clock's offset, and waits for [`Start`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
}

/// The slave cannot take part. The run fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unready<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// Why, for people.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// Requests a piece of a resource. Answered by [`Chunk`], or by [`Stop`] if the resource has vanished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fetch<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The name of the resource.
    #[serde(borrow, deserialize_with = "names::name")]
    pub resource: Cow<'a, str>,
    /// The offset of the piece in the file, in bytes.
    pub offset: u64,
}

/// A piece of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk<'a> {
    /// As in [`Fetch`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// As in [`Fetch`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub resource: Cow<'a, str>,
    /// As in [`Fetch`].
    pub offset: u64,
    /// The bytes: [`CHUNK_MAX`](super::CHUNK_MAX), or fewer at the end of the file.
    #[serde(with = "base64_bytes")]
    pub data: Vec<u8>,
}

/// Names the instant at which the run starts. Sent again after a reconnect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The instant, on the controller's clock.
    pub at: Time,
}

/// The totals of a slave. It is the first message of a slave in a run after the [`Welcome`](super::Welcome) of a
/// reconnect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// For each trigger that it has notified, the notifies by this incarnation in this run: 1, 2, 3, ...
    #[serde(default, deserialize_with = "counted_each")]
    pub notified: BTreeMap<String, u64>,
    /// The triggers that the slave knows to have fired.
    #[serde(default)]
    pub triggered: Vec<String>,
}

/// Something happened on the slave. Answered by [`Recorded`]; one answer may cover several reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The number of the report in this run and incarnation: 1, 2, 3, ...
    pub seq: u64,
    /// When it happened, on the controller's clock as the slave knows it.
    pub time: Time,
    /// What happened.
    #[serde(flatten, borrow)]
    pub event: SlaveEvent<'a>,
}

/// The answer to [`Report`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// This report and all earlier ones are on the controller's disk.
    pub seq: u64,
}

/// A piece of a file for the results directory. Answered by [`Kept`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// `ENTRY.out`, `ENTRY.err`, or `ENTRY.files/PATH` for a file that `collect` names; `ENTRY.2.out` for the second
    /// run of the entry.
    #[serde(borrow, deserialize_with = "names::name")]
    pub file: Cow<'a, str>,
    /// The offset of the piece in the file, in bytes: at most the length that the controller has kept.
    pub offset: u64,
    /// The bytes, at most [`CHUNK_MAX`](super::CHUNK_MAX).
    #[serde(with = "base64_bytes")]
    pub data: Vec<u8>,
}

/// The answer to [`Output`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// As in [`Output`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub file: Cow<'a, str>,
    /// The bytes of the file that the controller has written.
    pub length: u64,
    /// Why the controller takes no more of this file. Absent: it does.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Cow<'a, str>>,
}

/// The end of the run has begun. First, a passing run lets its jobs [finish](Manner::Finish). Then the slave stops what
/// runs, runs its `finally` entries, ends all processes, ships the rest of the output, and sends [`Stopped`]. Sent
/// again after a reconnect. The slave forgets a run that it has not started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// Why, for people.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// How urgent it is.
    pub how: Manner,
}

/// How a run ends on a slave, each more urgent than the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manner {
    /// No entry starts any more. Jobs and services continue. The slave reports that it is idle when its last job has
    /// exited.
    Finish,
    /// What runs is stopped, and does not fail because of that.
    Stop,
    /// What runs is stopped. A job fails, because its time to finish is over. A slave that received
    /// [finish](Manner::Finish) later, or not on this connection, gives its jobs the rest of that time.
    Cut,
    /// Kill at once, run no `finally` entry and ship nothing more.
    Now,
}

/// No process of the run is left on the slave, and all its reports and output have been answered. Sent again after a
/// reconnect until [`Dismissed`] answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopped<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The slave ended its part before the run ended, because it was itself told to stop.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_itself: bool,
}

/// The slave may forget the run and remove its directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dismissed<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The verdict of the run.
    pub verdict: Verdict,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    #[test]
    fn a_part_with_a_name_is_the_same_as_one_that_was_encoded_with_it() {
        let part = Prepare { run: "r".into(), test: "t".into(), grace: 5, ..Prepare::default() };
        let own = Prepare::of_slave(&part.encode(), Some("a\"b"), Some(7));
        assert!(own.ends_with(b"\n"));
        let named: Prepare<'_> = serde_json::from_slice(&own).expect("it is JSON");
        assert_eq!(named, Prepare { serve_as: Some("a\"b".into()), index: 7, ..part });
    }
}
