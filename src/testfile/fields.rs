//! Reading typed values out of the tree, each with a problem when it is something else.

use std::collections::BTreeMap;
use std::time::Duration;

use super::json::{KeyValue, Value, ValueKind};
use super::problem::Problems;
use super::{suggest, time};
use crate::machine::{Exit, Signal};
use crate::session;

/// An object whose keys are known.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    /// Where it stands.
    pub at: usize,
    /// What it is, for messages: `the test`, `an entry`.
    what: &'static str,
    members: &'a [KeyValue],
}

impl<'a> Object<'a> {
    /// Reads an object; keys that are not `allowed`, or that stand there twice, are problems.
    pub fn read(
        value: &'a Value,
        what: &'static str,
        allowed: &[&str],
        problems: &mut Problems<'_>,
    ) -> Option<Object<'a>> {
        let members = members(value, what, problems)?;
        for member in members.iter().filter(|member| !allowed.contains(&member.key.as_str())) {
            if problems.is_full() {
                problems.add(member.at, "");
                break;
            }
            let hint = problems.hint(&member.key, allowed.iter().copied());
            problems.add(member.at, format!("unknown key {:?}{hint}", member.key));
        }
        Some(Object { at: value.span.start, what, members })
    }

    pub fn member(&self, key: &str) -> Option<&'a KeyValue> {
        self.members.iter().find(|member| member.key == key)
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.member(key).map(|member| &member.value)
    }

    /// The value of a key that must be there.
    pub fn require(&self, key: &str, problems: &mut Problems<'_>) -> Option<&'a Value> {
        let value = self.get(key);
        if value.is_none() {
            problems.add(self.at, format!("{} needs the key {key:?}", self.what));
        }
        value
    }

    /// The one key of `keys` that the object has; none, or several, is a problem.
    pub fn exactly_one(&self, keys: &[&str], kind: &str, problems: &mut Problems<'_>) -> Option<&'a KeyValue> {
        let mut there = self.members.iter().filter(|member| keys.contains(&member.key.as_str()));
        let Some(first) = there.next() else {
            let keys = suggest::list(keys, "or");
            problems.add(self.at, format!("{} needs {kind}: one of {keys}", self.what));
            return None;
        };
        let mut only = true;
        for second in there.filter(|member| member.key != first.key) {
            only = false;
            let (first, second_key) = (&first.key, &second.key);
            problems.add(second.at, format!("{} has exactly one of {first:?} and {second_key:?}", self.what));
        }
        only.then_some(first)
    }
}

/// The members of an object whose keys are names that the test gives; a key twice is a problem.
pub fn members<'a>(value: &'a Value, what: &str, problems: &mut Problems<'_>) -> Option<&'a [KeyValue]> {
    let ValueKind::Object(members) = &value.kind else {
        return wrong(value, &format!("{what} is an object"), problems);
    };
    let mut seen = std::collections::BTreeSet::new();
    for member in members.iter().filter(|member| !seen.insert(member.key.as_str())) {
        problems.add(member.at, format!("the key {:?} stands here twice", member.key));
    }
    Some(members)
}

/// Says what is here instead of what is expected.
pub fn wrong<T>(value: &Value, expected: &str, problems: &mut Problems<'_>) -> Option<T> {
    problems.add(value.span.start, format!("{expected}, found {}", value.kind.noun()));
    None
}

pub fn list<'a>(value: &'a Value, what: &str, problems: &mut Problems<'_>) -> Option<&'a [Value]> {
    match &value.kind {
        ValueKind::List(items) => Some(items),
        _ => wrong(value, &format!("{what} is a list"), problems),
    }
}

pub fn string<'a>(value: &'a Value, what: &str, problems: &mut Problems<'_>) -> Option<&'a str> {
    match &value.kind {
        ValueKind::String(string) => Some(string),
        _ => wrong(value, &format!("{what} is a string"), problems),
    }
}

/// The key's value must be `true`, because the key itself says all.
pub fn only_true(member: &KeyValue, problems: &mut Problems<'_>) -> Option<()> {
    match member.value.kind {
        ValueKind::Bool(true) => Some(()),
        _ => wrong(&member.value, &format!("{:?} is true or is left out", member.key), problems),
    }
}

/// A whole number in a range.
pub fn integer(
    value: &Value,
    what: &str,
    range: std::ops::RangeInclusive<u64>,
    problems: &mut Problems<'_>,
) -> Option<u64> {
    let (first, last) = (range.start(), range.end());
    let expected = format!("{what} is a whole number from {first} to {last}");
    let ValueKind::Number(number) = &value.kind else { return wrong(value, &expected, problems) };
    let whole = number.as_u64().filter(|whole| range.contains(whole));
    if whole.is_none() {
        problems.add(value.span.start, format!("{expected}, found {number}"));
    }
    whole
}

/// A time.
pub fn time(value: &Value, what: &str, problems: &mut Problems<'_>) -> Option<Duration> {
    let time = match &value.kind {
        ValueKind::Number(number) => time::from_seconds(number.as_f64().unwrap_or(f64::INFINITY)),
        ValueKind::String(text) => time::from_text(text),
        _ => return wrong(value, &format!("{what} is a time: seconds, or a string such as \"90s\""), problems),
    };
    time.map_err(|why| problems.add(value.span.start, format!("{what}: {why}"))).ok()
}

/// A time that is not 0.
pub fn time_above_zero(value: &Value, what: &str, problems: &mut Problems<'_>) -> Option<Duration> {
    let time = time(value, what, problems)?;
    if time.is_zero() {
        problems.add(value.span.start, format!("{what} must be longer than 0, such as \"5s\""));
        return None;
    }
    Some(time)
}

/// A signal, by its name or its number.
pub fn signal(value: &Value, what: &str, problems: &mut Problems<'_>) -> Option<Signal> {
    if let ValueKind::Number(_) = value.kind {
        return integer(value, what, 1..=64, problems).map(|number| Signal(number as i32));
    }
    signal_by_name(value, what, problems)
}

fn signal_by_name(value: &Value, what: &str, problems: &mut Problems<'_>) -> Option<Signal> {
    let name = string(value, what, problems)?;
    let signal = Signal::from_name(name);
    if signal.is_none() {
        let known: Vec<String> = Signal::named().map(Signal::name).collect();
        let hint = problems.hint(name, known.iter().map(String::as_str));
        problems.add(value.span.start, format!("no signal is called {name:?}{hint}"));
    }
    signal
}

/// How a command ended: an exit status, or the name of the signal that it died of.
pub fn exit(value: &Value, what: &str, problems: &mut Problems<'_>) -> Option<Exit> {
    match &value.kind {
        ValueKind::Number(_) => integer(value, what, 0..=255, problems).map(|code| Exit::Code(code as i32)),
        ValueKind::String(_) => signal_by_name(value, what, problems).map(Exit::Signal),
        _ => wrong(value, &format!("{what} is a number from 0 to 255 or the name of a signal"), problems),
    }
}

/// Whether `name`, which stands at `at`, can name what it names.
pub fn check_name(name: &str, at: usize, what: &str, problems: &mut Problems<'_>) -> bool {
    said(session::check_name(what, name), at, problems)
}

/// As [`check_name`], for a barrier or a sync.
pub fn check_meeting(name: &str, at: usize, what: &str, problems: &mut Problems<'_>) -> bool {
    let good = session::is_meeting(name);
    if !good {
        let shown: String = name.chars().take(session::NAME_MAX).collect();
        problems.add(at, format!("{shown:?} cannot name {what}: a {}", session::words_rule()));
    }
    good
}

/// As [`check_name`], for an entry.
pub fn check_entry_name(name: &str, at: usize, problems: &mut Problems<'_>) -> bool {
    said(session::check_entry_name(name), at, problems)
}

fn said(checked: Result<(), session::NameError>, at: usize, problems: &mut Problems<'_>) -> bool {
    checked.map_err(|why| problems.add(at, why.to_string())).is_ok()
}

/// The names that a test gives to things of one kind.
pub struct KnownNames<'a> {
    /// In the order of the file, for suggestions.
    listed: Vec<&'a str>,
    /// Where each is in the list.
    places: BTreeMap<&'a str, usize>,
}

impl<'a> KnownNames<'a> {
    pub fn new(names: impl Iterator<Item = &'a str>) -> KnownNames<'a> {
        let listed: Vec<&str> = names.collect();
        let mut places = BTreeMap::new();
        for (place, name) in listed.iter().enumerate() {
            places.entry(*name).or_insert(place);
        }
        KnownNames { listed, places }
    }

    /// Where the name is in the list.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// What is said of a name that is none of these.
    pub fn unknown(&self, what: &str, name: &str, problems: &mut Problems<'_>) -> String {
        format!("unknown {what} {name:?}{}", problems.hint(name, self.listed.iter().copied()))
    }
}

/// The name of something that exists, and where it is in the list.
pub fn known_name<'a>(
    value: &'a Value,
    what: &str,
    known: &KnownNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<(&'a str, usize)> {
    let name = string(value, what, problems)?;
    let place = known.place(name);
    if place.is_none() && !problems.is_full() {
        let message = known.unknown(what, name, problems);
        problems.add(value.span.start, message);
    }
    place.map(|place| (name, place))
}

/// Reads one of a few words, and returns its meaning.
pub fn word<T: Copy>(value: &Value, what: &str, words: &[(&str, T)], problems: &mut Problems<'_>) -> Option<T> {
    let keys: Vec<&str> = words.iter().map(|(key, _)| *key).collect();
    let expected = format!("{what} is {}", suggest::list(&keys, "or"));
    let ValueKind::String(text) = &value.kind else { return wrong(value, &expected, problems) };
    let found = words.iter().find(|(key, _)| key == text);
    if found.is_none() {
        problems.add(value.span.start, format!("{expected}, found {text:?}"));
    }
    found.map(|(_, meaning)| *meaning)
}

/// Turns a value that may be absent and may be wrong inside out: `None` if it is wrong, `Some(None)` if it is absent.
pub fn transposed<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}
