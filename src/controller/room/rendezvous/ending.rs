//! How a round ends.

use std::time::Duration;

use crate::wire::rendezvous::{OutcomeKind, Party};

/// What becomes of a round.
pub struct Ending<'a> {
    pub kind: OutcomeKind,
    pub who: Vec<String>,
    pub reason: String,
    /// The party that one wanted who did not agree.
    pub other: Option<&'a Party>,
    /// How long the one that ends it would have waited, if it was not there itself.
    pub timeout: Option<Duration>,
}

impl Ending<'_> {
    pub fn released() -> Self {
        Ending { kind: OutcomeKind::Released, who: Vec::new(), reason: String::new(), other: None, timeout: None }
    }

    /// Because of one member.
    pub fn of(kind: OutcomeKind, member: &str, reason: String) -> Self {
        Ending { kind, who: vec![member.to_owned()], reason, other: None, timeout: None }
    }
}
