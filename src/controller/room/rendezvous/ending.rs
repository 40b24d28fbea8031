//! How a round ends.

use crate::wire::rendezvous::OutcomeKind;

/// The outcome of a round and its cause.
pub struct Ending {
    pub kind: OutcomeKind,
    pub who: Vec<String>,
    pub reason: String,
}

impl Ending {
    pub fn released() -> Ending {
        Ending { kind: OutcomeKind::Released, who: Vec::new(), reason: String::new() }
    }

    /// Fails a round because of one member.
    pub fn of(kind: OutcomeKind, member: &str, reason: String) -> Ending {
        Ending { kind, who: vec![member.to_owned()], reason }
    }
}
