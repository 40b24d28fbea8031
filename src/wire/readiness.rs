//! Readiness: the check that tells when a command can serve the entries that depend on it.

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// The largest compiled pattern, in bytes. It bounds the cost of matching one line of output.
const PATTERN_SIZE_MAX: usize = 256 * 1024;

/// When a command is ready, and which trigger is notified then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// The check that shows that the command is ready.
    pub check: ReadyCheck,
    /// The time within which the command must become ready, in microseconds. Otherwise it fails.
    pub within: u64,
    /// The trigger that each run of the entry notifies once, when it becomes ready. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

/// The check that shows that a command is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyCheck {
    /// A TCP connection to this port succeeds.
    Port {
        /// The port, 1 to 65535.
        port: u16,
        /// A host name or an address; may hold variables. Absent: 127.0.0.1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// A line of its output matches this regular expression.
    Log(String),
    /// Another command exits with status 0.
    Shell {
        /// The command; may hold variables.
        command: String,
        /// The time between its exit and its next start, in microseconds.
        every: u64,
    },
    /// The command reports it, with `arete ready` or as a service reports to systemd.
    Notify,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// It is not a regular expression.
    Syntax {
        /// The byte of the pattern at which it is wrong, if it is wrong at one place.
        at: Option<usize>,
        /// What is wrong, in the words of the regex parser.
        reason: String,
    },
    /// Its compiled form exceeds the limit.
    TooComplex,
}

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PatternError::Syntax { reason, .. } => f.write_str(reason),
            PatternError::TooComplex => f.write_str("it is too complex"),
        }
    }
}

impl std::error::Error for PatternError {}

/// Compiles the pattern of [`ReadyCheck::Log`]. Fails if it is not a regular expression, or is too complex.
pub fn line_pattern(text: &str) -> Result<Regex, PatternError> {
    use regex_syntax::Error;
    // The parser alone tells the place of an error, which the builder below does not.
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(text);
    parsed.map_err(|error| {
        let (at, reason) = match &error {
            Error::Parse(error) => (Some(error.span().start.offset), error.kind().to_string()),
            Error::Translate(error) => (Some(error.span().start.offset), error.kind().to_string()),
            other => (None, other.to_string()),
        };
        PatternError::Syntax { at, reason }
    })?;
    let compiled = RegexBuilder::new(text).size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX).build();
    compiled.map_err(|_| PatternError::TooComplex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_is_wrong_or_too_complex_is_refused_with_the_place() {
        assert!(line_pattern("^listening on .*:\\d+$").unwrap().is_match(b"listening on 10.0.0.1:80"));
        let unclosed = PatternError::Syntax { at: Some(5), reason: "unclosed group".to_owned() };
        assert_eq!(line_pattern("port (").unwrap_err(), unclosed);
        assert_eq!(line_pattern("(?:\\w{200}){200}").unwrap_err(), PatternError::TooComplex);
    }
}
