//! What the controller hands to this slave of a run.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::machine::is_file_name;
use crate::session::{check_entry_name, check_name, is_name};
use crate::slave::config::Config;
use crate::slave::schedule::cycle;
use crate::slave::shorten::{clip, listed};
use crate::wire::{Entry, Prepare, Resource};

/// What a run hands to this slave.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) run: String,
    /// The name that this slave has in the run, if that is not its own.
    serve_as: Option<String>,
    pub(super) entries: Rc<[Entry]>,
    pub(super) resources: Vec<Resource>,
    pub(super) triggers: Vec<String>,
    /// In microseconds, by the name of a barrier or a sync.
    pub(super) timeouts: BTreeMap<String, u64>,
    pub(super) addresses: BTreeMap<String, String>,
    pub(super) end_trigger: Option<String>,
    pub(super) grace: Duration,
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
            addresses: prepare.addresses.clone(),
            end_trigger: prepare.end_trigger.clone(),
            grace: Duration::from_micros(prepare.grace),
        }
    }

    /// The name under which this slave acts in the run: that of the place in the test which it serves.
    pub(super) fn slave_name<'a>(&'a self, config: &'a Config) -> &'a str {
        self.serve_as.as_deref().unwrap_or(&config.name)
    }

    /// The place of an entry in the schedule.
    pub(super) fn index_of(&self, entry: &str) -> Option<usize> {
        self.entries.iter().position(|other| other.name == entry)
    }

    /// Fails if the test has no such trigger.
    pub(super) fn check_trigger(&self, name: &str) -> Result<(), String> {
        if self.triggers.iter().any(|trigger| trigger == name) {
            return Ok(());
        }
        let all = listed(self.triggers.iter().map(String::as_str));
        Err(format!("the test has no trigger {name:?}; its triggers: {all}"))
    }

    /// Fails when a name could lead out of the run's directory, or the schedule could turn for ever.
    pub(super) fn check(&self) -> Result<(), String> {
        let resource = |it: &&Resource| !is_name(&it.name) || !is_file_name(&it.file);
        check_name("a run", &self.run)?;
        self.serve_as.iter().try_for_each(|name| check_name("a slave", name))?;
        self.entries.iter().try_for_each(|entry| check_entry_name(&entry.name))?;
        if let Some(bad) = self.resources.iter().find(resource) {
            return Err(format!("{:?} with the file {:?} is no resource", clip(&bad.name), clip(&bad.file)));
        }
        self.triggers.iter().try_for_each(|trigger| check_name("a trigger", trigger))?;
        cycle(&self.entries).map_or(Ok(()), |entry| Err(format!("entry {entry} waits for itself by way of after")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a controller says must never reach a path raw.
    #[test]
    fn a_resource_has_a_name_that_a_path_may_hold() {
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
            let why = check(bad).expect_err(bad);
            assert!(why.contains("is no resource") && !why.contains(crate::machine::is_obeyed), "{why:?}");
        }
    }
}
