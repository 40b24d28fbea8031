//! The measurements of a run: what the virtual commands have recorded is in the summary once, and the assertions of the test
//! were judged rightly. Everything is computed here again, in whole milliseconds.

use std::collections::{BTreeMap, BTreeSet};

use arete::measure::bound::{Bound, Comparison};
use arete::testfile::{Assert, Figure, Test};
use serde_json::Value;

use super::{Checks, text};
use crate::world::World;
use crate::world::process::{Ask, Fact, Record};

/// The values of each slave by the names of the measurements, in milliseconds. No value is recorded twice.
type Values = BTreeMap<(String, String), BTreeSet<u64>>;

/// Checks the measurements and the assertions in a summary.
pub fn measurements_are_true(checks: &Checks, test: &Test, summary: &Value, world: &World) -> Result<(), String> {
    let (mut asked, mut answered) = (Values::new(), Values::new());
    for fact in &world.ledger {
        let (life, record, values) = match fact {
            Fact::Asked { pid, life, ask: Ask::Record(record), .. } if checks.pids.contains(pid) => {
                (life, record, &mut asked)
            }
            Fact::Answered { pid, life, ask: Ask::Record(record), answer: Ok(_) } if checks.pids.contains(pid) => {
                (life, record, &mut answered)
            }
            _ => continue,
        };
        let key = (record.name.clone(), checks.place(life.node));
        if !values.entry(key).or_default().insert(millis(record)) {
            return Err(format!("the generator records {record:?} twice"));
        }
    }
    let found = of_summary(summary)?;
    if found != of_events(&checks.events)? {
        return Err(format!("the summary has the measurements {found:?}, and the log others"));
    }
    for (key, values) in &found {
        let unknown = values.iter().find(|value| asked.get(key).is_none_or(|asked| !asked.contains(value)));
        if let Some(unknown) = unknown {
            return Err(format!("nothing has recorded {unknown} ms as {key:?}"));
        }
    }
    for (key, values) in &answered {
        let whole = text(&summary["slaves"][&key.1], "state") == "stopped" && !checks.given_up;
        let missing = values.iter().find(|value| found.get(key).is_none_or(|found| !found.contains(value)));
        if let Some(missing) = missing.filter(|_| whole) {
            return Err(format!("{missing} ms were recorded as {key:?}, and are not in the summary"));
        }
    }
    assertions_are_true(test, summary, &found)
}

fn millis(record: &Record) -> u64 {
    u64::from(record.value) * if record.unit == "s" { 1_000 } else { 1 }
}

fn in_millis(value: &Value, unit: &Value) -> Result<u64, String> {
    let factor = match unit.as_str() {
        Some("s") => 1e3,
        Some("ms") => 1.0,
        other => return Err(format!("a measurement has the unit {other:?}")),
    };
    let millis = value.as_f64().unwrap_or(-1.0) * factor;
    match (millis - millis.round()).abs() < 1e-6 {
        true => Ok(millis.round() as u64),
        false => Err(format!("a value was changed to {value}")),
    }
}

fn of_summary(summary: &Value) -> Result<Values, String> {
    let mut found = Values::new();
    for (name, measured) in summary["measurements"].as_object().into_iter().flatten() {
        let mut count = 0;
        for (slave, values) in measured["slaves"].as_object().into_iter().flatten() {
            let key = (name.clone(), slave.clone());
            for value in values.as_array().into_iter().flatten() {
                count += 1;
                if !found.entry(key.clone()).or_default().insert(in_millis(value, &measured["unit"])?) {
                    return Err(format!("{value} is twice in {key:?} of the summary"));
                }
            }
        }
        if measured["count"] != count {
            return Err(format!("{name} has {count} values, and the summary counts {}", measured["count"]));
        }
    }
    Ok(found)
}

fn of_events(events: &[Value]) -> Result<Values, String> {
    let mut found = Values::new();
    for event in events.iter().filter(|event| text(event, "event") == "measured") {
        let key = (text(event, "name").to_owned(), text(event, "slave").to_owned());
        if !found.entry(key).or_default().insert(in_millis(&event["value"], &event["unit"])?) {
            return Err(format!("the log has {event} twice"));
        }
    }
    Ok(found)
}

/// A run fails for exactly those assertions that its measurements break.
fn assertions_are_true(test: &Test, summary: &Value, found: &Values) -> Result<(), String> {
    let failures = summary["failures"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_kind = |of: bool| failures.iter().filter(move |failure| (text(failure, "kind") == "assertion") == of);
    let told: Vec<&str> = of_kind(true).map(|failure| text(failure, "text")).collect();
    if text(summary, "verdict") == "interrupted" || summary["started"].is_null() {
        return if told.is_empty() { Ok(()) } else { Err(format!("nothing may be asserted, and {told:?} is told")) };
    }
    let complete = of_kind(false).next().is_none();
    let mut left = told.clone();
    for assert in &test.asserts {
        for (figure, bound) in &assert.bounds {
            let broken = broken(assert, *figure, bound, found, complete);
            let place = |slave: &Option<String>, text: &str| {
                let of = slave.as_deref().is_none_or(|slave| text.contains(&format!(": {slave} recorded ")));
                let asserted = format!(", asserted {bound}");
                let has_bound = text.ends_with(&asserted) || text.contains(&format!("{asserted} ("));
                of && has_bound && text.contains(&assert.name)
            };
            for slave in &broken {
                let Some(at) = left.iter().position(|text| place(slave, text)) else {
                    return Err(format!(
                        "{assert:?} is broken by {slave:?} in {found:?}, and {told:?} does not say so"
                    ));
                };
                left.remove(at);
            }
        }
    }
    if left.is_empty() { Ok(()) } else { Err(format!("{left:?} is told, and nothing breaks it: {found:?}")) }
}

/// Returns the slaves that break a bound; `None` stands for all of them together.
fn broken(assert: &Assert, figure: Figure, bound: &Bound, found: &Values, complete: bool) -> Vec<Option<String>> {
    let of = |slave: &String| assert.of.as_ref().is_none_or(|of| of.slaves.contains(slave));
    let mine: Vec<(&String, &BTreeSet<u64>)> = found
        .iter()
        .filter(|((name, slave), _)| *name == assert.name && of(slave))
        .map(|((_, it), v)| (it, v))
        .collect();
    let mut values: Vec<u64> = mine.iter().flat_map(|(_, values)| *values).copied().collect();
    values.sort_unstable();
    let (count, sum) = (values.len(), values.iter().sum::<u64>() as f64);
    let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
        let none_is_wrong = figure != Figure::Count || !keeps(0.0, bound);
        return if complete && none_is_wrong { vec![None] } else { Vec::new() };
    };
    let middle = (values[(count - 1) / 2] + values[count / 2]) as f64 / 2.0;
    let value = match figure {
        Figure::Each => {
            let breaks = |values: &BTreeSet<u64>| values.iter().any(|value| !keeps(*value as f64, bound));
            return mine.into_iter().filter(|(_, v)| breaks(v)).map(|(slave, _)| Some(slave.clone())).collect();
        }
        Figure::Min => min as f64,
        Figure::Max => max as f64,
        Figure::Mean => sum / count as f64,
        Figure::Median => middle,
        Figure::Sum => sum,
        Figure::Count => count as f64,
    };
    if keeps(value, bound) { Vec::new() } else { vec![None] }
}

/// Returns whether a number of milliseconds, or a count, keeps a bound. The bounds of the generator without a unit are 0, or
/// of counts.
fn keeps(value: f64, bound: &Bound) -> bool {
    let number = bound.number * if bound.unit.as_deref() == Some("s") { 1e3 } else { 1.0 };
    match bound.comparison {
        Comparison::Least => value >= number,
        Comparison::Most => value <= number,
        Comparison::Above => value > number,
        Comparison::Below => value < number,
        Comparison::Equal => value == number,
    }
}
