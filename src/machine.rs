//! The interface between a state machine and the driver that runs it.
//!
//! The controller, the slave and the ring node are *machines*: a driver gives them what happened ([`Input`]) and when,
//! and they answer with what to do ([`Effect`]). A machine must never read a clock, a socket, a file, the environment or
//! a random source. Therefore the same machine runs under the [reactor](crate::reactor) on real sockets and under the
//! simulator of the tests, where time is virtual and one seed replays a failure exactly.
//!
//! Bytes, not messages, cross this interface, so the simulator exercises the framing too.

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
#[doc(hidden)]
pub mod stage;
mod system_error;
mod time;

pub use command::{Command, Exit};
pub use effect::{APPENDS_HELD, Bytes, Effect, LARGE, Outbox, Stream};
pub use found::{Found, Page};
pub use ids::{ChildId, ConfirmId, ConnId, EarId, IdHasher, IdMap, ListenerId, ProbeId, ReadId, SocketId};
pub use input::Input;
pub use peer::{Address, NoAnswer, Peer, Proven};
pub use reason::{Cause, Reason};
pub use removal::{removal, removed};
pub use shown::{COMPONENT_MAX, harmless, is_file_name, is_obeyed};
pub use signal::Signal;
pub use system_error::{ErrorKind, SystemError};
pub use time::{Time, Timers};

/// A state machine that a driver feeds: the reactor in real life, the simulator in the tests.
pub trait Machine {
    /// Handles one input, and pushes to `out` what to do about it.
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox);

    /// Returns when the machine wants [`Input::Deadline`] at the latest, if nothing else happens.
    fn next_deadline(&self) -> Option<Time>;
}
