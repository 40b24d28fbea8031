//! The actions of an entry that inject faults: `"pause"`, `"partition"`, `"network"`, `"fill"`, `"clock"` and `"crash"`.
//!
//! A slave applies only its own part of a partition. Therefore every pair of slaves that a partition cuts must have a slave
//! with the entry; `uncovered` finds a pair that has none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::context::{Context, template};
use super::draft::Role;
use super::fields::{self, Object, transposed};
use super::json::{KeyValue, Value, ValueKind};
use super::problem::Problems;
use super::time;
use crate::wire::{Action, Conditions, Harm, Injection};

/// The keys that can go with a fault. A crash cannot be undone, so it has none.
pub const OPTIONS: [&str; 1] = ["for"];

/// The faults that a `kill` can undo.
pub const UNDONE: [&str; 5] = ["pause", "partition", "network", "fill", "clock"];

/// The keys of `"partition"`.
pub const PARTITION_KEYS: [&str; 2] = ["between", "one_way"];

/// The keys of `"network"`.
pub const NETWORK_KEYS: [&str; 5] = ["delay", "jitter", "loss", "rate", "to"];

/// The keys of `"fill"`.
pub const FILL_KEYS: [&str; 2] = ["path", "leave"];

/// The keys of `"clock"`.
pub const CLOCK_KEYS: [&str; 1] = ["step"];

/// The most sides of a partition.
const SIDES_MAX: usize = 100;

/// The longest delay of a network.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// The units of a rate, in bits per second.
const RATES: [(&str, u64); 4] = [("bit", 1), ("Kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)];

/// The highest rate, in bits per second.
const RATE_MAX: u64 = 1_000_000_000_000;

/// The units of a size, in bytes.
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Reads the action `"pause"`.
pub fn pause(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let lasts = lasts(object, context.problems);
    let entry = fields::string(&member.value, "\"pause\"", context.problems)?.to_owned();
    context.mention(member.value.span.start, entry.clone(), Role::Pause);
    injection(Harm::Pause { entry }, lasts)
}

/// Reads the action `"partition"`.
pub fn partition(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let lasts = lasts(object, context.problems);
    let inner = Object::read(&member.value, "\"partition\"", &PARTITION_KEYS, context.problems)?;
    let one_way = inner.member("one_way").map(|member| fields::only_true(member, context.problems));
    let between = inner.require("between", context.problems)?;
    let sides = sides(between, context);
    injection(Harm::Partition { sides: sides?, one_way: transposed(one_way)?.is_some() }, lasts)
}

/// Reads the action `"network"`.
pub fn network(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let lasts = lasts(object, context.problems);
    let inner = Object::read(&member.value, "\"network\"", &NETWORK_KEYS, context.problems)?;
    let worse = ["delay", "loss", "rate"];
    if !worse.iter().any(|key| inner.get(key).is_some()) {
        let message = "\"network\" changes nothing: add \"delay\", \"loss\" or \"rate\"";
        context.problems.add(member.value.span.start, message);
    }
    if let Some(jitter) = inner.member("jitter").filter(|_| inner.get("delay").is_none()) {
        context.problems.add(jitter.at, "\"jitter\" goes only with \"delay\"");
    }
    let delay = transposed(inner.get("delay").map(|value| delay(value, "\"delay\"", context.problems)));
    let jitter = transposed(inner.get("jitter").map(|value| delay_of_jitter(value, context.problems)));
    let loss = transposed(inner.get("loss").map(|value| loss(value, context.problems)));
    let rate = transposed(inner.get("rate").map(|value| rate(value, context.problems)));
    let to = inner.get("to").map_or(Some(Vec::new()), |value| slaves(value, "\"to\"", context));
    let conditions = Conditions { delay: delay?, jitter: jitter?, loss: loss?, rate: rate?, to: to? };
    injection(Harm::Network(conditions), lasts)
}

/// Reads the action `"fill"`.
pub fn fill(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let lasts = lasts(object, context.problems);
    let inner = Object::read(&member.value, "\"fill\"", &FILL_KEYS, context.problems)?;
    let path = inner.require("path", context.problems).and_then(|value| template(value, "\"path\"", None, context));
    let leave = inner.require("leave", context.problems).and_then(|value| size(value, "\"leave\"", context.problems));
    injection(Harm::Fill { path: path?, leave: leave? }, lasts)
}

/// Reads the action `"clock"`.
pub fn clock(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let lasts = lasts(object, context.problems);
    let inner = Object::read(&member.value, "\"clock\"", &CLOCK_KEYS, context.problems)?;
    let step = inner.require("step", context.problems).and_then(|value| step(value, context.problems));
    injection(Harm::Clock { step: step? }, lasts)
}

/// Reads the action `"crash"`.
pub fn crash(member: &KeyValue, _: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    fields::only_true(member, context.problems)?;
    injection(Harm::Crash, Some(None))
}

fn injection(what: Harm, lasts: Option<Option<u64>>) -> Option<Action> {
    Some(Action::Fault(Box::new(Injection { what, lasts: lasts? })))
}

/// Reads `"for"`, in microseconds.
fn lasts(object: &Object<'_>, problems: &mut Problems<'_>) -> Option<Option<u64>> {
    let time = object.get("for").map(|value| fields::time_above_zero(value, "\"for\"", problems));
    Some(transposed(time)?.map(|time| time.as_micros() as u64))
}

/// Reads the sides of a partition. A slave is on one side only.
fn sides(value: &Value, context: &mut Context<'_, '_>) -> Option<Vec<Vec<String>>> {
    let items = fields::list(value, "\"between\"", context.problems)?;
    if !(2..=SIDES_MAX).contains(&items.len()) {
        let message = format!(
            "\"between\" has 2 to {SIDES_MAX} sides, each a slave, a group or a list, such as [\"a\", [\"b\", \"c\"]]; found {}",
            items.len()
        );
        context.problems.add(value.span.start, message);
        return None;
    }
    let mut of: BTreeMap<String, usize> = BTreeMap::new();
    let mut sides = Vec::new();
    for (nr, item) in items.iter().enumerate() {
        let side = slaves(item, "a side of \"between\"", context)?;
        for name in &side {
            if of.insert(name.clone(), nr).is_some_and(|other| other != nr) {
                context
                    .problems
                    .add(item.span.start, format!("the slave {name:?} is on two sides: remove it from one"));
                return None;
            }
        }
        sides.push(side);
    }
    Some(sides)
}

/// Reads slaves of the test: a name, a group, or a list.
fn slaves(value: &Value, noun: &str, context: &mut Context<'_, '_>) -> Option<Vec<String>> {
    let names = context.names.meet.groups.some(value, noun, context.problems)?;
    // Whether they are slaves is checked with the other addresses that the entry names.
    names.iter().for_each(|name| context.mention(value.span.start, name.clone(), Role::Peer));
    Some(names)
}

fn delay_of_jitter(value: &Value, problems: &mut Problems<'_>) -> Option<u64> {
    delay(value, "\"jitter\"", problems)
}

fn delay(value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<u64> {
    let time = fields::time_above_zero(value, noun, problems)?;
    if time > DELAY_MAX {
        problems.add(value.span.start, format!("{noun} is at most {} s", DELAY_MAX.as_secs()));
        return None;
    }
    Some(time.as_micros() as u64)
}

/// Reads a share of packets, such as `"1%"`, in packets of a million.
fn loss(value: &Value, problems: &mut Problems<'_>) -> Option<u32> {
    const RULE: &str = "\"loss\" is a share of the packets from \"0.0001%\" to \"100%\", such as \"1%\"";
    let ValueKind::String(text) = &value.kind else { return fields::mismatch(value, RULE, problems) };
    let percent = text.strip_suffix('%').map(str::trim_end).and_then(|number| number.parse::<f64>().ok());
    let millionths = percent.map(|percent| (percent * 10_000.0).round()).filter(|it| (1.0..=1e6).contains(it));
    if millionths.is_none() {
        problems.add(value.span.start, format!("{RULE}, found {text:?}"));
    }
    millionths.map(|millionths| millionths as u32)
}

/// Reads a rate, such as `"100Mbit"`, in bits per second.
fn rate(value: &Value, problems: &mut Problems<'_>) -> Option<u64> {
    const RULE: &str =
        "\"rate\" is a number of bits per second with the unit bit, Kbit, Mbit or Gbit, such as \"100Mbit\"";
    let ValueKind::String(text) = &value.kind else { return fields::mismatch(value, RULE, problems) };
    let rate = with_unit(text, &RATES).filter(|rate| (1_000..=RATE_MAX).contains(rate));
    if rate.is_none() {
        problems.add(value.span.start, format!("{RULE}, from \"1Kbit\" to \"1000Gbit\"; found {text:?}"));
    }
    rate
}

/// Reads a size, such as `"1MiB"`, in bytes. It may be 0.
fn size(value: &Value, noun: &str, problems: &mut Problems<'_>) -> Option<u64> {
    let rule = format!("{noun} is a number of bytes, or a string such as \"64KiB\", \"1MiB\" or \"2GiB\"");
    let bytes = match &value.kind {
        ValueKind::Number(number) => number.as_u64(),
        ValueKind::String(text) => with_unit(text, &SIZES),
        _ => return fields::mismatch(value, &rule, problems),
    };
    let bytes = bytes.filter(|bytes| *bytes <= i64::MAX as u64);
    if bytes.is_none() {
        problems.add(value.span.start, rule);
    }
    bytes
}

/// Reads a whole number with one of these units.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Reads the step of a clock: a time, which `-` makes negative.
fn step(value: &Value, problems: &mut Problems<'_>) -> Option<i64> {
    let read = match &value.kind {
        ValueKind::Number(number) => {
            let seconds = number.as_f64().unwrap_or(f64::INFINITY);
            time::from_seconds(seconds.abs()).map(|time| (seconds < 0.0, time))
        }
        ValueKind::String(text) => match text.strip_prefix('-') {
            Some(back) => time::from_text(back).map(|time| (true, time)),
            None => time::from_text(text.strip_prefix('+').unwrap_or(text)).map(|time| (false, time)),
        },
        _ => return fields::mismatch(value, "\"step\" is a time such as \"1h\" or \"-90s\"", problems),
    };
    match read {
        Err(error) => problems.add(value.span.start, format!("\"step\": {error}")),
        Ok((_, time)) if time.is_zero() => {
            problems.add(value.span.start, "\"step\" is not 0: write \"1h\" or \"-90s\"")
        }
        Ok((back, time)) => {
            let micros = time.as_micros() as i64;
            return Some(if back { -micros } else { micros });
        }
    }
    None
}

/// Returns a pair of slaves that a partition cuts and of which neither has its entry. `having` are the slaves with the entry.
pub fn uncovered<'a>(harm: &'a Harm, having: &BTreeSet<&str>) -> Option<(&'a str, &'a str)> {
    let Harm::Partition { sides, one_way } = harm else { return None };
    let mut without = sides.iter().map(|side| side.iter().find(|name| !having.contains(name.as_str())));
    if *one_way {
        let first = without.next().flatten()?;
        return without.flatten().next().map(|other| (first.as_str(), other.as_str()));
    }
    let mut without = without.flatten();
    Some((without.next()?.as_str(), without.next()?.as_str()))
}
