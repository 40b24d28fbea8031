//! The size of the message that gives a slave its part of a run, in bytes.
//!
//! The size of each item is computed once, before the slaves are known, because many slaves may share a schedule and
//! combine it with others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::draft::{Draft, Role};
use super::params::Params;
use crate::wire::Resource;

/// The longest address as a value of `@{NAME.address}`, in bytes.
const ADDRESS_MAX: usize = 64;

/// Quotes, a colon and a comma around two names.
const AROUND: usize = 6;

/// The sizes of everything that a slave gets in addition to its entries.
pub struct Sizes<'a> {
    /// The name of the test, all triggers, the timeouts and the params, which every slave gets.
    always: usize,
    /// The size of each resource's description.
    resources: BTreeMap<&'a str, usize>,
}

impl<'a> Sizes<'a> {
    /// Computes the sizes. `name` is the name of the test, `timeouts` the size of the declared timeouts, and
    /// `params` are the values that all commands get.
    pub fn new(
        name: &str,
        (timeouts, params): (usize, &Params),
        triggers: &BTreeMap<String, u64>,
        resources: &'a BTreeMap<String, (PathBuf, Resource)>,
    ) -> Sizes<'a> {
        let triggers: usize = triggers.keys().map(|trigger| trigger.len() + AROUND).sum();
        let size = |resource| encoded(resource) + 1;
        let resources = resources.iter().map(|(name, (_, resource))| (name.as_str(), size(resource))).collect();
        let params: usize = params.iter().map(|(name, value)| name.len() + encoded(value) + AROUND).sum();
        Sizes { always: name.len() + timeouts + params + triggers, resources }
    }

    /// Returns the bytes that a slave with these entries gets in addition to them, and the number of addresses in that.
    pub fn without_entries(&self, drafts: &[&Draft]) -> (usize, usize) {
        let used = drafts.iter().flat_map(|draft| draft.resources()).map(String::as_str);
        let used: BTreeSet<&str> = used.collect();
        let resources: usize = used.iter().filter_map(|name| self.resources.get(name)).sum();
        let mentions = drafts.iter().flat_map(|draft| &draft.mentions);
        let needs_address = |role: Role| matches!(role, Role::Address | Role::Peer);
        let addresses = mentions.filter(|mention| needs_address(mention.role)).map(|mention| mention.name.as_str());
        let addresses: BTreeSet<&str> = addresses.collect();
        let bytes: usize = addresses.iter().map(|slave| slave.len() + ADDRESS_MAX + AROUND).sum();
        (self.always + resources + bytes, addresses.len())
    }
}

/// Returns the bytes of an entry in the message, with the comma after it.
pub fn of_entry(draft: &Draft) -> usize {
    draft.entry().map_or(0, |entry| encoded(&entry) + 1)
}

fn encoded(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX / 4, |bytes| bytes.len())
}
