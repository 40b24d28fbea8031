//! `arete record`: states what a command has measured to the slave that runs it.
//!
//! The slave answers at once. It reports the measurements to the controller like everything else that happens on it, so they
//! count once, whatever becomes of the connection.

use std::borrow::Cow;
use std::ffi::OsString;

use arete::client::Config;
use arete::machine::Time;
use arete::measure::unit::{self, is_unit};
use arete::measure::{RECORD_MAX, VALUE_MAX, is_value};
use arete::session::{is_name, name_rule};
use arete::testfile::json::{self, KeyValue, Value, ValueKind};
use arete::testfile::{Problems, suggest};
use arete::wire::rendezvous::NOTE_MAX;
use arete::wire::{Measurement, Message, RecordRequest};
use clap::Args;

use crate::cli::client::deadline::Deadline;
use crate::cli::client::value::Receiver;
use crate::cli::client::{execute, target};
use crate::cli::error::{Error, shown};

#[derive(Args)]
pub struct RecordOptions {
    /// What was measured
    #[arg(required_unless_present = "json")]
    name: Option<String>,
    /// The value
    #[arg(required_unless_present = "json", allow_hyphen_values = true)]
    value: Option<String>,
    /// The unit of the value, such as ms or Mbit/s
    #[arg(long, value_name = "UNIT", conflicts_with = "json")]
    unit: Option<String>,
    /// A lower value is better than a higher one
    #[arg(long, conflicts_with = "json")]
    lower_is_better: bool,
    /// Read several measurements from FILE, or from standard input with -: an object with a number or an object
    /// {"value": N, "unit": UNIT, "lower_is_better": true} for each name
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "value"])]
    json: Option<OsString>,
}

/// The keys of a measurement that is an object.
const KEYS: [&str; 3] = ["value", "unit", "lower_is_better"];

/// Records one measurement, or those of a file.
pub fn record(options: &RecordOptions, begun: Time) -> Result<u8, Error> {
    let socket = target::socket("")?;
    let (text, root);
    let measurements = match &options.json {
        Some(file) => {
            text = read(file, begun)?;
            let subject = format!("--json {}", file.to_string_lossy());
            root = json::parse(&text).map_err(|error| wrong(&subject, &text, error.at, error.message))?;
            all_of(&root).map_err(|(at, message)| wrong(&subject, &text, at, message))?
        }
        None => vec![one(options)?],
    };
    let entry = target::entry();
    let nr = std::env::var("ARETE_ENTRY_NR").ok().filter(|_| entry.is_some()).and_then(|nr| nr.parse().ok());
    let request = RecordRequest { entry, nr, measurements }.encode();
    let awaited = "no answer from the slave".to_owned();
    execute::client(Config { socket, request, begun: None, timeout: None, awaited, carries_to: None, meeting: None })
}

/// Returns the measurement of the command line.
fn one(options: &RecordOptions) -> Result<Measurement<'_>, Error> {
    let (name, text) = (options.name.as_deref().unwrap_or_default(), options.value.as_deref().unwrap_or_default());
    check_name(name).map_err(Error::usage)?;
    let value = text.trim().parse::<f64>().ok().filter(|value| is_value(*value));
    let value = value.ok_or_else(|| {
        let hint = if text.trim().starts_with(|first: char| first.is_ascii_digit()) {
            ": give its unit with --unit"
        } else {
            ""
        };
        Error::usage(format!("{name}: {} is not a number from -{VALUE_MAX:e} to {VALUE_MAX:e}{hint}", shown(text)))
    })?;
    if let Some(unit) = options.unit.as_deref() {
        check_unit(unit).map_err(|why| Error::usage(format!("--unit: {why}")))?;
    }
    let (name, unit) = (Cow::from(name), options.unit.as_deref().map(Cow::from));
    Ok(Measurement { name, value, unit, lower_is_better: options.lower_is_better })
}

/// Reads a file, or standard input.
fn read(file: &OsString, begun: Time) -> Result<String, Error> {
    let deadline = Deadline { begun, timeout: None };
    Receiver { command: "record".to_owned(), is_sync: false, max: NOTE_MAX, deadline }.read_text("--json", file)
}

/// A place in the text, and what is wrong there.
type Wrong = (usize, String);

fn wrong(subject: &str, text: &str, at: usize, message: String) -> Error {
    let mut problems = Problems::new(text);
    problems.add(at, message);
    let problem = problems.finish("").pop();
    let place = problem.map(|it| format!("line {}, column {}: {}", it.line, it.column, it.message)).unwrap_or_default();
    Error::usage(format!("{subject}: {place}"))
}

/// Returns the measurements of an object.
fn all_of(root: &Value) -> Result<Vec<Measurement<'_>>, Wrong> {
    let ValueKind::Object(members) = &root.kind else {
        let message =
            format!("measurements are an object such as {{\"throughput\": 94.1}}, found {}", root.kind.noun());
        return Err((root.span.start, message));
    };
    if !(1..=RECORD_MAX).contains(&members.len()) {
        let message = format!("one arete record takes 1 to {RECORD_MAX} measurements, found {}", members.len());
        return Err((root.span.start, message));
    }
    members.iter().map(measurement).collect()
}

fn measurement(member: &KeyValue) -> Result<Measurement<'_>, Wrong> {
    let KeyValue { at, key, value } = member;
    check_name(key).map_err(|why| (*at, why))?;
    let mut measurement = Measurement { name: key.into(), value: 0.0, unit: None, lower_is_better: false };
    let ValueKind::Object(keys) = &value.kind else {
        measurement.value = number(key, value)?;
        return Ok(measurement);
    };
    for KeyValue { at, key: option, value } in keys {
        match (option.as_str(), &value.kind) {
            ("value", _) => measurement.value = number(key, value)?,
            ("unit", ValueKind::String(unit)) => {
                check_unit(unit).map_err(|why| (value.span.start, why))?;
                measurement.unit = Some(unit.into());
            }
            ("unit", other) => return Err((value.span.start, format!("\"unit\" is a string, found {}", other.noun()))),
            ("lower_is_better", ValueKind::Bool(lower)) => measurement.lower_is_better = *lower,
            ("lower_is_better", other) => {
                let message = format!("\"lower_is_better\" is true or false, found {}", other.noun());
                return Err((value.span.start, message));
            }
            (unknown, _) => {
                return Err((*at, format!("unknown key {}{}", shown(unknown), suggest::hint(unknown, KEYS))));
            }
        }
    }
    match keys.iter().any(|member| member.key == "value") {
        true => Ok(measurement),
        false => Err((value.span.start, format!("{key} needs the key \"value\""))),
    }
}

fn number(name: &str, value: &Value) -> Result<f64, Wrong> {
    let number = match &value.kind {
        ValueKind::Number(number) => number.as_f64().filter(|number| is_value(*number)),
        _ => None,
    };
    let rule = format!("the value of {name} is a number from -{VALUE_MAX:e} to {VALUE_MAX:e}");
    number.ok_or_else(|| (value.span.start, format!("{rule}, found {}", value.kind.noun())))
}

fn check_name(name: &str) -> Result<(), String> {
    match is_name(name) {
        true => Ok(()),
        false => Err(format!("{} cannot name a measurement: a {}", shown(name), name_rule())),
    }
}

fn check_unit(unit: &str) -> Result<(), String> {
    match is_unit(unit) {
        true => Ok(()),
        false => Err(format!("{} is not a unit: a {}", shown(unit), unit::rule())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Measurement<'static>>, String> {
        let root = json::parse(text).map_err(|error| error.message)?;
        let all = all_of(&root).map_err(|(at, message)| format!("{at}: {message}"))?;
        let own = |it: Measurement<'_>| Measurement {
            name: it.name.into_owned().into(),
            unit: it.unit.map(|unit| unit.into_owned().into()),
            ..Measurement { name: "".into(), value: it.value, unit: None, lower_is_better: it.lower_is_better }
        };
        Ok(all.into_iter().map(own).collect())
    }

    #[test]
    fn measurements_are_numbers_or_objects() {
        let found = read(r#"{"a": 1, "b": {"value": -2.5, "unit": "ms", "lower_is_better": true}, "a": 3}"#).unwrap();
        let found: Vec<_> =
            found.iter().map(|it| (&*it.name, it.value, it.unit.as_deref(), it.lower_is_better)).collect();
        assert_eq!(found, [("a", 1.0, None, false), ("b", -2.5, Some("ms"), true), ("a", 3.0, None, false)]);
    }

    #[test]
    fn a_wrong_measurement_is_told_with_its_place() {
        for (text, words) in [
            ("[1]", "0: measurements are an object such as {\"throughput\": 94.1}, found a list"),
            ("{}", "0: one arete record takes 1 to 100 measurements, found 0"),
            ("{\"a\": \"1\"}", "6: the value of a is a number from -1e100 to 1e100, found a string"),
            ("{\"a\": 1e101}", "6: the value of a is a number"),
            ("{\"a b\": 1}", "1: \"a b\" cannot name a measurement: a name has"),
            ("{\"a\": {\"unit\": \"ms\"}}", "6: a needs the key \"value\""),
            ("{\"a\": {\"value\": 1, \"unti\": \"ms\"}}", "19: unknown key \"unti\", did you mean \"unit\"?"),
            ("{\"a\": {\"value\": 1, \"unit\": \"5\"}}", "27: \"5\" is not a unit"),
            ("{\"a\": {\"value\": 1, \"unit\": 5}}", "27: \"unit\" is a string, found a number"),
            ("{\"a\": {\"value\": 1, \"lower_is_better\": 1}}", "38: \"lower_is_better\" is true or false"),
        ] {
            let found = read(text).expect_err(text);
            assert!(found.starts_with(words), "{text}: {found}");
        }
    }
}
