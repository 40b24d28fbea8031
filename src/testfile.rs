//! The test file: a checked test, and all problems that a file can have.
//!
//! [`read_file`] is pure: the caller reads the file, and describes each resource. It finds all problems of a file, not only
//! the first, and each has a line and a column. Authors write JSON or YAML; controllers get and keep JSON, so no peer can
//! make them read YAML. `arete-test(5)` describes the file for people, and
//! `share/arete-test.schema.json` for editors. Both change in the same commit as the tables of the parsers.
//!
//! This file owns the order in which the parts of a test are read. The bounds are in `bounds.rs`, and the rules of a key
//! are in the file of that key.

mod after;
mod asserts;
mod bounds;
mod commands;
mod context;
mod draft;
mod entry;
mod faults;
mod fields;
mod files;
mod head;
mod inherit;
pub mod json;
mod lists;
mod matrix;
mod meet;
mod meetings;
mod members;
mod params;
mod patterns;
mod problem;
pub mod range;
mod ready;
mod size;
mod slaves;
pub mod suggest;
mod test;
pub mod time;
mod warnings;
mod words;
mod yaml;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use crate::machine::Signal;
use crate::variables::{self, Segment, Variable};
use crate::wire::readiness::ReadyCheck;
use crate::wire::{Action, Entry, Harm};
pub use bounds::{
    ADDRESSES_MAX, ALL_ENTRIES_MAX, ASSERTS_MAX, CHECK_EVERY, COMMAND_MAX, CONDITIONS_MAX, COVERED_MAX, ENTRIES_MAX,
    FILE_MAX, GIVEN_MAX, GRACE, GROUPS_MAX, LISTED_MEMBERS_MAX, MEETINGS_MAX, MEMBERS_MAX, PATTERN_MAX, PATTERNS_MAX,
    PREPARE_MAX, READY_WITHIN, RESOURCES_MAX, RETOLD_MAX, RETRIES_MAX, SCHEDULES_MAX, SLAVES_MAX, TRIGGER_MAX,
    TRIGGERS_MAX, UNSHARED_BYTES_MAX, UNSHARED_MAX, VARIABLES_MAX, WITH_MAX,
};
use context::Names;
use draft::Draft;
use fields::{KnownNames, Object};
pub use json::{BYTE_ORDER_MARK, VALUES_MAX};
use json::{KeyValue, Value};
pub use matrix::{Axis, COMBINATIONS_MAX, Combination, Combinations};
pub use params::{Given, PARAMS_BYTES_MAX, PARAMS_MAX, Params};
use patterns::Patterns;
pub use problem::{PROBLEMS_MAX, Problem, Problems};
use size::Sizes;
use slaves::Schedule;
pub use test::{Assert, AssertOf, Declared, End, Figure, OnFail, OnLost, Ship, Shipped, Slave, Test};
pub use time::TIME_MAX;

/// The words for [`OnFail`].
const ON_FAIL: [(&str, OnFail); 2] = [("continue", OnFail::Continue), ("end", OnFail::End)];

/// The words for [`OnLost`].
const ON_LOST: [(&str, OnLost); 2] = [("fail", OnLost::Fail), ("continue", OnLost::Continue)];

/// The keys of a test file.
const TEST_KEYS: [&str; 17] = [
    "$schema",
    "name",
    "params",
    "matrix",
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
    "assert",
    "schedules",
    "slaves",
];

/// A test that its author has written, and what controllers and slaves must know of its file.
#[derive(Debug)]
pub struct Authored {
    /// The test.
    pub test: Test,
    /// The same test as JSON: the text itself if it is JSON.
    pub json: String,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Problem>,
}

/// What whoever runs a test has chosen.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Values for its params.
    pub params: Given,
    /// The limit of its end, instead of the one in the file.
    pub limit: Option<Duration>,
}

/// Reads a test file with this text, which is JSON if it begins with `{`, and otherwise YAML. `file` is its name in the
/// problems; `given` are values for its params; `ship` describes the resource at a path. Fails with all problems, in the
/// order of the file.
pub fn read_file<E: Display>(
    file: &str,
    text: &str,
    given: &Given,
    ship: &mut Ship<'_, E>,
) -> Result<Authored, Vec<Problem>> {
    read_chosen(file, text, &Choices { params: given.clone(), limit: None }, ship)
}

/// Reads a test file with these choices, as [`read_file`].
pub fn read_chosen<E: Display>(
    file: &str,
    text: &str,
    choices: &Choices,
    ship: &mut Ship<'_, E>,
) -> Result<Authored, Vec<Problem>> {
    let text = without_mark(text);
    let is_json = text.trim_start().starts_with('{');
    let mut changed = choices.limit.is_some();
    let parse = |problems: &mut Problems<'_>| {
        let mut root = parse_any(text)?;
        changed |= matrix::take(&mut root, problems).is_some();
        changed |= params::resolve(&mut root, &choices.params, problems);
        changed |= inherit::resolve(&mut root, problems);
        if let Some(limit) = choices.limit {
            head::set_limit(&mut root, limit, problems);
        }
        Ok(root)
    };
    let (test, root) = parse_with(file, text, parse, ship)?;
    let json = if is_json && !changed { text.to_owned() } else { json::encode(&root) };
    if json.len() > FILE_MAX {
        let mut problems = Problems::new(text);
        problems.add(0, format!("a test has at most {FILE_MAX} bytes of JSON, and this one has {}", json.len()));
        return Err(problems.finish(file));
    }
    let warnings = warnings::of(file, text, &root, &test);
    Ok(Authored { test, json, warnings })
}

/// Returns the combinations of the matrix in a test file, in which the axes in `chosen` replace those of the same names.
/// Fails with the problems of the matrix, or with the first place at which the file is neither JSON nor YAML.
pub fn combinations(file: &str, text: &str, chosen: &[Axis]) -> Result<Combinations, Vec<Problem>> {
    let text = without_mark(text);
    let mut problems = Problems::new(text);
    let mut found = Default::default();
    match parse_any(text) {
        Ok(mut root) => {
            let matrix = matrix::take(&mut root, &mut problems).unwrap_or_default();
            found = matrix.combinations(chosen, &mut problems);
        }
        Err(error) => problems.add(error.at, error.message),
    }
    if !problems.is_empty() {
        return Err(problems.finish(file));
    }
    let (list, unused) = found;
    let mut warnings = Problems::new(text);
    for at in unused {
        warnings.add(at, "this item of \"exclude\" matches no combination of the matrix");
    }
    Ok(Combinations { list, warnings: warnings.finish(file) })
}

/// Reads a text that is JSON if it begins with `{`, and otherwise YAML.
pub fn parse_any(text: &str) -> Result<Value, json::SyntaxError> {
    let text = without_mark(text);
    if text.trim_start().starts_with('{') { json::parse(text) } else { yaml::parse(text) }
}

/// Reads a test as controllers keep it, in JSON. Otherwise as [`read_file`].
pub fn parse<E: Display>(file: &str, text: &str, ship: &mut Ship<'_, E>) -> Result<Test, Vec<Problem>> {
    let text = without_mark(text);
    parse_with(file, text, |_| json::parse(text), ship).map(|(test, _)| test)
}

/// Some editors put a mark at the beginning of a text, which is not part of it.
fn without_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

fn parse_with<E: Display>(
    file: &str,
    text: &str,
    parse: impl FnOnce(&mut Problems<'_>) -> Result<Value, json::SyntaxError>,
    ship: &mut Ship<'_, E>,
) -> Result<(Test, Value), Vec<Problem>> {
    let mut problems = Problems::new(text);
    if text.len() > FILE_MAX {
        problems.add(0, format!("a test file has at most {FILE_MAX} bytes, this one has {}", text.len()));
        return Err(problems.finish(file));
    }
    let found = match parse(&mut problems) {
        // Without its params, the rest would have problems that are none.
        Ok(_) if !problems.is_empty() => None,
        Ok(value) => read(&value, ship, &mut problems).map(|test| (test, value)),
        Err(error) => {
            problems.add(error.at, error.message);
            None
        }
    };
    match found {
        Some(found) if problems.is_empty() => Ok(found),
        _ => {
            debug_assert!(!problems.is_empty(), "a file that is not a test has a problem");
            Err(problems.finish(file))
        }
    }
}

/// Reads all parts of a test, also after a problem.
fn read<E: Display>(value: &Value, ship: &mut Ship<'_, E>, problems: &mut Problems<'_>) -> Option<Test> {
    let test = Object::read(value, "a test", &TEST_KEYS, problems)?;
    if let Some(schema) = test.get("$schema") {
        fields::string(schema, "\"$schema\"", problems);
    }
    if let Some(matrix) = test.member("matrix") {
        problems.add(matrix.at, "a controller runs one combination: \"matrix\" is for the file of the author");
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
    let meet = meetings::read(members::groups(groups, problems), barriers, syncs, problems);
    let files = files::of(test.get("schedules"), resources);
    let names = Names {
        triggers: keys_of(triggers),
        resources: keys_of(resources),
        files: files.names(),
        meet: &meet,
        patterns: Patterns::default(),
        variables: Cell::new(VARIABLES_MAX),
        group_bytes: Cell::new(FILE_MAX),
    };
    let params = test.get("params").map(|value| params::read(value, problems)).unwrap_or_default();
    let triggers = head::triggers(triggers, problems);
    let mut resources = head::resources(resources, ship, problems);
    files.ship(&mut resources, ship, problems);
    let end = test.require("end", problems).and_then(|value| head::end(value, &names.triggers, problems));
    let grace = test.get("grace").map_or(Some(GRACE), |value| fields::time(value, "\"grace\"", problems));
    let on_fail = test.get("on_fail");
    let on_fail =
        on_fail.map_or(Some(OnFail::default()), |value| fields::word(value, "\"on_fail\"", &ON_FAIL, problems));
    let on_lost = test.get("on_lost");
    let on_lost =
        on_lost.map_or(Some(OnLost::default()), |value| fields::word(value, "\"on_lost\"", &ON_LOST, problems));
    let schedules = test.require("schedules", problems).map(|value| read_schedules(value, &names, problems));
    let slaves = test.require("slaves", problems).and_then(|value| {
        let members = fields::members(value, "\"slaves\"", problems)?;
        let sizes = Sizes::new(name.unwrap_or_default(), (meet.timeouts_size(), &params), &triggers, &resources);
        Some(slaves::read(members, value.span.start, schedules.as_deref()?, &sizes, problems))
    });
    let guests = test.get("guests").map_or(Some(BTreeSet::new()), |value| meet.groups.guests(value, problems));
    let asserts = test.get("assert");
    // Slaves with a problem are not in the list.
    let known = slaves.as_deref().filter(|_| problems.is_empty());
    let asserts = asserts.map(|value| asserts::read(value, &meet.groups, known, problems)).unwrap_or_default();
    let (name, end, grace, slaves) = (name?.to_owned(), end?, grace?, slaves?);
    let (on_fail, on_lost, guests) = (on_fail?, on_lost?, guests?);
    let groups = meet.groups.into_resolved();
    let (barriers, syncs) = (meet.barriers.into_declared(), meet.syncs.into_declared());
    Some(Test {
        name,
        params,
        end,
        grace,
        on_fail,
        on_lost,
        triggers,
        resources,
        barriers,
        syncs,
        groups,
        guests,
        asserts,
        slaves,
    })
}

fn keys_of(members: &[KeyValue]) -> KnownNames<'_> {
    KnownNames::new(members.iter().map(|member| member.key.as_str()))
}

fn read_schedules<'a>(value: &'a Value, names: &Names<'_>, problems: &mut Problems<'_>) -> Vec<Schedule<'a>> {
    let members = fields::members(value, "\"schedules\"", problems).unwrap_or_default();
    if let Some(first) = members.get(SCHEDULES_MAX) {
        problems.add(first.at, format!("a test has at most {SCHEDULES_MAX} schedules"));
    }
    let members = &members[..members.len().min(SCHEDULES_MAX)];
    members.iter().map(|member| read_schedule(member, names, problems)).collect()
}

fn read_schedule<'a>(member: &'a KeyValue, names: &Names<'_>, problems: &mut Problems<'_>) -> Schedule<'a> {
    let name = member.key.as_str();
    fields::check_name(name, member.at, "a schedule", problems);
    let mut drafts: Vec<Draft> = Vec::new();
    let mut known = BTreeSet::new();
    for value in fields::list(&member.value, "a schedule", problems).unwrap_or_default() {
        if problems.is_full() {
            break;
        }
        let Some(draft) = entry::read(value, names, problems) else { continue };
        if !known.insert(draft.name.clone()) {
            let message =
                format!("the schedule {:?} has two entries {:?}: rename one", suggest::shown(name), draft.name);
            problems.add(value.span.start, message);
            continue;
        }
        drafts.push(draft);
    }
    Schedule::new(name, drafts)
}

/// Returns the resources that an entry uses.
pub fn resources_of(entry: &Entry) -> impl Iterator<Item = &str> {
    entry.shell().into_iter().flat_map(|shell| &shell.use_resources).map(String::as_str)
}

/// Returns the slaves whose addresses an entry needs: those in `@{NAME.address}`, and those that a fault names.
pub fn addresses_of(entry: &Entry) -> Vec<String> {
    if let Action::Fault(injection) = &entry.action
        && !matches!(injection.what, Harm::Fill { .. })
    {
        return injection.what.slaves().cloned().collect();
    }
    let addresses = variables_of(entry).filter_map(|variable| match variable {
        Variable::Address(slave) => Some(slave),
        _ => None,
    });
    addresses.collect()
}

/// Returns whether an entry has a value of its own on each slave, because it uses `@{slave.index}`.
pub fn uses_index(entry: &Entry) -> bool {
    variables_of(entry).any(|variable| variable == Variable::SlaveIndex)
}

/// Returns the variables in the texts of an entry.
fn variables_of(entry: &Entry) -> impl Iterator<Item = Variable> {
    let mut texts: Vec<&str> = Vec::new();
    match &entry.action {
        Action::Shell(shell) => {
            texts.extend(shell.argv());
            texts.extend(shell.env.values().chain(&shell.cwd).map(String::as_str));
            match shell.ready.as_ref().map(|ready| &ready.check) {
                Some(ReadyCheck::Shell { command, .. }) => texts.push(command),
                Some(ReadyCheck::Port { host: Some(host), .. }) => texts.push(host),
                _ => {}
            }
        }
        Action::Sync { value, .. } | Action::Notify { data: Some(value), .. } => strings_of(value, &mut texts),
        Action::Barrier { abort, .. } => texts.extend(abort.as_deref()),
        Action::Fault(injection) => {
            if let Harm::Fill { path, .. } = &injection.what {
                texts.push(path);
            }
        }
        _ => {}
    }
    let parts = texts.into_iter().flat_map(|text| variables::parse(text).unwrap_or_default());
    parts.filter_map(|part| match part {
        Segment::Variable { variable, .. } => Some(variable),
        Segment::Text(_) => None,
    })
}

/// Collects the strings of a value, without the keys of its objects.
fn strings_of<'a>(value: &'a serde_json::Value, strings: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::String(text) => strings.push(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings_of(item, strings)),
        serde_json::Value::Object(members) => members.values().for_each(|value| strings_of(value, strings)),
        _ => {}
    }
}

/// Returns the keys of each kind of object in a test file. Tests compare the schema and the manual with them.
pub fn keys() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("test", [&TEST_KEYS[..], &["defaults"]].concat()),
        ("param", params::PARAM_KEYS.to_vec()),
        ("matrix", matrix::MATRIX_KEYS.to_vec()),
        ("end", head::END_KEYS.to_vec()),
        ("defaults", inherit::DEFAULTS_KEYS.to_vec()),
        ("schedule", inherit::SCHEDULE_KEYS.to_vec()),
        ("resource", head::RESOURCE_KEYS.to_vec()),
        ("slave", slaves::SLAVE_KEYS.to_vec()),
        ("assert", asserts::ASSERT_KEYS.to_vec()),
        ("meeting", meetings::MEETING_KEYS.to_vec()),
        ("entry", entry::keys()),
        ("after", after::AFTER_KEYS.to_vec()),
        ("condition", after::CONDITION_KEYS.to_vec()),
        ("notify", entry::NOTIFY_KEYS.to_vec()),
        ("retries", commands::RETRIES_KEYS.to_vec()),
        ("ready", ready::READY_KEYS.to_vec()),
        ("partition", faults::PARTITION_KEYS.to_vec()),
        ("network", faults::NETWORK_KEYS.to_vec()),
        ("fill", faults::FILL_KEYS.to_vec()),
        ("clock", faults::CLOCK_KEYS.to_vec()),
    ]
}

/// Returns the words that each key with a fixed choice accepts. Tests compare the schema with them.
pub fn words() -> Vec<(&'static str, Vec<String>)> {
    let signals = Signal::named().map(Signal::name).filter(|name| !name.starts_with("SIGRT"));
    vec![
        ("on_fail", ON_FAIL.map(|(word, _)| word.to_owned()).to_vec()),
        ("on_lost", ON_LOST.map(|(word, _)| word.to_owned()).to_vec()),
        ("end", entry::VERDICTS.map(|(word, _)| word.to_owned()).to_vec()),
        ("signal", signals.collect()),
    ]
}

/// Returns the keys of which an entry has exactly one: the run-policies, and the actions with their options. Tests
/// compare the schema with them.
pub fn choices() -> (Vec<&'static str>, Vec<(&'static str, &'static [&'static str])>) {
    let policies = entry::POLICIES.iter().map(|policy| policy.key).collect();
    (policies, entry::ACTIONS.iter().map(|action| (action.key, action.options)).collect())
}
