//! The means of a run during one turn of the event loop.

use crate::link::Link;
use crate::machine::{Outbox, Time};
use crate::slave::control::Control;
use crate::wire::Message;

/// The time, the connection to the controller, the control socket, and the effects of the turn.
pub(super) struct Turn<'a> {
    pub(super) now: Time,
    pub(super) out: &'a mut Outbox,
    pub(super) link: &'a mut Link,
    pub(super) control: &'a mut Control,
    /// The number of the last arrival of this process.
    pub(super) arrivals: &'a mut u64,
}

impl Turn<'_> {
    /// Sends a message if the controller is connected. Facts that must not be lost are sent again after a reconnect.
    pub(super) fn say(&mut self, message: &impl Message) {
        self.link.say(self.out, message);
    }
}
