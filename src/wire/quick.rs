//! Quick readers for the frequent messages, in the form in which arete writes them.
//!
//! Each reads the fields in the order in which they are written, without white space and escapes, several times faster
//! than [`fields`](super::frame::fields). It returns `None` for every other form, also for every message that is not
//! valid, and `fields` then reads the line. A quick reader must never accept a line that `fields` reads otherwise.

use std::marker::PhantomData;

use super::limits::{IDS_MAX, NAME_MOST};
use super::rendezvous::{Alive, Arrive, Heard, Party};
use super::times::TIME_MAX;
use super::trigger::Notify;

/// The digits of the longest number that always fits in 64 bits.
const DIGITS_MAX: usize = 19;

/// Reads a [`Notify`] without data.
pub(super) fn notify(line: &[u8]) -> Option<Notify<'_>> {
    let mut rest = Rest(line);
    rest.word(b"{\"type\":\"notify\",\"room\":")?;
    let room = rest.name()?.into();
    rest.word(b",\"trigger\":")?;
    let trigger = rest.name()?.into();
    rest.word(b",\"count\":")?;
    let count = rest.number()?;
    rest.end()?;
    Some(Notify { room, trigger, count, data: None })
}

/// Reads an [`Arrive`] of a member that does not abort.
pub(super) fn arrive(line: &[u8]) -> Option<Arrive<'_>> {
    let mut rest = Rest(line);
    rest.word(b"{\"type\":\"arrive\",\"room\":")?;
    let room = rest.name()?.into();
    rest.word(b",\"barrier\":")?;
    let barrier = rest.name()?.into();
    rest.word(b",\"id\":")?;
    let id = rest.number()?;
    rest.word(b",\"member\":")?;
    let member = rest.name()?.into();
    let party = match rest.word(b",\"party\":") {
        Some(()) => Some(rest.party()?),
        None => None,
    };
    let timeout = rest.time(b",\"timeout\":")?;
    let fresh = rest.time(b",\"fresh\":")?;
    let harmonize = rest.word(b",\"harmonize\":true").is_some();
    rest.end()?;
    Some(Arrive { room, barrier, id, member, party, timeout, fresh, abort: None, harmonize })
}

/// Reads a [`Heard`].
pub(super) fn heard(line: &[u8]) -> Option<Heard<'_>> {
    let mut rest = Rest(line);
    rest.word(b"{\"type\":\"heard\",\"room\":")?;
    let room = rest.name()?.into();
    rest.word(b",\"ids\":[")?;
    let mut ids = vec![rest.number()?];
    while rest.word(b",").is_some() && ids.len() < IDS_MAX {
        ids.push(rest.number()?);
    }
    rest.word(b"]")?;
    rest.end()?;
    Some(Heard { room, ids })
}

/// Reads an [`Alive`].
pub(super) fn alive(line: &[u8]) -> Option<Alive<'static>> {
    (line == b"{\"type\":\"alive\"}").then_some(Alive { lifetime: PhantomData })
}

/// The rest of a line.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Skips these bytes. Returns `None` and skips nothing if the rest begins otherwise.
    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    /// Skips a string of printable ASCII characters without escapes, and returns it without its quotes.
    fn name(&mut self) -> Option<&'a str> {
        self.word(b"\"")?;
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let end = self.0.iter().position(|byte| !plain(byte)).filter(|&end| end <= NAME_MOST)?;
        let (name, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(name).ok()
    }

    /// Skips a positive number in decimal digits, and returns it.
    fn number(&mut self) -> Option<u64> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit()).filter(|&end| end <= DIGITS_MAX)?;
        let (digits, rest) = self.0.split_at(end);
        if !matches!(digits, [b'1'..=b'9', ..]) {
            return None;
        }
        self.0 = rest;
        Some(digits.iter().fold(0, |number, byte| number * 10 + u64::from(byte - b'0')))
    }

    /// Skips a time after its key, if the key is there.
    fn time(&mut self, key: &[u8]) -> Option<Option<u64>> {
        match self.word(key) {
            Some(()) => self.number().filter(|&time| time <= TIME_MAX).map(Some),
            None => Some(None),
        }
    }

    /// Skips a party, and returns it.
    fn party(&mut self) -> Option<Party> {
        if self.word(b"{\"count\":").is_some() {
            let count = u32::try_from(self.number()?).ok()?;
            self.word(b"}")?;
            return Some(Party::Count(count));
        }
        self.word(b"{\"members\":[")?;
        let mut members = vec![self.name()?.to_owned()];
        while self.word(b",").is_some() {
            members.push(self.name()?.to_owned());
        }
        self.word(b"]}")?;
        Some(Party::Members(members))
    }

    /// Fails unless the rest is the end of the message.
    fn end(self) -> Option<()> {
        (self.0 == b"}").then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::fields;
    use super::*;
    use crate::wire::Message;

    fn arrival(party: Option<Party>, timeout: Option<u64>, harmonize: bool) -> Arrive<'static> {
        let (room, barrier, member) = ("a run".into(), "server-up".into(), "host#1".into());
        let (id, fresh, abort) = (7, timeout.map(|_| TIME_MAX), None);
        Arrive { room, barrier, id, member, party, timeout, fresh, abort, harmonize }
    }

    #[test]
    fn the_quick_readers_read_what_arete_writes() {
        for count in [1, 10, 4_294_967_296, 9_999_999_999_999_999_999] {
            let message = Notify { room: "relay-1".into(), trigger: "stop.it_now-1".into(), count, data: None };
            let line = message.encode();
            assert_eq!(notify(&line[..line.len() - 1]), Some(message));
        }
        let parties = [None, Some(Party::Count(3)), Some(Party::Members(vec!["a".to_owned(), "b#2".to_owned()]))];
        for (party, harmonize) in parties.into_iter().zip([false, true, false]) {
            for timeout in [None, Some(1)] {
                let message = arrival(party.clone(), timeout, harmonize);
                let line = message.encode();
                assert_eq!(arrive(&line[..line.len() - 1]), Some(message));
            }
        }
        for ids in [vec![1], vec![3, 2, 1]] {
            let message = Heard { room: "r".into(), ids };
            let line = message.encode();
            assert_eq!(heard(&line[..line.len() - 1]), Some(message));
        }
        let line = Alive { lifetime: PhantomData }.encode();
        assert!(alive(&line[..line.len() - 1]).is_some());
    }

    /// Whatever byte of a line is replaced, removed or doubled, a quick reader agrees with the full one or returns `None`.
    #[test]
    fn the_quick_readers_leave_other_forms_to_the_full_reader() {
        let members = Party::Members(vec!["a".to_owned(), "b".to_owned()]);
        let lines = [
            Notify { room: "r".into(), trigger: "t".into(), count: 12, data: None }.encode(),
            arrival(None, None, false).encode(),
            arrival(Some(members), Some(10), true).encode(),
            arrival(Some(Party::Count(2)), None, true).encode(),
            Heard { room: "r".into(), ids: vec![1, 20] }.encode(),
        ];
        fn agree(line: &[u8]) {
            if let Some(quick) = notify(line) {
                assert_eq!(fields::<Notify>(line), Ok(quick));
            }
            if let Some(quick) = arrive(line) {
                assert_eq!(fields::<Arrive>(line), Ok(quick));
            }
            if let Some(quick) = heard(line) {
                assert_eq!(fields::<Heard>(line), Ok(quick));
            }
        }
        for line in lines.iter().map(|line| &line[..line.len() - 1]) {
            for at in 0..line.len() {
                for byte in 0..=255 {
                    let mut other = line.to_vec();
                    other[at] = byte;
                    agree(&other);
                    other.insert(at, line[at]);
                    agree(&other);
                }
                agree(&[&line[..at], &line[at + 1..]].concat());
                agree(&line[..at]);
            }
        }
    }

    #[test]
    fn numbers_and_names_beyond_their_bounds_are_left_to_the_full_reader() {
        for odd in ["0", "-1", "1.0", "1e3", "99999999999999999999", "012", ""] {
            let line = format!("{{\"type\":\"notify\",\"room\":\"r\",\"trigger\":\"t\",\"count\":{odd}}}");
            assert_eq!(notify(line.as_bytes()), None, "{odd}");
            let line = format!("{{\"type\":\"heard\",\"room\":\"r\",\"ids\":[{odd}]}}");
            assert_eq!(heard(line.as_bytes()), None, "{odd}");
        }
        let long = "n".repeat(NAME_MOST + 1);
        assert_eq!(notify(format!("{{\"type\":\"notify\",\"room\":\"{long}\"").as_bytes()), None);
        for odd in [format!(",\"timeout\":{}", TIME_MAX + 1), ",\"party\":{\"count\":4294967296}".to_owned()] {
            let head = "{\"type\":\"arrive\",\"room\":\"r\",\"barrier\":\"b\",\"id\":1,\"member\":\"m\"";
            assert_eq!(arrive(format!("{head}{odd}}}").as_bytes()), None, "{odd}");
            assert!(arrive(format!("{head}}}").as_bytes()).is_some());
        }
        let ids = vec!["1"; IDS_MAX + 1].join(",");
        assert_eq!(heard(format!("{{\"type\":\"heard\",\"room\":\"r\",\"ids\":[{ids}]}}").as_bytes()), None);
    }
}
