//! Lines: cutting a stream into them within a bound, and reading one of them.

use serde::Deserialize;

use super::rendezvous::{VALUE_MAX, VALUE_MOST};
use super::{Malformed, Notify};

/// The longest line a peer may send before its hello was accepted, in bytes with the newline.
pub const LINE_MAX_BEFORE_HELLO: usize = 64 * 1024;

/// The longest line a peer may send after that: a [`Chunk`](super::Chunk) in base64 with room for its other fields, or
/// a long schedule.
pub const LINE_MAX: usize = 1024 * 1024;

/// How much longer than its values a line with a value or a map may be, in bytes: it names as many members as can meet.
pub const LINE_AROUND_VALUES: usize = 4 * 1024 * 1024;

/// The longest line with one value of a sync in it, a [`Give`](super::rendezvous::Give), in bytes with the newline, at a
/// controller that takes values of the usual length.
pub const LINE_MAX_OF_VALUE: usize = VALUE_MAX + LINE_AROUND_VALUES;

/// The same at a controller that takes the longest values that any may take.
pub const LINE_MOST_OF_VALUE: usize = VALUE_MOST + LINE_AROUND_VALUES;

/// How much of an unknown word an error message repeats.
const EXCERPT_MAX: usize = 40;

/// The longest number that surely fits 64 bits, in digits.
const DIGITS_MAX: usize = 19;

/// The bound that a line went over.
#[derive(Debug, PartialEq, Eq)]
pub struct Bound(pub usize);

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a line is longer than {} bytes", self.0)
    }
}

/// Cuts a stream into lines. Holds only the piece of a line that has not ended yet, so an idle peer costs nothing.
#[derive(Debug, Default)]
pub struct Frames {
    partial: Vec<u8>,
    /// The rest of a line is dropped that was too long.
    skips: bool,
}

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A whole line, without its newline.
    Line(&'a [u8]),
    /// The beginning of a line that is too long.
    Over(&'a [u8]),
}

impl Frames {
    /// Takes the next bytes of the stream, and calls `each` with every line that they complete, without its newline
    /// (`\n`, or `\r\n`); empty lines are skipped. `each` may refuse to go on: then the rest of `bytes` is dropped.
    /// Fails when a line, whole or not, is longer than `max` bytes; what `each` was given before that stands.
    pub fn feed(&mut self, bytes: &[u8], max: usize, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), Bound> {
        self.cut(bytes, max, |cut| match cut {
            Cut::Line(line) => each(line),
            Cut::Over(_) => false,
        })
    }

    /// As [`feed`](Frames::feed), but a line that is too long is shown as well, as far as it was read. If `each` agrees,
    /// the rest of that line is dropped, and the stream goes on behind it.
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

    /// How many bytes it holds.
    pub fn held(&self) -> usize {
        self.partial.len()
    }
}

fn deliver(line: &[u8], each: &mut impl FnMut(Cut<'_>) -> bool) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.is_empty() || each(Cut::Line(line))
}

/// The value of the line's first key, which must be `"type"`.
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

/// Reads the fields of a message whose type is known.
pub(super) fn fields<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(line).map_err(|error| Malformed(error.to_string()))
}

/// Reads a notify in the form in which arete writes it, several times faster than [`fields`], which reads all others.
pub(super) fn usual_notify(line: &[u8]) -> Option<Notify<'_>> {
    let (room, rest) = plain_name(line.strip_prefix(b"{\"type\":\"notify\",\"room\":\"")?)?;
    let (trigger, rest) = plain_name(rest.strip_prefix(b",\"trigger\":\"")?)?;
    let digits = rest.strip_prefix(b",\"count\":")?.strip_suffix(b"}")?;
    if !matches!(digits, [b'1'..=b'9', ..]) || digits.len() > DIGITS_MAX {
        return None;
    }
    let digit = |count: u64, byte: &u8| byte.is_ascii_digit().then(|| count * 10 + u64::from(byte - b'0'));
    let count = digits.iter().try_fold(0, digit)?;
    Some(Notify { room: room.into(), trigger: trigger.into(), count, data: None })
}

/// Splits at the closing quote of a string that holds nothing but what names are made of.
fn plain_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let end = bytes.iter().position(|byte| !plain(byte)).filter(|&end| bytes[end] == b'"')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// The beginning of what a stranger wrote, fit for a message.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_MAX).collect()
}

/// Bytes as base64 (RFC 4648, with padding) in a JSON string.
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
    use crate::wire::Message;

    #[test]
    fn a_line_that_is_too_long_is_shown_once_and_skipped_and_the_next_is_read() {
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

    #[test]
    fn the_quick_reader_reads_what_arete_writes() {
        for count in [1, 10, 4_294_967_296, 9_999_999_999_999_999_999] {
            let notify =
                Notify { room: "relay-20260101T000000Z".into(), trigger: "stop.it_now-1".into(), count, data: None };
            let line = notify.encode();
            assert_eq!(usual_notify(&line[..line.len() - 1]), Some(notify));
        }
    }

    #[test]
    fn the_quick_reader_leaves_all_else_to_the_full_one() {
        let usual = "{\"type\":\"notify\",\"room\":\"r\",\"trigger\":\"t\",\"count\":12}";
        assert!(usual_notify(usual.as_bytes()).is_some());
        // Whatever one byte becomes, it says what the full reader says, or nothing.
        for at in 0..usual.len() {
            for byte in 0..=255 {
                let mut line = usual.as_bytes().to_vec();
                line[at] = byte;
                if let Some(quick) = usual_notify(&line) {
                    assert_eq!(fields::<Notify>(&line), Ok(quick), "{}", String::from_utf8_lossy(&line));
                }
            }
            assert_eq!(usual_notify(&usual.as_bytes()[..at]), None);
        }
        for odd in ["0", "-1", "1.0", "1e3", "99999999999999999999", "012", ""] {
            assert_eq!(usual_notify(usual.replace("12", odd).as_bytes()), None, "{odd}");
        }
    }
}
