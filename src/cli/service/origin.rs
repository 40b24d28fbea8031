//! Where the options of a service come from: the command line, or a key of its configuration file.
//!
//! Messages about an option name the place that gives it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::error::Error;

/// Where the options of a subcommand come from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The path of the file, whether it exists or not.
    pub file: PathBuf,
    /// The file exists.
    pub found: bool,
    /// What is wrong with the file.
    pub problems: Vec<Error>,
    /// It could not be read at all.
    broken: bool,
    /// The line of each option that the file gives.
    lines: BTreeMap<String, usize>,
    /// The values of each option, from the command line or the file.
    values: BTreeMap<String, Vec<OsString>>,
}

impl Origin {
    /// An origin with a file, which exists if `found`.
    pub fn of(file: PathBuf, found: bool) -> Origin {
        Origin { file, found, ..Origin::default() }
    }

    /// Notes that the file could not be read at all.
    pub fn set_broken(&mut self) {
        self.broken = true;
    }

    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Notes that the file gives an option, in this line.
    pub fn set_line(&mut self, option: &str, line: usize) {
        self.lines.insert(option.to_owned(), line);
    }

    /// Forgets that the file gives an option. Returns its line, 0 if the file does not give it.
    pub fn take_line(&mut self, option: &str) -> usize {
        self.lines.remove(option).unwrap_or_default()
    }

    /// Returns the options that the file gives.
    pub fn options(&self) -> impl Iterator<Item = &String> {
        self.lines.keys()
    }

    /// Notes the values of all options.
    pub fn set_values(&mut self, values: BTreeMap<String, Vec<OsString>>) {
        self.values = values;
    }

    /// Returns the subject of a message about an option: the option itself, or its key in the file.
    pub fn subject(&self, option: &str) -> String {
        match self.lines.get(option) {
            Some(line) => format!("{}:{line}: {option:?}", self.file.display()),
            None => format!("--{option}"),
        }
    }

    /// Returns the error that an option is missing, with an example for the command line and for the file.
    pub fn required(&self, what: &str, option: &str, example: &str) -> Error {
        let file = self.file.display();
        Error::usage(format!("{what}, with --{option} ADDRESS, or with {{\"{option}\": \"{example}\"}} in {file}"))
    }

    /// Returns the options whose values differ from those of `other`.
    pub fn differences<'a>(&'a self, other: &'a Origin) -> Vec<&'a str> {
        let mut options: Vec<&str> = self.values.keys().chain(other.values.keys()).map(String::as_str).collect();
        options.sort_unstable();
        options.dedup();
        options.retain(|option| self.values.get(*option) != other.values.get(*option));
        options
    }
}
