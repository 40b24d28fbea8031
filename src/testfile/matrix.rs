//! The matrix of a test: values of its params of which one command runs all combinations.
//!
//! The matrix is the author's part of the file. It is taken out before the params are replaced, so that controllers never
//! get it. This file owns how a matrix is declared, and which combinations it has.

use std::fmt;

use super::fields;
use super::json::{KeyValue, Value, ValueKind};
use super::params::{self, Given, PARAMS_MAX};
use super::problem::{Problem, Problems};
use super::suggest;

/// The most combinations of a matrix, before any is excluded.
pub const COMBINATIONS_MAX: usize = 1_000;

/// The key of a matrix that names no param.
pub const MATRIX_KEYS: [&str; 1] = ["exclude"];

/// A param with the values that it has in turn, as they are typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The name of the param.
    pub name: String,
    /// Its values, each once.
    pub values: Vec<String>,
}

/// Values for the params of a matrix, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Combination {
    values: Vec<(String, String)>,
}

/// The combinations of a matrix.
#[derive(Debug, Default)]
pub struct Combinations {
    /// In their order: the last param changes first. Empty: there is no matrix.
    pub list: Vec<Combination>,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Problem>,
}

impl Combination {
    /// Returns the values by the names of their params.
    pub fn values(&self) -> Given {
        self.values.iter().cloned().collect()
    }

    /// Returns whether it has these values, each at the place of its param.
    fn has(&self, values: &[(usize, &str)]) -> bool {
        values.iter().all(|(place, value)| self.values[*place].1 == *value)
    }
}

impl Combinations {
    /// Returns a param of the matrix that also has a value in `given`, with that value.
    pub fn given_twice<'a>(&self, given: &'a Given) -> Option<(&'a str, &'a str)> {
        let first = self.list.first()?;
        let twice = given.iter().find(|(name, _)| first.values.iter().any(|(own, _)| own == *name));
        twice.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nr, (name, value)) in self.values.iter().enumerate() {
            write!(f, "{}{name}={value}", if nr > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Combinations that the test leaves out.
#[derive(Debug)]
struct Exclude {
    /// The byte at which it begins.
    at: usize,
    values: Given,
}

/// The matrix that a test declares.
#[derive(Debug, Default)]
pub struct Matrix {
    /// The byte at which it begins.
    at: usize,
    axes: Vec<Axis>,
    excludes: Vec<Exclude>,
}

/// Takes the matrix out of a test whose params are not replaced yet, and reads it. Returns `None` if the test has none.
pub fn take(root: &mut Value, problems: &mut Problems<'_>) -> Option<Matrix> {
    let ValueKind::Object(keys) = &mut root.kind else { return None };
    let place = keys.iter().position(|member| member.key == "matrix")?;
    let matrix = keys.remove(place);
    let params = keys.iter().find(|member| member.key == "params").map(|member| &member.value.kind);
    let declared: Vec<&str> = match params {
        Some(ValueKind::Object(params)) => params.iter().map(|param| param.key.as_str()).collect(),
        _ => Vec::new(),
    };
    Some(read(&matrix, &declared, problems))
}

fn read(matrix: &KeyValue, declared: &[&str], problems: &mut Problems<'_>) -> Matrix {
    let mut read = Matrix { at: matrix.at, ..Matrix::default() };
    let members = fields::members(&matrix.value, "\"matrix\"", problems).unwrap_or_default();
    if members.len() > PARAMS_MAX + 1 {
        problems.add(matrix.at, format!("a matrix has at most {PARAMS_MAX} params"));
        return read;
    }
    for KeyValue { at, key, value } in members.iter().filter(|member| !MATRIX_KEYS.contains(&member.key.as_str())) {
        if !declared.contains(&key.as_str()) {
            let hint = problems.hint(key, declared.iter().copied());
            problems.add(*at, format!("the test declares no param {:?}{hint}", suggest::shown(key)));
        }
        read.axes.push(Axis { name: key.clone(), values: values(key, value, problems) });
    }
    let excludes = members.iter().find(|member| member.key == "exclude");
    let excludes = excludes.and_then(|member| fields::list(&member.value, "\"exclude\"", problems)).unwrap_or_default();
    for value in excludes.iter().take(COMBINATIONS_MAX) {
        let values = excluded(value, &read.axes, problems);
        read.excludes.push(Exclude { at: value.span.start, values });
    }
    if let Some(more) = excludes.get(COMBINATIONS_MAX) {
        problems.add(more.span.start, format!("\"exclude\" has at most {COMBINATIONS_MAX} items"));
    }
    read
}

/// Reads the values of a param.
fn values(name: &str, value: &Value, problems: &mut Problems<'_>) -> Vec<String> {
    let items = fields::list(value, "what a param has in the matrix", problems).unwrap_or_default();
    if items.is_empty() && matches!(value.kind, ValueKind::List(_)) {
        problems.add(value.span.start, format!("the param {name:?} has no value in the matrix"));
    }
    let mut values = Vec::new();
    for item in items.iter().take(COMBINATIONS_MAX + 1) {
        let Some(text) = scalar(item, problems) else { continue };
        if values.contains(&text) {
            problems.add(item.span.start, format!("the value {:?} appears twice", suggest::shown(&text)));
        }
        values.push(text);
    }
    values
}

/// Reads the values of an excluded combination, or of several.
fn excluded(value: &Value, axes: &[Axis], problems: &mut Problems<'_>) -> Given {
    let mut given = Given::new();
    let members = fields::members(value, "an item of \"exclude\"", problems);
    if members.is_some_and(<[KeyValue]>::is_empty) {
        problems.add(value.span.start, "an item of \"exclude\" names at least one param with its value");
    }
    for KeyValue { at, key, value } in members.unwrap_or_default() {
        if !axes.iter().any(|axis| axis.name == *key) {
            let hint = problems.hint(key, axes.iter().map(|axis| axis.name.as_str()));
            problems.add(*at, format!("the matrix has no param {:?}{hint}", suggest::shown(key)));
        }
        given.extend(scalar(value, problems).map(|text| (key.clone(), text)));
    }
    given
}

fn scalar(value: &Value, problems: &mut Problems<'_>) -> Option<String> {
    if params::is_scalar(&value.kind) {
        return Some(params::text_of(&value.kind));
    }
    fields::mismatch(value, "a param is a string, a number or true or false", problems)
}

impl Matrix {
    /// Returns the combinations of this matrix, and the bytes of the excludes that match none. The axes in `chosen` replace
    /// those of the same names.
    pub fn combinations(mut self, chosen: &[Axis], problems: &mut Problems<'_>) -> (Vec<Combination>, Vec<usize>) {
        let replaced = |name: &str| chosen.iter().any(|axis| axis.name == name);
        for axis in chosen {
            match self.axes.iter_mut().find(|own| own.name == axis.name) {
                Some(own) => own.values.clone_from(&axis.values),
                None => self.axes.push(axis.clone()),
            }
        }
        if self.axes.is_empty() {
            return Default::default();
        }
        let count = self.axes.iter().try_fold(1usize, |count, axis| count.checked_mul(axis.values.len()));
        if count.is_none_or(|count| count > COMBINATIONS_MAX) {
            let message = format!("a matrix has at most {COMBINATIONS_MAX} combinations: leave out values");
            problems.add(self.at, message);
            return Default::default();
        }
        let all = product(&self.axes);
        let place = |name: &str| self.axes.iter().position(|axis| axis.name == name);
        let (mut excluded, mut unused) = (vec![false; all.len()], Vec::new());
        for Exclude { at, values } in &self.excludes {
            let placed = values.iter().filter_map(|(name, value)| Some((place(name)?, value.as_str())));
            let placed: Vec<(usize, &str)> = placed.collect();
            let mut matches = false;
            for (_, excluded) in all.iter().zip(&mut excluded).filter(|(one, _)| one.has(&placed)) {
                (matches, *excluded) = (true, true);
            }
            // The values of the command line may be others than those that the author excludes.
            if !matches && !values.keys().any(|name| replaced(name)) {
                unused.push(*at);
            }
        }
        let left = all.into_iter().zip(excluded).filter(|(_, excluded)| !excluded);
        let left: Vec<Combination> = left.map(|(one, _)| one).collect();
        if left.is_empty() && problems.is_empty() {
            problems.add(self.at, "\"exclude\" leaves no combination of the matrix: remove one of its items");
        }
        (left, unused)
    }
}

/// Returns all combinations. The value of the last axis changes first.
fn product(axes: &[Axis]) -> Vec<Combination> {
    let mut all = vec![Combination::default()];
    for Axis { name, values } in axes {
        let with = |one: &Combination, value: &String| {
            let more = std::iter::once((name.clone(), value.clone()));
            Combination { values: one.values.iter().cloned().chain(more).collect() }
        };
        all = all.iter().flat_map(|one| values.iter().map(move |value| with(one, value))).collect();
    }
    all
}
