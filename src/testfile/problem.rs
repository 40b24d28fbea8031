//! What is wrong with a test file, and where.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use super::json;

/// One thing that is wrong with a test file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// Collects the problems of one file.
pub struct Problems<'a> {
    text: &'a str,
    /// By the byte where each stands; the same one twice counts once.
    found: BTreeSet<(usize, String)>,
}

impl<'a> Problems<'a> {
    pub fn new(text: &'a str) -> Problems<'a> {
        Problems { text, found: BTreeSet::new() }
    }

    pub fn add(&mut self, at: usize, message: impl Into<String>) {
        // It may repeat what the file says, which a terminal must not obey.
        self.found.insert((at, message.into().replace(char::is_control, "?")));
    }

    /// Adds a problem of a whole list of slaves, unless there is one at this place: the next slave with the same
    /// schedules has it too.
    pub fn add_once(&mut self, at: usize, message: impl Into<String>) {
        if self.found.range((at, String::new())..(at + 1, String::new())).next().is_none() {
            self.add(at, message);
        }
    }

    /// The byte of the file that byte `offset` of the string at `span` was written as.
    pub fn inside(&self, span: &Range<usize>, offset: usize) -> usize {
        json::inside(self.text, span, offset)
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them in the order of the file.
    pub fn finish(self, file: &str) -> Vec<Problem> {
        let text = self.text;
        let (mut line, mut column, mut read) = (1, 1, 0);
        let place = |(at, message): (usize, String)| {
            for char in text[read..at].chars() {
                (line, column) = if char == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            read = at;
            Problem { file: file.to_owned(), line, column, message }
        };
        self.found.into_iter().map(place).collect()
    }
}
