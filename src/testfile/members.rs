//! Who shall meet: lists of members with ranges and groups, and the groups themselves.

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

/// How much of a wrong name a message repeats, in characters.
const SHOWN_MAX: usize = 128;

/// Who shall meet. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Whom {
    Members(Rc<Members>),
    Count(u32),
}

/// Some members: in the order of the file, and for looking up.
#[derive(Debug)]
pub struct Members {
    pub listed: Vec<String>,
    pub set: BTreeSet<String>,
}

impl Whom {
    pub fn party(&self) -> Party {
        match self {
            Whom::Members(members) => Party::Members(members.listed.clone()),
            Whom::Count(count) => Party::Count(*count),
        }
    }

    /// Whether both mean the same members, in whatever order.
    pub fn agrees(&self, other: &Whom) -> bool {
        match (self, other) {
            (Whom::Members(ours), Whom::Members(theirs)) => ours.set == theirs.set,
            (Whom::Count(ours), Whom::Count(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

/// The groups of a test.
pub struct Groups {
    /// All that are declared.
    names: Vec<String>,
    /// `None`: what the group holds is wrong, and has been said.
    resolved: BTreeMap<String, Option<Vec<String>>>,
    /// How many members all lists of the test may still hold together.
    left: Cell<usize>,
}

/// The groups as the file has them, while they are resolved.
struct Reading<'a> {
    declared: BTreeMap<&'a str, &'a KeyValue>,
    groups: Groups,
    /// The groups that are being resolved, from the outermost.
    path: Vec<&'a str>,
    /// The same, for looking up.
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
                // Of a group that others of the circle name many times, once is enough.
                if acyclic {
                    problems.add(at, format!("these groups hold each other: {}", self.circle(inner)));
                }
                acyclic = false;
            } else {
                self.resolve(inner, problems);
            }
        }
        self.path.pop();
        self.outer.remove(name);
        let what = format!("the group {name:?}");
        let members = if acyclic { self.groups.members(&member.value, &what, problems) } else { None };
        self.groups.resolved.insert(name.to_owned(), members);
    }

    /// The groups from `inner` on, of which the last one holds it.
    fn circle(&self, inner: &str) -> String {
        let from = self.path.iter().position(|outer| *outer == inner).unwrap_or(0);
        let circle = self.path[from..].iter().copied().chain([inner]).map(|name| format!("{:?}", suggest::shown(name)));
        circle.collect::<Vec<_>>().join(" holds ")
    }
}

/// The groups that a list names, and where.
fn named_groups(value: &Value) -> impl Iterator<Item = (usize, &str)> {
    let items = if let ValueKind::List(items) = &value.kind { items.as_slice() } else { &[] };
    items.iter().filter_map(|item| match &item.kind {
        ValueKind::String(text) => Some((item.span.start, text.strip_prefix('@')?)),
        _ => None,
    })
}

impl Groups {
    /// The groups that could be read.
    pub fn into_resolved(self) -> BTreeMap<String, Vec<String>> {
        self.resolved.into_iter().filter_map(|(name, members)| Some((name, members?))).collect()
    }

    /// What `"members"` or `"count"` of an object say. `None`: something wrong, which has been said; `Some(None)`:
    /// nothing.
    pub fn whom(&self, object: &Object<'_>, problems: &mut Problems<'_>) -> Option<Option<Whom>> {
        match (object.member("members"), object.member("count")) {
            (None, None) => Some(None),
            (Some(_), Some(count)) => {
                problems.add(count.at, "\"count\" does not go with \"members\": who shall meet is counted already");
                None
            }
            (Some(members), None) => {
                let listed = self.members(&members.value, "\"members\"", problems)?;
                let set = listed.iter().cloned().collect();
                Some(Some(Whom::Members(Rc::new(Members { listed, set }))))
            }
            (None, Some(count)) => {
                let count = fields::integer(&count.value, "\"count\"", 1..=MEMBERS_MAX as u64, problems)?;
                Some(Some(Whom::Count(count as u32)))
            }
        }
    }

    /// The members that `"guests"` names. An empty list invites nobody.
    pub fn guests(&self, value: &Value, problems: &mut Problems<'_>) -> Option<BTreeSet<String>> {
        if matches!(&value.kind, ValueKind::List(items) if items.is_empty()) {
            return Some(BTreeSet::new());
        }
        self.members(value, "\"guests\"", problems).map(|members| members.into_iter().collect())
    }

    /// The members that a list stands for, each once, in the order of the list. `None`: something wrong, which has been
    /// said.
    fn members(&self, value: &Value, what: &str, problems: &mut Problems<'_>) -> Option<Vec<String>> {
        let items = fields::list(value, what, problems)?;
        if items.is_empty() {
            problems.add(value.span.start, format!("{what} is an empty list: nobody could meet"));
            return None;
        }
        let (mut members, mut good) = (Vec::new(), true);
        let (mut seen, mut named) = (BTreeSet::new(), BTreeSet::new());
        for item in items {
            let Some(text) = fields::string(item, "a member", problems) else {
                good = false;
                continue;
            };
            // A group may be long, and naming it again adds nothing.
            if !named.insert(text) {
                continue;
            }
            match self.stands_for(text, item.span.start, value.span.start, problems) {
                Some(names) => members.extend(names.into_iter().filter(|name| seen.insert(name.clone()))),
                None => good = false,
            }
            if members.len() > MEMBERS_MAX {
                problems.add(item.span.start, format!("{what} holds more than {MEMBERS_MAX} members"));
                return None;
            }
        }
        good.then_some(members)
    }

    /// Counts members before they are listed, also those that are in their list already: making them is what costs.
    /// `None`: these are too many, which has been said.
    fn count(&self, members: usize, at: usize, problems: &mut Problems<'_>) -> Option<()> {
        let left = self.left.get().checked_sub(members);
        match left {
            Some(left) => self.left.set(left),
            None => problems.add_once(at, || {
                format!(
                    "all lists of members of a test hold at most {LISTED_MEMBERS_MAX} together: declare a barrier or a \
                     sync once instead of listing its members at each entry"
                )
            }),
        }
        left.map(|_| ())
    }

    /// The members that one item, at `at`, of the list at `list` stands for.
    fn stands_for(&self, text: &str, at: usize, list: usize, problems: &mut Problems<'_>) -> Option<Vec<String>> {
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
        let pattern = Pattern::read(text, MEMBERS_MAX).map_err(|why| problems.add(at, why)).ok()?;
        self.count(pattern.count, list, problems)?;
        let names = pattern.names();
        names.iter().all(|name| check_member(name, at, problems)).then_some(names)
    }
}

/// Whether `name` can name a member.
fn check_member(name: &str, at: usize, problems: &mut Problems<'_>) -> bool {
    let good = session::is_member(name);
    if !good {
        let shown: String = name.chars().take(SHOWN_MAX).collect();
        let message = format!(
            "{shown:?} cannot name a member: write HOST or HOST#TAG, each of at most {} bytes without control characters",
            session::WORDS_MAX
        );
        problems.add(at, message);
    }
    good
}
