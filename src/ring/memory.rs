//! The memory of a node, which outlives its process: the newest token that it has seen, the epoch that it has granted, and
//! its copy of the data.
//!
//! This file owns the files of the state directory. The memory must be written before any other node can see what
//! follows from it. Without a state directory it lives as long as the node.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::limits::DATA_MAX;
use super::token::{Fence, Token};
use crate::machine::{ErrorKind, Outbox, ReadId, SystemError};

/// The name of the file in the state directory that has everything but the data.
pub const STATE_FILE: &str = "ring.json";

/// The name of the file in the state directory that has the data.
pub const DATA_FILE: &str = "data.json";

/// The longest of these files, in bytes.
pub const FILE_MAX: usize = 6 * DATA_MAX + 64 * 1024;

/// The data, with the token that it belongs to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Copy {
    /// The fence of the token that brought the data.
    #[serde(flatten)]
    pub fence: Fence,
    /// The progress of the work, as in the token.
    pub progress: u64,
    /// The data.
    pub data: String,
}

/// A grant: no other node gets this epoch from this node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grant {
    /// The epoch; 0 before the first grant.
    pub epoch: u64,
    /// The id of the node that got it.
    pub to: String,
}

/// The memory of a node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The greatest (epoch, hop) that was acted on or acknowledged.
    pub seen: Fence,
    /// The last grant.
    pub grant: Grant,
    /// The newest data that was here.
    #[serde(skip)]
    pub copy: Copy,
    /// The last token that it has heard of, for a ring with original programs, which have no epochs.
    pub token: Option<Token>,
    /// The number of tokens that this node has made.
    pub revision: u64,
}

impl Memory {
    /// Returns the newest epoch that is taken.
    pub fn epoch(&self) -> u64 {
        self.seen.epoch.max(self.grant.epoch)
    }

    /// Takes over a copy, which must not be older than the present one.
    pub fn take(&mut self, copy: Copy) {
        debug_assert!(copy.fence >= self.copy.fence, "data does not go back");
        self.seen = self.seen.max(copy.fence);
        self.copy = copy;
    }
}

/// Why a node cannot use its state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// A file cannot be read.
    Unread(&'static str, SystemError),
    /// A file is not valid, for this reason.
    Invalid(&'static str, String),
    /// There is data, and no state that it belongs to.
    WithoutState,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unread(file, error) => write!(f, "{file}: {error}"),
            StoreError::Invalid(file, error) => write!(
                f,
                "{file}: {error}; removing the directory starts without what it knew, which with --members breaks its promise"
            ),
            StoreError::WithoutState => write!(f, "{DATA_FILE} is there, but not {STATE_FILE}: remove the directory"),
        }
    }
}

impl std::error::Error for StoreError {}

/// The file that a node reads after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    State(ReadId),
    /// The data; whether there was a state.
    Data(ReadId, bool),
}

/// The state directory of a node, in which its memory outlives it.
#[derive(Debug, Clone)]
pub struct Store {
    state: PathBuf,
    data: PathBuf,
    reading: Option<Reading>,
}

impl Store {
    /// Returns the store in this directory.
    pub fn new(directory: &Path) -> Store {
        Store { state: directory.join(STATE_FILE), data: directory.join(DATA_FILE), reading: None }
    }

    /// Starts to read the memory of an earlier start.
    pub fn recall(&mut self, out: &mut Outbox) {
        self.reading = Some(Reading::State(out.read(self.state.clone(), 0, FILE_MAX)));
    }

    /// Returns the state directory.
    pub fn directory(&self) -> &Path {
        self.state.parent().unwrap_or(&self.state)
    }

    /// Whether the memory is still being read.
    pub fn is_recalling(&self) -> bool {
        self.reading.is_some()
    }

    /// Takes the answer to a read of this store into the memory, and reads the next file. Returns whether it was such an
    /// answer. Fails if a file cannot be read or is not valid.
    pub fn recalled(
        &mut self,
        read: ReadId,
        result: &Result<&[u8], SystemError>,
        memory: &mut Memory,
        out: &mut Outbox,
    ) -> Result<bool, StoreError> {
        let invalid = |file| move |error: serde_json::Error| StoreError::Invalid(file, error.to_string());
        self.reading = match self.reading {
            Some(Reading::State(asked)) if asked == read => {
                let bytes = found(STATE_FILE, result)?;
                if let Some(bytes) = bytes {
                    *memory = serde_json::from_slice(bytes).map_err(invalid(STATE_FILE))?;
                }
                Some(Reading::Data(out.read(self.data.clone(), 0, FILE_MAX), bytes.is_some()))
            }
            Some(Reading::Data(asked, has_state)) if asked == read => {
                match found(DATA_FILE, result)? {
                    Some(_) if !has_state => return Err(StoreError::WithoutState),
                    Some(bytes) => memory.take(serde_json::from_slice(bytes).map_err(invalid(DATA_FILE))?),
                    None => {}
                }
                None
            }
            _ => return Ok(false),
        };
        Ok(true)
    }

    /// Writes everything but the data, before anything of this turn goes out.
    pub fn keep_state(&self, memory: &Memory, out: &mut Outbox) {
        out.persist(self.state.clone(), to_json(memory));
    }

    /// Writes the data too, after the rest: after a crash in between, the node may know a newer token than its data belongs
    /// to, but never has data of a token that it does not know.
    pub fn keep_data(&self, memory: &Memory, out: &mut Outbox) {
        self.keep_state(memory, out);
        out.persist(self.data.clone(), to_json(&memory.copy));
    }
}

/// Returns the content of a file; `None` if it does not exist.
fn found<'a>(file: &'static str, result: &Result<&'a [u8], SystemError>) -> Result<Option<&'a [u8]>, StoreError> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::Unread(file, error.clone())),
    }
}

fn to_json(what: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(what).expect("names, numbers and texts always encode")
}
