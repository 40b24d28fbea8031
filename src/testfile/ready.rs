//! The key `ready` of a command: how it is known that it is ready, and what follows from that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::entry::{Context, Used, declared_trigger, template, transposed};
use super::fields::{self, Object};
use super::json::{Member, Value};
use super::problem::Problems;
use crate::wire::readiness::{Readiness, ReadyCheck, line_pattern};

/// The checks, of which there is exactly one.
pub const CHECKS: [&str; 4] = ["port", "log", "shell", "notify"];

/// The keys of `"ready"`.
pub const READY_KEYS: [&str; 8] = ["port", "log", "shell", "notify", "host", "every", "within", "trigger"];

/// The keys that belong to one check.
const BESIDE: [(&str, &str); 2] = [("host", "port"), ("every", "shell")];

/// How long a command may take to become ready if the test does not say it.
pub const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long after its exit a command that checks is tried again if the test does not say it.
pub const CHECK_EVERY: Duration = Duration::from_millis(200);

/// The longest regular expression, in bytes.
pub const PATTERN_MAX: usize = 1_000;

/// How many different regular expressions a test has at most.
pub const PATTERNS_MAX: usize = 10;

/// The ports that a command can listen at.
const PORTS: std::ops::RangeInclusive<u64> = 1..=65_535;

/// Reads the value of `"ready"`. `used` are the resources that the entry may use, `None` if that is not known.
pub fn read(value: &Value, used: Option<&Used>, context: &mut Context<'_, '_>) -> Option<Readiness> {
    let object = Object::read(value, "\"ready\"", &READY_KEYS, context.problems)?;
    let check = object.exactly_one(&CHECKS, "a check", context.problems);
    for (key, owner) in BESIDE {
        if let Some(member) = object.member(key).filter(|_| check.is_some_and(|check| check.key != owner)) {
            context.problems.add(member.at, format!("{key:?} goes only with {owner:?}"));
        }
    }
    let within = time_or(object.get("within"), "\"within\"", READY_WITHIN, context.problems);
    let trigger = transposed(object.get("trigger").map(|value| declared_trigger(value, context)));
    let check = self::check(check?, &object, used, context);
    Some(Readiness { check: check?, within: within?, trigger: trigger? })
}

fn check(
    member: &Member,
    object: &Object<'_>,
    used: Option<&Used>,
    context: &mut Context<'_, '_>,
) -> Option<ReadyCheck> {
    match member.key.as_str() {
        "port" => {
            let host = transposed(object.get("host").map(|value| template(value, "\"host\"", used, context)));
            let port = fields::integer(&member.value, "\"port\"", PORTS, context.problems)?;
            Some(ReadyCheck::Port { port: port as u16, host: host? })
        }
        "log" => pattern(&member.value, &context.names.patterns, context.problems).map(ReadyCheck::Log),
        "shell" => {
            let every = time_or(object.get("every"), "\"every\"", CHECK_EVERY, context.problems);
            let command = template(&member.value, "\"shell\"", used, context);
            Some(ReadyCheck::Shell { command: command?, every: every? })
        }
        _ => fields::only_true(member, context.problems).map(|()| ReadyCheck::Notify),
    }
}

/// A time in microseconds.
fn time_or(value: Option<&Value>, what: &str, default: Duration, problems: &mut Problems<'_>) -> Option<u64> {
    let time = value.map_or(Some(default), |value| fields::time_above_zero(value, what, problems));
    time.map(|time| time.as_micros() as u64)
}

/// The regular expressions of a test, each read once: making sure that one is not too complex takes as long as all else
/// in a hundred entries.
#[derive(Default)]
pub struct Patterns {
    read: RefCell<BTreeMap<String, Result<(), Wrong>>>,
}

/// What is wrong with a regular expression, and at which byte of it if at one.
type Wrong = (String, Option<usize>);

impl Patterns {
    fn check(&self, text: &str) -> Result<(), Wrong> {
        let mut read = self.read.borrow_mut();
        if let Some(known) = read.get(text) {
            return known.clone();
        }
        if read.len() == PATTERNS_MAX {
            return Err((format!("a test has at most {PATTERNS_MAX} different ones"), None));
        }
        let checked = line_pattern(text).map(|_| ());
        read.insert(text.to_owned(), checked.clone());
        checked
    }
}

fn pattern(value: &Value, patterns: &Patterns, problems: &mut Problems<'_>) -> Option<String> {
    let text = fields::string(value, "\"log\"", problems)?;
    let (why, at) = if text.is_empty() {
        ("it is empty".to_owned(), None)
    } else if text.len() > PATTERN_MAX {
        (format!("it is {} bytes long, at most {PATTERN_MAX} are allowed", text.len()), None)
    } else {
        match patterns.check(text) {
            Ok(()) => return Some(text.to_owned()),
            Err(wrong) => wrong,
        }
    };
    let at = at.map_or(value.span.start, |at| problems.inside(&value.span).place(at));
    problems.add(at, format!("\"log\" is not a valid regular expression: {why}"));
    None
}
