//! The properties of every text as a text with variables, a pattern of names, or a name.

use std::collections::BTreeSet;

use arete::session::{MEMBER_MAX, NAME_MAX, is_entry_name, is_host, is_incarnation, is_meeting, is_member, is_name};
use arete::testfile::{range, time};
use arete::text::ranges;
use arete::variables::{Segment, expand, parse};

/// The most names of a pattern in these checks.
const NAMES_MAX: usize = 1_000;

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    check_variables(text);
    check_ranges(text);
    check_names(text);
    if let Ok(duration) = time::from_text(text) {
        assert!(duration <= arete::testfile::TIME_MAX);
    }
    if let Ok(duration) =
        text.parse::<f64>().map_err(|_| ()).and_then(|number| time::from_seconds(number).map_err(|_| ()))
    {
        assert!(duration <= arete::testfile::TIME_MAX);
    }
}

fn check_variables(text: &str) {
    let parts = match parse(text) {
        Ok(parts) => parts,
        Err(error) => {
            assert!(text[error.at..].starts_with("@{"), "{error:?}");
            assert!(expand::<()>(text, &mut |_| Ok(String::new())).is_err());
            return;
        }
    };
    let written: String = parts
        .iter()
        .map(|part| match part {
            Segment::Text(text) => text.replace("@{", "@@{"),
            Segment::Variable { variable, .. } => variable.to_string(),
        })
        .collect();
    assert_eq!(written, text, "the segments together are the text");
    // A value that looks like a variable is not expanded again.
    let expanded = expand::<()>(text, &mut |_| Ok("@{x.pid}".to_owned())).expect("every variable is resolved");
    let texts = parts.iter().map(|part| match part {
        Segment::Text(text) => text.as_str(),
        Segment::Variable { .. } => "@{x.pid}",
    });
    assert_eq!(expanded, texts.collect::<String>());
}

/// Checks that the patterns of folded names expand to exactly these names.
pub fn check_folded(names: &[&str]) {
    let folded = ranges::fold(names);
    let expanded: Vec<String> = folded
        .iter()
        .flat_map(|it| {
            let again = range::expand(&it.pattern, NAMES_MAX).expect("ranges are read back");
            assert_eq!(again.len(), it.count, "{}", it.pattern);
            again
        })
        .collect();
    let (all, once): (BTreeSet<&str>, BTreeSet<&str>) =
        (names.iter().copied().collect(), expanded.iter().map(String::as_str).collect());
    assert_eq!(once, all);
    assert_eq!(expanded.len(), once.len(), "each name appears once");
}

fn check_ranges(text: &str) {
    let short = |name: &&str| name.len() <= NAME_MAX && !name.contains(['[', ']']);
    let words: Vec<&str> = text.split([' ', ',', '\n', '-']).filter(short).take(NAMES_MAX).collect();
    check_folded(&words);
    let Ok(names) = range::expand(text, NAMES_MAX) else { return };
    check_folded(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(!names.is_empty() && names.len() <= NAMES_MAX);
    if !text.contains(['[', ']']) {
        assert_eq!(names, [text]);
    }
    for name in names {
        assert!(!name.contains(['[', ']']));
        let again = range::expand(&name, 1);
        assert!(again == Ok(vec![name.clone()]) || name.len() > MEMBER_MAX, "a name expands to itself: {name}");
    }
}

fn check_names(text: &str) {
    if is_entry_name(text) {
        assert!(is_name(text));
    }
    if is_name(text) {
        assert!(!text.contains(['/', '\0', ' ']) && !["", ".", ".."].contains(&text) && text.len() <= NAME_MAX);
    }
    if is_name(text) || is_host(text) || is_incarnation(text) {
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(is_member(text) && is_meeting(text));
    }
    if is_member(text) || is_meeting(text) {
        assert!(!text.is_empty() && text.len() <= MEMBER_MAX && !text.contains(arete::machine::is_obeyed));
    }
}
