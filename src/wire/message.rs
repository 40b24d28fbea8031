//! The common form of all messages: a JSON object on a line of its own.
//!
//! [`Message::write_to`] writes every message, and checks in debug builds that the line keeps its bound.

use serde::Serialize;

use super::limits::LINE_MAX;
use crate::machine::Bytes;

/// The messages that carry values or name the members of a meeting. [`LINE_MAX`] does not apply to them; the bounds of
/// values in `limits.rs` do.
const CARRY_VALUES: [&str; 7] = ["arrive", "give", "map", "barrier", "sync", "triggered", "done"];

/// Why a line is not a message, for people.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// A message that can be written as a line.
pub trait Message: Serialize {
    /// The value of the key `"type"`.
    const TYPE: &'static str;

    /// Appends the message as one line to `line`.
    fn write_to(&self, line: &mut Vec<u8>) {
        let start = line.len();
        line.extend_from_slice(b"{\"type\":\"");
        line.extend_from_slice(Self::TYPE.as_bytes());
        line.push(b'"');
        let brace = line.len();
        serde_json::to_writer(&mut *line, self).expect("a message of plain fields always encodes");
        debug_assert_eq!(line[brace], b'{', "a message is an object: {}", Self::TYPE);
        if line[brace + 1] == b'}' {
            line.remove(brace);
        } else {
            line[brace] = b',';
        }
        line.push(b'\n');
        let bound = if CARRY_VALUES.contains(&Self::TYPE) { usize::MAX } else { LINE_MAX };
        debug_assert!(line.len() - start <= bound, "{} fits a line", Self::TYPE);
    }

    /// Returns the message as a line that many connections can share.
    fn encode(&self) -> Bytes {
        let mut line = Vec::with_capacity(128);
        self.write_to(&mut line);
        Bytes::from(line)
    }
}
