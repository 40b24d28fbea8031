//! The places of a test that select machines by labels. Each machine gets a place at its hello, and keeps it.
//!
//! Machines are served in the order of their hellos, so a machine may get a place that a later one needs. A permanent
//! controller, which knows all machines before the run, [chooses](crate::controller::host::matching) better.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::controller::host::matching::fits;
use crate::testfile::Test;

type Labels = BTreeMap<String, String>;

/// How many requested label sets a message shows.
const ASKED_SHOWN: usize = 4;

/// Places with equal labels, by their numbers in the test.
#[derive(Debug)]
struct SlotGroup {
    with: Rc<Labels>,
    free: BTreeSet<usize>,
}

/// The places of a test that select by labels, and the machines that serve there.
#[derive(Debug, Default)]
pub struct Slots {
    asked: Vec<SlotGroup>,
    /// The label set of each such place.
    wish_of: BTreeMap<usize, usize>,
    /// The place of each machine, by its name.
    given: BTreeMap<String, usize>,
}

impl Slots {
    pub fn new(test: &Test) -> Slots {
        let mut slots = Slots::default();
        let mut known: BTreeMap<&Labels, usize> = BTreeMap::new();
        for (ix, with) in test.slaves.iter().enumerate().filter_map(|(ix, slave)| Some((ix, slave.with.as_ref()?))) {
            let wish = *known.entry(with).or_insert_with(|| {
                slots.asked.push(SlotGroup { with: with.clone(), free: BTreeSet::new() });
                slots.asked.len() - 1
            });
            slots.asked[wish].free.insert(ix);
            slots.wish_of.insert(ix, wish);
        }
        slots
    }

    /// Returns whether the test selects any slave by labels.
    pub fn any(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Returns whether this place selects by labels.
    pub fn asks(&self, place: usize) -> bool {
        self.wish_of.contains_key(&place)
    }

    /// Returns the place of this machine.
    pub fn of(&self, machine: &str) -> Option<usize> {
        self.given.get(machine).copied()
    }

    /// Returns a place for a machine with these labels: the place with its own name if that is free and its labels
    /// match, otherwise the first free place of the test.
    pub fn free(&self, own: Option<usize>, labels: &Labels) -> Option<usize> {
        let fitting = || self.asked.iter().filter(|asked| fits(&asked.with, labels));
        let own = own.filter(|own| fitting().any(|asked| asked.free.contains(own)));
        own.or_else(|| fitting().filter_map(|asked| asked.free.first()).min().copied())
    }

    /// Assigns a place to a machine.
    pub fn give(&mut self, place: usize, machine: &str) {
        if let Some(wish) = self.wish_of.get(&place) {
            self.asked[*wish].free.remove(&place);
            self.given.insert(machine.to_owned(), place);
        }
    }

    /// Returns why a machine that the test does not name gets no place. `named` lists the slaves that the test names.
    pub fn refusal(&self, test: &str, machine: &str, labels: &Labels, named: &str) -> String {
        if self.asked.iter().any(|asked| fits(&asked.with, labels)) {
            return format!(
                "the test {test:?} has no place left for slave {machine:?}: other machines serve all that ask for its labels"
            );
        }
        let mut asked: Vec<String> = self.asked.iter().map(|asked| in_words(&asked.with)).collect();
        if asked.len() > ASKED_SHOWN {
            let more = format!("{} more", asked.len() - ASKED_SHOWN);
            asked.truncate(ASKED_SHOWN);
            asked.push(more);
        }
        let named = if named.is_empty() { String::new() } else { format!("; by name for {named}") };
        format!(
            "the test {test:?} has no place for slave {machine:?}, which has {}: it asks for {}{named}",
            in_words(labels),
            asked.join(" or for ")
        )
    }
}

/// `arch=x86_64, role=client`.
fn in_words(labels: &Labels) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if labels.is_empty() { "no labels".to_owned() } else { labels.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testfile::{self, Shipped};

    fn test(slaves: &str) -> Test {
        let text =
            format!(r#"{{"name": "t", "end": {{"duration": 1}}, "schedules": {{"s": []}}, "slaves": {{{slaves}}}}}"#);
        let no_files = &mut |_: &str| -> Result<Shipped, String> { Err("no such file".to_owned()) };
        testfile::parse("t.json", &text, no_files).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    const CLIENTS: &str = r#""server": ["s"], "c[1-2]": {"schedules": ["s"], "with": {"role": "client"}},
        "arm": {"schedules": ["s"], "with": {"arch": "arm"}}"#;

    #[test]
    fn a_machine_gets_the_place_with_its_name_or_the_first_matching_one() {
        let mut slots = Slots::new(&test(CLIENTS));
        assert_eq!([0, 1, 2, 3].map(|place| slots.asks(place)), [false, true, true, true]);
        let client = labels(&[("os", "linux"), ("role", "client")]);
        assert_eq!(slots.free(Some(2), &client), Some(2));
        assert_eq!(slots.free(Some(0), &client), Some(1), "a place without labels is not given by them");
        assert_eq!(slots.free(Some(3), &client), Some(1), "its own name, but not what is asked for");
        assert_eq!(slots.free(None, &labels(&[("arch", "arm"), ("role", "client")])), Some(1));
        assert_eq!(slots.free(None, &labels(&[("arch", "arm")])), Some(3));
        slots.give(1, "m1");
        assert_eq!((slots.of("m1"), slots.of("c1")), (Some(1), None));
        assert_eq!(slots.free(Some(1), &client), Some(2), "it is given");
        slots.give(2, "m2");
        assert_eq!(slots.free(None, &client), None);
    }

    #[test]
    fn a_refused_machine_gets_the_labels_that_the_test_selects() {
        let mut slots = Slots::new(&test(CLIENTS));
        let server = labels(&[("os", "linux"), ("role", "server")]);
        let expected = "the test \"t\" has no place for slave \"m\", which has os=linux, role=server: it asks for \
                        role=client or for arch=arm; by name for server";
        assert_eq!(slots.refusal("t", "m", &server, "server"), expected);
        slots.give(3, "n");
        let expected =
            "the test \"t\" has no place left for slave \"m\": other machines serve all that ask for its labels";
        assert_eq!(slots.refusal("t", "m", &labels(&[("arch", "arm")]), "server"), expected);
        let any = Slots::new(&test(r#""x": {"schedules": ["s"], "with": {}}"#));
        assert_eq!(any.free(None, &labels(&[])), Some(0));
        assert!(any.any() && !Slots::default().any());
    }
}
