//! How a subcommand fails: a message for people, and the exit code.
//!
//! Every message to standard error that is not a log line goes through [`complain`].

use std::io::Write;

use arete::exit_code;
use arete::text::harmless;

use crate::cli::journal::logs_to_journal;

/// Why a subcommand failed.
#[derive(Debug, Clone)]
pub struct Error {
    pub code: u8,
    pub message: String,
}

impl Error {
    pub fn usage(message: impl Into<String>) -> Error {
        Error { code: exit_code::USAGE, message: message.into() }
    }

    pub fn failed(message: impl Into<String>) -> Error {
        Error { code: exit_code::FAILED, message: message.into() }
    }

    /// Returns the same error of `arete run`, which exits with 1 only if the test itself failed.
    pub fn of_a_run(self) -> Error {
        let code = if self.code == exit_code::FAILED { exit_code::INFRASTRUCTURE } else { self.code };
        Error { code, ..self }
    }
}

/// Prints what went wrong to standard error, a line each. Ignores that standard error cannot be written.
pub fn complain(message: &str) {
    let before = if logs_to_journal() { "<3>" } else { "arete: " };
    for line in message.lines() {
        let _ = writeln!(std::io::stderr(), "{before}{}", harmless(line));
    }
}

/// The most characters of a wrong name that a message repeats.
const SHOWN_MAX: usize = 80;

/// Returns a name in quotes, shortened, for a message.
pub fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", &name[..end]),
        None => format!("{name:?}"),
    }
}
