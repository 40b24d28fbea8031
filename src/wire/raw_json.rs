//! JSON that a message carries unread: only its final receiver looks into it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value as it was written. Two values are equal if their texts are equal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson<'a> {
    /// The text, without white space around it.
    #[serde(borrow)]
    pub json: &'a RawValue,
}

impl PartialEq for RawJson<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.json.get() == other.json.get()
    }
}
