//! All rooms. The rooms of runs belong to the runs; this module owns the rooms of clients, the requests of all rooms,
//! and their deadlines.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::controller::room::rendezvous::Presence;
use crate::controller::room::room::{Acts, Room, Visit};
use crate::controller::room::sync::Limits;
use crate::controller::run::runs::Runs;
use crate::controller::session::budget::Budget;
use crate::machine::{Time, Timers};

/// The highest number of rooms besides those of runs.
pub const ROOMS_MAX: usize = 1_000;

/// The rooms of clients by name, and the deadlines of all rooms.
#[derive(Default)]
pub struct Rooms {
    named: BTreeMap<Rc<str>, Room>,
    /// The requests of rooms to the controller, in the order of the visits. They are handled at the end of this input.
    pending: VecDeque<(Rc<str>, Acts)>,
    deadlines: Timers<Rc<str>>,
    /// The highest number of a round in rooms that were removed, because no number may be used twice if a room is
    /// created again.
    last_round: u64,
}

impl Rooms {
    /// Returns the room of this name: a run's, or one of the clients'.
    pub fn of<'a>(&'a mut self, runs: &'a mut Runs, name: &str) -> Option<&'a mut Room> {
        match runs.by_id_mut(name) {
            Some(run) => Some(&mut run.room),
            None => self.named.get_mut(name),
        }
    }

    /// Returns a room of clients.
    pub fn named(&self, name: &str) -> Option<&Room> {
        self.named.get(name)
    }

    pub fn named_mut(&mut self, name: &str) -> Option<&mut Room> {
        self.named.get_mut(name)
    }

    /// Returns the rooms of clients in the order of their names.
    pub fn by_name(&self) -> &BTreeMap<Rc<str>, Room> {
        &self.named
    }

    /// Returns every room, those of the runs first.
    pub fn all<'a>(&'a self, runs: &'a Runs) -> impl Iterator<Item = &'a Room> {
        runs.values().map(|run| &run.room).chain(self.named.values())
    }

    /// Creates a room for clients. Returns `None` if [`ROOMS_MAX`] rooms exist.
    pub fn open(&mut self, name: &str, limits: Limits, budget: &Budget) -> Option<Rc<str>> {
        if self.named.len() >= ROOMS_MAX {
            return None;
        }
        let mut room = Room::new(name, limits, budget);
        room.number_after(self.last_round);
        let name = room.name.clone();
        self.named.insert(name.clone(), room);
        Some(name)
    }

    /// Restores a room after a restart, if it does not exist. [`ROOMS_MAX`] does not apply.
    pub fn restore(&mut self, name: &str, limits: Limits, budget: &Budget) {
        if !self.named.contains_key(name) {
            let room = Room::new(name, limits, budget);
            self.named.insert(room.name.clone(), room);
        }
    }

    /// Visits a room. Its requests are pending until [`Rooms::next_acts`].
    pub fn visit(
        &mut self,
        now: Time,
        (runs, presence): (&mut Runs, &dyn Presence),
        name: &Rc<str>,
        what: impl FnOnce(&mut Room, &mut Visit<'_>),
    ) {
        let room = match runs.by_id_mut(name) {
            Some(run) => Some(&mut run.room),
            None => self.named.get_mut(name),
        };
        let Some(room) = room else { return };
        if self.pending.back().is_none_or(|(last, _)| !Rc::ptr_eq(last, name)) {
            self.pending.push_back((name.clone(), Acts::default()));
        }
        let (_, acts) = self.pending.back_mut().expect("it was just added if there was none");
        what(room, &mut Visit { now, presence, acts });
    }

    /// Schedules a check of the deadlines of every room at the end of this input.
    pub fn touch_all(&mut self, runs: &Runs) {
        let touched: Vec<_> = self.all(runs).map(|room| (room.name.clone(), Acts::default())).collect();
        self.pending.extend(touched);
    }

    /// Takes the pending requests of one room.
    pub fn next_acts(&mut self) -> Option<(Rc<str>, Acts)> {
        self.pending.pop_front()
    }

    /// Sets the deadline of a room after its requests were handled, and removes the room if it is empty. Returns
    /// whether it was.
    pub fn settle(&mut self, runs: &mut Runs, name: &Rc<str>) -> bool {
        let Some(room) = self.of(runs, name) else { return false };
        let (due, last_round) = (room.next_deadline(), room.last_round());
        let empty = !room.is_run() && room.is_empty();
        match due.filter(|_| !empty) {
            Some(at) if self.deadlines.get(name) == Some(at) => {}
            Some(at) => self.deadlines.set(name.clone(), at),
            None => self.deadlines.cancel(name),
        }
        if empty {
            self.last_round = self.last_round.max(last_round);
            self.named.remove(name);
        }
        empty
    }

    /// Takes a room with a due deadline.
    pub fn pop_due(&mut self, now: Time) -> Option<Rc<str>> {
        self.deadlines.pop_due(now)
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// Forgets the deadlines of a room that ended with its run.
    pub fn forget(&mut self, name: &Rc<str>) {
        self.pending.retain(|(room, _)| room != name);
        self.deadlines.cancel(name);
    }

    /// Returns the highest number of a round in any of these rooms, removed ones included.
    pub fn last_round(&self) -> u64 {
        self.last_round.max(self.named.values().map(Room::last_round).max().unwrap_or(0))
    }

    /// Restores the highest number of a round from before a restart.
    pub fn restore_last_round(&mut self, round: u64) {
        self.last_round = self.last_round.max(round);
    }

    /// Numbers the next rounds of every room after all earlier rounds.
    pub fn number_on(&mut self) {
        self.last_round = self.last_round();
        self.named.values_mut().for_each(|room| room.number_after(self.last_round));
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.named.values_mut().for_each(|room| room.set_limits(limits));
    }

    #[cfg(test)]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}
