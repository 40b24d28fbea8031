//! What every part of a run acts with during one turn of the event loop.

use crate::link::Link;
use crate::machine::{Outbox, Time};
use crate::slave::control::Control;
use crate::wire::Message;

/// What every handler needs to act: the time, the connection to the controller, the control socket, the effects.
pub(super) struct Turn<'a> {
    pub(super) now: Time,
    pub(super) out: &'a mut Outbox,
    pub(super) link: &'a mut Link,
    pub(super) control: &'a mut Control,
    /// The number of the last arrival of this process.
    pub(super) arrivals: &'a mut u64,
}

impl Turn<'_> {
    /// Says something to the controller, if it is there. What must not be lost is said again after a reconnect.
    pub(super) fn say(&mut self, message: &impl Message) {
        self.link.say(self.out, message);
    }
}
