//! The verdict of a run, and the outcome of a run of one of its entries.

use serde::{Deserialize, Serialize};

/// The verdict of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All jobs exited as expected, and the end condition of the test held.
    Passed,
    /// An entry failed, a slave was lost, a limit passed, or something went wrong.
    Failed,
    /// A person ended the run before its end condition held.
    Interrupted,
}

/// The outcome of a run of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryOutcome {
    /// It exited with a status that its `expect` allows.
    Passed,
    /// It exited otherwise, exceeded its timeout, or could not start.
    Failed,
    /// It failed, and is run again.
    Retried,
    /// A `kill` action or the end of the run stopped it.
    Stopped,
}
