//! What peers may make the controller hold and write: what happens at the bounds.
//!
//! The files that slaves ship have a bound of their own (`run/results.rs`). The bound of a run's records is for everything
//! else that slaves and clients make a controller write to the ledger and the time line: reports, notifies, connections.

use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::reply::refusal;
use crate::controller::room::line_limits::LineBound;
use crate::controller::room::rendezvous::{ArrivalError, Eviction, Process};
use crate::controller::room::room::Room;
use crate::controller::run::record::By;
use crate::controller::run::runs::RunNr;
use crate::controller::session::session::Role;
use crate::machine::{ConnId, Outbox, Time};
use crate::wire::rendezvous::Giver;
use crate::wire::{Bound, Bye, Code};

impl Controller {
    /// Charges what the runs recorded because of this input to the peer that caused it.
    pub(in crate::controller) fn charge(
        &mut self,
        now: Time,
        conn: Option<ConnId>,
        before: Option<Role>,
        out: &mut Outbox,
    ) {
        let who = before.filter(|who| *who != Role::Stranger).or_else(|| self.sessions.who(conn?));
        let by = |nr: RunNr| match who {
            Some(Role::Slave(of, ix, _)) if of == nr => By::Slave(ix as usize),
            Some(Role::Client(_)) => By::Client,
            _ => By::Other,
        };
        let mut goes = None;
        for (nr, run) in self.runs.iter_mut() {
            goes = run.charge(now, by(nr), out).or(goes);
        }
        if let (Some(conn), Some(used)) = (conn.filter(|conn| self.sessions.contains(*conn)), goes) {
            self.part(now, conn, refusal(Code::Full, used.to_string()), out);
        }
    }

    /// Handles a line that is too long. A value is read to its end, and its sender learns which limit it exceeds. Any other
    /// such line ends the connection.
    pub(in crate::controller) fn too_long(
        &mut self,
        now: Time,
        who: Role,
        beginning: &[u8],
        bound: LineBound,
    ) -> Result<(), Bye<'static>> {
        let refused = || {
            let others = if bound.crowded { ", and others send long lines too: try again" } else { "" };
            let code = if bound.crowded { Code::Full } else { Code::Malformed };
            refusal(code, format!("{}{others}", Bound(bound.max)))
        };
        let (Some(process), Some(giver)) = (who.process(), Giver::read(beginning)) else { return Err(refused()) };
        let error = match bound.crowded {
            true => ArrivalError::Crowded { max: self.budget.max() },
            false => ArrivalError::Value { max: self.limits.value, length: None },
        };
        self.refuse_gift(now, process, &giver, error);
        Ok(())
    }

    fn refuse_gift(&mut self, now: Time, process: Process, giver: &Giver, error: ArrivalError) {
        let Some(name) = self.processes.get(process).map(|known| known.identity.room.clone()) else { return };
        if self.rooms.of(&mut self.runs, &name).is_some() {
            let error = self.may(process, &name, &giver.room, &giver.member).err().unwrap_or(error);
            self.visit(now, &name, |room, visit| room.refuse(process, giver.id, error, visit));
        }
    }

    /// Makes room for this many bytes by dropping what is expendable, as far as possible. Begins with the room that has most
    /// of it, because a peer that fills the memory does it in few rooms.
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
