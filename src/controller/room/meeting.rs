//! The two kinds of meetings that a room has.

use serde::{Deserialize, Serialize};

/// What members meet at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Meeting {
    /// Members wait for each other.
    Barrier,
    /// The same, and each gives a value and gets the values of all.
    Sync,
}

impl Meeting {
    /// Its name in messages and in the picture of a run.
    pub fn noun(self) -> &'static str {
        match self {
            Meeting::Barrier => "barrier",
            Meeting::Sync => "sync",
        }
    }
}
