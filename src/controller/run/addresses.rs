//! Which slaves' addresses the commands of a run use.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::testfile::{Test, addresses_of};
use crate::wire::Entry;

/// Worked out once, because it is asked for at every hello: for a slave whom it names, and for whom names it.
#[derive(Debug)]
pub struct Addresses {
    /// By slave, in the order of the test; those with the same entries share theirs.
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

    /// The slaves whose addresses the commands of this one use, in the order of their names.
    pub fn named_by(&self, slave: usize) -> &BTreeSet<String> {
        &self.named_by[slave]
    }

    /// The slaves whose commands use the address of this one.
    pub fn users_of(&self, name: &str) -> &[usize] {
        self.users.get(name).map_or(&[], Vec::as_slice)
    }
}
