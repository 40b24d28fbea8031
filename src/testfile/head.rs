//! The parts of a test before its schedules: its end, its triggers and its resources.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Number;

use super::bounds::{RESOURCES_MAX, TRIGGER_MAX, TRIGGERS_MAX};
use super::fields::{self, KnownNames, Object};
use super::json::{KeyValue, Value, ValueKind};
use super::problem::Problems;
use super::test::{End, Ship};
use crate::machine::{COMPONENT_MAX, is_file_name};
use crate::wire::Resource;

/// The ways in which a test can end. All but the first require `"limit"`.
pub const ENDS: [&str; 3] = ["duration", "trigger", "idle"];

/// The keys of `"end"`.
pub const END_KEYS: [&str; 4] = ["duration", "trigger", "idle", "limit"];

/// The keys of a resource.
pub const RESOURCE_KEYS: [&str; 1] = ["file"];

/// Reads `"end"`.
pub fn end(value: &Value, triggers: &KnownNames<'_>, problems: &mut Problems<'_>) -> Option<End> {
    let object = Object::read(value, "\"end\"", &END_KEYS, problems)?;
    let form = object.exactly_one(&ENDS, "a way to end", problems);
    let duration = form.is_some_and(|form| form.key == "duration");
    if let Some(limit) = object.member("limit").filter(|_| duration) {
        problems.add(limit.at, "\"limit\" does not go with \"duration\", which is a limit itself");
    }
    let limit = match object.get("limit") {
        Some(value) => fields::time_above_zero(value, "\"limit\"", problems),
        None if form.is_some() && !duration => {
            problems.add(object.at, "\"end\" needs the key \"limit\": how long the test may take before it fails");
            None
        }
        None => None,
    };
    let form = form?;
    match form.key.as_str() {
        "duration" => fields::time_above_zero(&form.value, "\"duration\"", problems).map(End::Duration),
        "trigger" => {
            let (trigger, _) = fields::known_name(&form.value, "trigger", triggers, problems)?;
            Some(End::Trigger { trigger: trigger.to_owned(), limit: limit? })
        }
        _ => {
            fields::only_true(form, problems)?;
            Some(End::Idle { limit: limit? })
        }
    }
}

/// Sets the limit of a test that was not read yet. Adds a problem if it cannot have one.
pub fn set_limit(root: &mut Value, limit: Duration, problems: &mut Problems<'_>) {
    let ValueKind::Object(keys) = &mut root.kind else { return };
    let end = keys.iter_mut().find(|member| member.key == "end");
    // Without an end, or with another kind of value, the test has a problem of its own.
    let Some(KeyValue { at, value: Value { span, kind: ValueKind::Object(end) }, .. }) = end else { return };
    if end.iter().any(|member| member.key == "duration") {
        return problems
            .add(*at, "--limit: this test ends after its \"duration\" and has no limit: leave the option out");
    }
    let seconds = limit.as_secs_f64();
    let number = if limit.subsec_nanos() == 0 { Some(limit.as_secs().into()) } else { Number::from_f64(seconds) };
    let kind = number.map_or(ValueKind::Null, ValueKind::Number);
    end.retain(|member| member.key != "limit");
    end.push(KeyValue { at: *at, key: "limit".to_owned(), value: Value { span: span.clone(), kind } });
}

/// Reads `"triggers"`: their initial values, by name.
pub fn triggers(members: &[KeyValue], problems: &mut Problems<'_>) -> BTreeMap<String, u64> {
    if let Some(first) = members.get(TRIGGERS_MAX) {
        problems.add(first.at, format!("a test has at most {TRIGGERS_MAX} triggers"));
    }
    let mut triggers = BTreeMap::new();
    for member in members.iter().take(TRIGGERS_MAX) {
        fields::check_name(&member.key, member.at, "a trigger", problems);
        let what = format!("the initial value of trigger {:?}", member.key);
        let value = fields::integer(&member.value, &what, 1..=TRIGGER_MAX, problems);
        triggers.insert(member.key.clone(), value.unwrap_or(1));
    }
    triggers
}

/// Reads `"resources"`: the path of each file and what is shipped, by name.
pub fn resources<E: Display>(
    members: &[KeyValue],
    ship: &mut Ship<'_, E>,
    problems: &mut Problems<'_>,
) -> BTreeMap<String, (PathBuf, Resource)> {
    if let Some(first) = members.get(RESOURCES_MAX) {
        problems.add(first.at, format!("a test has at most {RESOURCES_MAX} resources"));
        return BTreeMap::new();
    }
    let mut resources = BTreeMap::new();
    for member in members {
        fields::check_name(&member.key, member.at, "a resource", problems);
        if let Some(resource) = resource(member, ship, problems) {
            resources.insert(member.key.clone(), resource);
        }
    }
    resources
}

fn resource<E: Display>(
    member: &KeyValue,
    ship: &mut Ship<'_, E>,
    problems: &mut Problems<'_>,
) -> Option<(PathBuf, Resource)> {
    let object = Object::read(&member.value, "a resource", &RESOURCE_KEYS, problems)?;
    shipped(&member.key, object.require("file", problems)?, ship, problems)
}

/// Describes the file at the path `value`, which is shipped as the resource `name`.
pub fn shipped<E: Display>(
    name: &str,
    value: &Value,
    ship: &mut Ship<'_, E>,
    problems: &mut Problems<'_>,
) -> Option<(PathBuf, Resource)> {
    let written = fields::string(value, "\"file\"", problems)?;
    let file = Path::new(written).file_name().and_then(|name| name.to_str());
    let Some(file) = file.filter(|name| !written.ends_with('/') && !name.contains('\0')) else {
        problems.add(value.span.start, format!("{written:?} is not the path of a file"));
        return None;
    };
    if !is_file_name(file) {
        let rule = format!(
            "its name must have at most {COMPONENT_MAX} bytes and no control characters on a slave: rename the file"
        );
        problems.add(value.span.start, format!("the resource {name:?} cannot be shipped: {written:?}: {rule}"));
        return None;
    }
    match ship(written) {
        Ok(shipped) => {
            let (name, file) = (name.to_owned(), file.to_owned());
            let (size, sha256, executable) = (shipped.size, shipped.sha256, shipped.executable);
            Some((shipped.path, Resource { name, file, size, sha256, executable }))
        }
        Err(why) => {
            problems.add(value.span.start, format!("the resource {name:?} cannot be shipped: {written}: {why}"));
            None
        }
    }
}
