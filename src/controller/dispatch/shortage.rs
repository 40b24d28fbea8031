//! What is dropped in all rooms when the memory for members is short.

use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::room::rendezvous::Eviction;
use crate::controller::room::room::Room;
use crate::machine::Time;

impl Controller {
    /// Sees that there is room for so many bytes, as far as that can be had by dropping what can be spared: first from
    /// the room that has most of it, because whoever fills the memory does it in few rooms.
    pub(in crate::controller) fn make_room(&mut self, now: Time, bytes: usize) {
        for what in [Eviction::Failed, Eviction::Abandoned] {
            if self.budget.has_room_for(bytes) {
                return;
            }
            let spare = |room: &Room| (room.evictable(what), room.name.clone());
            let mut rooms: Vec<(usize, Rc<str>)> =
                self.rooms.all(&self.runs).map(spare).filter(|(has, _)| *has > 0).collect();
            rooms.sort_unstable();
            while let Some((_, name)) = rooms.pop().filter(|_| !self.budget.has_room_for(bytes)) {
                self.visit(now, &name, |room, visit| room.evict(what, bytes, visit));
            }
        }
    }
}
