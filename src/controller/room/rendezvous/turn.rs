//! The context of each call of the rendezvous.

use super::acts::Act;
use super::arrival::{Presence, Process};
use super::round::Assembly;
use crate::controller::session::budget::Asker;
use crate::machine::{Bytes, Time};

/// Returns the line that all members of a complete round get before its outcome. Its arguments are the meeting's name,
/// the round's number and the values.
pub type MapLine<'a> = &'a dyn Fn(&str, u64, &Assembly) -> Option<Bytes>;

/// The context of each call of the rendezvous.
pub struct Turn<'a> {
    pub now: Time,
    pub presence: &'a dyn Presence,
    pub line: MapLine<'a>,
    pub acts: &'a mut Vec<Act>,
}

impl Turn<'_> {
    /// Returns the payer of memory for a process.
    pub fn asker(&self, process: Process) -> Asker {
        Asker { process: process.0, slave: self.presence.is_slave(process) }
    }
}
