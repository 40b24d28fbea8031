//! An entry as it was read from a schedule, with the names that it mentions.
//!
//! Whether a mentioned entry or slave exists is known only when a slave has the schedule. Then `slaves.rs` checks it.

use super::meetings::Membership;
use crate::variables::Variable;
use crate::wire::{Action, Entry, Harm, Policy, When};

/// An entry as far as it could be read.
pub struct Draft {
    /// The name of the entry.
    pub name: String,
    /// When it runs; `None`: it has a problem.
    pub policy: Option<Policy>,
    /// What it does; `None`: it has a problem.
    pub action: Option<Action>,
    /// The key of its action, also if the rest of the action has a problem. `None`: it has no action, or several.
    pub kind: Option<&'static str>,
    /// The names of other entries and slaves that it mentions.
    pub mentions: Vec<Mention>,
    /// The meeting of which its slave must be a member.
    pub membership: Option<Membership>,
}

impl Draft {
    /// Returns the entry, if all of it could be read.
    pub fn entry(&self) -> Option<Entry> {
        Some(Entry { name: self.name.clone(), policy: self.policy.clone()?, action: self.action.clone()? })
    }

    /// Returns the resources of its `use_resources`.
    pub fn resources(&self) -> &[String] {
        match &self.action {
            Some(Action::Shell(shell)) => &shell.use_resources,
            _ => &[],
        }
    }

    /// Returns the partition that it makes, with its place in the file.
    pub fn partition(&self) -> Option<(&Harm, usize)> {
        let Some(Action::Fault(injection)) = &self.action else { return None };
        let mention = self.mentions.iter().find(|mention| mention.role == Role::Peer)?;
        matches!(injection.what, Harm::Partition { .. }).then_some((&injection.what, mention.at))
    }

    /// Returns whether it has the key `"ready"`.
    pub fn has_ready(&self) -> bool {
        matches!(&self.action, Some(Action::Shell(shell)) if shell.ready.is_some())
    }
}

/// The name of another entry or of a slave.
pub struct Mention {
    /// The byte of the file at which it is.
    pub at: usize,
    /// The name.
    pub name: String,
    /// What the name is used for.
    pub role: Role,
}

/// The use of a mentioned name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The entry after which this one runs, and what must have happened to it.
    After(When),
    /// The entry that this one kills.
    Kill,
    /// The entry that this one pauses.
    Pause,
    /// The entry whose process id a text names.
    Pid,
    /// The slave whose address a text names.
    Address,
    /// The slave whose address a fault needs.
    Peer,
}

impl Role {
    /// Returns the variable in which a text mentions `name`; `None` if the name is not in a text.
    pub fn variable(self, name: &str) -> Option<Variable> {
        match self {
            Role::Pid => Some(Variable::Pid(name.to_owned())),
            Role::Address => Some(Variable::Address(name.to_owned())),
            Role::After(_) | Role::Kill | Role::Pause | Role::Peer => None,
        }
    }
}
