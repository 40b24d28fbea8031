//! `arete check`: reports all errors in test files.

use std::path::PathBuf;

use arete::exit_code;

use crate::cli::error::{Error, complain};
use crate::cli::run::load::{self, Loaded};
use crate::cli::run::params::ParamOptions;
use crate::cli::stdout;

/// Checks each file. Prints its errors, or the numbers of its slaves and entries.
pub fn run(files: &[PathBuf], params: &ParamOptions) -> Result<u8, Error> {
    let given = params.given()?;
    let mut code = exit_code::PASSED;
    for file in files {
        match load::load(file, &given) {
            Ok(Loaded { test, .. }) => {
                let entries: usize = test.slaves.iter().map(|slave| slave.entries.len()).sum();
                let (slaves, entries) = (count(test.slaves.len(), "slave"), count(entries, "entry"));
                let by_labels = match test.slaves.iter().filter(|slave| slave.with.is_some()).count() {
                    0 => String::new(),
                    count => format!(" ({count} by their labels)"),
                };
                let text = format!("{}: ok, {slaves}{by_labels}, {entries}\n", load::subject(file));
                stdout::print(text)?;
            }
            Err(error) => {
                complain(&error);
                code = error.code().max(code);
            }
        }
    }
    Ok(code)
}

/// Returns a number with its noun, such as `1 slave`, `2 slaves` or `3 entries`.
fn count(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}
