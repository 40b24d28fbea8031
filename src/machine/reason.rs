//! Why a connection is gone or could not be made: in words for people, and beside them the cause, by which machines decide.

use std::fmt;
use std::ops::Deref;

/// What has ended a connection, or kept it from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// Nothing listens at the address or at the socket: "connection refused".
    Refused,
    /// There is no such socket.
    NoSocket,
    /// The host name cannot be looked up, or has no address: "name or service not known".
    NoName,
    /// There is no answer, or no way to the address: "no route to host", "connection timed out".
    NoAnswer,
    /// The other end has closed the connection.
    HungUp,
    /// What is heard is not what a controller says.
    NoController,
    /// The words say it all.
    #[default]
    Other,
}

/// Why a connection is gone or could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// By which a machine decides.
    pub cause: Cause,
    /// The same for people.
    pub words: String,
}

impl Reason {
    /// Returns a reason of this cause.
    pub fn new(cause: Cause, words: impl Into<String>) -> Reason {
        Reason { cause, words: words.into() }
    }

    /// The same of a `subject`, which stands before the words.
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
