//! What a schedule is made of, as the test file declares it and as a slave receives it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::readiness::Readiness;
use super::rendezvous::Party;
use super::verdict::Verdict;
use crate::machine::{Exit, Signal};

/// One line of a schedule: when to do what. Times are microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Unique on its slave; letters, digits, `_` and `-`.
    pub name: String,
    pub policy: Policy,
    pub action: Action,
}

impl Entry {
    /// Its command, if it is not a built-in action.
    pub fn shell(&self) -> Option<&Shell> {
        match &self.action {
            Action::Shell(shell) => Some(shell),
            _ => None,
        }
    }

    /// How it is known that it is ready.
    pub fn readiness(&self) -> Option<&Readiness> {
        self.shell()?.ready.as_ref()
    }

    /// The trigger that the entry itself notifies: by its action, or when it becomes ready.
    pub fn notifies(&self) -> Option<&str> {
        match &self.action {
            Action::Notify { trigger } => Some(trigger),
            _ => self.readiness()?.trigger.as_deref(),
        }
    }

    /// Whether it is a command that is meant to run until it is stopped.
    pub fn is_service(&self) -> bool {
        self.shell().is_some_and(|shell| shell.service)
    }
}

/// When an entry runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// So many microseconds after the start.
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

/// What must have become of which entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    pub entry: String,
    /// Only when it exited so; absent: whatever became of it, also when it could not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// When it is ready, instead of when it has exited.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ready: bool,
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A command under `/bin/sh -c`.
    Shell(Box<Shell>),
    /// Takes one off a trigger.
    Notify { trigger: String },
    /// Sends a signal to the group of every run of another entry of the slave that is still there.
    Kill { entry: String, signal: Signal },
    /// Ends the run.
    End { verdict: Verdict },
    /// Stands at a barrier; it has exited, with the status of `arete barrier`, when the verdict is there.
    Barrier {
        barrier: String,
        /// As in [`BarrierRequest`](super::rendezvous::BarrierRequest).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        party: Option<Party>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fresh: Option<u64>,
        /// Ends the barrier for everyone instead of waiting there, for this reason, which may hold variables.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        abort: Option<String>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        harmonize: bool,
        /// With which status it may exit without failing.
        #[serde(default, skip_serializing_if = "Expect::is_default")]
        expect: Expect,
    },
    /// Gives a value to a sync, as [`SyncRequest`](super::rendezvous::SyncRequest); its map is the entry's standard output.
    Sync {
        session: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        party: Option<Party>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        all_alive: bool,
        /// Any JSON; its strings may hold variables.
        value: serde_json::Value,
        /// As at a barrier.
        #[serde(default, skip_serializing_if = "Expect::is_default")]
        expect: Expect,
    },
}

/// A command: a job, which must exit by itself, or a service, which runs until it is stopped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Shell {
    pub command: String,
    /// With which exits it passes. A service that expects none fails when it exits before it is stopped.
    #[serde(default)]
    pub expect: Expect,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub service: bool,
    /// How it is known that it is ready; absent: nobody waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Readiness>,
    /// Added to the command's environment; values may hold variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it runs, relative to the slave's work directory; may hold variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The command fails when it runs longer than this, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// The resources whose paths it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub use_resources: Vec<String>,
    /// Patterns of the files below its directory that are brought back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collect: Vec<String>,
}

/// How a command may end without failing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
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

    pub fn allows(&self, exit: Exit) -> bool {
        match self {
            Expect::Any => true,
            Expect::Of(exits) => exits.contains(&exit),
        }
    }
}

/// A file that the test ships.
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
    #[serde(default)]
    pub executable: bool,
}
