//! Text from other machines: which letters a terminal may show, and which file names are allowed.
//!
//! Both ends of a connection share these rules, so that what one end ships, the other end takes.

use std::borrow::Cow;

/// The longest name of a file or a directory on Linux, in bytes.
pub const COMPONENT_MAX: usize = 255;

/// Whether a terminal would obey this letter instead of showing it: a control character (also of ISO 6429), an end of a line
/// or a paragraph, or one of Unicode's bidirectional controls, which turn the direction of the text after it.
pub fn is_obeyed(letter: char) -> bool {
    let turns = matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    letter.is_control() || turns
}

/// Returns a text of others as a terminal or a log may show it: a question mark replaces each letter that a terminal
/// [obeys](is_obeyed).
pub fn harmless(text: &str) -> Cow<'_, str> {
    if text.contains(is_obeyed) { text.replace(is_obeyed, "?").into() } else { text.into() }
}

/// Whether a file may have this name: one component of a path that stays in its directory and that a terminal may show, of
/// at most [`COMPONENT_MAX`] bytes.
pub fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && name.len() <= COMPONENT_MAX
        && !name.contains(|letter| letter == '/' || is_obeyed(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_a_single_one_that_a_terminal_may_show() {
        for good in ["a", ".hidden", "a b", "ż", "...", &"x".repeat(COMPONENT_MAX)] {
            assert!(is_file_name(good), "{good:?}");
        }
        let long = "x".repeat(COMPONENT_MAX + 1);
        for bad in
            ["", ".", "..", "a/b", "/", "a\n", "\u{1b}[2J", "a\0", "\u{9b}", "exe\u{202e}txt", "a\u{2028}b", &long]
        {
            assert!(!is_file_name(bad), "{bad:?}");
        }
    }
}
