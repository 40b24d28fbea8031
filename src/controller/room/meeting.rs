//! The two kinds of meetings: barriers and syncs.

use serde::{Deserialize, Serialize};

/// A kind of meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Meeting {
    /// Members wait for each other.
    Barrier,
    /// Members wait for each other, each gives a value, and all get the map of values.
    Sync,
}

impl Meeting {
    pub const BOTH: [Meeting; 2] = [Meeting::Barrier, Meeting::Sync];

    /// Returns its name in messages and in the progress of a run.
    pub fn noun(self) -> &'static str {
        match self {
            Meeting::Barrier => "barrier",
            Meeting::Sync => "sync",
        }
    }
}
