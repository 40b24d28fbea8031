//! What entries take from `defaults`, and schedules from the schedules that they extend.
//!
//! Both are replaced by what they stand for before the test is read, so controllers and slaves never see them. This file
//! owns the rules of what replaces what, and bounds what the result may be longer.

use std::collections::BTreeMap;

use super::bounds::{FILE_MAX, SCHEDULES_MAX};
use super::commands;
use super::fields::{self, Object};
use super::json::{KeyValue, VALUES_MAX, Value, ValueKind};
use super::problem::Problems;
use crate::graph;

/// The keys of `"defaults"`: options of commands.
pub const DEFAULTS_KEYS: [&str; 5] = ["timeout", "env", "cwd", "expect", "interpreter"];

/// The keys of a schedule that is not only a list of entries.
pub const SCHEDULE_KEYS: [&str; 3] = ["extends", "defaults", "entries"];

/// The defaults that a service does not take: it ends with the run, in whatever way.
const NOT_OF_SERVICES: [&str; 2] = ["timeout", "expect"];

/// Replaces the defaults of a test, and of its schedules, and what schedules extend. Returns whether there was any.
pub fn resolve(root: &mut Value, problems: &mut Problems<'_>) -> bool {
    let ValueKind::Object(keys) = &mut root.kind else { return false };
    let defaults = keys.iter().position(|member| member.key == "defaults").map(|place| keys.remove(place).value);
    let Some(schedules) = keys.iter_mut().find(|member| member.key == "schedules") else { return defaults.is_some() };
    let ValueKind::Object(schedules) = &mut schedules.value.kind else { return defaults.is_some() };
    if defaults.is_none() && schedules.iter().all(|it| !matches!(it.value.kind, ValueKind::Object(_))) {
        return false;
    }
    let mut copies = Copies { values: VALUES_MAX, bytes: FILE_MAX };
    let defaults = defaults.as_ref().and_then(|value| self::defaults(value, problems));
    let mut extended: Vec<(Vec<usize>, usize)> = Vec::with_capacity(schedules.len());
    let names: BTreeMap<String, usize> =
        schedules.iter().enumerate().rev().map(|(place, member)| (member.key.clone(), place)).collect();
    for KeyValue { at, value, .. } in schedules.iter_mut().take(SCHEDULES_MAX) {
        let (extends, own) = take_entries(value, &names, problems);
        for entry in entries(value) {
            for defaults in own.iter().chain(&defaults) {
                copies.give(entry, defaults);
            }
        }
        extended.push((extends, *at));
    }
    extend(schedules, &extended, &mut copies, problems);
    if copies.values == 0 || copies.bytes == 0 {
        let message =
            format!("\"defaults\" and \"extends\" stand for at most {VALUES_MAX} values and {FILE_MAX} bytes");
        problems.add(root.span.start, message);
    }
    true
}

/// Makes a schedule the list of its entries. Returns the schedules that it extends, and its defaults.
fn take_entries(
    value: &mut Value,
    names: &BTreeMap<String, usize>,
    problems: &mut Problems<'_>,
) -> (Vec<usize>, Option<Vec<KeyValue>>) {
    let ValueKind::Object(_) = value.kind else { return (Vec::new(), None) };
    let Some(object) = Object::read(value, "a schedule", &SCHEDULE_KEYS, problems) else { return (Vec::new(), None) };
    let extends = object.get("extends").map_or_else(Vec::new, |value| extends(value, names, problems));
    let own = object.get("defaults").and_then(|value| defaults(value, problems));
    let entries = object.get("entries").cloned();
    let (span, none) = (value.span.clone(), ValueKind::List(Vec::new()));
    *value = entries.unwrap_or(Value { span, kind: none });
    (extends, own)
}

/// Reads `"extends"`: the name of a schedule, or a list of names.
fn extends(value: &Value, names: &BTreeMap<String, usize>, problems: &mut Problems<'_>) -> Vec<usize> {
    let items = if let ValueKind::List(items) = &value.kind { &items[..] } else { std::slice::from_ref(value) };
    let mut found = Vec::new();
    for item in items {
        let Some(name) = fields::string(item, "\"extends\"", problems) else { continue };
        match names.get(name) {
            Some(place) => found.push(*place),
            None => {
                let hint = problems.hint(name, names.keys().map(String::as_str));
                problems.add(item.span.start, format!("unknown schedule {name:?}{hint}"));
            }
        }
    }
    found
}

/// Reads `"defaults"`.
fn defaults(value: &Value, problems: &mut Problems<'_>) -> Option<Vec<KeyValue>> {
    Object::read(value, "\"defaults\"", &DEFAULTS_KEYS, problems)?;
    if let ValueKind::Object(members) = &value.kind { Some(members.clone()) } else { None }
}

/// Gives each schedule the entries of those that it extends, in their order, before its own. An own entry replaces one of
/// the same name at its place.
fn extend(
    schedules: &mut [KeyValue],
    extended: &[(Vec<usize>, usize)],
    copies: &mut Copies,
    problems: &mut Problems<'_>,
) {
    let befores: Vec<Vec<usize>> = extended.iter().map(|(befores, _)| befores.clone()).collect();
    let order = match graph::order(&befores) {
        Ok(order) => order,
        Err(cycle) => {
            let names = cycle.iter().chain(cycle.first()).map(|place| format!("{:?}", schedules[*place].key));
            let names: Vec<String> = names.collect();
            problems.add(extended[cycle[0]].1, format!("these schedules extend each other: {}", names.join(", ")));
            return;
        }
    };
    for place in order.into_iter().filter(|place| !befores[*place].is_empty()) {
        let mut all: Vec<Value> = Vec::new();
        for before in &befores[place] {
            let ValueKind::List(items) = &schedules[*before].value.kind else { continue };
            all.extend(items.iter().map_while(|item| copies.copy(item)));
        }
        let ValueKind::List(own) = &mut schedules[place].value.kind else { continue };
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (place, name) in all.iter().enumerate().filter_map(|(place, entry)| Some((place, name_of(entry)?))) {
            places.entry(name.to_owned()).or_insert(place);
        }
        for entry in own.drain(..) {
            match name_of(&entry).and_then(|name| places.remove(name)) {
                Some(place) => all[place] = entry,
                None => all.push(entry),
            }
        }
        *own = all;
    }
}

fn entries(schedule: &mut Value) -> &mut [Value] {
    if let ValueKind::List(entries) = &mut schedule.kind { entries } else { &mut [] }
}

fn name_of(entry: &Value) -> Option<&str> {
    let ValueKind::Object(members) = &entry.kind else { return None };
    match &members.iter().find(|member| member.key == "name")?.value.kind {
        ValueKind::String(name) => Some(name),
        _ => None,
    }
}

/// Copies values, within a bound.
struct Copies {
    values: usize,
    bytes: usize,
}

impl Copies {
    /// Gives an entry that is a command the defaults that it does not have itself.
    fn give(&mut self, entry: &mut Value, defaults: &[KeyValue]) {
        let ValueKind::Object(members) = &mut entry.kind else { return };
        let has = |members: &[KeyValue], keys: &[&str]| members.iter().any(|it| keys.contains(&it.key.as_str()));
        let is_interpreted = has(members, &["shell", "script"]);
        if !has(members, &commands::KEYS) {
            return;
        }
        for default in defaults {
            let key = default.key.as_str();
            let of_service = NOT_OF_SERVICES.contains(&key) && has(members, &["service"]);
            if of_service || key == "interpreter" && !is_interpreted {
                continue;
            }
            match members.iter_mut().find(|member| member.key == key) {
                None => members.extend(self.copy(&default.value).map(|value| KeyValue { value, ..default.clone() })),
                // Both are objects, unless one of them has a problem.
                Some(own) if key == "env" => {
                    if let (ValueKind::Object(own), ValueKind::Object(all)) = (&mut own.value.kind, &default.value.kind)
                    {
                        let new: Vec<&KeyValue> = all.iter().filter(|it| !has(own, &[it.key.as_str()])).collect();
                        own.extend(new.into_iter().filter(|it| self.copy(&it.value).is_some()).cloned());
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Returns a copy, unless all copies together are too long.
    fn copy(&mut self, value: &Value) -> Option<Value> {
        let mut todo = vec![value];
        while let Some(value) = todo.pop() {
            self.values = self.values.saturating_sub(1);
            match &value.kind {
                ValueKind::String(text) => self.bytes = self.bytes.saturating_sub(text.len()),
                ValueKind::List(items) => todo.extend(items),
                ValueKind::Object(members) => {
                    for member in members {
                        self.bytes = self.bytes.saturating_sub(member.key.len());
                        todo.push(&member.value);
                    }
                }
                ValueKind::Null | ValueKind::Bool(_) | ValueKind::Number(_) => {}
            }
        }
        (self.values > 0 && self.bytes > 0).then(|| value.clone())
    }
}
