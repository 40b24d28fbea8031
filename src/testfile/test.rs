//! A checked test, as the controller runs it.
//!
//! Every name in it is declared, and every bound holds. Only [`parse`](super::parse) may create one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::params::Params;
use crate::machine::path_text;
use crate::measure::bound::Bound;
use crate::wire::rendezvous::Party;
use crate::wire::{Entry, Resource};

/// A test that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// The values of its params.
    pub params: Params,
    /// How it ends.
    pub end: End,
    /// The time between SIGTERM and SIGKILL for what still runs at the end, and again for the `finally` entries after
    /// that.
    pub grace: Duration,
    /// What happens when an entry has failed.
    pub on_fail: OnFail,
    /// What happens when a slave is lost.
    pub on_lost: OnLost,
    /// The initial value of each trigger, at least 1.
    pub triggers: BTreeMap<String, u64>,
    /// The resources by name: the path of the file, and what is shipped.
    pub resources: BTreeMap<String, (PathBuf, Resource)>,
    /// The declared barriers, by name.
    pub barriers: BTreeMap<String, Declared>,
    /// The declared syncs, by session id.
    pub syncs: BTreeMap<String, Declared>,
    /// The members of each group, for `@GROUP` in options of commands.
    pub groups: BTreeMap<String, Vec<String>>,
    /// The members that may enter the room of a run in addition to its slaves.
    pub guests: BTreeSet<String>,
    /// What it asserts about its measurements, in the order of the file.
    pub asserts: Vec<Assert>,
    /// In the order of the file, each name once.
    pub slaves: Vec<Slave>,
}

/// The declaration of a barrier or a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The members that must arrive, with groups resolved. `None`: each entry names them.
    pub party: Option<Party>,
    /// The timeout of each member that names none. `None`: no default.
    pub timeout: Option<Duration>,
}

/// What a test asserts about the measurements of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Assert {
    /// The name of the measurements.
    pub name: String,
    /// The slaves whose measurements count. `None`: all.
    pub of: Option<AssertOf>,
    /// What must keep which bound, at least one.
    pub bounds: Vec<(Figure, Bound)>,
}

/// The slaves that an assertion names.
#[derive(Debug, Clone, PartialEq)]
pub struct AssertOf {
    /// As the test names them, for people.
    pub text: String,
    /// Their names.
    pub slaves: BTreeSet<String>,
}

/// What an assertion compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Each value.
    Each,
    /// The lowest value.
    Min,
    /// The highest value.
    Max,
    /// The mean of the values.
    Mean,
    /// The median of the values.
    Median,
    /// The sum of the values.
    Sum,
    /// The number of the values.
    Count,
}

/// The part of one slave. Slaves with the same schedules share their entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Slave {
    /// Its name.
    pub name: String,
    /// The labels that a machine must have to serve as this slave. `None`: the machine must have the slave's name.
    pub with: Option<Rc<BTreeMap<String, String>>>,
    /// The address at which a launcher starts it. `None`: its name.
    pub address: Option<String>,
    /// Its entries, in the order of its schedules.
    pub entries: Rc<[Entry]>,
}

/// How a test ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// After this time.
    Duration(Duration),
    /// When the trigger has fired and what it started has exited. Fails if the limit passes first.
    Trigger {
        /// The trigger.
        trigger: String,
        /// The longest time that the run may take.
        limit: Duration,
    },
    /// When no job runs and none can start any more. Fails if the limit passes first.
    Idle {
        /// The longest time that the run may take.
        limit: Duration,
    },
}

/// What happens when a slave is lost after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// The run ends at once, and fails.
    #[default]
    Fail,
    /// The run continues without that slave, as long as one is left.
    Continue,
}

/// What happens when an entry has failed. The verdict of the run is failed in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFail {
    /// The run continues.
    #[default]
    Continue,
    /// The run ends at once.
    End,
}

/// The description of a resource's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipped {
    /// Its path.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Whether the slaves make it executable.
    pub executable: bool,
}

/// Describes the resource at a path of the test file. Fails with the reason if it cannot be shipped.
pub type Ship<'a, E> = dyn FnMut(&str) -> Result<Shipped, E> + 'a;
