//! Readers for typed values of a test file. Each adds a problem and returns `None` if the value is something else.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use super::json::{KeyValue, Value, ValueKind};
use super::problem::Problems;
use super::{suggest, time};
use crate::machine::{Exit, Signal};
use crate::session;

/// An object whose keys are known.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    /// The byte at which it begins.
    pub at: usize,
    /// Its name in messages: `a test`, `an entry`.
    noun: &'static str,
    members: &'a [KeyValue],
}

impl<'a> Object<'a> {
    /// Reads an object. Unknown and repeated keys are problems.
    pub fn read(
        value: &'a Value,
        noun: &'static str,
        allowed: &[&str],
        problems: &mut Problems<'_>,
    ) -> Option<Object<'a>> {
        let members = members(value, noun, problems)?;
        for member in members.iter().filter(|member| !allowed.contains(&member.key.as_str())) {
            if problems.is_full() {
                problems.add(member.at, "");
                break;
            }
            let hint = problems.hint(&member.key, allowed.iter().copied());
            problems.add(member.at, format!("unknown key {:?}{hint}", member.key));
        }
        Some(Object { at: value.span.start, noun, members })
    }

    /// Returns a key with its value.
    pub fn member(&self, key: &str) -> Option<&'a KeyValue> {
        self.members.iter().find(|member| member.key == key)
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.member(key).map(|member| &member.value)
    }

    /// Returns the value of a required key.
    pub fn require(&self, key: &str, problems: &mut Problems<'_>) -> Option<&'a Value> {
        let value = self.get(key);
        if value.is_none() {
            problems.add(self.at, format!("{} needs the key {key:?}", self.noun));
        }
        value
    }

    /// Returns the members of `keys` that the object has: exactly one, otherwise that is a problem. `kind` is what the
    /// keys are for.
    pub fn one_of(&self, keys: &[&str], kind: &str, problems: &mut Problems<'_>) -> Vec<&'a KeyValue> {
        let mut chosen: Vec<&KeyValue> = Vec::new();
        for member in self.members.iter().filter(|member| keys.contains(&member.key.as_str())) {
            // A repeated key is a problem of its own.
            if chosen.iter().any(|other| other.key == member.key) {
                continue;
            }
            if let Some(first) = chosen.first() {
                let (noun, first, second) = (self.noun, &first.key, &member.key);
                problems.add(member.at, format!("{noun} has only one of {first:?} and {second:?}: remove one of them"));
            }
            chosen.push(member);
        }
        if chosen.is_empty() {
            let keys = suggest::list(keys, "or");
            problems.add(self.at, format!("{} needs {kind}: one of {keys}", self.noun));
        }
        chosen
    }

    /// Returns the only member of `keys` that the object has, as [`one_of`](Object::one_of).
    pub fn exactly_one(&self, keys: &[&str], kind: &str, problems: &mut Problems<'_>) -> Option<&'a KeyValue> {
        match self.one_of(keys, kind, problems)[..] {
            [member] => Some(member),
            _ => None,
        }
    }
}

/// Reads an object whose keys the author may choose. A repeated key is a problem.
pub fn members<'a>(value: &'a Value, noun: &str, problems: &mut Problems<'_>) -> Option<&'a [KeyValue]> {
    let ValueKind::Object(members) = &value.kind else {
        return mismatch(value, &format!("{noun} is an object"), problems);
    };
    let mut seen = std::collections::BTreeSet::new();
    for member in members.iter().filter(|member| !seen.insert(member.key.as_str())) {
        problems.add(member.at, format!("the key {:?} appears twice", member.key));
    }
    Some(members)
}

/// Adds the problem that the value has another type than expected. Returns `None`.
pub fn mismatch<T>(value: &Value, expected: &str, problems: &mut Problems<'_>) -> Option<T> {
    problems.add(value.span.start, format!("{expected}, found {}", value.kind.noun()));
    None
}

/// Reads a list.
pub fn list<'a>(value: &'a Value, noun: &str, problems: &mut Problems<'_>) -> Option<&'a [Value]> {
    match &value.kind {
        ValueKind::List(items) => Some(items),
        _ => mismatch(value, &format!("{noun} is a list"), problems),
    }
}

/// Reads a string.
pub fn string<'a>(value: &'a Value, noun: &str, problems: &mut Problems<'_>) -> Option<&'a str> {
    match &value.kind {
        ValueKind::String(string) => Some(string),
        _ => mismatch(value, &format!("{noun} is a string"), problems),
    }
}

/// Reads a key whose only value is `true`.
pub fn only_true(member: &KeyValue, problems: &mut Problems<'_>) -> Option<()> {
    match member.value.kind {
        ValueKind::Bool(true) => Some(()),
        _ => mismatch(&member.value, &format!("{:?} is true or absent", member.key), problems),
    }
}

/// Reads a whole number in a range.
pub fn integer(
    value: &Value,
    noun: &str,
    range: std::ops::RangeInclusive<u64>,
    problems: &mut Problems<'_>,
) -> Option<u64> {
    let (first, last) = (range.start(), range.end());
    let expected = format!("{noun} is a whole number from {first} to {last}");
    let ValueKind::Number(number) = &value.kind else { return mismatch(value, &expected, problems) };
    let whole = number.as_u64().filter(|whole| range.contains(whole));
    if whole.is_none() {
        problems.add(value.span.start, format!("{expected}, found {number}"));
    }
    whole
}

/// Reads a time.
pub fn time(value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<Duration> {
    let time = match &value.kind {
        ValueKind::Number(number) => time::from_seconds(number.as_f64().unwrap_or(f64::INFINITY)),
        ValueKind::String(text) => time::from_text(text),
        _ => return mismatch(value, &format!("{noun} is a time: seconds, or a string such as \"90s\""), problems),
    };
    time.map_err(|error| problems.add(value.span.start, format!("{noun}: {error}"))).ok()
}

/// Reads a time that is longer than 0.
pub fn time_above_zero(value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<Duration> {
    let time = time(value, noun, problems)?;
    if time.is_zero() {
        problems.add(value.span.start, format!("{noun} must be longer than 0, such as \"5s\""));
        return None;
    }
    Some(time)
}

/// Reads the name or the number of a signal.
pub fn signal(value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<Signal> {
    if let ValueKind::Number(_) = value.kind {
        return integer(value, noun, 1..=64, problems).map(|number| Signal(number as i32));
    }
    signal_by_name(value, noun, problems)
}

fn signal_by_name(value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<Signal> {
    let name = string(value, noun, problems)?;
    let signal = Signal::from_name(name);
    if signal.is_none() {
        let known: Vec<String> = Signal::named().map(Signal::name).collect();
        let hint = problems.hint(name, known.iter().map(String::as_str));
        problems.add(value.span.start, format!("unknown signal {name:?}{hint}"));
    }
    signal
}

/// Reads how a command ended: an exit status, or the name of the signal that killed it.
pub fn exit(value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<Exit> {
    match &value.kind {
        ValueKind::Number(_) => integer(value, noun, 0..=255, problems).map(|code| Exit::Code(code as i32)),
        ValueKind::String(_) => signal_by_name(value, noun, problems).map(Exit::Signal),
        _ => mismatch(value, &format!("{noun} is a number from 0 to 255 or the name of a signal"), problems),
    }
}

/// Checks a name at the byte `at`. `noun` is the kind of thing that it names, such as `a trigger`.
pub fn check_name(name: &str, at: usize, noun: &str, problems: &mut Problems<'_>) -> bool {
    note(session::check_name(noun, name), at, problems)
}

/// Checks the name of a barrier or a sync, as [`check_name`].
pub fn check_meeting(name: &str, at: usize, noun: &str, problems: &mut Problems<'_>) -> bool {
    let good = session::is_meeting(name);
    if !good {
        let shown: String = name.chars().take(session::NAME_MAX).collect();
        problems.add(at, format!("{shown:?} cannot name {noun}: a {}", session::words_rule()));
    }
    good
}

/// Checks the name of an entry, as [`check_name`].
pub fn check_entry_name(name: &str, at: usize, problems: &mut Problems<'_>) -> bool {
    note(session::check_entry_name(name), at, problems)
}

/// Adds the error of a check as a problem. Returns whether there is none.
pub fn note<E: Display>(checked: Result<(), E>, at: usize, problems: &mut Problems<'_>) -> bool {
    checked.map_err(|error| problems.add(at, error.to_string())).is_ok()
}

/// The names that a test gives to things of one kind.
pub struct KnownNames<'a> {
    /// In the order of the file, for suggestions.
    listed: Vec<&'a str>,
    /// The place of each in the list.
    places: BTreeMap<&'a str, usize>,
}

impl<'a> KnownNames<'a> {
    /// Collects the names. A repeated name has its first place.
    pub fn new(names: impl Iterator<Item = &'a str>) -> KnownNames<'a> {
        let listed: Vec<&str> = names.collect();
        let mut places = BTreeMap::new();
        for (place, name) in listed.iter().enumerate() {
            places.entry(*name).or_insert(place);
        }
        KnownNames { listed, places }
    }

    /// Returns the place of a name in the list.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Returns the message about an unknown name. `noun` is the kind of thing, such as `trigger`.
    pub fn unknown(&self, noun: &str, name: &str, problems: &mut Problems<'_>) -> String {
        format!("unknown {noun} {name:?}{}", problems.hint(name, self.listed.iter().copied()))
    }
}

/// Reads a known name. Returns it with its place in the list.
pub fn known_name<'a>(
    value: &'a Value,
    noun: &str,
    known: &KnownNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<(&'a str, usize)> {
    let name = string(value, noun, problems)?;
    let place = known.place(name);
    if place.is_none() && !problems.is_full() {
        let message = known.unknown(noun, name, problems);
        problems.add(value.span.start, message);
    }
    place.map(|place| (name, place))
}

/// Reads one of a few words, and returns its meaning.
pub fn word<T: Copy>(value: &Value, noun: &str, words: &[(&str, T)], problems: &mut Problems<'_>) -> Option<T> {
    let keys: Vec<&str> = words.iter().map(|(key, _)| *key).collect();
    let expected = format!("{noun} is {}", suggest::list(&keys, "or"));
    let ValueKind::String(text) = &value.kind else { return mismatch(value, &expected, problems) };
    let found = words.iter().find(|(key, _)| key == text);
    if found.is_none() {
        problems.add(value.span.start, format!("{expected}, found {text:?}"));
    }
    found.map(|(_, meaning)| *meaning)
}

/// Turns an optional value that may have a problem inside out: `None` if it has one, `Some(None)` if it is absent.
pub fn transposed<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}
