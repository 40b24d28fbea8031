//! How much the slaves of a run have shipped, and its limit.

use std::collections::BTreeMap;

use crate::controller::room::sync::OUTPUT_MAX;
use crate::controller::run::entry_index::EntryIndex;
use crate::controller::run::results;
use crate::controller::run::roster::Roster;
use crate::machine::faults::{Fault, injected};

/// What the slaves have shipped, in bytes.
pub struct Shipped {
    bytes: u64,
    max: u64,
    /// The files of each slave in the results directory after a restart, which may have more than the ledger.
    found: Vec<BTreeMap<String, u64>>,
}

impl Default for Shipped {
    fn default() -> Shipped {
        Shipped { bytes: 0, max: OUTPUT_MAX, found: Vec::new() }
    }
}

impl Shipped {
    pub fn limit(&mut self, max: u64) {
        self.max = max;
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how much more may be shipped.
    pub fn room(&self) -> u64 {
        self.max.saturating_sub(self.bytes)
    }

    pub fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Takes the files in the results directory after a restart, until the roster is restored.
    pub fn find(&mut self, files: &[(String, u64)], roster: &Roster) {
        self.found = vec![BTreeMap::new(); roster.len()];
        for (path, length) in files {
            if let Some((ix, file)) = path.split_once('/').and_then(|(slave, file)| Some((roster.find(slave)?, file))) {
                self.found[ix].insert(file.to_owned(), *length);
            }
        }
    }

    /// Gives the slaves their files that were found.
    pub fn adopt_found(&mut self, entries: &EntryIndex, roster: &mut Roster) {
        let found = std::mem::take(&mut self.found);
        for (ix, files) in found.into_iter().enumerate().filter(|_| !injected(Fault::OutputsForgotten)) {
            let entry = |name: &str| entries.find(ix, name);
            let member = roster.get_mut(ix);
            member.files = files.into_iter().filter(|(file, _)| results::is_results_file(file, entry)).collect();
            member.directories = results::directories_of(&member.files);
            self.bytes += member.files.values().sum::<u64>();
        }
    }
}
