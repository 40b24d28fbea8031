//! The problems of a test file, with their places.
//!
//! This file owns the limits on the number and the length of problems. A message must never control a terminal, because
//! it may repeat text of the file.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use super::json::Inside;
use super::suggest::Guesses;
use crate::machine::harmless;

/// One problem of a test file, which is displayed as `FILE:LINE:COLUMN: MESSAGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the caller of [`parse`](super::parse) named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for Problem {}

/// The most problems of one file that are reported.
pub const PROBLEMS_MAX: usize = 100;

/// The longest message of a problem, in bytes. A longer one is cut.
pub const MESSAGE_MAX: usize = 4_000;

/// Collects the problems of one file.
pub struct Problems<'a> {
    text: &'a str,
    /// The byte and the message of each. A repetition counts once.
    found: BTreeSet<(usize, String)>,
    /// There were more than [`PROBLEMS_MAX`].
    more: bool,
    guesses: Guesses,
}

impl<'a> Problems<'a> {
    /// Returns an empty collection for the file with this text.
    pub fn new(text: &'a str) -> Problems<'a> {
        Problems { text, found: BTreeSet::new(), more: false, guesses: Guesses::default() }
    }

    /// Adds a problem at the byte `at` of the text.
    pub fn add(&mut self, at: usize, message: impl Into<String>) {
        if self.is_full() {
            self.more = true;
            return;
        }
        let mut message = message.into();
        if let Some(end) = (0..=MESSAGE_MAX).rev().find(|&end| message.is_char_boundary(end))
            && end < message.len()
        {
            message.truncate(end);
            message += "...";
        }
        self.found.insert((at, harmless(&message).into_owned()));
    }

    /// Adds a problem unless this place has one already, because the next slave with the same schedules has the same
    /// problem. There may be 100,000 such slaves, so the message is made only if it is needed.
    pub fn add_once(&mut self, at: usize, message: impl FnOnce() -> String) {
        if !self.has_one_at(at) {
            let message = if self.is_full() { String::new() } else { message() };
            self.add(at, message);
        }
    }

    /// Returns whether this place has a problem.
    pub fn has_one_at(&self, at: usize) -> bool {
        self.found.range((at, String::new())..(at + 1, String::new())).next().is_some()
    }

    /// Returns whether no further problem will be reported, so that looking for more is useless.
    pub fn is_full(&self) -> bool {
        self.found.len() >= PROBLEMS_MAX
    }

    /// Returns what the author may have meant by `wrong`, as [`suggest::hint`](super::suggest::hint) does. Empty when
    /// the suggestions about this file have cost as much as they may.
    pub fn hint<'b>(&mut self, wrong: &str, known: impl IntoIterator<Item = &'b str>) -> String {
        if self.is_full() { String::new() } else { self.guesses.hint(wrong, known) }
    }

    /// Like [`hint`](Problems::hint), but `None` instead of a list if no name is similar.
    pub fn slip<'b>(&mut self, wrong: &str, known: impl IntoIterator<Item = &'b str>) -> Option<String> {
        if self.is_full() { None } else { self.guesses.slip(wrong, known) }
    }

    /// Returns the finder of places in `string`, which is at `span`.
    pub fn inside<'b>(&self, span: &Range<usize>, string: &'b str) -> Inside<'b>
    where
        'a: 'b,
    {
        Inside::new(self.text, span, string)
    }

    /// Returns whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns all problems, in the order of the file.
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
        let mut problems: Vec<Problem> = self.found.into_iter().map(place).collect();
        if let Some(last) = problems.last().filter(|_| self.more) {
            let message = format!("there are more than these {PROBLEMS_MAX} problems: fix these first");
            problems.push(Problem { message, ..last.clone() });
        }
        problems
    }
}
