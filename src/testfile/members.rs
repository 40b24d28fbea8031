//! The members of barriers, syncs and groups: lists with ranges and groups.
//!
//! This file owns the limit on the members of all lists together. A cycle of groups must not lead to endless work.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::bounds::{GROUPS_MAX, LISTED_MEMBERS_MAX, MEMBERS_MAX};
use super::fields::{self, Object};
use super::json::{KeyValue, Value, ValueKind};
use super::problem::Problems;
use super::range::Pattern;
use super::suggest;
use crate::session;
use crate::wire::rendezvous::Party;

/// The members that must arrive at a meeting. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Attendees {
    /// These members.
    Members(Rc<Members>),
    /// Any members, this many.
    Count(u32),
}

/// A list of members.
#[derive(Debug)]
pub struct Members {
    /// In the order of the file.
    pub listed: Vec<String>,
    /// The same members, to look them up.
    pub set: BTreeSet<String>,
}

impl Attendees {
    /// Returns the members as a message has them.
    pub fn party(&self) -> Party {
        match self {
            Attendees::Members(members) => Party::Members(members.listed.clone()),
            Attendees::Count(count) => Party::Count(*count),
        }
    }

    /// Returns whether both are the same members, in any order.
    pub fn agrees(&self, other: &Attendees) -> bool {
        match (self, other) {
            (Attendees::Members(ours), Attendees::Members(theirs)) => ours.set == theirs.set,
            (Attendees::Count(ours), Attendees::Count(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

/// The groups of a test.
pub struct Groups {
    /// The names of all groups.
    names: Vec<String>,
    /// The members of each group; `None`: its list has a problem.
    resolved: BTreeMap<String, Option<Vec<String>>>,
    /// The members that all lists of the test may still have together.
    left: Cell<usize>,
}

/// The state while the groups are resolved.
struct Reading<'a> {
    declared: BTreeMap<&'a str, &'a KeyValue>,
    groups: Groups,
    /// The groups that are being resolved, from the outermost to the innermost.
    path: Vec<&'a str>,
    /// The same groups, to look them up.
    outer: BTreeSet<&'a str>,
}

/// Reads the object `"groups"`.
pub fn groups(members: &[KeyValue], problems: &mut Problems<'_>) -> Groups {
    if let Some(first) = members.get(GROUPS_MAX) {
        problems.add(first.at, format!("a test has at most {GROUPS_MAX} groups"));
    }
    let members = &members[..members.len().min(GROUPS_MAX)];
    let declared = members.iter().map(|member| (member.key.as_str(), member)).collect();
    let names = members.iter().map(|member| member.key.clone()).collect();
    let groups = Groups { names, resolved: BTreeMap::new(), left: Cell::new(LISTED_MEMBERS_MAX) };
    let mut reading = Reading { declared, groups, path: Vec::new(), outer: BTreeSet::new() };
    for member in members {
        fields::check_name(&member.key, member.at, "a group", problems);
        reading.resolve(&member.key, problems);
    }
    reading.groups
}

impl<'a> Reading<'a> {
    fn resolve(&mut self, name: &'a str, problems: &mut Problems<'_>) {
        let Some(&member) = self.declared.get(name).filter(|_| !self.groups.resolved.contains_key(name)) else {
            return;
        };
        self.path.push(name);
        self.outer.insert(name);
        let mut acyclic = true;
        for (at, inner) in named_groups(&member.value) {
            if self.outer.contains(inner) {
                // A group may name groups of the cycle many times. One problem is enough.
                if acyclic {
                    problems.add(at, format!("these groups contain each other: {}", self.cycle(inner)));
                }
                acyclic = false;
            } else {
                self.resolve(inner, problems);
            }
        }
        self.path.pop();
        self.outer.remove(name);
        let noun = format!("the group {name:?}");
        let members = if acyclic { self.groups.members(&member.value, &noun, problems) } else { None };
        self.groups.resolved.insert(name.to_owned(), members);
    }

    /// Returns the cycle of groups that begins and ends with `inner`.
    fn cycle(&self, inner: &str) -> String {
        let from = self.path.iter().position(|outer| *outer == inner).unwrap_or(0);
        let cycle = self.path[from..].iter().copied().chain([inner]).map(|name| format!("{:?}", suggest::shown(name)));
        cycle.collect::<Vec<_>>().join(" contains ")
    }
}

/// Returns the groups that a list names, with their places.
fn named_groups(value: &Value) -> impl Iterator<Item = (usize, &str)> {
    let items = if let ValueKind::List(items) = &value.kind { items.as_slice() } else { &[] };
    items.iter().filter_map(|item| match &item.kind {
        ValueKind::String(text) => Some((item.span.start, text.strip_prefix('@')?)),
        _ => None,
    })
}

impl Groups {
    /// Returns the members of a group; `None` if there is none of this name, or its list has a problem.
    pub fn members_of(&self, group: &str) -> Option<&[String]> {
        self.resolved.get(group)?.as_deref()
    }

    /// Returns the message about an unknown group.
    pub fn unknown(&self, group: &str, problems: &mut Problems<'_>) -> String {
        format!("unknown group {group:?}{}", problems.hint(group, self.names.iter().map(String::as_str)))
    }

    /// Returns the members of all groups without problems.
    pub fn into_resolved(self) -> BTreeMap<String, Vec<String>> {
        self.resolved.into_iter().filter_map(|(name, members)| Some((name, members?))).collect()
    }

    /// Reads `"members"` or `"count"` of an object. Returns `None` if there is a problem, and `Some(None)` if both are
    /// absent.
    pub fn attendees(&self, object: &Object<'_>, problems: &mut Problems<'_>) -> Option<Option<Attendees>> {
        match (object.member("members"), object.member("count")) {
            (None, None) => Some(None),
            (Some(_), Some(count)) => {
                problems.add(count.at, "\"count\" does not go with \"members\": remove one of them");
                None
            }
            (Some(members), None) => {
                let listed = self.members(&members.value, "\"members\"", problems)?;
                let set = listed.iter().cloned().collect();
                Some(Some(Attendees::Members(Rc::new(Members { listed, set }))))
            }
            (None, Some(count)) => {
                let count = fields::integer(&count.value, "\"count\"", 1..=MEMBERS_MAX as u64, problems)?;
                Some(Some(Attendees::Count(count as u32)))
            }
        }
    }

    /// Reads one item or a list of items, as those of a list of members. Returns each name once, in the order of the list;
    /// `None` if there is a problem.
    pub fn some(&self, value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<Vec<String>> {
        match &value.kind {
            ValueKind::String(text) => self.expand(text, value.span.start, value.span.start, problems),
            ValueKind::List(_) => self.members(value, noun, problems),
            _ => fields::mismatch(value, &format!("{noun} is a name, a group such as \"@all\", or a list"), problems),
        }
    }

    /// Reads `"guests"`. The list may be empty.
    pub fn guests(&self, value: &Value, problems: &mut Problems<'_>) -> Option<BTreeSet<String>> {
        if matches!(&value.kind, ValueKind::List(items) if items.is_empty()) {
            return Some(BTreeSet::new());
        }
        self.members(value, "\"guests\"", problems).map(|members| members.into_iter().collect())
    }

    /// Reads a list of members. Returns each member once, in the order of the list; `None` if there is a problem.
    fn members(&self, value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<Vec<String>> {
        let items = fields::list(value, noun, problems)?;
        if items.is_empty() {
            problems.add(value.span.start, format!("{noun} is an empty list: name at least one member"));
            return None;
        }
        let (mut members, mut good) = (Vec::new(), true);
        let (mut seen, mut named) = (BTreeSet::new(), BTreeSet::new());
        for item in items {
            let Some(text) = fields::string(item, "a member", problems) else {
                good = false;
                continue;
            };
            // A repeated group adds no members, and expanding a long one again would take time.
            if !named.insert(text) {
                continue;
            }
            match self.expand(text, item.span.start, value.span.start, problems) {
                Some(names) => members.extend(names.into_iter().filter(|name| seen.insert(name.clone()))),
                None => good = false,
            }
            if members.len() > MEMBERS_MAX {
                problems.add(item.span.start, format!("{noun} has more than {MEMBERS_MAX} members"));
                return None;
            }
        }
        good.then_some(members)
    }

    /// Counts members before their names are made, because making them takes time. Members that are in the list already
    /// count as well. Returns `None` if there are too many.
    pub fn count(&self, members: usize, at: usize, problems: &mut Problems<'_>) -> Option<()> {
        let left = self.left.get().checked_sub(members);
        match left {
            Some(left) => self.left.set(left),
            None => problems.add_once(at, || {
                format!(
                    "all lists of members of a test have at most {LISTED_MEMBERS_MAX} members together: declare a barrier \
                     or a sync once instead of listing its members at each entry"
                )
            }),
        }
        left.map(|_| ())
    }

    /// Returns the members of one item, which is at the byte `at`, of the list at the byte `list`.
    pub fn expand(&self, text: &str, at: usize, list: usize, problems: &mut Problems<'_>) -> Option<Vec<String>> {
        if let Some(group) = text.strip_prefix('@') {
            let Some(members) = self.resolved.get(group) else {
                let hint = problems.hint(group, self.names.iter().map(String::as_str));
                problems.add(at, format!("unknown group {group:?}{hint}"));
                return None;
            };
            let members = members.as_ref()?;
            self.count(members.len(), list, problems)?;
            return Some(members.clone());
        }
        let pattern = Pattern::read(text, MEMBERS_MAX).map_err(|error| problems.add(at, error.to_string())).ok()?;
        self.count(pattern.count, list, problems)?;
        let names = pattern.names();
        names.iter().all(|name| check_member(name, at, problems)).then_some(names)
    }
}

/// Checks the name of a member at the byte `at`.
fn check_member(name: &str, at: usize, problems: &mut Problems<'_>) -> bool {
    let good = session::is_member(name);
    if !good {
        let message = format!(
            "{:?} cannot name a member: write HOST or HOST#TAG, each of at most {} bytes without control characters",
            suggest::shown(name),
            session::WORDS_MAX
        );
        problems.add(at, message);
    }
    good
}
