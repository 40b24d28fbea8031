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

/// A test, checked: every name in it stands for something.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub name: String,
    pub end: End,
    /// How long what still runs at the end has between SIGTERM and SIGKILL, and the `finally` entries after that.
    pub grace: Duration,
    pub on_fail: OnFail,
    pub on_lost: OnLost,
    /// Initial values, at least 1.
    pub triggers: BTreeMap<String, u64>,
    /// By name: where the file is, and what is shipped.
    pub resources: BTreeMap<String, (PathBuf, Resource)>,
    /// What is declared of barriers and of syncs, by name.
    pub barriers: BTreeMap<String, Declared>,
    pub syncs: BTreeMap<String, Declared>,
    /// The members of each group, for `@GROUP` in what commands say.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Who may enter the room of a run beside its slaves.
    pub guests: BTreeSet<String>,
    /// In the order of the file, each name once.
    pub slaves: Vec<Slave>,
}

/// What a test declares of a barrier or a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Who shall meet; groups are resolved.
    pub party: Option<Party>,
    pub timeout: Option<Duration>,
}

/// One slave's part. Slaves with the same schedules share their entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Slave {
    pub name: String,
    /// What a machine must be to serve as this slave; `None`: it must be the machine of this name.
    pub with: Option<Rc<BTreeMap<String, String>>>,
    /// Where a launcher starts it, if that is not its name.
    pub address: Option<String>,
    pub entries: Rc<[Entry]>,
}

/// How a test ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// After so long.
    Duration(Duration),
    /// When the trigger has fired and what it set off has exited; fails when the limit passes first.
    Trigger { trigger: String, limit: Duration },
    /// When no job runs and none can start any more; fails when the limit passes first.
    Idle { limit: Duration },
}

/// What a slave that is lost after the start means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// It ends at once, and fails.
    #[default]
    Fail,
    /// It goes on without that slave, as long as one is left.
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
    /// Where it is.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    pub executable: bool,
}

/// Says about the path of a resource, as the test file has it, what it is, or why it cannot be shipped.
pub type Ship<'a> = dyn FnMut(&str) -> Result<Shipped, String> + 'a;
