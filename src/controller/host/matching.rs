//! Which machine serves which place of a test. A place asks for the machine of its name, or for any machine with certain
//! labels.
//!
//! The functions are pure, and the caller knows which machines are free. As many places are served as possible (a maximum
//! matching by augmenting paths). Otherwise a test could wait although all of its places can be served, because a machine
//! that two places could use went to the wrong one. Machines that differ only in labels that no place asks for are one
//! class, so a lab of thousands of machines has few classes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A place of a test.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    /// The name of the slave in the test.
    pub name: &'a str,
    /// The labels that the machine must have; `None`: it must be the machine of that name.
    pub with: Option<&'a BTreeMap<String, String>>,
}

/// A machine that could serve a place.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The name under which the machine connected.
    pub name: &'a str,
    /// The labels that the machine has.
    pub labels: &'a BTreeMap<String, String>,
}

/// Returns whether a machine with these labels has all that are asked for. If none are asked for, every machine has them.
pub fn fits(with: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    with.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Returns for each place the candidate that serves it. The whole test can be served if there is no `None`. Otherwise the
/// test waits, and can reserve the candidates that are there.
///
/// A place that asks for labels gets the machine of its own name if that has them, otherwise the machine with the smallest
/// name. The order of `free` does not matter.
pub fn choose(slots: &[Slot<'_>], free: &[Candidate<'_>]) -> Vec<Option<usize>> {
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for (ix, candidate) in free.iter().enumerate() {
        by_name.entry(candidate.name).or_insert(ix);
    }
    let mut chosen = vec![None; slots.len()];
    // No other machine can serve these places, so this never leaves another place unserved.
    for (place, chosen) in slots.iter().zip(&mut chosen).filter(|(place, _)| place.with.is_none()) {
        *chosen = by_name.remove(place.name);
    }
    let mut matching = Matching::new(slots, free, &by_name);
    matching.hold_own(slots, &by_name);
    for place in 0..slots.len() {
        matching.serve(place);
    }
    matching.hand_out(slots, &by_name, &mut chosen);
    chosen
}

/// Machines that are the same for all places.
struct Class {
    machines: usize,
    /// The places that its machines serve, never more than there are machines.
    serves: Vec<usize>,
}

/// A set of classes, one bit each. A test can ask for hundreds of sets of labels in a lab of thousands of classes; with
/// lists, each comparison of two sets would take as long as the lab has classes.
#[derive(Clone)]
struct ClassSet(Vec<u64>);

/// The places that ask for labels, and the classes of machines that serve them.
struct Matching {
    classes: Vec<Class>,
    class_of: BTreeMap<usize, usize>,
    /// The sets of labels that places ask for, each once: the classes that have them.
    wishes: Vec<ClassSet>,
    /// For each place the set of labels that it asks for.
    wish_of: Vec<Option<usize>>,
    served: Vec<bool>,
    /// The classes with a machine that serves no place.
    room: ClassSet,
    /// The classes that no failed search has seen. From the others no later search gets further.
    hopeful: ClassSet,
}

impl ClassSet {
    fn none(classes: usize) -> ClassSet {
        ClassSet(vec![0; classes.div_ceil(64)])
    }

    fn all(classes: usize) -> ClassSet {
        ClassSet::of(classes, 0..classes)
    }

    fn of(classes: usize, members: impl IntoIterator<Item = usize>) -> ClassSet {
        let mut set = ClassSet::none(classes);
        members.into_iter().for_each(|class| set.0[class / 64] |= 1 << (class % 64));
        set
    }

    fn contains(&self, class: usize) -> bool {
        self.0[class / 64] & 1 << (class % 64) != 0
    }

    fn remove(&mut self, class: usize) {
        self.0[class / 64] &= !(1 << (class % 64));
    }

    fn keep(&mut self, other: &ClassSet) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    /// The classes that are in both sets, in order.
    fn both<'a>(&'a self, other: &'a ClassSet) -> impl Iterator<Item = usize> + 'a {
        let words = self.0.iter().zip(&other.0).map(|(one, other)| one & other).enumerate();
        words.flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

impl Matching {
    fn new(slots: &[Slot<'_>], free: &[Candidate<'_>], by_name: &BTreeMap<&str, usize>) -> Matching {
        let asked: BTreeSet<(&String, &String)> = slots.iter().filter_map(|place| place.with).flatten().collect();
        // By those of its labels that some place asks for.
        let mut known: BTreeMap<Vec<(&String, &String)>, usize> = BTreeMap::new();
        let mut classes: Vec<Class> = Vec::new();
        let mut class_of = BTreeMap::new();
        // For each label that some place asks for, the classes that have it.
        let mut with_label: BTreeMap<(&String, &String), Vec<usize>> = BTreeMap::new();
        for &ix in by_name.values() {
            let labels: Vec<_> = free[ix].labels.iter().filter(|label| asked.contains(label)).collect();
            let class = *known.entry(labels).or_insert_with_key(|labels| {
                classes.push(Class { machines: 0, serves: Vec::new() });
                for label in labels {
                    with_label.entry(*label).or_default().push(classes.len() - 1);
                }
                classes.len() - 1
            });
            classes[class].machines += 1;
            class_of.insert(ix, class);
        }
        let mut having = Having { classes: classes.len(), with_label, sets: BTreeMap::new() };
        let mut wishes: Vec<ClassSet> = Vec::new();
        let mut known: BTreeMap<&BTreeMap<String, String>, usize> = BTreeMap::new();
        let mut wish_of = Vec::with_capacity(slots.len());
        for place in slots {
            wish_of.push(place.with.map(|with| {
                *known.entry(with).or_insert_with(|| {
                    wishes.push(having.all(with));
                    wishes.len() - 1
                })
            }));
        }
        // No class is empty, and none serves a place yet.
        let all = ClassSet::all(classes.len());
        let served = vec![false; slots.len()];
        Matching { classes, class_of, wishes, wish_of, served, room: all.clone(), hopeful: all }
    }

    /// Gives places the machines of their own names if these fit. Any matching can be extended to a maximum one.
    fn hold_own(&mut self, slots: &[Slot<'_>], by_name: &BTreeMap<&str, usize>) {
        let mut taken = BTreeSet::new();
        for (place, slot) in slots.iter().enumerate() {
            let (Some(wish), Some(own)) = (self.wish_of[place], by_name.get(slot.name)) else { continue };
            let class = self.class_of[own];
            if self.wishes[wish].contains(class) && taken.insert(own) {
                self.take(class, place);
                self.served[place] = true;
            }
        }
    }

    /// A machine of this class serves a place.
    fn take(&mut self, class: usize, place: usize) {
        let Class { machines, serves } = &mut self.classes[class];
        serves.push(place);
        if serves.len() == *machines {
            self.room.remove(class);
        }
    }

    /// Serves one more place if that is possible. Other places may move to other machines for it.
    fn serve(&mut self, place: usize) {
        let Some(wish) = self.wish_of[place].filter(|_| !self.served[place]) else { return };
        // For each class that was reached: the class whose places could move to it.
        let mut from: BTreeMap<usize, Option<usize>> = BTreeMap::new();
        let mut unseen = self.hopeful.clone();
        // A set of labels, and the class that a place which asks for them is to leave.
        let mut wishing = VecDeque::from([(wish, None)]);
        let mut seen = BTreeSet::from([wish]);
        while let Some((wish, before)) = wishing.pop_front() {
            let room = self.wishes[wish].both(&self.room).next();
            if let Some(class) = room {
                from.insert(class, before);
                return self.augment(place, class, &from);
            }
            let reached: Vec<usize> = self.wishes[wish].both(&unseen).collect();
            for class in reached {
                unseen.remove(class);
                from.insert(class, before);
                let serves = self.classes[class].serves.iter().filter_map(|other| self.wish_of[*other]);
                wishing.extend(serves.filter(|wish| seen.insert(*wish)).map(|wish| (wish, Some(class))));
            }
        }
        self.hopeful = unseen;
    }

    /// Moves places along the path that ends in a class with room, until there is room for this one.
    fn augment(&mut self, place: usize, room: usize, from: &BTreeMap<usize, Option<usize>>) {
        let mut room = room;
        while let Some(before) = from[&room] {
            let fits = |other: &usize| self.wish_of[*other].is_some_and(|wish| self.wishes[wish].contains(room));
            let moves = self.classes[before].serves.iter().rposition(fits);
            let moves = moves.expect("the search came here by a place of the class before");
            let other = self.classes[before].serves.remove(moves);
            self.take(room, other);
            room = before;
        }
        self.take(room, place);
        self.served[place] = true;
    }

    /// Gives the places of each class its machines: their own names first, then by name.
    fn hand_out(self, slots: &[Slot<'_>], by_name: &BTreeMap<&str, usize>, chosen: &mut [Option<usize>]) {
        let mut of_place = vec![None; slots.len()];
        for (ix, class) in self.classes.iter().enumerate() {
            class.serves.iter().for_each(|place| of_place[*place] = Some(ix));
        }
        let mut taken = BTreeSet::new();
        for (place, class) in of_place.iter().enumerate() {
            let own =
                by_name.get(slots[place].name).filter(|own| class.is_some_and(|class| self.class_of[own] == class));
            if let Some(&own) = own.filter(|own| taken.insert(**own)) {
                chosen[place] = Some(own);
            }
        }
        let mut left: Vec<VecDeque<usize>> = vec![VecDeque::new(); self.classes.len()];
        for ix in by_name.values().filter(|ix| !taken.contains(ix)) {
            left[self.class_of[ix]].push_back(*ix);
        }
        for (chosen, class) in chosen.iter_mut().zip(of_place).filter(|(chosen, _)| chosen.is_none()) {
            *chosen = class.and_then(|class| left[class].pop_front());
        }
    }
}

/// Finds the classes that have certain labels.
struct Having<'a> {
    classes: usize,
    /// For each label the classes that have it.
    with_label: BTreeMap<(&'a String, &'a String), Vec<usize>>,
    /// The same as sets, for the labels with so many classes that a set is shorter.
    sets: BTreeMap<(&'a String, &'a String), ClassSet>,
}

impl<'a> Having<'a> {
    /// Returns the classes that have all of these labels.
    fn all(&mut self, with: &'a BTreeMap<String, String>) -> ClassSet {
        let mut found = ClassSet::all(self.classes);
        for label in with {
            let Some(having) = self.with_label.get(&label) else { return ClassSet::none(self.classes) };
            if having.len() * 64 < self.classes {
                found.keep(&ClassSet::of(self.classes, having.iter().copied()));
            } else {
                let set = || ClassSet::of(self.classes, having.iter().copied());
                found.keep(self.sets.entry(label).or_insert_with(set));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Labels = BTreeMap<String, String>;

    fn labels(text: &str) -> Labels {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// A place or a machine in one word: `NAME`, or `NAME:KEY=VALUE,...`.
    fn parts(text: &str) -> (String, Option<Labels>) {
        match text.split_once(':') {
            Some((name, with)) => (name.to_owned(), Some(labels(with))),
            None => (text.to_owned(), None),
        }
    }

    /// Which machine serves each place, `-` for none.
    fn chosen(slots: &str, free: &str) -> String {
        let slots: Vec<_> = slots.split_whitespace().map(parts).collect();
        let free: Vec<_> = free.split_whitespace().map(parts).collect();
        let none = Labels::new();
        let slots: Vec<_> = slots.iter().map(|(name, with)| Slot { name, with: with.as_ref() }).collect();
        let candidate =
            |(name, labels): &'_ (String, Option<Labels>)| (name.clone(), labels.clone().unwrap_or_default());
        let free: Vec<_> = free.iter().map(candidate).collect();
        let free: Vec<_> = free.iter().map(|(name, labels)| Candidate { name, labels }).collect();
        assert!(fits(&none, &none));
        let names = choose(&slots, &free).into_iter().map(|chosen| chosen.map_or("-", |ix| free[ix].name));
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_name_is_that_machine_and_labels_are_any_that_has_them() {
        assert_eq!(chosen("b a", "a b c"), "b a");
        assert_eq!(chosen("d a", "a b c"), "- a");
        assert_eq!(chosen("x:role=client", "a b:role=server c:arch=arm,role=client"), "c");
        assert_eq!(chosen("x:role=client,arch=arm", "a:role=client b:arch=arm"), "-");
        assert_eq!(chosen("x: y:", "b a"), "a b");
    }

    #[test]
    fn a_machine_that_is_named_is_left_to_its_name() {
        assert_eq!(chosen("x:role=client a", "a:role=client b:role=client"), "b a");
        assert_eq!(chosen("x:role=client a", "a:role=client"), "- a");
    }

    #[test]
    fn a_machine_serves_under_its_own_name_where_it_fits() {
        assert_eq!(chosen("c: b: x:", "a b c"), "c b a");
        assert_eq!(chosen("a:role=client b:", "a c:role=client"), "c a");
        assert_eq!(chosen("b: x:role=client", "a:role=client b c:role=client"), "b a");
    }

    #[test]
    fn a_place_gives_way_to_one_that_can_have_no_other_machine() {
        assert_eq!(chosen("x: y:role=client", "a:role=client b"), "b a");
        // It is served under its own name, until the other comes.
        assert_eq!(chosen("a: y:role=client", "a:role=client b"), "b a");
        // Of two places, the one moves that can.
        assert_eq!(chosen("x:l=1 y:k=1 z:k=1", "a:k=1,l=1 b:k=1,l=1 c:l=1"), "c a b");
        // Over three classes.
        assert_eq!(chosen("x:k=1 y:l=1 z:m=1", "a:k=1,l=1 b:l=1,m=1 c:m=1"), "a b c");
        assert_eq!(chosen("x:l=1 y:m=1 z:k=1", "a:k=1,l=1 b:l=1,m=1 c:m=1"), "b c a");
    }

    #[test]
    fn a_crowd_is_served_in_no_time() {
        // Each machine has a label of its own, and half the places ask for what few have.
        let free: Vec<(String, Labels)> = (0..10_000)
            .map(|ix| (format!("m{ix:05}"), labels(&format!("serial={ix},rack={},role={}", ix / 16, ix % 7))))
            .collect();
        let wanted: Vec<(String, Labels)> = (0..1_000)
            .map(|ix| match ix % 2 {
                0 => (format!("any{ix}"), labels(&format!("role={}", ix % 7))),
                _ => (format!("any{ix}"), labels(&format!("rack={}", ix % 100))),
            })
            .collect();
        let slots: Vec<_> = wanted.iter().map(|(name, with)| Slot { name, with: Some(with) }).collect();
        let free: Vec<_> = free.iter().map(|(name, labels)| Candidate { name, labels }).collect();
        let chosen = choose(&slots, &free);
        check(&slots, &free, &chosen);
        assert!(chosen.iter().all(Option::is_some));
    }

    /// Every choice fits, and no machine serves twice.
    fn check(slots: &[Slot<'_>], free: &[Candidate<'_>], chosen: &[Option<usize>]) {
        assert_eq!(slots.len(), chosen.len());
        let mut taken = BTreeSet::new();
        for (place, ix) in slots.iter().zip(chosen).filter_map(|(place, ix)| Some((place, (*ix)?))) {
            assert!(serves(place, &free[ix]), "{place:?} {:?}", free[ix]);
            assert!(taken.insert(ix), "{:?} serves twice", free[ix]);
        }
    }

    fn serves(place: &Slot<'_>, machine: &Candidate<'_>) -> bool {
        place.with.map_or(place.name == machine.name, |with| fits(with, machine.labels))
    }

    /// Returns how many places can be served at most, by trying all ways.
    fn most(slots: &[Slot<'_>], free: &[Candidate<'_>], taken: u32) -> usize {
        let Some((place, others)) = slots.split_first() else { return 0 };
        let ways = (0..free.len()).filter(|ix| taken & (1 << ix) == 0 && serves(place, &free[*ix]));
        let with = ways.map(|ix| 1 + most(others, free, taken | 1 << ix)).max();
        with.unwrap_or(0).max(most(others, free, taken))
    }

    /// Labels of three keys with two values each.
    fn some_labels() -> impl Strategy<Value = Labels> {
        proptest::collection::btree_map("[jkl]", "[01]", 0..=3)
    }

    proptest! {
        #[test]
        fn no_other_choice_serves_more(
            slots in proptest::collection::vec(("[a-h]", proptest::option::weighted(0.8, some_labels())), 0..=6),
            free in proptest::collection::btree_map("[a-h]", some_labels(), 0..=7),
        ) {
            let slots: Vec<_> = slots.iter().map(|(name, with)| Slot { name, with: with.as_ref() }).collect();
            let mut free: Vec<_> = free.iter().map(|(name, labels)| Candidate { name, labels }).collect();
            let chosen = choose(&slots, &free);
            check(&slots, &free, &chosen);
            prop_assert_eq!(chosen.iter().flatten().count(), most(&slots, &free, 0));
            let names = |free: &[Candidate<'_>], chosen: &[Option<usize>]| -> Vec<Option<String>> {
                chosen.iter().map(|ix| ix.map(|ix| free[ix].name.to_owned())).collect()
            };
            let before = names(&free, &chosen);
            free.reverse();
            prop_assert_eq!(before, names(&free, &choose(&slots, &free)));
        }
    }
}
