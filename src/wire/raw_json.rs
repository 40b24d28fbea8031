//! A piece of JSON that a message carries and nobody on the way looks into.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// JSON as it was written. Two are equal when their texts are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson<'a> {
    #[serde(borrow)]
    pub json: &'a RawValue,
}

impl PartialEq for RawJson<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.json.get() == other.json.get()
    }
}
