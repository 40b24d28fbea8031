//! Durations, lists and JSON in the form in which arete shows them to people.

pub mod ranges;
pub mod tail;

use std::borrow::Cow;
use std::time::Duration;

pub use crate::machine::{harmless, is_obeyed};

/// The most names that a list shows.
const NAMES_SHOWN: usize = 10;

/// Returns a duration as the test file accepts it: `250ms`, `1.5s`, `2min`, `1h30min`.
pub fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    match millis {
        0 if !duration.is_zero() => format!("{}us", duration.as_micros()),
        0..1_000 => format!("{millis}ms"),
        _ if !millis.is_multiple_of(60_000) => format!("{}s", millis as f64 / 1_000.0),
        _ if hours == 0 => format!("{minutes}min"),
        _ if minutes == 0 => format!("{hours}h"),
        _ => format!("{hours}h{minutes}min"),
    }
}

/// Returns a long duration in its largest unit: `42 s`, `12 min`, `3 h`, `2 days`.
pub fn roughly(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Returns the first `most` characters of a text, and `...` if there are more.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// Returns names for a message that stays short: `a, node[1-20], c and 17 more`.
pub fn list(names: &[&str]) -> String {
    // A range of two names is not shorter, and harder to read.
    if names.len() <= 2 {
        return names.join(", ");
    }
    let folded = ranges::fold(names);
    let shown = if folded.len() <= NAMES_SHOWN + 1 { folded.len() } else { NAMES_SHOWN };
    let mut text = folded[..shown].iter().map(|it| it.pattern.as_str()).collect::<Vec<_>>().join(", ");
    let more: usize = folded[shown..].iter().map(|it| it.count).sum();
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

/// Returns the same JSON with everything escaped that a terminal would obey.
///
/// JSON itself escapes only the control characters of ASCII. In strings it allows DEL, the control characters of ISO
/// 6429 (U+0080 to U+009F), one of which alone begins a terminal command, the characters that end a line or a
/// paragraph, and those that change the direction of the text.
pub fn harmless_json(mut json: Vec<u8>) -> Vec<u8> {
    make_harmless(&mut json, 0);
    json
}

/// Appends a number in decimal digits, with zeros before it up to `width`. It takes a fraction of the time of a format.
pub fn push_number(line: &mut Vec<u8>, number: u64, width: usize) {
    let begin = line.len();
    let mut rest = number;
    while rest > 0 || line.len() < begin + width {
        line.push(b'0' + (rest % 10) as u8);
        rest /= 10;
    }
    line[begin..].reverse();
}

/// Like [`harmless_json`], for the JSON that begins at the byte `from` of `text`.
pub fn make_harmless(text: &mut Vec<u8>, from: usize) {
    let json = &text[from..];
    if let Some(escaped) = escaped(memchr::memchr3_iter(b'\r', 0x7F, 0xC2, json), json) {
        text.truncate(from);
        text.extend(escaped);
    }
    let json = &text[from..];
    if let Some(escaped) = escaped(memchr::memchr2_iter(0xD8, 0xE2, json), json) {
        text.truncate(from);
        text.extend(escaped);
    }
}

/// Returns the JSON with the characters that a terminal would obey escaped; `None` if it has none. `begins` are the
/// places at which one may begin.
fn escaped(begins: impl Iterator<Item = usize>, json: &[u8]) -> Option<Vec<u8>> {
    let mut from = 0;
    let mut escaped = Vec::new();
    for at in begins {
        let (instead, length) = match json[at..] {
            [b'\r', ..] => (" ".to_owned(), 1),
            [0x7F, ..] => ("\\u007f".to_owned(), 1),
            [0xC2, second @ 0x80..=0x9F, ..] => (format!("\\u00{second:02x}"), 2),
            [0xD8, 0x9C, ..] => ("\\u061c".to_owned(), 2),
            [0xE2, 0x80, third @ (0x8E | 0x8F | 0xA8..=0xAE), ..] => (format!("\\u20{:02x}", third - 0x80), 3),
            [0xE2, 0x81, third @ 0xA6..=0xA9, ..] => (format!("\\u20{:02x}", third - 0x40), 3),
            _ => continue,
        };
        escaped.extend_from_slice(&json[from..at]);
        escaped.extend_from_slice(instead.as_bytes());
        from = at + length;
    }
    if from == 0 {
        return None;
    }
    escaped.extend_from_slice(&json[from..]);
    Some(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced_in_text_and_escaped_in_json() {
        assert_eq!(harmless("\x1b[2J\u{9b}2J\r\n\u{7f} é ü"), "?[2J?2J??? é ü");
        assert_eq!(harmless("exe\u{202e}txt\u{2066}"), "exe?txt?");
        let json = |text: &str| String::from_utf8(harmless_json(text.into())).unwrap();
        let value = "{\"é\u{9b}\":\"\u{7f}\u{80}x\u{9f}\u{a0}\"}";
        assert_eq!(json(value), "{\"é\\u009b\":\"\\u007f\\u0080x\\u009f\u{a0}\"}");
        let same: [serde_json::Value; 2] = [value, &json(value)].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(same[0], same[1]);
        let turns = "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}";
        let (quoted, others) = (format!("[\"{turns}\"]"), "[\"\u{2010}\u{2060}\u{61d}\u{20ac}\"]");
        assert_eq!(json(&quoted), r#"["\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"]"#);
        let same: [serde_json::Value; 2] = [&*quoted, &json(&quoted)].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!((&same[0], json(others)), (&same[1], others.to_owned()));
        assert_eq!(json("[1,\r\"é\"]"), "[1, \"é\"]");
    }

    #[test]
    fn json_escapes_exactly_the_characters_that_text_replaces() {
        for letter in ('\u{7f}'..=char::MAX).filter(|letter| *letter as u32 <= 0x1_0000) {
            let quoted = format!("\"{letter}\"");
            let json = String::from_utf8(harmless_json(quoted.clone().into())).unwrap();
            assert_eq!(json != quoted, is_obeyed(letter), "{letter:?}: {json}");
            assert_eq!(serde_json::from_str::<char>(&json).unwrap(), letter);
        }
    }

    #[test]
    fn durations_read_as_people_write_them() {
        let shown = |millis| duration(Duration::from_millis(millis));
        assert_eq!([0, 250, 1_500, 2_000, 90_000].map(shown), ["0ms", "250ms", "1.5s", "2s", "90s"]);
        assert_eq!([120_000, 5_400_000, 7_200_000].map(shown), ["2min", "1h30min", "2h"]);
        assert_eq!(duration(Duration::from_micros(70)), "70us");
    }

    #[test]
    fn a_long_list_ends_with_the_number_of_other_names() {
        let names: Vec<String> = ('a'..='m').map(String::from).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(list(&names[..2]), "a, b");
        assert!(list(&names).ends_with("i, j and 3 more"));
        assert_eq!(list(&["n1", "n2"]), "n1, n2");
        assert_eq!(list(&["n1", "n2", "server", "n3"]), "n[1-3], server");
    }
}
