//! The test file: what a test is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::wire::{Entry, Resource};

/// A test, checked: every name in it stands for something.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub name: String,
    pub end: End,
    /// How long what still runs at the end has between SIGTERM and SIGKILL, and the `finally` entries after that.
    pub grace: Duration,
    pub on_fail: OnFail,
    /// Initial values, at least 1.
    pub triggers: BTreeMap<String, u64>,
    /// By name: where the file is, and what is shipped.
    pub resources: BTreeMap<String, (PathBuf, Resource)>,
    /// In the order of the file, each name once.
    pub slaves: Vec<Slave>,
}

/// One slave's part. Slaves with the same schedules share their entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Slave {
    pub name: String,
    pub entries: Rc<[Entry]>,
}

/// How a test ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// After so long.
    Duration(Duration),
    /// When the trigger has fired and what it set off has exited; fails when the limit passes first.
    Trigger { trigger: String, limit: Duration },
    /// When nothing runs and nothing can start any more; fails when the limit passes first.
    Idle { limit: Duration },
}

/// What a failed entry means for the run, beyond its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFail {
    #[default]
    Continue,
    End,
}
