//! The parts of a schedule, as the test file declares it and as a slave receives it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

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
            Action::Notify { trigger, .. } => Some(trigger),
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
    /// When other entries of the slave have exited, or have become ready.
    After(After),
    /// When the run has ended.
    Finally,
}

/// The conditions of an `after` entry. With one condition it runs each time the condition is met, with several once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The conditions, at least one.
    pub of: Vec<Condition>,
    /// Run when the first condition is met, instead of when all are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any: bool,
    /// The time between that and the run, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay: u64,
}

fn is_zero(micros: &u64) -> bool {
    *micros == 0
}

/// Another entry of the slave, and what must have happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The name of the other entry.
    pub entry: String,
    /// What must have happened.
    #[serde(default, skip_serializing_if = "When::is_default")]
    pub when: When,
}

/// What must have happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// It has exited, in whatever way, or could not start.
    #[default]
    Ended,
    /// It has exited in this way.
    Exited(Exit),
    /// It has failed.
    Failed,
    /// It is ready.
    Ready,
}

impl When {
    fn is_default(&self) -> bool {
        *self == When::default()
    }
}

impl fmt::Display for When {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Ended => to.write_str("exits"),
            When::Exited(exit) => write!(to, "exits with {exit}"),
            When::Failed => to.write_str("fails"),
            When::Ready => to.write_str("is ready"),
        }
    }
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A command.
    Shell(Box<Shell>),
    /// Notifies a trigger once.
    Notify {
        /// The trigger.
        trigger: String,
        /// The data of the notify: any JSON, whose strings may hold variables. Absent: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<serde_json::Value>,
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
    /// The text that the interpreter runs, or the program and its arguments; may hold variables.
    pub command: Vec<String>,
    /// The program that runs the text, with its arguments before the text. Absent: `/bin/sh -c`. Empty: the command is a
    /// program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<Vec<String>>,
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
    /// What happens when it fails. Absent: it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// The resources whose paths the command may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub use_resources: Vec<String>,
    /// Patterns of files below its directory that become results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collect: Vec<String>,
}

impl Shell {
    /// Returns the command in one text, for people and for searches.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.command[..] {
            [text] => Cow::from(text),
            words => Cow::from(words.join(" ")),
        }
    }

    /// Returns the program and its arguments, before variables are replaced.
    pub fn argv(&self) -> impl Iterator<Item = &str> {
        let usual = self.interpreter.is_none().then_some(["/bin/sh", "-c"]);
        let chosen = self.interpreter.iter().flatten().map(String::as_str);
        usual.into_iter().flatten().chain(chosen).chain(self.command.iter().map(String::as_str))
    }
}

/// How often a job that fails is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// The number of further attempts.
    pub times: u32,
    /// The time between a failure and the next attempt, in microseconds.
    pub delay: u64,
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
