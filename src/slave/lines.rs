//! The lines of a command's output, looked at for one that matches: what is held of a line is bounded, and so is what one
//! look reads.

use std::path::PathBuf;

use regex::bytes::Regex;

use crate::machine::{Exit, Outbox, ReadId};
use crate::wire::readiness::line_pattern;

/// How much of a line is looked at, in bytes.
const LINE_MAX: usize = 8 * 1024;

/// How much of a file one look reads, in bytes.
const LOOK_MAX: usize = 64 * 1024;

/// How many more looks there are when the command has exited. What it has left running may write for ever.
const LAST_LOOKS: u32 = 256;

/// What is looked for, and where.
#[derive(Debug)]
pub(super) struct Log {
    pattern: Regex,
    /// Standard output and standard error.
    files: [File; 2],
    /// How the command has exited: what it has written by now is all there is.
    exit: Option<Exit>,
    last_looks: u32,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    offset: u64,
    lines: Lines,
    reading: Option<ReadId>,
    /// The last look has taken as much as it may.
    more: bool,
}

/// The line that has not ended yet.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    /// It is too long, and what was looked at of it has not matched: the rest is skipped.
    skips: bool,
}

impl Log {
    pub(super) fn new(pattern: &str, files: [PathBuf; 2]) -> Result<Log, String> {
        let compiled = line_pattern(pattern);
        let pattern = compiled.map_err(|why| format!("{pattern:?} is not a valid regular expression: {why}"))?;
        let file = |path| File { path, offset: 0, lines: Lines::default(), reading: None, more: false };
        Ok(Log { pattern, files: files.map(file), exit: None, last_looks: LAST_LOOKS })
    }

    /// Reads on in both files.
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

    /// Takes what was read. Returns whether a line matches.
    pub(super) fn take(&mut self, read: ReadId, bytes: &[u8]) -> bool {
        let Some(file) = self.files.iter_mut().find(|file| file.reading == Some(read)) else { return false };
        file.reading = None;
        file.offset += bytes.len() as u64;
        file.more = bytes.len() == LOOK_MAX;
        let at_end = self.exit.is_some() && !(file.more && self.last_looks > 0);
        file.lines.feed(bytes, &self.pattern) || at_end && file.lines.end(&self.pattern)
    }

    /// Whether a look is under way.
    pub(super) fn reads(&self) -> bool {
        self.files.iter().any(|file| file.reading.is_some())
    }

    /// Whether the last look left something.
    pub(super) fn has_more(&self) -> bool {
        self.last_looks > 0 && self.files.iter().any(|file| file.more)
    }

    /// The command has exited. A look that is under way may lack what it wrote last, so it is forgotten.
    pub(super) fn set_exit(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.files.iter_mut().for_each(|file| file.reading = None);
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

impl Lines {
    /// Whether one of the lines that end here matches, or the beginning of one that is too long.
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

    /// Whether the line matches, which ends here.
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
    fn of_a_long_line_the_beginning_is_looked_at_and_no_more_is_held() {
        let long = vec![b'x'; LINE_MAX];
        assert!(finds("^x+$", &[&long]));
        assert!(!finds("y", &[&long, b"y\n"]));
        assert!(finds("y", &[&long, b"y\n", b"y\n"]));
    }
}
