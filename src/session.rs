//! What both ends of a connection share: names, liveness, when to try again, and whose clock says what.

pub mod files;

use std::time::Duration;

use crate::machine::{Time, is_obeyed};
use crate::wire::operate::Measured;

/// A slave pings this often.
pub const PING_EVERY: Duration = Duration::from_secs(5);

/// A peer that has said nothing for so long is gone, and its connection is closed.
pub const SILENT_AFTER: Duration = Duration::from_secs(20);

/// A connection that has not said a valid hello after so long is closed.
pub const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// A slave whose connection is gone for so long is lost, unless the controller was told another time.
pub const LOST_AFTER: Duration = Duration::from_secs(60);

/// How many round trips a slave measures, one after another, before it says that it is ready.
pub const FIRST_PINGS: u32 = 8;

/// Two round trips that contradict each other by more, in microseconds, are of different clocks: no drift explains it.
const JUMP_MIN: u64 = 100_000;

/// How many of the latest round trips are kept: an old one says little about a clock that drifts.
const ROUND_TRIPS: usize = 16;

/// The longest name of a slave, entry, trigger or resource, in bytes.
pub const NAME_MAX: usize = 64;

/// How many labels a slave has at most.
pub const LABELS_MAX: usize = 64;

/// The longest value of a label, in bytes.
pub const LABEL_MAX: usize = 256;

/// What arete calls itself on the wire and in the log.
pub const VERSION: &str = concat!("arete ", env!("CARGO_PKG_VERSION"));

/// Whether `name` can name a slave, a trigger or a resource: letters, digits, `.`, `_`, `-`, not first a `.` or `-`.
/// Such a name is a safe file name.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with(['.', '-']) && name.bytes().all(plain)
}

/// The rule of [`is_name`] for a message, behind an article: `a name is ...`.
pub fn name_rule() -> String {
    rule("\".\", \"_\" and \"-\"")
}

fn rule(marks: &str) -> String {
    format!("name is 1 to {NAME_MAX} letters of ASCII, digits, {marks}, and begins with a letter, a digit or \"_\"")
}

/// Fails unless `name` is a [name](is_name). `what` is named by it, such as `a room`.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    is_name(name).then_some(()).ok_or_else(|| format!("{} cannot name {what}: a {}", clipped(name), name_rule()))
}

/// Fails unless `name` is an [entry's name](is_entry_name).
pub fn check_entry_name(name: &str) -> Result<(), String> {
    let rule = || rule("\"_\" and \"-\"");
    is_entry_name(name).then_some(()).ok_or_else(|| format!("{} cannot name an entry: a {}", clipped(name), rule()))
}

/// A wrong name in quotes, for a message that stays short.
fn clipped(name: &str) -> String {
    format!("{:?}", name.chars().take(NAME_MAX).collect::<String>())
}

/// Whether `name` can name an entry: a name without dots, because `ENTRY.2.out` is its second run's output.
pub fn is_entry_name(name: &str) -> bool {
    is_name(name) && !name.contains('.')
}

/// What is wrong with a label, if anything: its key is a [name](is_name), and its value short and without control
/// characters.
pub fn check_label(key: &str, value: &str) -> Result<(), String> {
    let shown = clipped(key);
    check_name("a label", key)?;
    if value.len() > LABEL_MAX {
        return Err(format!("the label {shown} is longer than {LABEL_MAX} bytes"));
    }
    if value.contains(is_obeyed) {
        return Err(format!("the label {shown} has a control character in it"));
    }
    Ok(())
}

/// How long a name that becomes no path may be, in bytes: of a barrier, of a sync, and each of the two parts of a member.
pub const WORDS_MAX: usize = 255;

/// How long a member may be: `HOST#TAG`, in bytes.
pub const MEMBER_MAX: usize = 2 * WORDS_MAX + 1;

/// Whether `text` can name a member: a host, or one of several members on a host with `#` and a tag behind it, which may
/// be empty. What follows the first `#` is the tag. `@` begins the name of a group instead.
pub fn is_member(text: &str) -> bool {
    let (host, tag) = match text.split_once('#') {
        Some((host, tag)) => (host, tag),
        None => (text, ""),
    };
    is_meeting(host) && !host.starts_with('@') && is_tag(tag)
}

/// Whether `text` can tell a member from others on its host.
pub fn is_tag(text: &str) -> bool {
    text.len() <= WORDS_MAX && !text.contains(is_obeyed)
}

/// Whether `text` can name a barrier or a sync.
pub fn is_meeting(text: &str) -> bool {
    !text.is_empty() && is_tag(text)
}

/// Whether `text` can be the name or the address of a machine.
pub fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:%".contains(&byte);
    !text.is_empty() && text.len() <= NAME_MAX && !text.starts_with(['.', '-']) && text.bytes().all(plain)
}

/// The rule of [`is_meeting`], for a message.
pub fn words_rule() -> String {
    format!("name has 1 to {WORDS_MAX} bytes of UTF-8 without control characters")
}

/// Whether `text` can be an incarnation.
pub fn is_incarnation(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain)
}

/// Fails unless `text` can be an [incarnation](is_incarnation). `what` it is, such as `an incarnation`.
pub fn check_incarnation(what: &str, text: &str) -> Result<(), String> {
    is_incarnation(text).then_some(()).ok_or_else(|| format!("{what} is 1 to 64 letters, digits, \"-\" and \"_\""))
}

/// Estimates another clock from ping/pong round trips: the smallest round trip says most, because the pong was sent
/// somewhere within it (Cristian, "Probabilistic clock synchronization", 1989).
#[derive(Debug, Default, Clone)]
pub struct ClockOffset {
    /// (round trip, offset), both in microseconds, latest last.
    samples: Vec<(u64, i64)>,
}

impl ClockOffset {
    /// Takes one round trip: sent and received on our clock, `theirs` read in between on the other.
    pub fn sample(&mut self, sent: Time, theirs: Time, received: Time) {
        let round_trip = received.since(sent).as_micros() as u64;
        let middle = sent.offset((round_trip / 2) as i64);
        let offset = theirs.diff(middle);
        let jumped = |(trip, known): (u64, i64)| offset.abs_diff(known) > (round_trip + trip) / 2 + JUMP_MIN;
        if self.best().is_some_and(jumped) {
            // The other clock was set, or is another: what was measured before says nothing.
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

    /// How wrong the estimate can be: half the smallest round trip. `None` before the first sample.
    pub fn uncertainty(&self) -> Option<Duration> {
        self.best().map(|(round_trip, _)| Duration::from_micros(round_trip / 2))
    }

    /// What is known, for the other end.
    pub fn measured(&self) -> Option<Measured> {
        self.best().map(|(round_trip, offset)| Measured { ahead: -offset, round_trip })
    }

    /// Our instant `ours` on the other clock; the same number before the first sample.
    pub fn to_theirs(&self, ours: Time) -> Time {
        ours.offset(self.best().map_or(0, |(_, offset)| offset))
    }

    /// The other clock's instant on ours.
    pub fn to_ours(&self, theirs: Time) -> Time {
        theirs.offset(self.best().map_or(0, |(_, offset)| -offset))
    }

    /// Forgets everything: the next peer may be another machine.
    pub fn clear(&mut self) {
        self.samples.clear();
    }
}

/// When to try a connection again: soon at first, more and more seldom, never all at the same moment.
#[derive(Debug, Clone)]
pub struct Backoff {
    since: Option<Time>,
    random: fastrand::Rng,
}

impl Backoff {
    /// In the first minute the next try is at most this far away.
    pub const SOON: Duration = Duration::from_secs(2);
    /// Later at most this far.
    pub const LATER: Duration = Duration::from_secs(30);
    /// How long "soon" lasts.
    const SOON_FOR: Duration = Duration::from_secs(60);
    /// The first wait.
    const FIRST: Duration = Duration::from_millis(50);

    /// Returns a backoff; `seed` determines its jitter.
    pub fn new(seed: u64) -> Backoff {
        Backoff { since: None, random: fastrand::Rng::with_seed(seed) }
    }

    /// A try has failed: when to make the next one. Between half of the wait and all of it, so that slaves which lost
    /// their controller together do not come back together.
    pub fn next(&mut self, now: Time) -> Time {
        let away = now.since(*self.since.get_or_insert(now));
        let bound = if away < Self::SOON_FOR { Self::SOON } else { Self::LATER };
        let wait = (away + Self::FIRST).min(bound).as_micros() as u64;
        now + Duration::from_micros(self.random.u64(wait / 2..=wait))
    }

    /// A connection stands.
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
    fn a_clock_that_jumps_is_measured_anew() {
        let (mut clock, at) = (ClockOffset::default(), Time::from_micros);
        clock.sample(at(1_000), at(501_050), at(1_100));
        clock.sample(at(2_000), at(1_502_500), at(3_000));
        assert_eq!(clock.to_theirs(at(5_000)), at(1_505_000), "though the round trip before it was shorter");
    }

    #[test]
    fn tries_come_within_two_seconds_in_the_first_minute_and_within_thirty_later() {
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

    /// What is refused never satisfies the rule that the refusal cites, and each refusal cites the same.
    #[test]
    fn a_wrong_name_is_refused_with_the_whole_rule() {
        for wrong in ["", "-x", ".x", "a b", "\u{e9}", &"x".repeat(65)] {
            let refusals = [check_name("a room", wrong), check_label(wrong, "value"), check_entry_name(wrong)];
            for refusal in refusals {
                let said = refusal.expect_err(wrong);
                assert!(
                    said.contains("cannot name a") && said.ends_with("begins with a letter, a digit or \"_\""),
                    "{said}"
                );
                assert!(said.contains("1 to 64 letters of ASCII"), "{said}");
            }
        }
        let entry = check_entry_name("a.b").expect_err("an entry's name has no dots");
        assert!(!entry.contains("\".\""), "{entry}");
    }
}
