//! The messages of triggers: a slave or a client notifies a trigger, and the controller informs all that wait when it
//! fires.
//!
//! A [`Notify`] carries a total, not a difference, so that repeating it on a later connection counts once.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::code::Code;
use super::limits::NAME_MOST;
use super::names;
use super::raw_json::RawJson;
use super::times::counted;

/// A slave or a client has notified a trigger. Answered by [`Noted`] or [`Refused`]; one answer may cover several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notify<'a> {
    /// The run, or the room that the client has joined.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The trigger.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
    /// The notifies of this trigger by this incarnation in this room, this one included: 1, 2, 3, ...
    #[serde(deserialize_with = "counted")]
    pub count: u64,
    /// Data for the commands that wait for the trigger, at most [`NOTE_MAX`](super::rendezvous::NOTE_MAX) bytes of
    /// JSON.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson<'a>>,
}

/// The answer to [`Notify`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noted<'a> {
    /// As in [`Notify`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// As in [`Notify`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
    /// The count in the notify that is answered. All earlier ones are answered with it.
    pub count: u64,
    /// The notifies that the trigger still needs. 0: it has fired.
    pub left: u64,
    /// The notifies that arrived before the trigger fired. The data of later ones is dropped. Absent: all arrived in
    /// time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_time: Option<u64>,
}

/// The answer to a message that names a trigger or a room that does not exist, or that the trigger does not accept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused<'a> {
    /// As in the message that is refused.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// As in the message that is refused.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
    /// Why, for programs.
    pub code: Code,
    /// Why, for people.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// A trigger has fired. Sent to every slave of the run, and again after a reconnect; the repetition changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Triggered<'a> {
    /// The run, or the room of a client.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The trigger.
    #[serde(borrow, deserialize_with = "names::name")]
    pub trigger: Cow<'a, str>,
    /// The data of the notifies that had some, in their order: a list of objects `{"from": member, "data": ...}`.
    /// Absent: none had data.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<RawJson<'a>>,
}

/// The digits of the longest number that always fits in 64 bits.
const DIGITS_MAX: usize = 19;

/// Reads a notify in the form in which arete writes it, several times faster than [`fields`](super::frame::fields).
/// Returns `None` for every other form, which `fields` then reads.
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

/// Splits after the closing quote of a string that has only characters of names. Returns `None` for another string.
fn plain_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let end = bytes.iter().position(|byte| !plain(byte)).filter(|&end| bytes[end] == b'"' && end <= NAME_MOST)?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::super::frame::fields;
    use super::*;
    use crate::wire::Message;

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
    fn the_quick_reader_leaves_other_forms_to_the_full_reader() {
        let usual = "{\"type\":\"notify\",\"room\":\"r\",\"trigger\":\"t\",\"count\":12}";
        assert!(usual_notify(usual.as_bytes()).is_some());
        // Whichever byte is replaced, the quick reader agrees with the full one or returns `None`.
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
