//! How a round ends.

use std::time::Duration;

use crate::wire::rendezvous::{OutcomeKind, Party};

/// The outcome of a round and its cause.
pub struct Ending<'a> {
    pub kind: OutcomeKind,
    pub who: Vec<String>,
    pub reason: String,
    /// The other party, if a member disagreed.
    pub other: Option<&'a Party>,
    /// The timeout of the arrival that ends the round, if it is not in the round.
    pub timeout: Option<Duration>,
}

impl Ending<'_> {
    pub fn released() -> Self {
        Ending { kind: OutcomeKind::Released, who: Vec::new(), reason: String::new(), other: None, timeout: None }
    }

    /// Fails a round because of one member.
    pub fn of(kind: OutcomeKind, member: &str, reason: String) -> Self {
        Ending { kind, who: vec![member.to_owned()], reason, other: None, timeout: None }
    }
}
