//! `arete check`: prints everything that is wrong with a test file.

use std::path::PathBuf;

use arete::exit_code;

use crate::cli::error::{Error, complain};
use crate::cli::run::load;
use crate::cli::stdout;

/// Checks each file, and prints what is wrong with it, or what it holds.
pub fn run(files: &[PathBuf]) -> Result<u8, Error> {
    let mut code = exit_code::PASSED;
    for file in files {
        match load::load(file) {
            Ok(loaded) => {
                loaded.warn();
                let test = loaded.test;
                let entries: usize = test.slaves.iter().map(|slave| slave.entries.len()).sum();
                let (slaves, entries) = (count(test.slaves.len(), "slave"), count(entries, "entry"));
                let asked = match test.slaves.iter().filter(|slave| slave.with.is_some()).count() {
                    0 => String::new(),
                    asked => format!(" ({asked} by their labels)"),
                };
                let text = format!("{}: ok, {slaves}{asked}, {entries}\n", load::subject(file));
                stdout::print(text)?;
            }
            Err(error) => {
                complain(&error.message);
                code = error.code.max(code);
            }
        }
    }
    Ok(code)
}

/// `1 slave`, `2 slaves`, `3 entries`.
fn count(count: usize, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}
