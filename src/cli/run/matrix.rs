//! The combinations of params that a command runs or checks: those of `--matrix` and of the matrix in the test.
//!
//! All of them are read before any is started, so that a mistake in the last does not cost the time of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use arete::testfile::{Axis, Choices, Combination, Given, PROBLEMS_MAX, Problem};
use arete::text::harmless;
use clap::Args;

use crate::cli::error::{Error, complain, shown};
use crate::cli::run::load::{self, Loaded, Source};

/// The longest name of the directory of a combination, in characters.
const DIRECTORY_MAX: usize = 150;

#[derive(Args)]
pub struct MatrixOptions {
    /// Take each of these values for the param NAME, in all combinations; they replace the values in the test's matrix
    #[arg(long = "matrix", value_name = "NAME=VALUE,...", value_parser = axis)]
    matrix: Vec<Axis>,
}

/// Reads `NAME=VALUE,VALUE`.
fn axis(text: &str) -> Result<Axis, Error> {
    let Some((name, values)) = text.split_once('=') else {
        return Err(Error::usage("write NAME=VALUE,VALUE, such as clients=2,4,8"));
    };
    let values: Vec<String> = values.split(',').map(str::to_owned).collect();
    if values.iter().any(String::is_empty) {
        return Err(Error::usage("a value is empty: write NAME=VALUE,VALUE, such as clients=2,4,8"));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = values.iter().find(|value| !seen.insert(*value)) {
        return Err(Error::usage(format!("the value {} appears twice", shown(twice))));
    }
    Ok(Axis { name: name.to_owned(), values })
}

/// The numbers of slaves and entries of a test.
pub struct Size {
    pub slaves: usize,
    pub by_labels: usize,
    pub entries: usize,
}

/// A test with all combinations of its params, each of which is a correct test.
pub struct Plan {
    source: Source,
    choices: Choices,
    /// At least one. If there is no matrix, it has no values.
    list: Vec<Combination>,
    /// The first test, as it was checked.
    first: Option<Loaded>,
    /// The name of the first test.
    pub name: String,
    pub sizes: Vec<Size>,
}

/// What is wrong with some combinations, each told once.
#[derive(Default)]
struct Findings {
    by_place: BTreeMap<(usize, usize, String), Vec<usize>>,
}

impl Findings {
    fn add(&mut self, nr: usize, problems: Vec<Problem>) {
        for Problem { line, column, message, .. } in problems {
            self.by_place.entry((line, column, message)).or_default().push(nr);
        }
    }

    /// Returns the problems. One that not all combinations have names the first of those that have it.
    fn told(self, file: &str, list: &[Combination]) -> Vec<Problem> {
        let problem = |((line, column, message), who): ((usize, usize, String), Vec<usize>)| {
            let with = match who.len() - 1 {
                _ if who.len() == list.len() => String::new(),
                0 => format!(" (with {})", list[who[0]]),
                1 => format!(" (with {} and another combination)", list[who[0]]),
                more => format!(" (with {} and {more} other combinations)", list[who[0]]),
            };
            Problem { file: file.to_owned(), line, column, message: message + &harmless(&with) }
        };
        self.by_place.into_iter().map(problem).collect()
    }
}

impl Plan {
    /// Reads the test in a file with each combination of its params, and prints warnings. Fails with all problems.
    pub fn read(
        path: &Path,
        params: &Given,
        MatrixOptions { matrix }: &MatrixOptions,
        limit: Option<Duration>,
    ) -> Result<Plan, Error> {
        let mut names = BTreeSet::new();
        if let Some(twice) = matrix.iter().find(|axis| !names.insert(&axis.name)) {
            let name = &twice.name;
            return Err(Error::usage(format!("--matrix {name}: it is given twice: write all values in one option")));
        }
        let source = Source::read(path)?;
        let found = source.combinations(matrix).map_err(|problems| load::wrong(&problems))?;
        if let Some((name, value)) = found.given_twice(params) {
            return Err(Error::usage(format!(
                "-p {name}={value}: the param is in the matrix: use --matrix {name}={value} to run only this value"
            )));
        }
        warn(&found.warnings);
        let list = if found.list.is_empty() { vec![Combination::default()] } else { found.list };
        let choices = Choices { params: params.clone(), limit };
        let mut plan = Plan { source, choices, list, first: None, name: String::new(), sizes: Vec::new() };
        plan.check()?;
        Ok(plan)
    }

    fn check(&mut self) -> Result<(), Error> {
        let (mut problems, mut warnings) = (Findings::default(), Findings::default());
        let mut known = BTreeMap::new();
        for nr in 0..self.list.len() {
            match self.source.load(&self.choices_of(nr), &mut known) {
                Ok((loaded, found)) => {
                    warnings.add(nr, found);
                    let slaves = &loaded.test.slaves;
                    self.sizes.push(Size {
                        slaves: slaves.len(),
                        by_labels: slaves.iter().filter(|slave| slave.with.is_some()).count(),
                        entries: slaves.iter().map(|slave| slave.entries.len()).sum(),
                    });
                    if nr == 0 {
                        self.name = loaded.test.name.clone();
                        self.first = Some(loaded);
                    }
                }
                Err(found) => problems.add(nr, found),
            }
            if problems.by_place.len() > PROBLEMS_MAX {
                break;
            }
        }
        if !problems.by_place.is_empty() {
            return Err(load::wrong(&problems.told(&self.source.subject, &self.list)));
        }
        warn(&warnings.told(&self.source.subject, &self.list));
        Ok(())
    }

    fn choices_of(&self, nr: usize) -> Choices {
        let mut choices = self.choices.clone();
        choices.params.extend(self.list[nr].values());
        choices
    }

    /// Returns the name of the file in messages.
    pub fn subject(&self) -> &str {
        &self.source.subject
    }

    /// Returns whether there is a matrix.
    pub fn is_matrix(&self) -> bool {
        self.list.len() > 1 || self.list[0] != Combination::default()
    }

    /// Returns the number of combinations.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns the test with the combination of this number, and the files that it ships as they are now.
    pub fn load(&mut self, nr: usize) -> Result<Loaded, Error> {
        if let Some(first) = self.first.take_if(|_| nr == 0) {
            return Ok(first);
        }
        let loaded = self.source.load(&self.choices_of(nr), &mut BTreeMap::new());
        loaded.map(|(loaded, _)| loaded).map_err(|problems| load::wrong(&problems))
    }

    /// Returns the name of each combination for people; empty if there is no matrix.
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|one| harmless(&one.to_string()).into_owned()).collect()
    }

    /// Returns the name of the directory of each combination.
    pub fn directories(&self) -> Vec<String> {
        let mut taken = BTreeSet::new();
        let names = self.list.iter().map(|one| {
            let safe = directory_name(&one.to_string());
            let numbered = (1..).map(|nr| if nr == 1 { safe.clone() } else { format!("{safe}~{nr}") });
            numbered.into_iter().find(|name| taken.insert(name.clone())).unwrap_or_default()
        });
        names.collect()
    }
}

/// Prints warnings about a test.
fn warn(warnings: &[Problem]) {
    for Problem { file, line, column, message } in warnings {
        complain(format_args!("{file}:{line}:{column}: warning: {message}"));
    }
}

/// Returns a text as the name of a directory that no shell and no CI server needs to quote.
fn directory_name(text: &str) -> String {
    let safe = |letter: char| match letter.is_ascii_alphanumeric() || "._-+=,@%".contains(letter) {
        true => letter,
        false => '_',
    };
    text.chars().take(DIRECTORY_MAX).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_directory_is_one_harmless_component() {
        assert_eq!(directory_name("clients=2,rate=10.5M"), "clients=2,rate=10.5M");
        assert_eq!(directory_name("path=../../etc,x=a b\n\u{1b}*"), "path=.._.._etc,x=a_b___");
        assert_eq!(directory_name(&"é".repeat(1_000)).len(), DIRECTORY_MAX);
    }

    #[test]
    fn an_axis_has_a_name_and_values() {
        let wanted = Axis { name: "a".to_owned(), values: vec!["1".to_owned(), "b=c".to_owned()] };
        assert_eq!(axis("a=1,b=c").ok(), Some(wanted));
        for wrong in ["a", "a=", "a=1,", "a=1,,2", "a=1,2,1"] {
            assert!(axis(wrong).is_err(), "{wrong}");
        }
    }
}
