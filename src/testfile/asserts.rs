//! What a test asserts about its measurements.
//!
//! This file owns the grammar. `measure` knows bounds and units, and `controller/run/assertions.rs` decides at the end of a
//! run.

use std::collections::BTreeSet;

use super::bounds::ASSERTS_MAX;
use super::fields::{self, Object};
use super::json::{KeyValue, Value, ValueKind};
use super::members::Groups;
use super::problem::Problems;
use super::suggest;
use super::test::{Assert, AssertOf, Figure, Slave};
use crate::measure::bound::{Bound, Comparison};
use crate::measure::{VALUE_MAX, is_value};
use crate::text;

/// The keys of an assertion that is an object: what is compared, and of which slaves.
pub const ASSERT_KEYS: [&str; 8] = ["each", "min", "max", "mean", "median", "sum", "count", "of"];

/// What each of these keys compares, and how, if its value is just a number.
const FIGURES: [(&str, Figure, Comparison); 7] = [
    ("each", Figure::Each, Comparison::Equal),
    ("min", Figure::Min, Comparison::Least),
    ("max", Figure::Max, Comparison::Most),
    ("mean", Figure::Mean, Comparison::Equal),
    ("median", Figure::Median, Comparison::Equal),
    ("sum", Figure::Sum, Comparison::Equal),
    ("count", Figure::Count, Comparison::Equal),
];

/// Reads `"assert"`: the assertions in the order of the file. `slaves` is `None` if they have a problem.
pub fn read(value: &Value, groups: &Groups, slaves: Option<&[Slave]>, problems: &mut Problems<'_>) -> Vec<Assert> {
    let members = fields::members(value, "\"assert\"", problems).unwrap_or_default();
    if let Some(first) = members.get(ASSERTS_MAX) {
        problems.add(first.at, format!("a test has at most {ASSERTS_MAX} assertions"));
    }
    let names: Option<BTreeSet<&str>> = slaves.map(|slaves| slaves.iter().map(|slave| slave.name.as_str()).collect());
    let members = members.iter().take(ASSERTS_MAX);
    members.filter_map(|member| assertion(member, groups, names.as_ref(), problems)).collect()
}

fn assertion(
    member: &KeyValue,
    groups: &Groups,
    slaves: Option<&BTreeSet<&str>>,
    problems: &mut Problems<'_>,
) -> Option<Assert> {
    let (name, value) = (member.key.clone(), &member.value);
    let is_good = fields::check_name(&name, member.at, "a measurement", problems);
    let ValueKind::Object(_) = value.kind else {
        let bound = bound(value, &format!("the bound of {name:?}"), Comparison::Equal, problems)?;
        return is_good.then(|| Assert { name, of: None, bounds: vec![(Figure::Each, bound)] });
    };
    let object = Object::read(value, "an assertion", &ASSERT_KEYS, problems)?;
    let mut bounds = Vec::new();
    for (key, figure, comparison) in FIGURES {
        let Some(value) = object.get(key) else { continue };
        let bound = bound(value, &format!("{key:?}"), comparison, problems)?;
        if figure == Figure::Count && bound.unit.is_some() {
            problems.add(value.span.start, "\"count\" has no unit: it is the number of the values");
        }
        bounds.push((figure, bound));
    }
    if bounds.is_empty() {
        let keys = suggest::list(&FIGURES.map(|(key, ..)| key), "or");
        problems.add(object.at, format!("an assertion needs a bound: one of {keys}"));
    }
    let of = match object.get("of") {
        None => None,
        Some(value) => Some(of(value, groups, slaves?, problems)?),
    };
    is_good.then_some(Assert { name, of, bounds })
}

fn bound(value: &Value, noun: &str, without: Comparison, problems: &mut Problems<'_>) -> Option<Bound> {
    let at = value.span.start;
    match &value.kind {
        ValueKind::Number(number) => {
            let number = number.as_f64().filter(|number| is_value(*number));
            if number.is_none() {
                problems.add(at, format!("{noun}: the number is at most {VALUE_MAX:e}"));
            }
            Some(Bound { comparison: without, number: number?, unit: None })
        }
        ValueKind::String(text) => {
            Bound::read(text, without).map_err(|error| problems.add(at, format!("{noun}: {error}"))).ok()
        }
        _ => {
            fields::mismatch(value, &format!("{noun} is a number, or a comparison such as \">= 500 Mbit/s\""), problems)
        }
    }
}

/// Reads `"of"`: a slave, a range of slaves, `@GROUP`, the beginning of names with `*` after it, or a list of these.
fn of(value: &Value, groups: &Groups, slaves: &BTreeSet<&str>, problems: &mut Problems<'_>) -> Option<AssertOf> {
    let items = match &value.kind {
        ValueKind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    if items.is_empty() {
        problems.add(value.span.start, "\"of\" is an empty list: name at least one slave");
        return None;
    }
    let (mut named, mut texts, mut good) = (BTreeSet::new(), Vec::new(), true);
    for item in items {
        let found = match fields::string(item, "a slave in \"of\"", problems) {
            Some(text) => {
                texts.push(text);
                slaves_of(text, item.span.start, value.span.start, (groups, slaves), problems)
            }
            None => None,
        };
        good &= found.is_some();
        named.extend(found.unwrap_or_default());
    }
    good.then(|| AssertOf { text: text::list(&texts), slaves: named })
}

/// Returns the slaves that one item means, which is at the byte `at`, of the list at the byte `list`.
fn slaves_of(
    text: &str,
    at: usize,
    list: usize,
    (groups, slaves): (&Groups, &BTreeSet<&str>),
    problems: &mut Problems<'_>,
) -> Option<Vec<String>> {
    if let Some(beginning) = text.strip_suffix('*') {
        let matching = slaves.range(beginning..).take_while(|name| name.starts_with(beginning));
        let matching: Vec<String> = matching.map(|name| (*name).to_owned()).collect();
        groups.count(matching.len(), list, problems)?;
        if matching.is_empty() {
            problems.add(at, format!("no slave of the test has a name like {:?}", suggest::shown(text)));
            return None;
        }
        return Some(matching);
    }
    let members = groups.expand(text, at, list, problems)?;
    let stranger = members.iter().find(|member| !slaves.contains(member.as_str()));
    if let Some(stranger) = stranger {
        let hint = problems.hint(stranger, slaves.iter().copied());
        problems.add(at, format!("the test has no slave {:?}{hint}", suggest::shown(stranger)));
        return None;
    }
    Some(members)
}
