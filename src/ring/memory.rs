//! What a node must not forget when it dies: what it has seen, whom it has granted an epoch to, and its copy of the data.
//!
//! It is written before anybody can see what follows from it. Without a state directory it lives as long as the node.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::limits::DATA_MAX;
use super::token::{Fence, Token};
use crate::machine::Outbox;

/// The name of the file in the state directory that has all but the data.
pub const STATE_FILE: &str = "ring.json";

/// The name of the file that has the data.
pub const DATA_FILE: &str = "data.json";

/// The longest of these files, in bytes.
pub const FILE_MAX: usize = 6 * DATA_MAX + 64 * 1024;

/// The data as of a hand-over.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Copy {
    #[serde(flatten)]
    pub fence: Fence,
    pub progress: u64,
    pub data: String,
}

/// A grant: nobody else gets this epoch from us.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grant {
    pub epoch: u64,
    pub to: String,
}

/// What a node remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The greatest (epoch, hop) that was acted on or acknowledged.
    pub seen: Fence,
    /// The last grant.
    pub grant: Grant,
    /// The newest data that was here.
    #[serde(skip)]
    pub copy: Copy,
    /// The token that was heard of last, for a ring with originals, which have no epochs.
    pub token: Option<Token>,
    /// How many tokens this node has made.
    pub revision: u64,
}

impl Memory {
    /// The newest epoch that is taken.
    pub fn epoch(&self) -> u64 {
        self.seen.epoch.max(self.grant.epoch)
    }

    /// Takes over a copy, which is not older than ours.
    pub fn take(&mut self, copy: Copy) {
        debug_assert!(copy.fence >= self.copy.fence, "data does not go back");
        self.seen = self.seen.max(copy.fence);
        self.copy = copy;
    }
}

/// Where a node's memory outlives it.
#[derive(Debug, Clone)]
pub struct Store {
    state: PathBuf,
    data: PathBuf,
}

impl Store {
    /// In this directory.
    pub fn new(directory: &Path) -> Store {
        Store { state: directory.join(STATE_FILE), data: directory.join(DATA_FILE) }
    }

    /// Writes all but the data, before anything of this turn goes out.
    pub fn keep_state(&self, memory: &Memory, out: &mut Outbox) {
        out.persist(self.state.clone(), to_json(memory));
    }

    /// Writes the data too; last, because who dies in between may know of more than it has, but not the reverse.
    pub fn keep_data(&self, memory: &Memory, out: &mut Outbox) {
        self.keep_state(memory, out);
        out.persist(self.data.clone(), to_json(&memory.copy));
    }
}

fn to_json(what: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(what).expect("names, numbers and texts always encode")
}
