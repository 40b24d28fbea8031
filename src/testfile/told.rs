//! How much a slave is told, in bytes of its message. What each part takes is known before any slave has it: many slaves
//! may share a schedule, and each may have others beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::draft::{Draft, Role};
use crate::wire::Resource;

/// How long an address is at most, in bytes, as `@{NAME.address}` puts it in.
const ADDRESS_MAX: usize = 64;

/// Quotes, a colon and a comma around two names.
const AROUND: usize = 6;

/// What slaves are told beside their entries.
pub struct Told<'a> {
    /// The name of the test, all triggers and the timeouts: every slave is told these.
    always: usize,
    /// How much each resource takes.
    resources: BTreeMap<&'a str, usize>,
}

impl<'a> Told<'a> {
    /// `name` is the test's, `timeouts` what is told of those that are declared.
    pub fn new(
        name: &str,
        timeouts: usize,
        triggers: &BTreeMap<String, u64>,
        resources: &'a BTreeMap<String, (PathBuf, Resource)>,
    ) -> Told<'a> {
        let triggers: usize = triggers.keys().map(|trigger| trigger.len() + AROUND).sum();
        let size = |resource| encoded(resource) + 1;
        let resources = resources.iter().map(|(name, (_, resource))| (name.as_str(), size(resource))).collect();
        Told { always: name.len() + timeouts + triggers, resources }
    }

    /// How much a slave is told beside these entries, and how many addresses are among that.
    pub fn beside(&self, drafts: &[&Draft]) -> (usize, usize) {
        let used = drafts.iter().flat_map(|draft| draft.resources()).map(String::as_str);
        let used: BTreeSet<&str> = used.collect();
        let resources: usize = used.iter().filter_map(|name| self.resources.get(name)).sum();
        let mentions = drafts.iter().flat_map(|draft| &draft.mentions);
        let addresses = mentions.filter(|mention| mention.role == Role::Address).map(|mention| mention.name.as_str());
        let addresses: BTreeSet<&str> = addresses.collect();
        let bytes: usize = addresses.iter().map(|slave| slave.len() + ADDRESS_MAX + AROUND).sum();
        (self.always + resources + bytes, addresses.len())
    }
}

/// How much an entry takes in the message, with what separates it from the next one.
pub fn of_entry(draft: &Draft) -> usize {
    draft.entry().map_or(0, |entry| encoded(&entry) + 1)
}

fn encoded(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX / 4, |bytes| bytes.len())
}
