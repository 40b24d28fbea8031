//! What is wrong with a test file, and where.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use super::json::Inside;
use super::suggest::Guesses;
use crate::machine::harmless;

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

/// How many problems of one file are told.
pub const PROBLEMS_MAX: usize = 100;

/// The longest message of a problem, in bytes: what is longer is cut.
pub const MESSAGE_MAX: usize = 4_000;

/// Collects the problems of one file.
pub struct Problems<'a> {
    text: &'a str,
    /// By the byte where each stands; the same one twice counts once.
    found: BTreeSet<(usize, String)>,
    /// There were more than are told.
    more: bool,
    guesses: Guesses,
}

impl<'a> Problems<'a> {
    pub fn new(text: &'a str) -> Problems<'a> {
        Problems { text, found: BTreeSet::new(), more: false, guesses: Guesses::default() }
    }

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
        // It may repeat what the file says, which a terminal must not obey.
        self.found.insert((at, harmless(&message).into_owned()));
    }

    /// Adds a problem of a whole list of slaves, unless there is one at this place: the next slave with the same
    /// schedules has it too. There may be 100,000 of these, so the message is made only where it is told.
    pub fn add_once(&mut self, at: usize, message: impl FnOnce() -> String) {
        if !self.is_told(at) {
            let message = if self.is_full() { String::new() } else { message() };
            self.add(at, message);
        }
    }

    /// Whether there is a problem at this place.
    pub fn is_told(&self, at: usize) -> bool {
        self.found.range((at, String::new())..(at + 1, String::new())).next().is_some()
    }

    /// Whether no further problem will be told: looking for more is of no use.
    pub fn is_full(&self) -> bool {
        self.found.len() >= PROBLEMS_MAX
    }

    /// What somebody may have meant who wrote `wrong`; empty once suggestions have cost as much as they may.
    pub fn hint<'b>(&mut self, wrong: &str, known: impl IntoIterator<Item = &'b str>) -> String {
        if self.is_full() { String::new() } else { self.guesses.hint(wrong, known) }
    }

    /// The same where there is something better to say than what there is.
    pub fn slip<'b>(&mut self, wrong: &str, known: impl IntoIterator<Item = &'b str>) -> Option<String> {
        if self.is_full() { None } else { self.guesses.slip(wrong, known) }
    }

    /// What finds the bytes of the file that the bytes of the string at `span` were written as.
    pub fn inside(&self, span: &Range<usize>) -> Inside<'a> {
        Inside::new(self.text, span)
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
        let mut problems: Vec<Problem> = self.found.into_iter().map(place).collect();
        if let Some(last) = problems.last().filter(|_| self.more) {
            let message = format!("there are more problems than these {PROBLEMS_MAX}: mend them first");
            problems.push(Problem { message, ..last.clone() });
        }
        problems
    }
}
