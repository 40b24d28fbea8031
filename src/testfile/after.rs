//! The run-policy `after`: the conditions for which an entry waits.

use super::bounds::CONDITIONS_MAX;
use super::context::Context;
use super::draft::Role;
use super::fields::{self, Object, transposed};
use super::json::{KeyValue, Value, ValueKind};
use crate::wire::{After, Condition, Policy, When};

/// The keys of `"after"` as an object.
pub const AFTER_KEYS: [&str; 6] = ["entry", "exit", "ready", "all", "any", "delay"];

/// The keys of which `"after"` as an object has exactly one.
const FORMS: [&str; 3] = ["entry", "all", "any"];

/// The keys of one condition in a list.
pub const CONDITION_KEYS: [&str; 3] = ["entry", "exit", "ready"];

/// Reads `"after"`: the name of an entry, a list of conditions, or an object.
pub fn read(member: &KeyValue, context: &mut Context<'_, '_>) -> Option<Policy> {
    let value = &member.value;
    let all = |of| Some(Policy::After(After { of, any: false, delay: 0 }));
    match &value.kind {
        ValueKind::String(_) => all(vec![named(value, When::Ended, context)?]),
        ValueKind::List(_) => all(conditions(value, "\"after\"", context)?),
        ValueKind::Object(_) => object(value, context),
        _ => fields::mismatch(value, "\"after\" is the name of an entry, a list or an object", context.problems),
    }
}

fn object(value: &Value, context: &mut Context<'_, '_>) -> Option<Policy> {
    let object = Object::read(value, "\"after\"", &AFTER_KEYS, context.problems)?;
    let delay = object.get("delay").map(|value| fields::time(value, "\"delay\"", context.problems));
    let Some(form) = object.exactly_one(&FORMS, "an entry or a list of entries", context.problems) else {
        when(&object, context);
        return None;
    };
    let of = if form.key == "entry" {
        condition(&object, &form.value, context).map(|condition| vec![condition])
    } else {
        for key in ["exit", "ready"] {
            if let Some(member) = object.member(key) {
                let message = format!("{key:?} belongs to an entry of the list: {{\"entry\": NAME, {key:?}: ...}}");
                context.problems.add(member.at, message);
            }
        }
        conditions(&form.value, &format!("{:?}", form.key), context)
    };
    let delay = transposed(delay)?.map_or(0, |delay| delay.as_micros() as u64);
    Some(Policy::After(After { of: of?, any: form.key == "any", delay }))
}

/// Reads a list of conditions.
fn conditions(value: &Value, noun: &str, context: &mut Context<'_, '_>) -> Option<Vec<Condition>> {
    let items = fields::list(value, noun, context.problems)?;
    if items.is_empty() || items.len() > CONDITIONS_MAX {
        let message = format!("{noun} is a list of 1 to {CONDITIONS_MAX} entries");
        context.problems.add(value.span.start, message);
        return None;
    }
    let one = |item: &Value| match &item.kind {
        ValueKind::Object(_) => {
            let noun = "an item of \"after\"";
            let object = Object::read(item, noun, &CONDITION_KEYS, context.problems)?;
            let entry = object.require("entry", context.problems)?;
            condition(&object, entry, context)
        }
        _ => named(item, When::Ended, context),
    };
    let read: Vec<_> = items.iter().map(one).collect();
    read.into_iter().collect()
}

/// Reads the condition about the entry that `entry` names, with the keys `exit` and `ready` of `object`.
fn condition(object: &Object<'_>, entry: &Value, context: &mut Context<'_, '_>) -> Option<Condition> {
    let when = when(object, context);
    let named = named(entry, when.unwrap_or_default(), context);
    when.and(named)
}

/// Reads the keys `exit` and `ready`.
fn when(object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<When> {
    let exit = object.get("exit");
    let ready = object.member("ready");
    if let Some(ready) = ready.filter(|_| exit.is_some()) {
        let message = "\"ready\" does not go with \"exit\": an entry runs either when the other one is ready or when it \
                       has exited";
        context.problems.add(ready.at, message);
    }
    let exit = transposed(exit.map(|value| self::exit(value, context)));
    match transposed(ready.map(|member| fields::only_true(member, context.problems)))? {
        Some(()) => Some(When::Ready),
        None => exit.map(Option::unwrap_or_default),
    }
}

/// Reads the exit of a condition: a status, a signal, or `any` or `failed`.
fn exit(value: &Value, context: &mut Context<'_, '_>) -> Option<When> {
    match &value.kind {
        ValueKind::String(word) if word == "any" => Some(When::Ended),
        ValueKind::String(word) if word == "failed" => Some(When::Failed),
        ValueKind::String(_) | ValueKind::Number(_) => {
            fields::exit(value, "\"exit\"", context.problems).map(When::Exited)
        }
        _ => {
            let expected = "\"exit\" is a number from 0 to 255, the name of a signal, \"any\" or \"failed\"";
            fields::mismatch(value, expected, context.problems)
        }
    }
}

fn named(value: &Value, when: When, context: &mut Context<'_, '_>) -> Option<Condition> {
    let entry = fields::string(value, "the entry of \"after\"", context.problems)?.to_owned();
    context.mention(value.span.start, entry.clone(), Role::After(when));
    Some(Condition { entry, when })
}
