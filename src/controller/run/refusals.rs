//! The strangers that a run has refused, so that repeated refusals are recorded once.

use std::collections::BTreeSet;

/// How many different refusals are recorded.
const MAX: usize = 1_000;

/// The recorded refusals.
#[derive(Default)]
pub struct Refusals(BTreeSet<String>);

impl Refusals {
    /// Returns whether a refusal must be recorded: it is new, and there are not too many.
    pub fn takes(&self, name: &str, reason: &str) -> bool {
        self.0.len() < MAX && !self.0.contains(&format!("{name} {reason}"))
    }

    pub fn add(&mut self, name: &str, reason: &str) {
        self.0.insert(format!("{name} {reason}"));
    }
}
