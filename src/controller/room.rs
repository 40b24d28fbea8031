//! Rooms: namespaces of triggers, barriers and syncs, and the handlers of the messages that members send to them.

pub mod barrier;
pub mod guests;
pub mod line_limits;
pub mod meeting;
pub mod rendezvous;
pub mod request_error;
#[allow(clippy::module_inception)]
pub mod room;
pub mod rooms;
pub mod sync;
pub mod trigger;
