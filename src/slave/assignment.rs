//! The part of a run that the controller assigns to this slave.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::machine::is_file_name;
use crate::session::{NameError, check_entry_name, check_name, is_name};
use crate::slave::config::Config;
use crate::slave::refusal::Refusal;
use crate::slave::schedule::cycle;
use crate::slave::shorten::{clip, listed};
use crate::wire::{Entry, Prepare, Resource};

/// The part of this slave in a run.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) run: String,
    /// The name that this slave has in the run, if that is not its own.
    serve_as: Option<String>,
    pub(super) entries: Rc<[Entry]>,
    pub(super) resources: Vec<Resource>,
    pub(super) triggers: Vec<String>,
    /// The declared timeouts in microseconds, by the name of the barrier or the sync.
    pub(super) timeouts: BTreeMap<String, u64>,
    /// The params of the test, as variables of the environment.
    pub(super) params: Vec<(String, String)>,
    pub(super) addresses: BTreeMap<String, String>,
    /// The number of this slave in the test, from 1; 0 if no entry uses it.
    pub(super) index: u32,
    /// The number of slaves of the test.
    pub(super) count: u32,
    pub(super) end_trigger: Option<String>,
    pub(super) grace: Duration,
}

/// Returns the variable of the environment that has a param: `ARETE_PARAM_` and its name in capitals, with `_` for every
/// character that such a name cannot have.
fn variable_of(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("ARETE_PARAM_{}", name.chars().map(letter).collect::<String>())
}

impl Assignment {
    pub(super) fn new(prepare: &Prepare<'_>) -> Assignment {
        Assignment {
            run: prepare.run.clone().into_owned(),
            serve_as: prepare.serve_as.clone().map(Cow::into_owned),
            entries: Rc::from(&*prepare.entries),
            resources: prepare.resources.clone(),
            triggers: prepare.triggers.clone(),
            timeouts: prepare.timeouts.clone(),
            params: prepare.params.iter().map(|(name, value)| (variable_of(name), value.clone())).collect(),
            addresses: prepare.addresses.clone(),
            index: prepare.index,
            count: prepare.count,
            end_trigger: prepare.end_trigger.clone(),
            grace: Duration::from_micros(prepare.grace),
        }
    }

    /// Returns the name of this slave in the run, which is the place in the test that it serves.
    pub(super) fn slave_name<'a>(&'a self, config: &'a Config) -> &'a str {
        self.serve_as.as_deref().unwrap_or(&config.name)
    }

    /// Returns the index of an entry in the schedule.
    pub(super) fn index_of(&self, entry: &str) -> Option<usize> {
        self.entries.iter().position(|other| other.name == entry)
    }

    /// Fails if the test has no such trigger.
    pub(super) fn check_trigger(&self, name: &str) -> Result<(), Refusal> {
        if self.triggers.iter().any(|trigger| trigger == name) {
            return Ok(());
        }
        let known = listed(self.triggers.iter().map(String::as_str));
        Err(Refusal::NoTrigger { trigger: name.to_owned(), known })
    }

    /// Fails if a name could lead out of the run's directory, or if the schedule has a cycle.
    pub(super) fn check(&self) -> Result<(), AssignmentError> {
        let resource = |it: &&Resource| !is_name(&it.name) || !is_file_name(&it.file);
        check_name("a run", &self.run)?;
        self.serve_as.iter().try_for_each(|name| check_name("a slave", name))?;
        self.entries.iter().try_for_each(|entry| check_entry_name(&entry.name))?;
        if let Some(bad) = self.resources.iter().find(resource) {
            return Err(AssignmentError::Resource { name: bad.name.clone(), file: bad.file.clone() });
        }
        self.triggers.iter().try_for_each(|trigger| check_name("a trigger", trigger))?;
        cycle(&self.entries).map_or(Ok(()), |entry| Err(AssignmentError::Cycle { entry: entry.to_owned() }))
    }
}

/// Why this slave cannot take its part of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AssignmentError {
    /// A name could lead out of the run's directory.
    Name(NameError),
    /// The name of a resource or of its file could.
    Resource { name: String, file: String },
    /// This entry waits for itself.
    Cycle { entry: String },
}

impl From<NameError> for AssignmentError {
    fn from(error: NameError) -> AssignmentError {
        AssignmentError::Name(error)
    }
}

impl fmt::Display for AssignmentError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssignmentError::Name(error) => error.fmt(to),
            AssignmentError::Resource { name, file } => {
                write!(to, "{:?} with the file {:?} is not a valid resource", clip(name), clip(file))
            }
            AssignmentError::Cycle { entry } => write!(to, "entry {entry} waits for itself through \"after\""),
        }
    }
}

impl std::error::Error for AssignmentError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name from a controller must never reach a path unchecked.
    #[test]
    fn a_resource_name_is_safe_in_a_path() {
        let check = |file: &str| {
            let resource = serde_json::json!({ "name": "r", "file": file, "size": 1, "sha256": "0" });
            let prepare = serde_json::json!({
                "run": "r", "test": "t", "entries": [], "resources": [resource], "triggers": [], "addresses": {}, "grace": 1
            });
            let prepare = prepare.to_string();
            Assignment::new(&serde_json::from_str::<Prepare<'_>>(&prepare).unwrap()).check()
        };
        assert_eq!(check("data.bin"), Ok(()));
        let long = "x".repeat(256);
        for bad in ["", "..", "a/b", "a\nb", "\u{1b}[2J", "\u{9b}2J", "exe\u{202e}txt", "a\u{2028}b", &long] {
            let why = check(bad).expect_err(bad).to_string();
            assert!(why.contains("is not a valid resource") && !why.contains(crate::machine::is_obeyed), "{why:?}");
        }
    }
}
