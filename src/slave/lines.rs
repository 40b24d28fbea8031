//! The search for a line that matches in the output of a command. The held part of a line is bounded, and so is each
//! read.

use std::fmt;
use std::path::PathBuf;

use regex::bytes::Regex;

use crate::machine::{Exit, Outbox, ReadId};
use crate::wire::readiness::line_pattern;

/// How much of a line is compared with the pattern, in bytes.
const LINE_MAX: usize = 8 * 1024;

/// How much of a file is read at once, in bytes.
const LOOK_MAX: usize = 64 * 1024;

/// The most reads after the exit of the command. A process that the command has left may write for ever.
const LAST_LOOKS: u32 = 256;

/// The search in the output of one command.
#[derive(Debug)]
pub(super) struct Log {
    pattern: Regex,
    /// Standard output and standard error.
    files: [File; 2],
    /// The exit of the command. After it, the output is complete.
    exit: Option<Exit>,
    last_looks: u32,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    offset: u64,
    lines: Lines,
    reading: Option<ReadId>,
    /// Whether the last read was as long as it may be.
    more: bool,
}

/// The line that has not ended yet.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    /// The line is too long and its beginning does not match, so the rest is skipped.
    skips: bool,
}

/// A pattern that cannot be searched for.
#[derive(Debug)]
pub(super) struct BadPattern {
    pattern: String,
    why: String,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?} is not a valid regular expression: {}", self.pattern, self.why)
    }
}

impl std::error::Error for BadPattern {}

impl Log {
    pub(super) fn new(pattern: &str, files: [PathBuf; 2]) -> Result<Log, BadPattern> {
        let compiled = line_pattern(pattern);
        let pattern = compiled.map_err(|error| BadPattern { pattern: pattern.to_owned(), why: error.to_string() })?;
        let file = |path| File { path, offset: 0, lines: Lines::default(), reading: None, more: false };
        Ok(Log { pattern, files: files.map(file), exit: None, last_looks: LAST_LOOKS })
    }

    /// Reads the next piece of both files.
    pub(super) fn look(&mut self, out: &mut Outbox) -> impl Iterator<Item = ReadId> + use<> {
        self.last_looks -= u32::from(self.exit.is_some() && self.last_looks > 0);
        self.files
            .each_mut()
            .map(|file| {
                let read = out.read(file.path.clone(), file.offset, LOOK_MAX);
                file.reading = Some(read);
                read
            })
            .into_iter()
    }

    /// Takes a piece. Returns whether a line matches.
    pub(super) fn take(&mut self, read: ReadId, bytes: &[u8]) -> bool {
        let Some(file) = self.files.iter_mut().find(|file| file.reading == Some(read)) else { return false };
        file.reading = None;
        file.offset += bytes.len() as u64;
        file.more = bytes.len() == LOOK_MAX;
        let at_end = self.exit.is_some() && !(file.more && self.last_looks > 0);
        file.lines.feed(bytes, &self.pattern) || at_end && file.lines.end(&self.pattern)
    }

    /// Returns whether a read is under way.
    pub(super) fn reads(&self) -> bool {
        self.files.iter().any(|file| file.reading.is_some())
    }

    /// Returns whether the last read has left something.
    pub(super) fn has_more(&self) -> bool {
        self.last_looks > 0 && self.files.iter().any(|file| file.more)
    }

    /// The command has exited. A read that is under way may lack its last output, so its result is dropped.
    pub(super) fn set_exit(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.files.iter_mut().for_each(|file| file.reading = None);
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

impl Lines {
    /// Returns whether a line that ends here matches, or the beginning of one that is too long.
    fn feed(&mut self, bytes: &[u8], pattern: &Regex) -> bool {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let matches = self.goes_on(&rest[..end], pattern) || self.end(pattern);
            rest = &rest[end + 1..];
            if matches {
                return true;
            }
        }
        self.goes_on(rest, pattern)
    }

    fn goes_on(&mut self, bytes: &[u8], pattern: &Regex) -> bool {
        if self.skips {
            return false;
        }
        let room = LINE_MAX - self.begun.len();
        self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.skips = bytes.len() >= room;
        self.skips && pattern.is_match(&self.begun)
    }

    /// Returns whether the line that ends here matches.
    fn end(&mut self, pattern: &Regex) -> bool {
        let line = std::mem::take(&mut self.begun);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        !std::mem::take(&mut self.skips) && pattern.is_match(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pattern: &str, pieces: &[&[u8]]) -> bool {
        let pattern = line_pattern(pattern).unwrap();
        let mut lines = Lines::default();
        pieces.iter().any(|piece| lines.feed(piece, &pattern))
    }

    #[test]
    fn a_line_matches_when_it_has_ended_wherever_it_was_cut() {
        assert!(finds("^up on \\d+$", &[b"booting\nup", b" on 80", b"80\n"]));
        assert!(finds("^up$", &[b"up\r\n"]));
        assert!(!finds("^up$", &[b"up", b" soon\n"]));
        assert!(!finds("^up", &[b"up"]));
        assert!(!finds("one.*two", &[b"one\ntwo\n"]));
        assert!(finds("\u{e4}", &[b"\xff \xc3", b"\xa4\n"]));
    }

    #[test]
    fn only_the_beginning_of_a_long_line_is_held_and_compared() {
        let long = vec![b'x'; LINE_MAX];
        assert!(finds("^x+$", &[&long]));
        assert!(!finds("y", &[&long, b"y\n"]));
        assert!(finds("y", &[&long, b"y\n", b"y\n"]));
    }
}
