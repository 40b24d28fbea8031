//! Rules for both ends of a connection: names, liveness, the delay of reconnects, and the offset between two clocks.

pub mod files;

use std::fmt;
use std::time::Duration;

use crate::machine::{Time, is_obeyed};
use crate::wire::operate::Measured;

/// How often a controller is pinged.
pub const PING_EVERY: Duration = Duration::from_secs(5);

/// If nothing is received from a peer for this long, its connection is closed.
pub const SILENT_AFTER: Duration = Duration::from_secs(20);

/// A connection without a valid first message is closed after this time.
pub const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// The default of the time without a connection after which a slave is lost.
pub const LOST_AFTER: Duration = Duration::from_secs(60);

/// How many round trips a slave measures before it reports that it is ready.
pub const FIRST_PINGS: u32 = 8;

/// Two round trips that contradict each other by more, in microseconds, are of different clocks: no drift explains it.
const JUMP_MIN: u64 = 100_000;

/// How many round trips are kept. Clocks drift, so an old one is not accurate.
const ROUND_TRIPS: usize = 16;

/// The longest name of a slave, entry, trigger or resource, in bytes.
pub const NAME_MAX: usize = 64;

/// The most labels of a slave.
pub const LABELS_MAX: usize = 64;

/// The longest value of a label, in bytes.
pub const LABEL_MAX: usize = 256;

/// The name and version of this program, on the wire and in the log.
pub const VERSION: &str = concat!("arete ", env!("CARGO_PKG_VERSION"));

/// Returns whether `name` can name a slave, a trigger or a resource: 1 to [`NAME_MAX`] characters: ASCII letters, digits, `.`,
/// `_` and `-`, of which the first is not `.` or `-`. Such a name is a safe file name.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with(['.', '-']) && name.bytes().all(plain)
}

/// Returns the rule of [`is_name`] for a message, without the article.
pub fn name_rule() -> String {
    rule("\".\", \"_\" and \"-\"")
}

fn rule(marks: &str) -> String {
    format!(
        "name has 1 to {NAME_MAX} characters: ASCII letters, digits, {marks}; the first is a letter, a digit or \"_\""
    )
}

/// Fails unless `name` is a [name](is_name). `noun` is what it would name, such as `a room`.
pub fn check_name(noun: &str, name: &str) -> Result<(), NameError> {
    let error = || NameError::Name { noun: noun.to_owned(), name: clipped(name) };
    is_name(name).then_some(()).ok_or_else(error)
}

/// Fails unless `name` is an [entry's name](is_entry_name).
pub fn check_entry_name(name: &str) -> Result<(), NameError> {
    is_entry_name(name).then_some(()).ok_or_else(|| NameError::Entry { name: clipped(name) })
}

/// Returns the beginning of a wrong name, for a message that stays short.
fn clipped(name: &str) -> String {
    name.chars().take(NAME_MAX).collect()
}

/// Why a text cannot be a name, a label or an incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// It breaks the rule of [`is_name`].
    Name {
        /// What it would name, such as `a room`.
        noun: String,
        /// The beginning of the text.
        name: String,
    },
    /// It breaks the rule of [`is_entry_name`].
    Entry {
        /// The beginning of the text.
        name: String,
    },
    /// The value of a label is longer than [`LABEL_MAX`].
    LongLabel {
        /// The key of the label.
        key: String,
    },
    /// The value of a label has control characters.
    ControlInLabel {
        /// The key of the label.
        key: String,
    },
    /// A slave has more than [`LABELS_MAX`] labels.
    TooManyLabels,
    /// It breaks the rule of [`is_incarnation`].
    Incarnation {
        /// What it would be, such as `an incarnation`.
        noun: String,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Name { noun, name } => write!(to, "{name:?} cannot name {noun}: a {}", name_rule()),
            NameError::Entry { name } => {
                write!(to, "{name:?} cannot name an entry: a {}", rule("\"_\" and \"-\""))
            }
            NameError::LongLabel { key } => write!(to, "the label {key:?} is longer than {LABEL_MAX} bytes"),
            NameError::ControlInLabel { key } => write!(to, "the label {key:?} has a control character in it"),
            NameError::TooManyLabels => write!(to, "a slave has at most {LABELS_MAX} labels"),
            NameError::Incarnation { noun } => write!(to, "{noun} is 1 to 64 letters, digits, \"-\" and \"_\""),
        }
    }
}

impl std::error::Error for NameError {}

/// Returns whether `name` can name an entry: a name without dots, because `ENTRY.2.out` is the output of its second
/// run.
pub fn is_entry_name(name: &str) -> bool {
    is_name(name) && !name.contains('.')
}

/// Fails unless the key of a label is a [name](is_name), and its value has at most [`LABEL_MAX`] bytes without control
/// characters.
pub fn check_label(key: &str, value: &str) -> Result<(), NameError> {
    check_name("a label", key)?;
    if value.len() > LABEL_MAX {
        return Err(NameError::LongLabel { key: key.to_owned() });
    }
    if value.contains(is_obeyed) {
        return Err(NameError::ControlInLabel { key: key.to_owned() });
    }
    Ok(())
}

/// The longest name that does not become a path, in bytes: of a barrier, of a sync, and of each part of a member.
pub const WORDS_MAX: usize = 255;

/// The longest member `HOST#TAG`, in bytes.
pub const MEMBER_MAX: usize = 2 * WORDS_MAX + 1;

/// Returns whether `text` can name a member: a host, or a host with `#` and a tag, which may be empty. The tag begins
/// after the first `#`. `@` begins the name of a group instead.
pub fn is_member(text: &str) -> bool {
    let (host, tag) = text.split_once('#').unwrap_or((text, ""));
    is_meeting(host) && !host.starts_with('@') && is_tag(tag)
}

/// Returns whether `text` can be the tag of a member.
pub fn is_tag(text: &str) -> bool {
    text.len() <= WORDS_MAX && !text.contains(is_obeyed)
}

/// Returns whether `text` can name a barrier or a sync: 1 to [`WORDS_MAX`] bytes without control characters.
pub fn is_meeting(text: &str) -> bool {
    !text.is_empty() && is_tag(text)
}

/// Returns whether `text` can be the name or the address of a machine.
pub fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:%".contains(&byte);
    !text.is_empty() && text.len() <= NAME_MAX && !text.starts_with(['.', '-']) && text.bytes().all(plain)
}

/// Returns the rule of [`is_meeting`] for a message, without the article.
pub fn words_rule() -> String {
    format!("name has 1 to {WORDS_MAX} bytes of UTF-8 without control characters")
}

/// Returns whether `text` can be an incarnation: 1 to 64 letters, digits, `-` and `_`.
pub fn is_incarnation(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain)
}

/// Fails unless `text` can be an [incarnation](is_incarnation). `noun` is what it would be, such as `an incarnation`.
pub fn check_incarnation(noun: &str, text: &str) -> Result<(), NameError> {
    is_incarnation(text).then_some(()).ok_or_else(|| NameError::Incarnation { noun: noun.to_owned() })
}

/// Estimates another clock from ping/pong round trips. The smallest round trip is the most accurate, because the pong
/// was sent within it (Cristian, "Probabilistic clock synchronization", 1989).
#[derive(Debug, Default, Clone)]
pub struct ClockOffset {
    /// (round trip, offset), both in microseconds, latest last.
    samples: Vec<(u64, i64)>,
}

impl ClockOffset {
    /// Takes one round trip: sent and received on this clock, `theirs` read in between on the other.
    pub fn sample(&mut self, sent: Time, theirs: Time, received: Time) {
        let round_trip = received.since(sent).as_micros() as u64;
        let middle = sent.offset((round_trip / 2) as i64);
        let offset = theirs.diff(middle);
        let jumped = |(trip, known): (u64, i64)| offset.abs_diff(known) > (round_trip + trip) / 2 + JUMP_MIN;
        if self.best().is_some_and(jumped) {
            // The other clock was set, or is another one, so earlier samples are wrong.
            self.samples.clear();
        }
        if self.samples.len() == ROUND_TRIPS {
            self.samples.remove(0);
        }
        self.samples.push((round_trip, offset));
    }

    fn best(&self) -> Option<(u64, i64)> {
        self.samples.iter().min().copied()
    }

    /// Returns the greatest possible error: half the smallest round trip. `None` before the first sample.
    pub fn uncertainty(&self) -> Option<Duration> {
        self.best().map(|(round_trip, _)| Duration::from_micros(round_trip / 2))
    }

    /// Returns the best sample, for the other end.
    pub fn measured(&self) -> Option<Measured> {
        self.best().map(|(round_trip, offset)| Measured { ahead: -offset, round_trip })
    }

    /// Converts an instant to the other clock. Before the first sample the result is the same number.
    pub fn to_theirs(&self, ours: Time) -> Time {
        ours.offset(self.best().map_or(0, |(_, offset)| offset))
    }

    /// Converts an instant of the other clock to this one.
    pub fn to_ours(&self, theirs: Time) -> Time {
        theirs.offset(self.best().map_or(0, |(_, offset)| -offset))
    }

    /// Drops all samples, because the next peer may be another machine.
    pub fn clear(&mut self) {
        self.samples.clear();
    }
}

/// The delay of reconnects: short at first, then growing, with jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    since: Option<Time>,
    random: fastrand::Rng,
}

impl Backoff {
    /// The longest delay in the first minute.
    pub const SOON: Duration = Duration::from_secs(2);
    /// The longest delay later.
    pub const LATER: Duration = Duration::from_secs(30);
    /// How long "soon" lasts.
    const SOON_FOR: Duration = Duration::from_secs(60);
    /// The first delay.
    const FIRST: Duration = Duration::from_millis(50);

    /// Returns a backoff; `seed` determines its jitter.
    pub fn new(seed: u64) -> Backoff {
        Backoff { since: None, random: fastrand::Rng::with_seed(seed) }
    }

    /// An attempt has failed. Returns the instant of the next one, at random in the second half of the delay, so that
    /// slaves that lost their controller together do not return together.
    pub fn next(&mut self, now: Time) -> Time {
        let away = now.since(*self.since.get_or_insert(now));
        let bound = if away < Self::SOON_FOR { Self::SOON } else { Self::LATER };
        let wait = (away + Self::FIRST).min(bound).as_micros() as u64;
        now + Duration::from_micros(self.random.u64(wait / 2..=wait))
    }

    /// A connection has lasted.
    pub fn reset(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_round_trip_decides_the_offset() {
        let mut clock = ClockOffset::default();
        let at = Time::from_micros;
        clock.sample(at(1_000), at(501_500), at(2_000));
        clock.sample(at(3_000), at(503_050), at(3_100));
        clock.sample(at(9_000), at(599_000), at(90_000));
        assert_eq!(clock.to_theirs(at(3_050)), at(503_050));
        assert_eq!(clock.to_ours(at(503_050)), at(3_050));
        assert_eq!(clock.uncertainty(), Some(Duration::from_micros(50)));
    }

    #[test]
    fn a_clock_that_jumps_is_measured_again() {
        let (mut clock, at) = (ClockOffset::default(), Time::from_micros);
        clock.sample(at(1_000), at(501_050), at(1_100));
        clock.sample(at(2_000), at(1_502_500), at(3_000));
        assert_eq!(clock.to_theirs(at(5_000)), at(1_505_000), "though the round trip before it was shorter");
    }

    #[test]
    fn attempts_follow_within_two_seconds_in_the_first_minute_and_thirty_later() {
        let mut backoff = Backoff::new(7);
        let begin = Time::from_micros(5_000_000);
        let mut now = begin;
        while now.since(begin) < Duration::from_secs(600) {
            let next = backoff.next(now);
            let bound = if now.since(begin) < Duration::from_secs(60) { Backoff::SOON } else { Backoff::LATER };
            assert!(next > now && next.since(now) <= bound, "{:?}", next.since(now));
            now = next;
        }
    }

    #[test]
    fn names_are_safe_file_names() {
        assert!(is_name("node-1.example_x") && is_name("a"));
        for bad in ["", ".", "..", "a/b", "-rf", ".hidden", "a b", "é", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad:?}");
        }
        assert!(!is_entry_name("a.b"));
        assert!(["a", "10.0.0.1", "::1", "fe80::1%eth0"].iter().all(|name| is_host(name)));
        assert!(!["", "a#", "a b", "-a", "é"].iter().any(|name| is_host(name)));
    }

    #[test]
    fn members_and_meetings_have_any_name_without_control_characters() {
        let long = "x".repeat(WORDS_MAX);
        for good in ["a", "10.0.0.1#2", "a#", "a#b#c", "a b", "-a", "\u{17b}\u{f3}\u{142}w # 1", "a,b", &long] {
            assert!(is_member(good) && is_meeting(good), "{good:?}");
        }
        assert!(is_member(&format!("{long}#{long}")) && is_tag(""));
        for bad in ["", "a\n", "a\u{7f}", "a\u{9b}2J", "a\u{202e}b", "a\u{2028}", &format!("{long}x")] {
            assert!(!is_member(bad) && !is_meeting(bad), "{bad:?}");
        }
        assert!(!["#x", "@all", "@all#x", "a#\t", &format!("a#{long}x")].iter().any(|name| is_member(name)));
        assert!(!["\0", "\u{85}"].iter().any(|tag| is_tag(tag)));
    }

    /// A refused name never satisfies the rule in the message, and all messages state the same rule.
    #[test]
    fn a_wrong_name_is_refused_with_the_whole_rule() {
        for wrong in ["", "-x", ".x", "a b", "\u{e9}", &"x".repeat(65)] {
            let refusals = [check_name("a room", wrong), check_label(wrong, "value"), check_entry_name(wrong)];
            for refusal in refusals {
                let said = refusal.expect_err(wrong).to_string();
                assert!(
                    said.contains("cannot name a") && said.ends_with("the first is a letter, a digit or \"_\""),
                    "{said}"
                );
                assert!(said.contains("1 to 64 characters"), "{said}");
            }
        }
        let entry = check_entry_name("a.b").expect_err("an entry's name has no dots").to_string();
        assert!(!entry.contains("\".\""), "{entry}");
    }
}
