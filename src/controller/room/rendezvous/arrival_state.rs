//! What has become of an arrival.

use std::rc::Rc;

use super::outcome::Outcome;
use crate::controller::session::budget::Held;
use crate::machine::Time;

/// What has become of an arrival.
#[derive(Debug)]
pub enum ArrivalState {
    /// It waits as this member of that meeting.
    Waits { meeting: Rc<str>, member: Rc<str>, how: How },
    /// It has a ruling, since then, that it has not heard yet.
    Ruled(Rc<Outcome>, Time, #[cfg_attr(not(test), expect(dead_code, reason = "it counts until it is dropped"))] Held),
}

/// How an arrival waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    /// In the round that forms.
    Participant,
    /// For the next one.
    Overflow,
    /// For the place of another that waits under the same name.
    Contends,
}
