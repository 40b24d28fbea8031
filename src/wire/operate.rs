//! The messages of operators: people and scripts that submit tests to a controller, and observe its runs and its
//! slaves.
//!
//! An operator asks, and the controller answers; it sends an operator nothing unasked, except [`Bye`](super::Bye). Files that grow while a run goes
//! on (the time line, the output of commands) are read piece by piece, and a [`Get`] may wait for more. Therefore a
//! reader that stops costs the controller nothing, and one that has lost its connection continues where it was.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::code::Code;
use super::frame;
pub use super::limits::{GETS_MAX, PAGE_MAX};
use super::names;
use super::times::bounded;
use super::verdict::Verdict;

/// The first message on a connection, from an operator. Answered by [`Welcome`](super::Welcome), without a run, or by
/// [`Bye`](super::Bye).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operate<'a> {
    /// The sender's [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u32,
    /// The operator's program and version; for people.
    #[serde(borrow, deserialize_with = "names::name")]
    pub version: Cow<'a, str>,
}

/// Submits a test. Answered by [`Wanted`] if resources must be [uploaded](Upload) first, otherwise by [`Seen`], or by
/// [`Unfit`]. Repeating it with the same `submission` names the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submit<'a> {
    /// A random word that identifies the submission: 1 to 64 letters, digits, `-` and `_`.
    #[serde(borrow, deserialize_with = "names::name")]
    pub submission: Cow<'a, str>,
    /// The name of the test file in problems.
    #[serde(borrow, deserialize_with = "names::name")]
    pub file: Cow<'a, str>,
    /// The text of the test file.
    #[serde(borrow)]
    pub test: Cow<'a, str>,
    /// The files of the resources, by their names in the test file.
    #[serde(default)]
    pub files: BTreeMap<String, Offer>,
    /// The longest time in the queue and until the slaves are ready, in microseconds. Absent: no limit.
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
    /// The time after which a slave without a connection is lost, in microseconds. Absent: the controller's own
    /// setting.
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub lost_after: Option<u64>,
}

/// A file that an operator can upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Whether the slaves make it executable.
    pub executable: bool,
}

/// Requests files of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted<'a> {
    /// As in [`Submit`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub submission: Cow<'a, str>,
    /// The missing files by their SHA-256, each with the offset in bytes from which it is missing.
    pub files: BTreeMap<String, u64>,
}

/// A piece of a file, in order. The last piece of the last file is answered by [`Seen`], a piece that does not fit by
/// [`Unfit`], and every other piece by [`Wanted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upload<'a> {
    /// As in [`Submit`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub submission: Cow<'a, str>,
    /// The SHA-256 of the whole file, from [`Wanted`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub sha256: Cow<'a, str>,
    /// The offset of the piece in the file, in bytes.
    pub offset: u64,
    /// The bytes, at most [`CHUNK_MAX`](super::CHUNK_MAX).
    #[serde(with = "frame::base64_bytes")]
    pub data: Vec<u8>,
}

/// The submission cannot run, and is forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unfit<'a> {
    /// As in [`Submit`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub submission: Cow<'a, str>,
    /// What is wrong, one line for each problem.
    pub problems: Vec<String>,
}

/// Requests the state of a run. Answered by [`Seen`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look<'a> {
    /// The id of the run or the beginning of an id. It selects the only unfinished run that begins so, or if there is
    /// none, the run that ended last.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The operator is about to end the run. A finished run is selected only by its whole id, or if no other id begins
    /// so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end: bool,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen<'a> {
    /// The submission of the [`Submit`] or [`Upload`] that is answered. Absent in the answer to another message.
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub submission: Option<Cow<'a, str>>,
    /// The state.
    pub run: RunState,
}

/// The state of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Its id.
    pub run: String,
    /// The name of its test.
    pub test: String,
    /// How far it has come.
    pub state: RunStatus,
    /// The time of its submission, in UTC.
    pub submitted: String,
    /// The time of its start, in UTC. Absent: it has not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// How long it has run, in seconds. Absent: it has not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What it waits for, or why it ends or has ended. Empty while it runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Its verdict. Absent until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The exit status of `arete run` for it. Absent until it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// The number of slaves that it needs.
    pub slaves: usize,
    /// The number of its slaves that are connected.
    pub connected: usize,
}

impl RunState {
    /// Returns its state, or its verdict if it is over, as one word.
    pub fn in_words(&self) -> &'static str {
        match (self.state, self.verdict) {
            (RunStatus::Queued, _) => "queued",
            (RunStatus::Gathering, _) => "gathering",
            (RunStatus::Running, _) => "running",
            (RunStatus::Ending, _) => "ending",
            (RunStatus::Over, Some(Verdict::Passed)) => "passed",
            (RunStatus::Over, Some(Verdict::Failed)) => "failed",
            (RunStatus::Over, Some(Verdict::Interrupted)) => "interrupted",
            (RunStatus::Over, None) => "over",
        }
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Some of its slaves are not connected, or serve another run.
    Queued,
    /// Its slaves fetch their resources and prepare.
    Gathering,
    /// It has started.
    Running,
    /// Its end has begun, and slaves still work on it.
    Ending,
    /// It has ended, and its results are complete.
    Over,
}

/// The request cannot be carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Denied<'a> {
    /// The run of the request. Absent if the request names none.
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub run: Option<Cow<'a, str>>,
    /// Why, for programs.
    pub code: Code,
    /// Why, for people.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// Ends a run, or removes it from the queue. Answered by [`Seen`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancel<'a> {
    /// The run, as in [`Look`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// Kill at once, run no `finally` entry and ship nothing more.
    #[serde(default)]
    pub now: bool,
}

/// Requests the next slaves, at most [`PAGE_MAX`]. Answered by [`Slaves`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskSlaves<'a> {
    /// The name after which the answer begins. Empty: the first name.
    #[serde(borrow, deserialize_with = "names::name")]
    pub after: Cow<'a, str>,
}

/// The answer to [`AskSlaves`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slaves<'a> {
    /// The slaves, by name.
    pub slaves: Vec<SlaveState>,
    /// There are more after the last one.
    pub more: bool,
    /// Gives the type the lifetime parameter that every message has; never sent.
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// The state of one slave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaveState {
    /// Its own name.
    pub slave: String,
    /// The address of its connection, with the port.
    pub address: String,
    /// Its program and version.
    pub version: String,
    /// The age of its connection, in seconds. Absent: it is not connected, but serves a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<f64>,
    /// How far its wall clock is ahead of the controller's, in microseconds. Absent: not measured yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// The smallest round trip, in microseconds. Absent: not measured yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<u64>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The run that it serves. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Its name in that run. Absent: its own name, or it serves no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves_as: Option<String>,
}

/// Requests the next runs, at most [`PAGE_MAX`]: first the unfinished ones in the order of the queue, then the finished
/// ones, the latest first. Answered by [`Runs`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskRuns<'a> {
    /// The run after which the answer begins. Empty: the first run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub after: Cow<'a, str>,
    /// Also list finished runs.
    #[serde(default)]
    pub over: bool,
}

/// The answer to [`AskRuns`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runs<'a> {
    /// The runs, in the order of [`AskRuns`].
    pub runs: Vec<RunState>,
    /// There are more after the last one.
    pub more: bool,
    /// Gives the type the lifetime parameter that every message has; never sent.
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// Requests the next files of a run's results, at most [`PAGE_MAX`]. Answered by [`Files`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskFiles<'a> {
    /// The run, as in [`Look`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The name after which the answer begins. Empty: the first name.
    #[serde(borrow, deserialize_with = "names::name")]
    pub after: Cow<'a, str>,
}

/// The answer to [`AskFiles`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Files<'a> {
    /// The id of the run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The files by name, with their lengths in bytes.
    pub files: Vec<(String, u64)>,
    /// The value of `after` for the next request, not always the name of a file. Absent: there are no more files. One
    /// answer takes a bounded time, so it may name fewer files than it could, or none.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cow<'a, str>>,
}

/// Requests a piece of a file of a run's results. Answered by [`Piece`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Get<'a> {
    /// The run, as in [`Look`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The name of the file, from [`Files`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub file: Cow<'a, str>,
    /// The offset of the piece in the file, in bytes.
    pub offset: u64,
    /// If the file ends at that offset, the answer is sent when it has grown, or when it cannot grow any more.
    #[serde(default)]
    pub wait: bool,
}

/// The answer to [`Get`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece<'a> {
    /// As in [`Get`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// As in [`Get`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub file: Cow<'a, str>,
    /// As in [`Get`].
    pub offset: u64,
    /// The bytes, at most [`CHUNK_MAX`](super::CHUNK_MAX). Empty: the file ends here; if the request waited, the run is
    /// over.
    #[serde(with = "frame::base64_bytes")]
    pub data: Vec<u8>,
}

/// What a slave has measured of its clock, sent with a [`Ping`](super::Ping).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How far its monotonic clock is ahead of the controller's, in microseconds.
    pub ahead: i64,
    /// The smallest round trip, in microseconds.
    pub round_trip: u64,
}
