//! What has become of an arrival.

use std::rc::Rc;

use super::ruling::Ruling;
use crate::controller::session::budget::Held;
use crate::machine::Time;

/// What has become of an arrival.
#[derive(Debug)]
pub enum Place {
    /// It waits as this member of that meeting.
    Waits { meeting: Rc<str>, member: Rc<str>, how: How },
    /// It has a ruling, since then, that it has not heard yet.
    Ruled(Rc<Ruling>, Time, #[cfg_attr(not(test), expect(dead_code, reason = "it counts until it is dropped"))] Held),
}

/// How an arrival waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    /// In the round that forms.
    There,
    /// For the next one.
    Surplus,
    /// For the place of another that waits under the same name.
    Contends,
}
