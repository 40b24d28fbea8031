//! Why the system could not do what a machine asked for.
//!
//! The kind comes from the standard library, and is all of `std::io` that a machine may name. A machine must decide by
//! the kind, never by the text, because the text is for people.

use std::fmt;

pub use std::io::ErrorKind;

/// A failure of the system: of a read, a write, or the start of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemError {
    /// The kind of the failure, by which callers decide.
    pub kind: ErrorKind,
    /// The failure in words, such as "no such file or directory".
    pub text: String,
}

impl SystemError {
    /// Returns a failure of this kind.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> SystemError {
        SystemError { kind, text: text.into() }
    }

    /// Returns the same failure with its subject before the text: "/etc/x: permission denied".
    pub fn of(self, subject: impl fmt::Display) -> SystemError {
        SystemError { text: format!("{subject}: {}", self.text), ..self }
    }
}

/// A failure of no particular kind.
impl From<&str> for SystemError {
    fn from(text: &str) -> SystemError {
        SystemError::new(ErrorKind::Other, text)
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for SystemError {}
