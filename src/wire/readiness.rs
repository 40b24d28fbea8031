//! How it is known that a command is ready for those who need it.

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// How large a compiled pattern may become, in bytes: it bounds what one line of output can cost.
const PATTERN_SIZE_MAX: usize = 256 * 1024;

/// When a command is ready, and what follows from that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    pub check: ReadyCheck,
    /// The command fails if it is not ready so long after it was started, in microseconds.
    pub within: u64,
    /// Each run of the entry notifies this trigger once, when it becomes ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

/// What shows that a command is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyCheck {
    /// A TCP connection to this port succeeds.
    Port {
        port: u16,
        /// A name or an address; may hold variables. Absent: 127.0.0.1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// A line of its output matches this regular expression.
    Log(String),
    /// Another command exits with 0.
    Shell {
        /// May hold variables.
        command: String,
        /// How long after its exit it is tried again, in microseconds.
        every: u64,
    },
    /// The command says it, by `arete ready` or as a service tells systemd.
    Notify,
}

/// The pattern of [`ReadyCheck::Log`]. Fails with the reason, and the byte at which the pattern is wrong if one is.
pub fn line_pattern(text: &str) -> Result<Regex, (String, Option<usize>)> {
    use regex_syntax::Error;
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(text);
    parsed.map_err(|error| match error {
        Error::Parse(error) => (error.kind().to_string(), Some(error.span().start.offset)),
        Error::Translate(error) => (error.kind().to_string(), Some(error.span().start.offset)),
        other => (other.to_string(), None),
    })?;
    let compiled = RegexBuilder::new(text).size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX).build();
    compiled.map_err(|_| ("it is too complex".to_owned(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_is_wrong_or_too_complex_is_refused_with_the_place() {
        assert!(line_pattern("^listening on .*:\\d+$").unwrap().is_match(b"listening on 10.0.0.1:80"));
        let (why, at) = line_pattern("port (").unwrap_err();
        assert_eq!((why.as_str(), at), ("unclosed group", Some(5)));
        let (why, at) = line_pattern("(?:\\w{200}){200}").unwrap_err();
        assert_eq!((why.as_str(), at), ("it is too complex", None));
    }
}
