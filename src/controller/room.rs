//! Rooms: name spaces of triggers, barriers and syncs, and what their members say.

pub mod barrier;
pub mod guests;
pub mod line_limits;
pub mod meeting;
pub mod rendezvous;
#[allow(clippy::module_inception)]
pub mod room;
pub mod rooms;
pub mod sync;
pub mod trigger;
