//! The last lines of a program's output, for a person who asks why it failed.

use super::harmless;

/// The most lines of a tail.
pub const LINES_MAX: usize = 10;

/// The most bytes of a tail, and the most bytes that a caller needs to read from the end of a file.
pub const BYTES_MAX: usize = 2 * 1024;

/// The beginning of a terminal command.
const ESCAPE: char = '\u{1b}';

/// Returns the last lines of `written`, without white space at the end and without anything that a terminal would obey.
/// Empty if `written` has no text. Applying it to its own result changes nothing.
pub fn last_lines(written: &[u8]) -> String {
    let cut = written.len().saturating_sub(BYTES_MAX);
    let text = String::from_utf8_lossy(&written[cut..]);
    let mut lines: Vec<String> = text.trim_end().lines().map(shown).collect();
    // The first line is incomplete.
    if cut > 0 && lines.len() > 1 && written[cut - 1] != b'\n' {
        lines.remove(0);
    }
    let mut first = lines.len().saturating_sub(LINES_MAX);
    let mut length: usize = lines[first..].iter().map(|line| line.len() + 1).sum();
    // A byte that is not UTF-8 has become three bytes.
    while length > BYTES_MAX && first + 1 < lines.len() {
        length -= lines[first].len() + 1;
        first += 1;
    }
    let text = lines[first..].join("\n");
    let end = (0..=BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].trim_end().to_owned()
}

/// Returns a line as a terminal would show it: without text that a progress bar has overwritten, and without colours.
fn shown(line: &str) -> String {
    let line = line.trim_end();
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(ESCAPE) {
        text.push_str(&rest[..at]);
        let after = &rest[at + ESCAPE.len_utf8()..];
        rest = after.strip_prefix('[').map_or(after, |command| {
            let end = command.find(|letter: char| ('@'..='~').contains(&letter));
            end.map_or("", |end| &command[end + 1..])
        });
    }
    text.push_str(rest);
    harmless(&text.replace('\t', "    ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_what_a_person_would_see() {
        assert_eq!(last_lines(b""), "");
        assert_eq!(last_lines(b"\n \n\n"), "");
        assert_eq!(last_lines(b"one\n\ntwo\r\n\n"), "one\n\ntwo");
        assert_eq!(last_lines(b"10%\r55%\r100%\ndone\n"), "100%\ndone");
        assert_eq!(last_lines(b"\x1b[1;31merror:\x1b[0m\tno disk\x07\n"), "error:    no disk?");
        assert_eq!(last_lines(b"cut off \x1b[12"), "cut off");
        let many: String = (1..=15).map(|nr| format!("line {nr}\n")).collect();
        let last = last_lines(many.as_bytes());
        assert!(last.starts_with("line 6\n") && last.ends_with("line 15"), "{last}");
    }

    #[test]
    fn the_last_lines_of_any_output_are_bounded() {
        let long = [b"x".repeat(3_000), b"\nend\n".to_vec()].concat();
        assert_eq!(last_lines(&long), "end");
        assert_eq!(last_lines(&b"y".repeat(5_000)).len(), BYTES_MAX);
        for bytes in [b"\xff".repeat(5_000), "\u{e9}\n".repeat(2_000).into_bytes(), b"\xff\n".repeat(5_000)] {
            let last = last_lines(&bytes);
            assert!(last.len() <= BYTES_MAX && last.lines().count() <= LINES_MAX, "{last}");
            assert_eq!(last_lines(last.as_bytes()), last);
        }
    }
}
