//! Barriers and syncs: what a test declares of them, and the actions that stand at them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::entry::{self, Context};
use super::fields::{self, Object};
use super::json::{Kind, Member, Value};
use super::members::{Groups, Members, Whom};
use super::problem::Problems;
use super::{Declared, MEETINGS_MAX, suggest};
use crate::exit_code;
use crate::machine::Exit;
use crate::session;
use crate::wire::rendezvous::Party;
use crate::wire::{Action, Expect};

/// The keys of a barrier or a sync that is declared.
pub const MEETING_KEYS: [&str; 3] = ["members", "count", "timeout"];

/// The keys that may stand beside `"barrier"`.
pub const BARRIER_OPTIONS: [&str; 8] = ["members", "count", "as", "timeout", "fresh", "harmonize", "abort", "expect"];

/// The keys that may stand beside `"sync"`; `"data"` must.
pub const SYNC_OPTIONS: [&str; 7] = ["data", "members", "count", "as", "timeout", "all_alive", "expect"];

/// The words for the statuses that one may expect of a barrier or a sync.
pub const OUTCOMES: [(&str, u8); 4] = [
    ("released", exit_code::PASSED),
    ("timed-out", exit_code::TIME_LIMIT),
    ("aborted", exit_code::ABORTED),
    ("lost", exit_code::LOST),
];

/// How long the reason of `"abort"` may be, in bytes.
pub const ABORT_MAX: usize = 2_000;

/// What a test declares of one barrier or sync.
#[derive(Debug, Default)]
struct Meeting {
    /// `None`: what is declared is wrong, and has been said.
    whom: Option<Option<Whom>>,
    timeout: Option<Duration>,
}

/// All barriers, or all syncs.
pub struct Meetings {
    /// `barrier` or `sync`.
    noun: &'static str,
    declared: BTreeMap<String, Meeting>,
}

/// What entries may name when they meet.
pub struct Meet {
    pub groups: Groups,
    pub barriers: Meetings,
    pub syncs: Meetings,
}

/// An entry whose slave must be one of these members.
pub struct Membership {
    at: usize,
    /// `barrier "server-up"`.
    what: String,
    tag: Option<String>,
    members: Rc<Members>,
}

impl Membership {
    /// What memberships have in common for which the same slaves are members.
    pub fn same(&self) -> (*const Members, Option<&str>) {
        (Rc::as_ptr(&self.members), self.tag.as_deref())
    }

    /// Whether the slave is one of the members.
    pub fn holds(&self, slave: &str) -> bool {
        self.members.set.contains(self.member(slave).as_ref())
    }

    fn member<'s>(&self, slave: &'s str) -> Cow<'s, str> {
        match &self.tag {
            None => Cow::Borrowed(slave),
            Some(tag) => Cow::Owned(format!("{slave}#{tag}")),
        }
    }

    /// Says that the slave is none of the members.
    pub fn lacks(&self, slave: &str, problems: &mut Problems<'_>) {
        problems.add_once(self.at, || {
            let listed: Vec<&str> = self.members.listed.iter().map(String::as_str).collect();
            let (what, listed) = (&self.what, suggest::list(&listed, "and"));
            let slave = match &self.tag {
                None => format!("{slave:?}"),
                Some(_) => format!("{slave:?}, as {:?},", self.member(slave)),
            };
            format!("the slave {slave} is not among the members of the {what}: {listed}")
        });
    }
}

impl Meet {
    /// How many bytes a slave is told about the timeouts that are declared.
    pub fn told_of_timeouts(&self) -> usize {
        // Quotes, a colon and a comma, and a number of at most 13 digits. JSON may double each byte of a name.
        const AROUND: usize = 4 + 13;
        let declared = self.barriers.declared.iter().chain(&self.syncs.declared);
        declared.filter(|(_, meeting)| meeting.timeout.is_some()).map(|(name, _)| 2 * name.len() + AROUND).sum()
    }
}

/// Reads `"barriers"` and `"syncs"`.
pub fn read(groups: Groups, barriers: &[Member], syncs: &[Member], problems: &mut Problems<'_>) -> Meet {
    let names: BTreeSet<&str> = barriers.iter().map(|barrier| barrier.key.as_str()).collect();
    for sync in syncs.iter().filter(|sync| names.contains(sync.key.as_str())) {
        problems.add(sync.at, format!("{:?} is the name of a barrier: give the sync another", sync.key));
    }
    let barriers = meetings("barrier", barriers, &groups, problems);
    let syncs = meetings("sync", syncs, &groups, problems);
    Meet { groups, barriers, syncs }
}

fn meetings(noun: &'static str, members: &[Member], groups: &Groups, problems: &mut Problems<'_>) -> Meetings {
    if let Some(first) = members.get(MEETINGS_MAX) {
        problems.add(first.at, format!("a test has at most {MEETINGS_MAX} {noun}s"));
    }
    let mut declared = BTreeMap::new();
    for member in members.iter().take(MEETINGS_MAX) {
        fields::check_meeting(&member.key, member.at, &format!("a {noun}"), problems);
        let what = if noun == "barrier" { "a barrier" } else { "a sync" };
        let meeting = match Object::read(&member.value, what, &MEETING_KEYS, problems) {
            None => Meeting::default(),
            Some(object) => Meeting {
                whom: groups.whom(&object, problems),
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
    pub fn into_declared(self) -> BTreeMap<String, Declared> {
        let declared = |meeting: Meeting| Declared {
            party: meeting.whom.flatten().map(|whom| whom.party()),
            timeout: meeting.timeout,
        };
        self.declared.into_iter().map(|(name, meeting)| (name, declared(meeting))).collect()
    }

    /// Who shall meet where an entry names `name`: what it says itself and what is declared. `None`: something wrong,
    /// which has been said, here or there.
    fn agree(&self, name: &Value, own: Option<&Whom>, problems: &mut Problems<'_>) -> Option<Whom> {
        let Kind::String(text) = &name.kind else { return None };
        let meeting = self.declared.get(text);
        let declared = match meeting {
            Some(meeting) => meeting.whom.as_ref()?.as_ref(),
            None => None,
        };
        match (own, declared) {
            (None, None) => {
                let noun = self.noun;
                let known = self.declared.keys().filter(|known| *known != text).map(String::as_str);
                let what_to_do = problems
                    .slip(text, known)
                    .unwrap_or_else(|| format!(": add \"members\" or \"count\" here or in \"{noun}s\""));
                problems.add(name.span.start, format!("nobody says who meets at the {noun} {text:?}{what_to_do}"));
                None
            }
            (Some(own), Some(declared)) if !own.agrees(declared) => {
                let key = if matches!(own, Whom::Count(_)) { "count" } else { "members" };
                let message =
                    format!("{key:?} is not what \"{}s\" declares for {text:?}: leave it out here", self.noun);
                problems.add(name.span.start, message);
                None
            }
            (own, declared) => own.or(declared).cloned(),
        }
    }
}

/// What `"barrier"` and `"sync"` have in common.
struct Common {
    name: String,
    tag: Option<String>,
    /// What the entry says itself, unless the same is declared.
    party: Option<Party>,
    timeout: Option<u64>,
}

/// Reads what both have in common, and remembers who must be a member.
fn common(member: &Member, object: &Object<'_>, meetings: &Meetings, context: &mut Context<'_, '_>) -> Option<Common> {
    let noun = meetings.noun;
    let name = fields::string(&member.value, &format!("{:?}", member.key), context.problems);
    let name = name
        .filter(|name| fields::check_meeting(name, member.value.span.start, &format!("a {noun}"), context.problems));
    let tag = entry::transposed(object.get("as").map(|value| tag(value, context.problems)));
    let own = context.names.meet.groups.whom(object, context.problems);
    let timeout = object.get("timeout");
    let timeout = timeout.map(|value| fields::time_above_zero(value, "\"timeout\"", context.problems));
    let timeout = entry::transposed(timeout);
    let (name, tag, own) = (name?, tag?, own?);
    let whom = meetings.agree(&member.value, own.as_ref(), context.problems)?;
    if let Whom::Members(members) = &whom {
        let (at, what) = (member.value.span.start, format!("{noun} {name:?}"));
        context.membership = Some(Membership { at, what, tag: tag.clone(), members: members.clone() });
    }
    let meeting = meetings.declared.get(name);
    let declared = meeting.and_then(|meeting| meeting.whom.as_ref()?.as_ref()).is_some();
    let timeout = timeout?.or_else(|| meeting?.timeout).map(|timeout| timeout.as_micros() as u64);
    let party = if declared { None } else { Some(whom.party()) };
    Some(Common { name: name.to_owned(), tag, party, timeout })
}

/// Reads what makes a member one of several on its host.
fn tag(value: &Value, problems: &mut Problems<'_>) -> Option<String> {
    let text = fields::string(value, "\"as\"", problems)?;
    let Some(tag) = text.strip_prefix('#') else {
        problems.add(value.span.start, format!("\"as\" is \"#\" and a tag, such as \"#first\", found {text:?}"));
        return None;
    };
    if !session::is_tag(tag) {
        let rule = format!("a tag has at most {} bytes of UTF-8 without control characters", session::WORDS_MAX);
        problems.add(value.span.start, format!("\"as\": {rule}"));
        return None;
    }
    Some(tag.to_owned())
}

pub fn barrier(member: &Member, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let fresh = object.get("fresh").map(|value| fields::time(value, "\"fresh\"", context.problems));
    let harmonize = flag(object, "harmonize", context.problems);
    let abort = object.get("abort").map(|value| abort(value, context));
    let usual = if abort.is_some() { exit_code::ABORTED } else { exit_code::PASSED };
    let expect = expect(object, usual, context.problems);
    let common = common(member, object, &context.names.meet.barriers, context)?;
    let fresh = entry::transposed(fresh)?.map(|fresh| fresh.as_micros() as u64);
    let Common { name: barrier, tag, party, timeout } = common;
    let (abort, harmonize, expect) = (entry::transposed(abort)?, harmonize?, expect?);
    Some(Action::Barrier { barrier, tag, party, timeout, fresh, abort, harmonize, expect })
}

pub fn sync(member: &Member, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let value = match object.get("data") {
        Some(value) => data(value, context),
        None => {
            let message = "\"sync\" needs the key \"data\": what this member gives the others";
            context.problems.add(object.at, message);
            None
        }
    };
    let all_alive = flag(object, "all_alive", context.problems);
    let expect = expect(object, exit_code::PASSED, context.problems);
    let common = common(member, object, &context.names.meet.syncs, context)?;
    let Common { name: session, tag, party, timeout } = common;
    Some(Action::Sync { session, tag, party, timeout, all_alive: all_alive?, value: value?, expect: expect? })
}

/// Why an entry aborts its barrier.
fn abort(value: &Value, context: &mut Context<'_, '_>) -> Option<String> {
    let text = fields::string(value, "\"abort\"", context.problems)?;
    if text.trim().is_empty() || text.len() > ABORT_MAX {
        let message = format!("\"abort\" is the reason, 1 to {ABORT_MAX} bytes long, such as \"no disk\"");
        context.problems.add(value.span.start, message);
        return None;
    }
    entry::check_variables(value, text, entry::Resources::No, context).then(|| text.to_owned())
}

/// With which statuses an entry that meets may exit; `usual` when it does not say.
fn expect(object: &Object<'_>, usual: u8, problems: &mut Problems<'_>) -> Option<Expect> {
    let of = |codes: Vec<u8>| Expect::Of(codes.into_iter().map(|code| Exit::Code(code.into())).collect());
    let Some(value) = object.get("expect") else { return Some(of(vec![usual])) };
    match &value.kind {
        Kind::String(text) if text == "any" => Some(Expect::Any),
        Kind::List(items) if items.is_empty() => {
            problems.add(value.span.start, "\"expect\" is an empty list: the entry could never pass");
            None
        }
        Kind::List(items) => {
            let codes: Vec<_> = items.iter().map(|item| status(item, "an item of \"expect\"", problems)).collect();
            codes.into_iter().collect::<Option<_>>().map(of)
        }
        _ => status(value, "\"expect\"", problems).map(|code| of(vec![code])),
    }
}

/// An exit status by its number or its word.
fn status(value: &Value, what: &str, problems: &mut Problems<'_>) -> Option<u8> {
    match &value.kind {
        Kind::Number(_) => fields::integer(value, what, 0..=255, problems).map(|code| code as u8),
        _ => entry::word(value, what, &OUTCOMES, problems),
    }
}

/// A key that is `true`, `false` or left out.
fn flag(object: &Object<'_>, key: &str, problems: &mut Problems<'_>) -> Option<bool> {
    let Some(value) = object.get(key) else { return Some(false) };
    match value.kind {
        Kind::Bool(flag) => Some(flag),
        _ => fields::wrong(value, &format!("{key:?} is true or false"), problems),
    }
}

/// Any JSON, whose strings may hold variables.
fn data(value: &Value, context: &mut Context<'_, '_>) -> Option<serde_json::Value> {
    match &value.kind {
        Kind::Null => Some(serde_json::Value::Null),
        Kind::Bool(bool) => Some((*bool).into()),
        Kind::Number(number) => Some(serde_json::Value::Number(number.clone())),
        Kind::String(text) => {
            let good = entry::check_variables(value, text, entry::Resources::No, context);
            good.then(|| text.as_str().into())
        }
        Kind::List(items) => {
            let items: Vec<_> = items.iter().map(|item| data(item, context)).collect();
            items.into_iter().collect::<Option<Vec<_>>>().map(serde_json::Value::Array)
        }
        Kind::Object(_) => {
            let members = fields::members(value, "\"data\"", context.problems)?;
            let members: Vec<_> =
                members.iter().map(|member| Some((member.key.clone(), data(&member.value, context)?))).collect();
            members.into_iter().collect::<Option<_>>().map(serde_json::Value::Object)
        }
    }
}
