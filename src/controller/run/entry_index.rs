//! Finds the entries of slaves by name. Slaves report thousands of runs, and each report names an entry.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::testfile::Test;
use crate::wire::Entry;

/// For each slave, the places of its entries in the order of their names. Slaves with the same entries share them.
pub struct EntryIndex {
    test: Rc<Test>,
    by_name: Vec<Rc<[usize]>>,
}

impl EntryIndex {
    /// Sorts the entries of a test.
    pub fn new(test: &Rc<Test>) -> EntryIndex {
        let mut known: BTreeMap<*const Entry, Rc<[usize]>> = BTreeMap::new();
        let mut sorted = |entries: &Rc<[Entry]>| {
            let sort = || {
                let mut places: Vec<usize> = (0..entries.len()).collect();
                places.sort_by(|a, b| entries[*a].name.cmp(&entries[*b].name));
                places.into()
            };
            known.entry(entries.as_ptr()).or_insert_with(sort).clone()
        };
        EntryIndex { by_name: test.slaves.iter().map(|slave| sorted(&slave.entries)).collect(), test: test.clone() }
    }

    /// Returns the entry of a slave with this name, if it has one.
    pub fn find(&self, slave: usize, name: &str) -> Option<&Entry> {
        let (entries, places) = (&self.test.slaves[slave].entries, &self.by_name[slave]);
        let found = places.binary_search_by(|place| entries[*place].name.as_str().cmp(name)).ok()?;
        Some(&entries[places[found]])
    }
}
