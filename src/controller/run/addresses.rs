//! Which slaves' addresses the commands of a run use.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::testfile::{Test, addresses_of};
use crate::wire::Entry;

/// It is computed once, because each hello needs it in both directions.
#[derive(Debug)]
pub struct Addresses {
    /// By slave, in the order of the test; slaves with the same entries share a set.
    named_by: Vec<Rc<BTreeSet<String>>>,
    /// By the name of a slave.
    users: BTreeMap<String, Vec<usize>>,
}

impl Addresses {
    pub fn new(test: &Test) -> Addresses {
        let mut read: BTreeMap<*const Entry, Rc<BTreeSet<String>>> = BTreeMap::new();
        let mut of = |entries: &Rc<[Entry]>| {
            let names = || Rc::new(entries.iter().flat_map(addresses_of).collect());
            read.entry(entries.as_ptr()).or_insert_with(names).clone()
        };
        let named_by: Vec<_> = test.slaves.iter().map(|slave| of(&slave.entries)).collect();
        let mut users: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (ix, names) in named_by.iter().enumerate() {
            for name in names.iter() {
                users.entry(name.clone()).or_default().push(ix);
            }
        }
        Addresses { named_by, users }
    }

    /// Returns the slaves with addresses that the commands of this slave use, in the order of their names.
    pub fn named_by(&self, slave: usize) -> &BTreeSet<String> {
        &self.named_by[slave]
    }

    /// Returns the slaves with commands that use the address of this slave.
    pub fn users_of(&self, name: &str) -> &[usize] {
        self.users.get(name).map_or(&[], Vec::as_slice)
    }
}
