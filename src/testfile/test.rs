//! A test that was read and checked: what the controller runs.
//!
//! Every name in it has a meaning, and every bound holds. Only [`parse`](super::parse) may make one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::path_text;
use crate::wire::rendezvous::Party;
use crate::wire::{Entry, Resource};

/// A test that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub name: String,
    pub end: End,
    /// The time between SIGTERM and SIGKILL for what still runs at the end, and again for the `finally` entries after
    /// that.
    pub grace: Duration,
    pub on_fail: OnFail,
    pub on_lost: OnLost,
    /// Initial values, at least 1.
    pub triggers: BTreeMap<String, u64>,
    /// The resources by name: the path of the file, and what is shipped.
    pub resources: BTreeMap<String, (PathBuf, Resource)>,
    /// The barriers and syncs that are declared, by name.
    pub barriers: BTreeMap<String, Declared>,
    pub syncs: BTreeMap<String, Declared>,
    /// The members of each group, for `@GROUP` in options of commands.
    pub groups: BTreeMap<String, Vec<String>>,
    /// The members that may enter the room of a run in addition to its slaves.
    pub guests: BTreeSet<String>,
    /// In the order of the file, each name once.
    pub slaves: Vec<Slave>,
}

/// What a test declares of a barrier or a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The members that meet. Groups are resolved.
    pub party: Option<Party>,
    pub timeout: Option<Duration>,
}

/// One slave's part. Slaves with the same schedules share their entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Slave {
    pub name: String,
    /// The labels that a machine must have to serve as this slave; `None`: it must be the machine of this name.
    pub with: Option<Rc<BTreeMap<String, String>>>,
    /// The address at which a launcher starts it, if that is not its name.
    pub address: Option<String>,
    pub entries: Rc<[Entry]>,
}

/// How a test ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// After this time.
    Duration(Duration),
    /// When the trigger has fired and what it started has exited. Fails if the limit passes first.
    Trigger { trigger: String, limit: Duration },
    /// When no job runs and none can start any more. Fails if the limit passes first.
    Idle { limit: Duration },
}

/// What a slave that is lost after the start means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// The run ends at once, and fails.
    #[default]
    Fail,
    /// The run goes on without that slave, as long as one is left.
    Continue,
}

/// What a failed entry means for the run, beyond its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFail {
    #[default]
    Continue,
    End,
}

/// What is known about a resource's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipped {
    /// Its path.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    pub executable: bool,
}

/// Describes the resource at a path of the test file. Fails with the reason if it cannot be shipped.
pub type Ship<'a> = dyn FnMut(&str) -> Result<Shipped, String> + 'a;
