//! Where the options of a service come from: the command line, or a key of its configuration file.
//!
//! Messages about an option name the place that gives it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::error::Error;

/// The values of each option.
pub type Values = BTreeMap<String, Vec<OsString>>;

/// Where the options of a subcommand come from.
#[derive(Debug, Default)]
pub struct Origin {
    /// The path of the file, whether it exists or not.
    pub file: PathBuf,
    /// The file exists.
    pub found: bool,
    /// The errors in the file.
    pub problems: Vec<Error>,
    /// The file could not be read at all.
    broken: bool,
    /// The line of each option that the file gives.
    lines: BTreeMap<String, usize>,
    /// The values from the command line or the file.
    values: Values,
}

impl Origin {
    /// Returns the origin of options in a file, which exists if `found` is set.
    pub fn of(file: PathBuf, found: bool) -> Origin {
        Origin { file, found, ..Origin::default() }
    }

    /// Records that the file could not be read at all.
    pub fn set_broken(&mut self) {
        self.broken = true;
    }

    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Records that this line of the file gives an option.
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

    /// Records the values of all options.
    pub fn set_values(&mut self, values: Values) {
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
    pub fn required(&self, subcommand: &str, option: &str, example: &str) -> Error {
        let file = self.file.display();
        Error::usage(format!(
            "arete {subcommand}: --{option} ADDRESS is required, or {{\"{option}\": \"{example}\"}} in {file}"
        ))
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Returns the options whose values differ from the earlier ones.
    pub fn differences<'a>(&'a self, earlier: &'a Values) -> Vec<&'a str> {
        let mut options: Vec<&str> = self.values.keys().chain(earlier.keys()).map(String::as_str).collect();
        options.sort_unstable();
        options.dedup();
        options.retain(|option| self.values.get(*option) != earlier.get(*option));
        options
    }
}
