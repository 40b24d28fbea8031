//! The regular expressions of a test.
//!
//! Each is compiled once, because compiling one takes as long as reading a hundred entries. There are at most
//! [`PATTERNS_MAX`] different ones.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::bounds::{PATTERN_MAX, PATTERNS_MAX};
use super::fields;
use super::json::Value;
use super::problem::Problems;
use crate::wire::readiness::line_pattern;

/// The regular expressions that were read.
#[derive(Default)]
pub struct Patterns {
    known: RefCell<BTreeMap<String, Result<(), PatternError>>>,
}

/// What is wrong with a regular expression, and at which byte, if it is at one.
type PatternError = (String, Option<usize>);

impl Patterns {
    /// Reads the value of `"log"`.
    pub fn read(&self, value: &Value, problems: &mut Problems<'_>) -> Option<String> {
        let text = fields::string(value, "\"log\"", problems)?;
        let (why, at) = if text.is_empty() {
            ("it is empty".to_owned(), None)
        } else if text.len() > PATTERN_MAX {
            (format!("it is {} bytes long, at most {PATTERN_MAX} are allowed", text.len()), None)
        } else {
            match self.check(text) {
                Ok(()) => return Some(text.to_owned()),
                Err(wrong) => wrong,
            }
        };
        let at = at.map_or(value.span.start, |at| problems.inside(&value.span).place(at));
        problems.add(at, format!("\"log\" is not a valid regular expression: {why}"));
        None
    }

    fn check(&self, text: &str) -> Result<(), PatternError> {
        let mut all = self.known.borrow_mut();
        if let Some(known) = all.get(text) {
            return known.clone();
        }
        if all.len() == PATTERNS_MAX {
            return Err((format!("a test has at most {PATTERNS_MAX} different ones"), None));
        }
        let checked = line_pattern(text).map(|_| ());
        all.insert(text.to_owned(), checked.clone());
        checked
    }
}
