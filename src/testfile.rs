//! The test file: what a test is, and everything that can be wrong with it.
//!
//! [`parse`] is pure: who calls it reads the file, and says about each resource what it is. It finds all problems of a
//! file, not only the first; each has a line and a column. `arete-test(5)` describes the file for people, and
//! `share/arete-test.schema.json` for editors: both change in the same commit as the tables here.

mod entry;
mod fields;
mod head;
pub mod json;
mod lists;
mod meet;
mod members;
mod problem;
pub mod range;
mod ready;
mod slaves;
pub mod suggest;
pub mod time;
mod told;
pub mod warnings;
mod words;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::{Signal, path_text};
use crate::variables::{self, Part, Variable};
use crate::wire::readiness::ReadyCheck;
use crate::wire::rendezvous::Party;
use crate::wire::{Action, Entry, LINE_MAX, Resource};
use entry::Names;
use fields::{Known, Object};
pub use json::VALUES_MAX;
use json::{Member, Value};
pub use problem::{PROBLEMS_MAX, Problem, Problems};
use ready::Patterns;
pub use ready::{CHECK_EVERY, PATTERN_MAX, PATTERNS_MAX, READY_WITHIN};

use slaves::Schedule;
pub use time::TIME_MAX;
use told::Told;

/// The longest test file, in bytes.
pub const FILE_MAX: usize = 16 * 1024 * 1024;

/// The highest initial value of a trigger.
pub const TRIGGER_MAX: u64 = 1_000_000_000;

/// How many triggers a test has at most.
pub const TRIGGERS_MAX: usize = 5_000;

/// How many resources a test has at most.
pub const RESOURCES_MAX: usize = 1_000;

/// How many groups a test has at most.
pub const GROUPS_MAX: usize = 1_000;

/// How many barriers, and how many syncs, a test declares at most.
pub const MEETINGS_MAX: usize = 5_000;

/// How many members meet at most, and how many a group holds. This and the bounds below keep a test that an operator
/// hands in to one short turn of the controller's loop; `tests/costs` measures it.
pub const MEMBERS_MAX: usize = 10_000;

/// How many members all groups and lists of members of a test hold together at most.
pub const LISTED_MEMBERS_MAX: usize = 30_000;

/// How many slaves a test has at most.
pub const SLAVES_MAX: usize = 10_000;

/// How many names the keys of "slaves" stand for at most, when those count again that several keys cover.
pub const COVERED_MAX: usize = 30_000;

/// How many variables all texts of a test have at most together.
pub const VARIABLES_MAX: usize = 20_000;

/// How many schedules a test has at most.
pub const SCHEDULES_MAX: usize = 5_000;

/// How many schedules all slaves of a test are given at most together.
pub const GIVEN_MAX: usize = 100_000;

/// How many entries all slaves of a test have at most together: the controller looks at each of them when it looks at
/// what can still happen.
pub const ALL_ENTRIES_MAX: usize = 400_000;

/// How many addresses the commands of all slaves of a test name at most together, each once for a slave.
pub const ADDRESSES_MAX: usize = 100_000;

/// How many bytes those slaves are told at most together whose commands name addresses: they are told all of it again in
/// one turn when such an address changes.
pub const RETOLD_MAX: usize = 16 * 1024 * 1024;

/// How many entries slaves have at most together, when slaves with the same schedules count once: these share them.
pub const UNSHARED_MAX: usize = 5_000;

/// How many bytes these entries take at most together as slaves are told them.
pub const UNSHARED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many entries a slave has at most.
pub const ENTRIES_MAX: usize = 4_096;

/// The longest command, directory or value of the environment, in bytes: Linux takes arguments below 128 KiB, and the
/// variables need room.
pub const COMMAND_MAX: usize = 100_000;

/// The longest message that hands a slave its part, in bytes, with a margin for the names of its fields.
pub const PREPARE_MAX: usize = LINE_MAX - 4_096;

/// The grace of a test that does not say one.
pub const GRACE: Duration = Duration::from_secs(10);

/// The words for what a failed entry means for the run.
const ON_FAIL: [(&str, OnFail); 2] = [("continue", OnFail::Continue), ("end", OnFail::End)];

/// The words for [`OnLost`].
const ON_LOST: [(&str, OnLost); 2] = [("fail", OnLost::Fail), ("continue", OnLost::Continue)];

/// The keys of a test file.
const TEST_KEYS: [&str; 14] = [
    "$schema",
    "name",
    "end",
    "grace",
    "on_fail",
    "on_lost",
    "triggers",
    "groups",
    "guests",
    "barriers",
    "syncs",
    "resources",
    "schedules",
    "slaves",
];

/// A test, checked: every name in it stands for something.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub name: String,
    pub end: End,
    /// How long what still runs at the end has between SIGTERM and SIGKILL, and the `finally` entries after that.
    pub grace: Duration,
    pub on_fail: OnFail,
    pub on_lost: OnLost,
    /// Initial values, at least 1.
    pub triggers: BTreeMap<String, u64>,
    /// By name: where the file is, and what is shipped.
    pub resources: BTreeMap<String, (PathBuf, Resource)>,
    /// What is declared of barriers and of syncs, by name.
    pub barriers: BTreeMap<String, Declared>,
    pub syncs: BTreeMap<String, Declared>,
    /// The members of each group, for `@GROUP` in what commands say.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Who may enter the room of a run beside its slaves.
    pub guests: BTreeSet<String>,
    /// In the order of the file, each name once.
    pub slaves: Vec<Slave>,
}

/// What a test declares of a barrier or a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Who shall meet; groups are resolved.
    pub party: Option<Party>,
    pub timeout: Option<Duration>,
}

/// One slave's part. Slaves with the same schedules share their entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Slave {
    pub name: String,
    /// What a machine must be to serve as this slave; `None`: it must be the machine of this name.
    pub with: Option<Rc<BTreeMap<String, String>>>,
    /// Where a launcher starts it, if that is not its name.
    pub address: Option<String>,
    pub entries: Rc<[Entry]>,
}

/// How a test ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// After so long.
    Duration(Duration),
    /// When the trigger has fired and what it set off has exited; fails when the limit passes first.
    Trigger { trigger: String, limit: Duration },
    /// When no job runs and none can start any more; fails when the limit passes first.
    Idle { limit: Duration },
}

/// What a slave that is lost after the start means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// It ends at once, and fails.
    #[default]
    Fail,
    /// It goes on without that slave, as long as one is left.
    Continue,
}

/// What a failed entry means for the run, beyond its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFail {
    #[default]
    Continue,
    End,
}

/// What is known about a resource's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipped {
    /// Where it is.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    pub executable: bool,
}

/// Says about the path of a resource, as the test file has it, what it is, or why it cannot be shipped.
pub type Ship<'a> = dyn FnMut(&str) -> Result<Shipped, String> + 'a;

/// What some editors put before a text.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a test file. `file` is what the problems call it. Fails with all problems in the order of the file.
pub fn parse(file: &str, text: &str, ship: &mut Ship<'_>) -> Result<Test, Vec<Problem>> {
    // Some editors put a mark at the beginning of a text, which is no part of it.
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut problems = Problems::new(text);
    let test = if text.len() > FILE_MAX {
        problems.add(0, format!("a test file has at most {FILE_MAX} bytes, this one has {}", text.len()));
        None
    } else {
        match json::parse(text) {
            Ok(value) => read(&value, ship, &mut problems),
            Err(error) => {
                problems.add(error.at, error.message);
                None
            }
        }
    };
    match test {
        Some(test) if problems.is_empty() => Ok(test),
        _ => {
            debug_assert!(!problems.is_empty(), "what cannot be read has a problem");
            Err(problems.finish(file))
        }
    }
}

fn read(value: &Value, ship: &mut Ship<'_>, problems: &mut Problems<'_>) -> Option<Test> {
    let test = Object::read(value, "a test", &TEST_KEYS, problems)?;
    if let Some(schema) = test.get("$schema") {
        fields::string(schema, "\"$schema\"", problems);
    }
    let name = test.require("name", problems).and_then(|value| {
        let name = fields::string(value, "the name of a test", problems)?;
        fields::check_name(name, value.span.start, "a test", problems).then_some(name)
    });
    let declared = |key, problems: &mut Problems<'_>| {
        let value = test.get(key);
        value.and_then(|value| fields::members(value, &format!("{key:?}"), problems)).unwrap_or_default()
    };
    let triggers = declared("triggers", problems);
    let resources = declared("resources", problems);
    let groups = declared("groups", problems);
    let (barriers, syncs) = (declared("barriers", problems), declared("syncs", problems));
    let meet = meet::read(members::groups(groups, problems), barriers, syncs, problems);
    let names = Names {
        triggers: keys_of(triggers),
        resources: keys_of(resources),
        meet: &meet,
        patterns: Patterns::default(),
        variables: Cell::new(VARIABLES_MAX),
    };
    let triggers = head::triggers(triggers, problems);
    let resources = head::resources(resources, ship, problems);
    let end = test.require("end", problems).and_then(|value| head::end(value, &names.triggers, problems));
    let grace = test.get("grace").map_or(Some(GRACE), |value| fields::time(value, "\"grace\"", problems));
    let on_fail = test.get("on_fail");
    let on_fail =
        on_fail.map_or(Some(OnFail::default()), |value| entry::word(value, "\"on_fail\"", &ON_FAIL, problems));
    let on_lost = test.get("on_lost");
    let on_lost =
        on_lost.map_or(Some(OnLost::default()), |value| entry::word(value, "\"on_lost\"", &ON_LOST, problems));
    let schedules = test.require("schedules", problems).map(|value| read_schedules(value, &names, problems));
    let slaves = test.require("slaves", problems).and_then(|value| {
        let members = fields::members(value, "\"slaves\"", problems)?;
        let told = Told::new(name.unwrap_or_default(), meet.told_of_timeouts(), &triggers, &resources);
        Some(slaves::read(members, value.span.start, schedules.as_deref()?, &told, problems))
    });
    let guests = test.get("guests").map_or(Some(BTreeSet::new()), |value| meet.groups.guests(value, problems));
    let (name, end, grace, slaves) = (name?.to_owned(), end?, grace?, slaves?);
    let (on_fail, on_lost, guests) = (on_fail?, on_lost?, guests?);
    let groups = meet.groups.into_resolved();
    let (barriers, syncs) = (meet.barriers.into_declared(), meet.syncs.into_declared());
    Some(Test { name, end, grace, on_fail, on_lost, triggers, resources, barriers, syncs, groups, guests, slaves })
}

fn keys_of(members: &[Member]) -> Known<'_> {
    Known::new(members.iter().map(|member| member.key.as_str()))
}

fn read_schedules<'a>(value: &'a Value, names: &Names<'_>, problems: &mut Problems<'_>) -> Vec<Schedule<'a>> {
    let members = fields::members(value, "\"schedules\"", problems).unwrap_or_default();
    if let Some(first) = members.get(SCHEDULES_MAX) {
        problems.add(first.at, format!("a test has at most {SCHEDULES_MAX} schedules"));
    }
    let members = &members[..members.len().min(SCHEDULES_MAX)];
    members.iter().map(|member| read_schedule(member, names, problems)).collect()
}

fn read_schedule<'a>(member: &'a Member, names: &Names<'_>, problems: &mut Problems<'_>) -> Schedule<'a> {
    let name = member.key.as_str();
    fields::check_name(name, member.at, "a schedule", problems);
    let mut drafts: Vec<entry::Draft> = Vec::new();
    let mut known = BTreeSet::new();
    for value in fields::list(&member.value, "a schedule", problems).unwrap_or_default() {
        if problems.is_full() {
            break;
        }
        let Some(draft) = entry::read(value, names, problems) else { continue };
        if !known.insert(draft.name.clone()) {
            let message = format!("the schedule {:?} has two entries {:?}", suggest::shown(name), draft.name);
            problems.add(value.span.start, message);
            continue;
        }
        drafts.push(draft);
    }
    Schedule::new(name, drafts)
}

/// The resources that an entry uses.
pub fn resources_of(entry: &Entry) -> impl Iterator<Item = &str> {
    entry.shell().into_iter().flat_map(|shell| &shell.use_resources).map(String::as_str)
}

/// The slaves whose address an entry names in `@{NAME.address}`.
pub fn addresses_of(entry: &Entry) -> Vec<String> {
    let mut texts: Vec<&str> = Vec::new();
    match &entry.action {
        Action::Shell(shell) => {
            texts.push(&shell.command);
            texts.extend(shell.env.values().chain(&shell.cwd).map(String::as_str));
            match shell.ready.as_ref().map(|ready| &ready.check) {
                Some(ReadyCheck::Shell { command, .. }) => texts.push(command),
                Some(ReadyCheck::Port { host: Some(host), .. }) => texts.push(host),
                _ => {}
            }
        }
        Action::Sync { value, .. } => strings_of(value, &mut texts),
        Action::Barrier { abort, .. } => texts.extend(abort.as_deref()),
        _ => {}
    }
    let parts = texts.into_iter().flat_map(|text| variables::parse(text).unwrap_or_default());
    let addresses = parts.filter_map(|part| match part {
        Part::Variable { variable: Variable::Address(slave), .. } => Some(slave),
        _ => None,
    });
    addresses.collect()
}

/// The strings of a value, without the keys of its objects.
fn strings_of<'a>(value: &'a serde_json::Value, strings: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::String(text) => strings.push(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings_of(item, strings)),
        serde_json::Value::Object(members) => members.values().for_each(|value| strings_of(value, strings)),
        _ => {}
    }
}

/// The keys that each object of a test file may have. The schema and the manual are held against it.
pub fn keys() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("test", TEST_KEYS.to_vec()),
        ("end", head::END_KEYS.to_vec()),
        ("resource", head::RESOURCE_KEYS.to_vec()),
        ("slave", slaves::SLAVE_KEYS.to_vec()),
        ("meeting", meet::MEETING_KEYS.to_vec()),
        ("entry", entry::keys()),
        ("after", entry::AFTER_KEYS.to_vec()),
        ("ready", ready::READY_KEYS.to_vec()),
    ]
}

/// The words that stand for a choice, by the key that takes them. The schema is held against it.
pub fn words() -> Vec<(&'static str, Vec<String>)> {
    let signals = Signal::named().map(Signal::name).filter(|name| !name.starts_with("SIGRT"));
    vec![
        ("on_fail", ON_FAIL.map(|(word, _)| word.to_owned()).to_vec()),
        ("on_lost", ON_LOST.map(|(word, _)| word.to_owned()).to_vec()),
        ("end", entry::VERDICTS.map(|(word, _)| word.to_owned()).to_vec()),
        ("signal", signals.collect()),
    ]
}

/// The keys of an entry of which it has exactly one: the run-policies, and the actions with the keys beside them.
pub fn choices() -> (Vec<&'static str>, Vec<(&'static str, &'static [&'static str])>) {
    let policies = entry::POLICIES.iter().map(|policy| policy.key).collect();
    (policies, entry::ACTIONS.iter().map(|action| (action.key, action.options)).collect())
}
