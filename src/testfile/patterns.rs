//! The regular expressions of a test.
//!
//! Each is compiled only once, because compiling takes as long as reading a hundred entries. There are at most
//! [`PATTERNS_MAX`] different ones.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use super::bounds::{PATTERN_MAX, PATTERNS_MAX};
use super::fields;
use super::json::Value;
use super::problem::Problems;
use crate::wire::readiness::{PatternError, line_pattern};

/// The regular expressions that were read.
#[derive(Default)]
pub struct Patterns {
    known: RefCell<BTreeMap<String, Result<(), PatternError>>>,
}

impl Patterns {
    /// Reads the value of `"log"`.
    pub fn read(&self, value: &Value, problems: &mut Problems<'_>) -> Option<String> {
        let text = fields::string(value, "\"log\"", problems)?;
        let mut at = value.span.start;
        let fault: Cow<'_, str> = if text.is_empty() {
            "it is empty".into()
        } else if text.len() > PATTERN_MAX {
            format!("it is {} bytes long, at most {PATTERN_MAX} are allowed", text.len()).into()
        } else {
            match self.check(text) {
                Some(Ok(())) => return Some(text.to_owned()),
                Some(Err(error)) => {
                    if let PatternError::Syntax { at: Some(inner), .. } = error {
                        at = problems.inside(&value.span, text).place(inner);
                    }
                    error.to_string().into()
                }
                None => format!("a test has at most {PATTERNS_MAX} different ones").into(),
            }
        };
        problems.add(at, format!("\"log\" is not a valid regular expression: {fault}"));
        None
    }

    /// Compiles a regular expression. Returns `None` if the test has too many different ones.
    fn check(&self, text: &str) -> Option<Result<(), PatternError>> {
        let mut known = self.known.borrow_mut();
        if let Some(checked) = known.get(text) {
            return Some(checked.clone());
        }
        if known.len() == PATTERNS_MAX {
            return None;
        }
        let checked = line_pattern(text).map(|_| ());
        known.insert(text.to_owned(), checked.clone());
        Some(checked)
    }
}
