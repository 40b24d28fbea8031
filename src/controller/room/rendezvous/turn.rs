//! What every entry point of the meetings works with.

use super::acts::Act;
use super::arrival::{Presence, Process};
use super::round::Assembly;
use crate::controller::session::budget::Asker;
use crate::machine::{Bytes, Time};

/// Makes the line that all members of a complete round get before its ruling, from the meeting's name, the round's
/// number and the values.
pub type MapLine<'a, V> = &'a dyn Fn(&str, u64, &Assembly<V>) -> Option<Bytes>;

/// What every entry point works with.
pub struct Turn<'a, V> {
    pub now: Time,
    pub presence: &'a dyn Presence,
    pub line: MapLine<'a, V>,
    pub acts: &'a mut Vec<Act>,
}

impl<V> Turn<'_, V> {
    /// A process for which something is to be held.
    pub fn asker(&self, process: Process) -> Asker {
        Asker { process: process.0, slave: self.presence.is_slave(process) }
    }
}
