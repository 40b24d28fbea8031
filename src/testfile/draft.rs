//! An entry before its schedule is used: what was read of it, and the names that it mentions.
//!
//! Whether a mentioned entry or slave exists is known only when a slave has the schedule; `slaves.rs` decides it then.

use super::meetings::Membership;
use crate::machine::Exit;
use crate::variables::Variable;
use crate::wire::{Action, Entry, Policy};

/// An entry as far as it could be read, with the names of other entries and slaves that it mentions.
pub struct Draft {
    pub name: String,
    pub policy: Option<Policy>,
    pub action: Option<Action>,
    /// The key of its action, also when the rest of the action is wrong.
    pub kind: Option<&'static str>,
    pub mentions: Vec<Mention>,
    /// The meeting of which its slave must be a member.
    pub membership: Option<Membership>,
}

impl Draft {
    /// Returns the entry, if all of it could be read.
    pub fn entry(&self) -> Option<Entry> {
        Some(Entry { name: self.name.clone(), policy: self.policy.clone()?, action: self.action.clone()? })
    }

    /// Returns the resources that it uses.
    pub fn resources(&self) -> &[String] {
        match &self.action {
            Some(Action::Shell(shell)) => &shell.use_resources,
            _ => &[],
        }
    }

    /// Whether it has the key `"ready"`.
    pub fn has_ready(&self) -> bool {
        matches!(&self.action, Some(Action::Shell(shell)) if shell.ready.is_some())
    }
}

/// A name of another entry or of a slave, and its place in the file.
pub struct Mention {
    pub at: usize,
    pub name: String,
    pub role: Role,
}

/// The use of a mentioned name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The entry after which this one runs. If `exit` is given it must be able to exit so, and if `ready` is set it
    /// must have the key `"ready"`.
    After {
        exit: Option<Exit>,
        ready: bool,
    },
    Kill,
    Pid,
    Address,
}

impl Role {
    /// Returns the variable that mentions `name`, if it is one that does.
    pub fn variable(self, name: &str) -> Option<Variable> {
        match self {
            Role::Pid => Some(Variable::Pid(name.to_owned())),
            Role::Address => Some(Variable::Address(name.to_owned())),
            Role::After { .. } | Role::Kill => None,
        }
    }
}
