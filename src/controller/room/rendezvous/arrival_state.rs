//! The states of an arrival.

use std::rc::Rc;

use super::outcome::Outcome;
use crate::controller::session::budget::Held;
use crate::machine::Time;

/// The state of an arrival.
#[derive(Debug)]
pub enum ArrivalState {
    /// It waits as this member of that meeting.
    Waits { meeting: Rc<str>, member: Rc<str>, how: How },
    /// It has had this outcome since that time, and has not confirmed it.
    Concluded(
        Rc<Outcome>,
        Time,
        #[cfg_attr(not(test), expect(dead_code, reason = "it counts until it is dropped"))] Held,
    ),
}

/// Where an arrival waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    /// In the round that forms.
    Participant,
    /// In the overflow, for the next round.
    Overflow,
    /// For a name that another process holds.
    Contends,
}
