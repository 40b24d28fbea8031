//! Shortens texts and lists of names for messages.

use crate::text;

/// The longest reason in a message, in bytes.
const REASON_MAX: usize = 4096;

/// Returns the beginning of a text that another program may have made long.
pub(super) fn clip(text: &str) -> &str {
    let end = (0..=REASON_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// Returns the names as [`text::list`] does, or `none`.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { text::list(&names) }
}
