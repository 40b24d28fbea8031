//! The params of a test: values that whoever runs it may choose.
//!
//! A param is replaced wherever `@{param.NAME}` is written, in values and in keys, before the test is read. Controllers and
//! slaves get the values only. This file owns how params are declared, given and replaced, and bounds what they make
//! longer.

use std::collections::BTreeMap;

use super::bounds::FILE_MAX;
use super::fields::{self, Object};
use super::json::{KeyValue, Value, ValueKind};
use super::problem::Problems;
use super::suggest;
use super::yaml;

/// The most params of a test.
pub const PARAMS_MAX: usize = 100;

/// The most bytes of the names and values of all params together.
pub const PARAMS_BYTES_MAX: usize = 64 * 1024;

/// The keys of a param that is described by an object.
pub const PARAM_KEYS: [&str; 2] = ["default", "help"];

/// The beginning of a param in a text, and that of a text that is no variable.
const OPEN: &str = "@{param.";
const LITERAL: &str = "@@{";

/// Values for params, by name, as they are typed.
pub type Given = BTreeMap<String, String>;

/// The params of a test with their values.
pub type Params = BTreeMap<String, String>;

/// Replaces the params in a test, and their declarations by their values. Returns whether the test declares any. Problems
/// are wrong declarations, values that are missing or not declared, and unknown names in texts.
pub fn resolve(root: &mut Value, given: &Given, problems: &mut Problems<'_>) -> bool {
    let ValueKind::Object(keys) = &mut root.kind else { return false };
    let place = keys.iter().position(|member| member.key == "params");
    let values = match place {
        Some(place) => declared(&keys[place].value, given, problems),
        None => BTreeMap::new(),
    };
    for name in given.keys().filter(|name| !values.contains_key(*name)) {
        let known = suggest::hint(name, values.keys().map(String::as_str));
        let at = place.map_or(0, |place| keys[place].at);
        problems.add(at, format!("the test has no param {:?}{known}", suggest::shown(name)));
    }
    let Some(place) = place.filter(|_| problems.is_empty()) else { return place.is_some() };
    let mut replace = Replace { values: &values, left: FILE_MAX };
    for member in keys.iter_mut().enumerate().filter(|(nr, _)| *nr != place).map(|(_, member)| member) {
        replace.value(&mut member.value, problems);
    }
    let KeyValue { at, value, .. } = &mut keys[place];
    let span = value.span.clone();
    let resolved = |(key, kind)| KeyValue { at: *at, key, value: Value { span: span.clone(), kind } };
    value.kind = ValueKind::Object(values.into_iter().map(resolved).collect());
    true
}

/// Reads the declarations, and returns the value of each param.
fn declared(value: &Value, given: &Given, problems: &mut Problems<'_>) -> BTreeMap<String, ValueKind> {
    let mut values = BTreeMap::new();
    for member in fields::members(value, "\"params\"", problems).unwrap_or_default().iter().take(PARAMS_MAX + 1) {
        let KeyValue { at, key, value } = member;
        if !fields::check_name(key, *at, "a param", problems) {
            continue;
        }
        let (mut default, mut help) = (Some(value), "");
        if let ValueKind::Object(_) = value.kind {
            let Some(object) = Object::read(value, "a param", &PARAM_KEYS, problems) else { continue };
            default = object.get("default");
            help = object.get("help").and_then(|help| fields::string(help, "\"help\"", problems)).unwrap_or("");
        }
        let default = default.filter(|default| default.kind != ValueKind::Null);
        if let Some(wrong) = default.filter(|default| !is_scalar(&default.kind)) {
            fields::mismatch::<()>(wrong, "a param is a string, a number or true or false", problems);
            continue;
        }
        let chosen = match (given.get(key), default) {
            (Some(given), default) => chosen(key, given, default.map(|default| &default.kind)),
            (None, Some(default)) => Ok(default.kind.clone()),
            (None, None) => {
                let help = if help.is_empty() { String::new() } else { format!(" ({help})") };
                Err(format!("the param {key:?}{help} has no default: give it with -p {key}=VALUE"))
            }
        };
        match chosen {
            Ok(chosen) => drop(values.insert(key.clone(), chosen)),
            // Its name is known, so a text that uses it is no problem of its own.
            Err(message) => {
                problems.add(*at, message);
                values.insert(key.clone(), ValueKind::Null);
            }
        }
    }
    let bytes: usize = values.iter().map(|(name, kind)| name.len() + text_of(kind).len()).sum();
    if values.len() > PARAMS_MAX || bytes > PARAMS_BYTES_MAX {
        let message = format!("a test has at most {PARAMS_MAX} params, and {PARAMS_BYTES_MAX} bytes of their values");
        problems.add(value.span.start, message);
    }
    values
}

/// Returns the value given for a param as the kind that its default has, or as what it means in YAML.
fn chosen(name: &str, given: &str, default: Option<&ValueKind>) -> Result<ValueKind, String> {
    let plain = yaml::plain(given);
    match (default, plain) {
        (Some(ValueKind::String(_)), _) => Ok(ValueKind::String(given.to_owned())),
        (Some(ValueKind::Number(_)), Ok(ValueKind::Number(number))) => Ok(ValueKind::Number(number)),
        (Some(ValueKind::Bool(_)), Ok(ValueKind::Bool(bool))) => Ok(ValueKind::Bool(bool)),
        (None, Ok(kind)) if kind != ValueKind::Null => Ok(kind),
        (None, _) => Ok(ValueKind::String(given.to_owned())),
        (Some(ValueKind::Bool(_)), _) => Err(format!("the param {name:?} is true or false, and {given:?} was given")),
        (Some(default), _) => Err(format!("the param {name:?} is {}, and {given:?} was given", default.noun())),
    }
}

/// Reads the params of a test whose params are resolved.
pub fn read(value: &Value, problems: &mut Problems<'_>) -> Params {
    let mut params = Params::new();
    for KeyValue { at, key, value } in fields::members(value, "\"params\"", problems).unwrap_or_default() {
        if !fields::check_name(key, *at, "a param", problems) || problems.is_full() {
            continue;
        }
        if !is_scalar(&value.kind) {
            fields::mismatch::<()>(value, "a param is a string, a number or true or false", problems);
        }
        params.insert(key.clone(), text_of(&value.kind));
    }
    let bytes: usize = params.iter().map(|(name, value)| name.len() + value.len()).sum();
    if params.len() > PARAMS_MAX || bytes > PARAMS_BYTES_MAX {
        problems.add(value.span.start, format!("a test has at most {PARAMS_MAX} params of {PARAMS_BYTES_MAX} bytes"));
    }
    params
}

/// Returns whether a param can have this value.
pub fn is_scalar(kind: &ValueKind) -> bool {
    matches!(kind, ValueKind::String(_) | ValueKind::Number(_) | ValueKind::Bool(_))
}

/// Returns a value as it stands in a longer text.
pub fn text_of(kind: &ValueKind) -> String {
    match kind {
        ValueKind::String(text) => text.clone(),
        ValueKind::Number(number) => number.to_string(),
        ValueKind::Bool(bool) => bool.to_string(),
        ValueKind::Null | ValueKind::List(_) | ValueKind::Object(_) => String::new(),
    }
}

/// Replaces params.
struct Replace<'a> {
    values: &'a BTreeMap<String, ValueKind>,
    /// The bytes that values may still add.
    left: usize,
}

impl Replace<'_> {
    fn value(&mut self, value: &mut Value, problems: &mut Problems<'_>) {
        let start = value.span.start;
        match &mut value.kind {
            ValueKind::String(text) => {
                if let Some(kind) = text.strip_prefix(OPEN).and_then(|rest| self.values.get(rest.strip_suffix('}')?)) {
                    value.kind = kind.clone();
                } else {
                    self.text(text, start, problems);
                }
            }
            ValueKind::List(items) => items.iter_mut().for_each(|item| self.value(item, problems)),
            ValueKind::Object(keys) => {
                for KeyValue { at, key, value } in keys {
                    self.text(key, *at, problems);
                    self.value(value, problems);
                }
            }
            ValueKind::Null | ValueKind::Bool(_) | ValueKind::Number(_) => {}
        }
    }

    /// Replaces the params in a text, which begins at the byte `at` of the file.
    fn text(&mut self, text: &mut String, at: usize, problems: &mut Problems<'_>) {
        if !text.contains(OPEN) {
            return;
        }
        let (mut made, mut rest) = (String::with_capacity(text.len()), text.as_str());
        while let Some(open) = rest.find("@{").filter(|_| !problems.is_full()) {
            let (before, from) = rest.split_at(open);
            made += before;
            let name = from.strip_prefix(OPEN).and_then(|name| Some(&name[..name.find('}')?]));
            let (Some(name), false) = (name, before.ends_with('@')) else {
                made += "@{";
                rest = &from["@{".len()..];
                continue;
            };
            match self.values.get(name) {
                Some(kind) => {
                    let value = text_of(kind);
                    self.left = self.left.saturating_sub(value.len());
                    // A value is no template.
                    made += &value.replace("@{", LITERAL);
                }
                None => {
                    let hint = problems.hint(name, self.values.keys().map(String::as_str));
                    problems.add(at, format!("the test declares no param {:?}{hint}", suggest::shown(name)));
                }
            }
            rest = &from[OPEN.len() + name.len() + 1..];
            if self.left == 0 {
                problems.add(at, format!("the params of this test stand for more than {FILE_MAX} bytes"));
                return;
            }
        }
        made += rest;
        *text = made;
    }
}
