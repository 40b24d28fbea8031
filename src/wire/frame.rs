//! Framing: cuts a stream of bytes into lines of a bounded length, and reads the type and the fields of one line.
//!
//! This file never allocates more than the caller's bound for a peer, whatever the peer sends.

use serde::Deserialize;

use super::message::Malformed;

/// The most characters of an unknown word that an error message repeats.
const EXCERPT_MAX: usize = 40;

/// A line exceeds this bound, in bytes with the newline.
#[derive(Debug, PartialEq, Eq)]
pub struct Bound(pub usize);

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a line is longer than {} bytes", self.0)
    }
}

impl std::error::Error for Bound {}

/// Cuts a stream into lines. Holds only the beginning of an unfinished line, so an idle peer costs no memory.
#[derive(Debug, Default)]
pub struct Frames {
    partial: Vec<u8>,
    /// The rest of an oversized line is being dropped.
    skips: bool,
}

/// One piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A complete line, without its newline.
    Line(&'a [u8]),
    /// The beginning of an oversized line.
    Over(&'a [u8]),
}

impl Frames {
    /// Takes the next bytes of the stream. Calls `each` with every line that they complete, without its `\n` or `\r\n`;
    /// empty lines are skipped. If `each` returns `false`, the rest of `bytes` is dropped. Fails if a line, complete or
    /// not, exceeds `max` bytes; `each` has then received all lines before it.
    pub fn feed(&mut self, bytes: &[u8], max: usize, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), Bound> {
        self.cut(bytes, max, |cut| match cut {
            Cut::Line(line) => each(line),
            Cut::Over(_) => false,
        })
    }

    /// Like [`feed`](Frames::feed), but also calls `each` with the beginning of an oversized line. If `each` returns
    /// `true` for it, the rest of that line is dropped and the stream continues after it; otherwise this fails.
    pub fn cut(&mut self, bytes: &[u8], max: usize, mut each: impl FnMut(Cut<'_>) -> bool) -> Result<(), Bound> {
        let mut rest = bytes;
        loop {
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            if self.skips {
                self.skips = end.is_none();
            } else if self.partial.len() + line.len() >= max {
                let partial = std::mem::take(&mut self.partial);
                if !each(Cut::Over(if partial.is_empty() { line } else { &partial })) {
                    return Err(Bound(max));
                }
                self.skips = end.is_none();
            } else if end.is_none() {
                self.partial.extend_from_slice(line);
            } else {
                let go_on = if self.partial.is_empty() {
                    deliver(line, &mut each)
                } else {
                    let mut whole = std::mem::take(&mut self.partial);
                    whole.extend_from_slice(line);
                    deliver(&whole, &mut each)
                };
                if !go_on {
                    return Ok(());
                }
            }
            let Some(end) = end else { return Ok(()) };
            rest = &rest[end + 1..];
        }
    }

    /// Whether the stream is between two lines.
    pub fn is_idle(&self) -> bool {
        self.partial.is_empty() && !self.skips
    }

    /// Returns the bytes that are held for an unfinished line.
    pub fn held(&self) -> usize {
        self.partial.len()
    }
}

fn deliver(line: &[u8], each: &mut impl FnMut(Cut<'_>) -> bool) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.is_empty() || each(Cut::Line(line))
}

/// Returns the value of the line's first key. Fails if that key is not `"type"`.
pub(super) fn type_of(line: &[u8]) -> Result<&str, Malformed> {
    let not_first = || Malformed("a message is a JSON object whose first key is \"type\"".to_owned());
    let rest = skip(line, b"{").and_then(|rest| skip(rest, b"\"type\"")).and_then(|rest| skip(rest, b":"));
    let rest = rest.and_then(|rest| skip(rest, b"\"")).ok_or_else(not_first)?;
    let end = rest.iter().position(|&byte| byte == b'"').ok_or_else(not_first)?;
    std::str::from_utf8(&rest[..end]).map_err(|_| not_first())
}

fn skip<'a>(bytes: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    bytes.trim_ascii_start().strip_prefix(word)
}

/// Reads the fields of a message of a known type. Fails if a field is missing or has another type.
pub(super) fn fields<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(line).map_err(|error| Malformed(error.to_string()))
}

/// Returns the beginning of a peer's text, short enough for an error message.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_MAX).collect()
}

/// Writes bytes as base64 (RFC 4648, with padding) in a JSON string.
pub(super) mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(|error| serde::de::Error::custom(format!("bad base64: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversized_line_is_reported_once_and_skipped_and_the_next_one_is_read() {
        let text = b"one\n0123456789abcdefghij\ntwo\n";
        for step in 1..text.len() {
            let (mut frames, mut lines, mut over) = (Frames::default(), Vec::new(), Vec::new());
            for bytes in text.chunks(step) {
                let fed = frames.cut(bytes, 12, |cut| {
                    match cut {
                        Cut::Line(line) => lines.push(line.to_vec()),
                        Cut::Over(head) => over.push(head.to_vec()),
                    }
                    true
                });
                assert_eq!(fed, Ok(()));
            }
            assert_eq!((lines, frames.held()), (vec![b"one".to_vec(), b"two".to_vec()], 0), "{step}");
            assert!(over.len() == 1 && b"0123456789abcdefghij".starts_with(&over[0]), "{step}: {over:?}");
        }
    }
}
