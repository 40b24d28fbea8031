//! What a state machine of arete is.
//!
//! The controller, the slave and the ring node are *machines*: they are given what happened ([`Input`]) and the time at
//! which it did, and they say what to do about it ([`Effect`]). They read no clock, socket, file, environment or random
//! source. So the same machine runs under the [reactor](crate::reactor) on real sockets and under the simulator of the
//! tests, where time is virtual and one seed replays a failure exactly.
//!
//! Bytes, not messages, cross this line, so the simulator exercises the framing too.

mod command;
mod effect;
pub mod faults;
mod found;
mod ids;
mod input;
pub mod path_text;
mod peer;
mod reason;
mod removal;
mod shown;
mod signal;
mod time;

pub use command::{Command, Exit};
pub use effect::{Bytes, Effect, LARGE, Outbox, Stream};
pub use found::{Found, Page};
pub use ids::{ChildId, ConfirmId, ConnId, EarId, ListenerId, ProbeId, ReadId, SocketId};
pub use input::Input;
pub use peer::{Address, NoAnswer, Peer};
pub use reason::{Cause, Reason};
pub use removal::{removal, removed};
pub use shown::{COMPONENT_MAX, harmless, is_file_name, is_obeyed};
pub use signal::Signal;
pub use time::{Time, Timers};

/// A state machine that a driver feeds: the reactor in real life, the simulator in the tests.
pub trait Machine {
    /// Takes one input, and pushes what is to be done about it.
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox);

    /// When the machine wants [`Input::Deadline`] at the latest, if nothing else happens.
    fn next_deadline(&self) -> Option<Time>;
}
