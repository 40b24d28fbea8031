//! Shortens texts and lists of names for messages.

/// The longest reason in a message, in bytes.
const REASON_MAX: usize = 4096;

/// How many names a message lists.
const LISTED_MAX: usize = 10;

/// Returns the beginning of a text that another program may have made long.
pub(super) fn clip(text: &str) -> &str {
    let end = (0..=REASON_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// Returns the names as `a, b, c`, at most [`LISTED_MAX`] of them, or `none`.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.len() {
        0 => "none".to_owned(),
        1..=LISTED_MAX => names.join(", "),
        more => format!("{} and {} more", names[..LISTED_MAX].join(", "), more - LISTED_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(listed(std::iter::empty()), "none");
        assert_eq!(listed(["a", "b"].into_iter()), "a, b");
        assert!(listed(std::iter::repeat_n("x", 12)).ends_with("x and 2 more"));
    }
}
