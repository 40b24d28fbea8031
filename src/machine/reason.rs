//! Why a connection was closed or could not be made: a cause, by which machines decide, and the words for people.

use std::fmt;
use std::ops::Deref;

/// The cause by which a connection was closed or could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// No program listens at the address or at the socket: "connection refused".
    Refused,
    /// The socket does not exist.
    NoSocket,
    /// The host name cannot be looked up, or has no address: "name or service not known".
    NoName,
    /// No answer came, or the address has no route: "no route to host", "connection timed out".
    NoAnswer,
    /// The other end has closed the connection.
    HungUp,
    /// The other end does not speak the protocol of a controller.
    NoController,
    /// Any other cause, which only the words name.
    #[default]
    Other,
}

/// Why a connection was closed or could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The cause, by which a machine decides.
    pub cause: Cause,
    /// The reason in words, for people.
    pub words: String,
}

impl Reason {
    /// Returns a reason with this cause.
    pub fn new(cause: Cause, words: impl Into<String>) -> Reason {
        Reason { cause, words: words.into() }
    }

    /// Returns the same reason with its subject before the words: "host:7373: connection refused".
    pub fn of(self, subject: &impl fmt::Display) -> Reason {
        Reason { words: format!("{subject}: {}", self.words), ..self }
    }
}

impl From<String> for Reason {
    fn from(words: String) -> Reason {
        Reason::new(Cause::Other, words)
    }
}

impl From<&str> for Reason {
    fn from(words: &str) -> Reason {
        Reason::new(Cause::Other, words)
    }
}

impl Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        &self.words
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Reason {}
