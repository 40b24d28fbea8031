//! How a run ended, and how a run of one of its entries did.

use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Passed,
    Failed,
    Interrupted,
}

/// How a run of an entry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryOutcome {
    /// It ended as its `expect` says.
    Passed,
    /// It did not, took too long, or could not start.
    Failed,
    /// A `kill` action or the end of the run ended it.
    Stopped,
}
