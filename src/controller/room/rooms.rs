//! What members say to a room and what the room wants done about it, between the connections and the rooms.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::controller::room::room::Room;
use crate::controller::run::runs::Runs;
use crate::wire::FromSlave;

/// A room by its name: a run's, or one of the clients'.
pub fn room_of<'a>(runs: &'a mut Runs, rooms: &'a mut BTreeMap<Rc<str>, Room>, name: &str) -> Option<&'a mut Room> {
    match runs.by_id_mut(name) {
        Some(run) => Some(&mut run.room),
        None => rooms.get_mut(name),
    }
}

/// Whether a message is about barriers and syncs.
pub fn is_members(message: &FromSlave<'_>) -> bool {
    use FromSlave as Said;
    matches!(message, Said::Arrive(_) | Said::Give(_) | Said::Gone(_) | Said::Heard(_) | Said::Alive(_))
}
