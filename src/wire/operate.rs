//! The messages of operators: people and scripts that hand a controller tests, and look after its runs and its slaves.
//!
//! An operator asks, and the controller answers; nothing is said to it unasked. What becomes longer while a run goes on
//! (the time line, the output of commands) is read piece by piece: a [`Get`] may wait until there is more. So a reader
//! that stops costs the controller nothing, and one that has lost its connection goes on where it was.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::code::Code;
use super::frame;
pub use super::limits::{GETS_MAX, PAGE_MAX};
use super::times::bounded;
use super::verdict::Verdict;

/// The first message on a connection, from an operator. Answered by [`Welcome`](super::Welcome), without a run, or by
/// [`Bye`](super::Bye).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operate<'a> {
    /// [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u32,
    /// The operator's program and version, for people.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
}

/// Hands the controller a test. Answered by [`Wanted`] when resources are to be [uploaded](Upload) first, else by
/// [`Seen`], or by [`Unfit`]. Said again with the same `submission`, it is the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submit<'a> {
    /// Drawn at random: 1 to 64 letters, digits, `-` and `_`.
    #[serde(borrow)]
    pub submission: Cow<'a, str>,
    /// What problems call the test file.
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    /// The test file's text.
    #[serde(borrow)]
    pub test: Cow<'a, str>,
    /// The files of the resources, by their names in the test file.
    #[serde(default)]
    pub files: BTreeMap<String, Offer>,
    /// How long, in microseconds, to wait in the queue and for the slaves to be ready; absent: for ever.
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
    /// How long, in microseconds, a slave's connection may be gone before the slave is lost; absent: as the controller
    /// does it.
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub lost_after: Option<u64>,
}

/// A file that an operator has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// In bytes.
    pub size: u64,
    /// In hexadecimal, lower case.
    pub sha256: String,
    pub executable: bool,
}

/// These files of a submission are wanted, by their SHA-256, each from its first byte that is not there yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted<'a> {
    #[serde(borrow)]
    pub submission: Cow<'a, str>,
    pub files: BTreeMap<String, u64>,
}

/// A piece of a file, [`CHUNK_MAX`](super::CHUNK_MAX) bytes at most, in order. The last piece of the last file is answered
/// by [`Seen`], what is wrong with one by [`Unfit`]; every other by [`Wanted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upload<'a> {
    #[serde(borrow)]
    pub submission: Cow<'a, str>,
    #[serde(borrow)]
    pub sha256: Cow<'a, str>,
    pub offset: u64,
    #[serde(with = "frame::base64_bytes")]
    pub data: Vec<u8>,
}

/// The submission cannot be run, and is forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unfit<'a> {
    #[serde(borrow)]
    pub submission: Cow<'a, str>,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
}

/// Asks how a run stands. Answered by [`Seen`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look<'a> {
    /// The run's id or the beginning of it: of those that go on the only one that begins so, or if none does the one that was
    /// over last.
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// The run is to be ended: one that is over is meant only by its whole id, or if no other begins so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end: bool,
}

/// How a run stands. `submission` is there when it answers a [`Submit`] or an [`Upload`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub submission: Option<Cow<'a, str>>,
    pub run: RunState,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub run: String,
    /// The test's name.
    pub test: String,
    pub state: RunStatus,
    /// When it was handed in, wall-clock time in UTC.
    pub submitted: String,
    /// When it started, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// How long it has run or did run, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What it waits for, or why it ends or has ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The exit status of `arete run`, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// How many slaves it needs, and how many of them are connected and its own.
    pub slaves: usize,
    pub connected: usize,
}

impl RunState {
    /// How it stands, or how it ended, in a word.
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
    /// Its slaves are not all there, or serve another run.
    Queued,
    /// Its slaves get ready.
    Gathering,
    Running,
    Ending,
    /// What became of it is written.
    Over,
}

/// What was asked for cannot be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Denied<'a> {
    /// Of which run.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Cow<'a, str>>,
    pub code: Code,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// Ends a run, or takes it out of the queue. Answered by [`Seen`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancel<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// Kill at once, run no `finally` entry and ship nothing more.
    #[serde(default)]
    pub now: bool,
}

/// Asks for the slaves whose names come after this one. Answered by [`Slaves`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskSlaves<'a> {
    #[serde(borrow)]
    pub after: Cow<'a, str>,
}

/// The next slaves, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slaves<'a> {
    pub slaves: Vec<SlaveState>,
    /// There are more behind the last one.
    pub more: bool,
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// One slave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaveState {
    pub slave: String,
    pub address: String,
    /// Its program and version.
    pub version: String,
    /// For how long its connection has stood, in seconds; absent: it is gone, and the slave serves a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<f64>,
    /// How far its wall clock is ahead of the controller's, and the smallest round trip, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<u64>,
    pub labels: BTreeMap<String, String>,
    /// The run that it serves, and as whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves_as: Option<String>,
}

/// Asks for runs: those that are not over in the order of the queue, then those that are, the last one first. Answered
/// by [`Runs`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskRuns<'a> {
    /// The run behind which the answer begins; empty: the first.
    #[serde(borrow)]
    pub after: Cow<'a, str>,
    /// Also those that are over.
    #[serde(default)]
    pub over: bool,
}

/// The next runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runs<'a> {
    pub runs: Vec<RunState>,
    /// There are more behind the last one.
    pub more: bool,
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// Asks for the files of a run's results whose names come after this one. Answered by [`Files`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskFiles<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    #[serde(borrow)]
    pub after: Cow<'a, str>,
}

/// The next files of a run's results, by name, with their lengths in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Files<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    pub files: Vec<(String, u64)>,
    /// There may be more behind this name: ask for them. An answer takes a bounded time, and may name fewer files than it
    /// could, or none.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cow<'a, str>>,
}

/// Asks for a piece of a file of a run's results. Answered by [`Piece`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Get<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    pub offset: u64,
    /// If there is nothing at that offset yet, the answer comes when there is, or when nothing will come any more.
    #[serde(default)]
    pub wait: bool,
}

/// A piece of a file, [`CHUNK_MAX`](super::CHUNK_MAX) bytes at most; empty: nothing is there, and if it was waited for, the
/// run is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    pub offset: u64,
    #[serde(with = "frame::base64_bytes")]
    pub data: Vec<u8>,
}

/// What a slave knows of its clock, said with a [`Ping`](super::Ping).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How far its monotonic clock is ahead of the controller's, in microseconds.
    pub ahead: i64,
    /// The smallest round trip, in microseconds.
    pub round_trip: u64,
}
