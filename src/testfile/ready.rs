//! The key `ready` of a command: the check that shows that it is ready, and the trigger that is notified then.

use std::time::Duration;

use super::bounds::{CHECK_EVERY, READY_WITHIN};
use super::context::{Context, Used, declared_trigger, template};
use super::fields::{self, Object, transposed};
use super::json::{KeyValue, Value};
use super::problem::Problems;
use crate::wire::readiness::{Readiness, ReadyCheck};

/// The keys of the checks, of which `"ready"` has exactly one.
pub const CHECKS: [&str; 4] = ["port", "log", "shell", "notify"];

/// The keys of `"ready"`.
pub const READY_KEYS: [&str; 8] = ["port", "log", "shell", "notify", "host", "every", "within", "trigger"];

/// The keys that go only with one check.
const OPTIONS: [(&str, &str); 2] = [("host", "port"), ("every", "shell")];

/// The ports on which a command can listen.
const PORTS: std::ops::RangeInclusive<u64> = 1..=65_535;

/// Reads the value of `"ready"`. `used` are the resources that the entry may use, `None` if they are not known.
pub fn read(value: &Value, used: Option<&Used>, context: &mut Context<'_, '_>) -> Option<Readiness> {
    let object = Object::read(value, "\"ready\"", &READY_KEYS, context.problems)?;
    let check = object.exactly_one(&CHECKS, "a check", context.problems);
    for (key, owner) in OPTIONS {
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
    member: &KeyValue,
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
        "log" => context.names.patterns.read(&member.value, context.problems).map(ReadyCheck::Log),
        "shell" => {
            let every = time_or(object.get("every"), "\"every\"", CHECK_EVERY, context.problems);
            let command = template(&member.value, "\"shell\"", used, context);
            Some(ReadyCheck::Shell { command: command?, every: every? })
        }
        _ => fields::only_true(member, context.problems).map(|()| ReadyCheck::Notify),
    }
}

/// Reads a time, in microseconds.
fn time_or(value: Option<&Value>, noun: &str, default: Duration, problems: &mut Problems<'_>) -> Option<u64> {
    let time = value.map_or(Some(default), |value| fields::time_above_zero(value, noun, problems));
    time.map(|time| time.as_micros() as u64)
}
