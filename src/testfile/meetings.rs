//! The barriers and syncs that a test declares, with their members.
//!
//! This file owns the declarations. `meet.rs` reads the entries that use them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::bounds::MEETINGS_MAX;
use super::fields::{self, Object};
use super::json::{KeyValue, Value, ValueKind};
use super::members::{Attendees, Groups, Members};
use super::problem::Problems;
use super::suggest;
use super::test::Declared;

/// The keys of a declared barrier or sync.
pub const MEETING_KEYS: [&str; 3] = ["members", "count", "timeout"];

/// The declaration of one barrier or sync.
#[derive(Debug, Default)]
struct Meeting {
    /// The members, if they are declared; `None`: they have a problem.
    attendees: Option<Option<Attendees>>,
    timeout: Option<Duration>,
}

/// All barriers, or all syncs.
pub struct Meetings {
    /// `barrier` or `sync`.
    noun: &'static str,
    declared: BTreeMap<String, Meeting>,
}

/// The groups, barriers and syncs that entries can name.
pub struct Meet {
    /// The groups.
    pub groups: Groups,
    /// The declared barriers.
    pub barriers: Meetings,
    /// The declared syncs.
    pub syncs: Meetings,
}

/// The rule that the slave of an entry must be one of these members.
pub struct Membership {
    at: usize,
    /// The kind and the name of the meeting: `barrier "server-up"`.
    meeting: String,
    tag: Option<String>,
    members: Rc<Members>,
}

impl Membership {
    /// Returns the membership. `at` is the byte at which the entry names the meeting, `meeting` its kind and name.
    pub fn new(at: usize, meeting: String, tag: Option<String>, members: Rc<Members>) -> Membership {
        Membership { at, meeting, tag, members }
    }

    /// Returns a key that is equal for memberships that the same slaves satisfy.
    pub fn same(&self) -> (*const Members, Option<&str>) {
        (Rc::as_ptr(&self.members), self.tag.as_deref())
    }

    /// Returns whether the slave is one of the members.
    pub fn holds(&self, slave: &str) -> bool {
        self.members.set.contains(self.member(slave).as_ref())
    }

    fn member<'s>(&self, slave: &'s str) -> Cow<'s, str> {
        match &self.tag {
            None => Cow::Borrowed(slave),
            Some(tag) => Cow::Owned(format!("{slave}#{tag}")),
        }
    }

    /// Notes the problem that the slave is not one of the members.
    pub fn lacks(&self, slave: &str, problems: &mut Problems<'_>) {
        problems.add_once(self.at, || {
            let listed: Vec<&str> = self.members.listed.iter().map(String::as_str).collect();
            let (meeting, listed) = (&self.meeting, suggest::list(&listed, "and"));
            let slave = match &self.tag {
                None => format!("{slave:?}"),
                Some(_) => format!("{slave:?}, as {:?},", self.member(slave)),
            };
            format!("the slave {slave} is not among the members of the {meeting}: {listed}")
        });
    }
}

impl Meet {
    /// Returns the bytes of the declared timeouts in the message to a slave.
    pub fn timeouts_size(&self) -> usize {
        // Quotes, a colon and a comma, and a number of at most 13 digits. JSON may double each byte of a name.
        const AROUND: usize = 4 + 13;
        let declared = self.barriers.declared.iter().chain(&self.syncs.declared);
        declared.filter(|(_, meeting)| meeting.timeout.is_some()).map(|(name, _)| 2 * name.len() + AROUND).sum()
    }
}

/// Reads `"barriers"` and `"syncs"`.
pub fn read(groups: Groups, barriers: &[KeyValue], syncs: &[KeyValue], problems: &mut Problems<'_>) -> Meet {
    let names: BTreeSet<&str> = barriers.iter().map(|barrier| barrier.key.as_str()).collect();
    for sync in syncs.iter().filter(|sync| names.contains(sync.key.as_str())) {
        problems.add(sync.at, format!("{:?} is already the name of a barrier: rename the sync", sync.key));
    }
    let barriers = meetings("barrier", barriers, &groups, problems);
    let syncs = meetings("sync", syncs, &groups, problems);
    Meet { groups, barriers, syncs }
}

fn meetings(noun: &'static str, members: &[KeyValue], groups: &Groups, problems: &mut Problems<'_>) -> Meetings {
    if let Some(first) = members.get(MEETINGS_MAX) {
        problems.add(first.at, format!("a test has at most {MEETINGS_MAX} {noun}s"));
    }
    let mut declared = BTreeMap::new();
    for member in members.iter().take(MEETINGS_MAX) {
        let noun = if noun == "barrier" { "a barrier" } else { "a sync" };
        fields::check_meeting(&member.key, member.at, noun, problems);
        let meeting = match Object::read(&member.value, noun, &MEETING_KEYS, problems) {
            None => Meeting::default(),
            Some(object) => Meeting {
                attendees: groups.attendees(&object, problems),
                timeout: object
                    .get("timeout")
                    .and_then(|value| fields::time_above_zero(value, "\"timeout\"", problems)),
            },
        };
        declared.insert(member.key.clone(), meeting);
    }
    Meetings { noun, declared }
}

impl Meetings {
    /// Returns `barrier` or `sync`.
    pub fn noun(&self) -> &'static str {
        self.noun
    }

    /// Returns whether the members of the meeting `name` are declared.
    pub fn declares_members(&self, name: &str) -> bool {
        self.declared.get(name).and_then(|meeting| meeting.attendees.as_ref()?.as_ref()).is_some()
    }

    /// Returns the timeout that is declared for the meeting `name`.
    pub fn timeout(&self, name: &str) -> Option<Duration> {
        self.declared.get(name)?.timeout
    }

    /// Returns the declarations by name, as the test has them.
    pub fn into_declared(self) -> BTreeMap<String, Declared> {
        let declared = |meeting: Meeting| Declared {
            party: meeting.attendees.flatten().map(|attendees| attendees.party()),
            timeout: meeting.timeout,
        };
        self.declared.into_iter().map(|(name, meeting)| (name, declared(meeting))).collect()
    }

    /// Returns the members of the meeting `name`, from the entry (`own`) or from the declaration. Returns `None` if one
    /// of them has a problem, or both differ.
    pub fn agree(&self, name: &Value, own: Option<&Attendees>, problems: &mut Problems<'_>) -> Option<Attendees> {
        let ValueKind::String(text) = &name.kind else { return None };
        let meeting = self.declared.get(text);
        let declared = match meeting {
            Some(meeting) => meeting.attendees.as_ref()?.as_ref(),
            None => None,
        };
        match (own, declared) {
            (None, None) => {
                let noun = self.noun;
                let known = self.declared.keys().filter(|known| *known != text).map(String::as_str);
                let what_to_do = problems
                    .slip(text, known)
                    .unwrap_or_else(|| format!(": add \"members\" or \"count\" here or in \"{noun}s\""));
                problems.add(name.span.start, format!("the {noun} {text:?} has no members{what_to_do}"));
                None
            }
            (Some(own), Some(declared)) if !own.agrees(declared) => {
                let key = if matches!(own, Attendees::Count(_)) { "count" } else { "members" };
                let message =
                    format!("{key:?} differs from what \"{}s\" declares for {text:?}: remove it here", self.noun);
                problems.add(name.span.start, message);
                None
            }
            (own, declared) => own.or(declared).cloned(),
        }
    }
}
