//! The parts of a schedule, as the test file declares it and as a slave receives it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::Injection;
use super::readiness::Readiness;
use super::rendezvous::Party;
use super::verdict::Verdict;
use crate::machine::{Exit, Signal};

/// One entry of a schedule: when to do what. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The name, unique on its slave: letters, digits, `_` and `-`.
    pub name: String,
    /// When it runs.
    pub policy: Policy,
    /// What it does.
    pub action: Action,
}

impl Entry {
    /// Returns its command; `None` for a built-in action.
    pub fn shell(&self) -> Option<&Shell> {
        match &self.action {
            Action::Shell(shell) => Some(shell),
            _ => None,
        }
    }

    /// Returns the fault that it injects, if it does.
    pub fn injection(&self) -> Option<&Injection> {
        match &self.action {
            Action::Fault(injection) => Some(injection),
            _ => None,
        }
    }

    /// Returns its readiness check, if it has one.
    pub fn readiness(&self) -> Option<&Readiness> {
        self.shell()?.ready.as_ref()
    }

    /// Returns the trigger that the entry notifies itself, by its action or when it becomes ready.
    pub fn notifies(&self) -> Option<&str> {
        match &self.action {
            Action::Notify { trigger } => Some(trigger),
            _ => self.readiness()?.trigger.as_deref(),
        }
    }

    /// Returns whether it is a command that runs until it is stopped.
    pub fn is_service(&self) -> bool {
        self.shell().is_some_and(|shell| shell.service)
    }
}

/// When an entry runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// This long after the start, in microseconds.
    At(u64),
    /// Each time the slave is poked.
    Poke,
    /// When this trigger fires.
    Trigger(String),
    /// Each time another entry of the slave has exited, or has become ready.
    After(After),
    /// When the run has ended.
    Finally,
}

/// Another entry, and what must have happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The name of the other entry, on the same slave.
    pub entry: String,
    /// The exit that it must have. Absent: any, also if it could not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Run when it is ready, instead of when it has exited.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ready: bool,
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A command under `/bin/sh -c`.
    Shell(Box<Shell>),
    /// Notifies a trigger once.
    Notify {
        /// The trigger.
        trigger: String,
    },
    /// Sends a signal to the process group of every running run of another entry of the slave.
    Kill {
        /// The other entry.
        entry: String,
        /// The signal.
        signal: Signal,
    },
    /// Injects a fault into the machine of the slave.
    Fault(Box<Injection>),
    /// Ends the run.
    End {
        /// The verdict that the entry requests.
        verdict: Verdict,
    },
    /// Arrives at a barrier. The entry exits when the verdict is known, with the status of `arete barrier`.
    Barrier {
        /// As in [`BarrierRequest`](super::rendezvous::BarrierRequest).
        barrier: String,
        /// As in [`BarrierRequest`](super::rendezvous::BarrierRequest).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
        /// The members that must arrive. Absent: those that the test declares for this barrier.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        party: Option<Party>,
        /// As in [`BarrierRequest`](super::rendezvous::BarrierRequest).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        /// As in [`BarrierRequest`](super::rendezvous::BarrierRequest).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fresh: Option<u64>,
        /// The reason to abort the barrier for every member instead of waiting; may hold variables. Absent: wait.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        abort: Option<String>,
        /// As in [`BarrierRequest`](super::rendezvous::BarrierRequest).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        harmonize: bool,
        /// The statuses with which it passes.
        #[serde(default, skip_serializing_if = "Expect::is_default")]
        expect: Expect,
    },
    /// Gives a value to a sync. The map of all values is the entry's standard output.
    Sync {
        /// As in [`SyncRequest`](super::rendezvous::SyncRequest).
        session: String,
        /// As in [`SyncRequest`](super::rendezvous::SyncRequest).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
        /// The members that must give a value. Absent: those that the test declares for this sync.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        party: Option<Party>,
        /// As in [`SyncRequest`](super::rendezvous::SyncRequest).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        /// As in [`SyncRequest`](super::rendezvous::SyncRequest).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        all_alive: bool,
        /// The value: any JSON, whose strings may hold variables.
        value: serde_json::Value,
        /// The statuses with which it passes.
        #[serde(default, skip_serializing_if = "Expect::is_default")]
        expect: Expect,
    },
}

/// A command: a job, which must exit by itself, or a service, which runs until it is stopped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Shell {
    /// The command line; may hold variables.
    pub command: String,
    /// The exits with which it passes. A service with an empty list fails if it exits before it is stopped.
    #[serde(default)]
    pub expect: Expect,
    /// Whether it is a service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub service: bool,
    /// The check that shows that it is ready. Absent: nothing depends on that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Readiness>,
    /// Variables that are added to the command's environment; the values may hold variables of the test.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The directory in which it runs, relative to the slave's work directory; may hold variables. Absent: the work
    /// directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The longest time that the command may run, in microseconds; then it fails. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// The resources whose paths the command may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub use_resources: Vec<String>,
    /// Patterns of files below its directory that become results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collect: Vec<String>,
}

/// The exits with which a command passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// Every exit.
    Any,
    /// One of these.
    Of(Vec<Exit>),
}

impl Default for Expect {
    fn default() -> Expect {
        Expect::Of(vec![Exit::Code(0)])
    }
}

impl Expect {
    fn is_default(&self) -> bool {
        *self == Expect::default()
    }

    /// Returns whether the command passes with this exit.
    pub fn allows(&self, exit: Exit) -> bool {
        match self {
            Expect::Any => true,
            Expect::Of(exits) => exits.contains(&exit),
        }
    }
}

/// A file that the test ships to its slaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name in the test file.
    pub name: String,
    /// Its file name on the slave, without directories.
    pub file: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Whether the slave makes it executable.
    #[serde(default)]
    pub executable: bool,
}
