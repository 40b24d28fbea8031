//! Lines that are longer than others, because they carry the value of a sync or name many members: how long they may be,
//! and what becomes of those that are longer.

use crate::controller::Controller;
use crate::controller::reply::refusal;
use crate::controller::room::line_limits::LineBound;
use crate::controller::room::rendezvous::{ArrivalError, Process};
use crate::controller::session::session::Role;
use crate::machine::Time;
use crate::wire::rendezvous::Giver;
use crate::wire::{Bound, Bye, Code};

impl Controller {
    /// A line is too long. A value is read to its end, and whoever gives it is told which limit it has passed; what else is
    /// so long ends the connection.
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
        let Some(name) = self.processes.get(process).map(|known| known.room.clone()) else { return };
        if self.rooms.of(&mut self.runs, &name).is_some() {
            let error = self.may(process, &name, &giver.room, &giver.member).err().unwrap_or(error);
            self.visit(now, &name, |room, visit| room.refuse(process, giver.id, error, visit));
        }
    }
}
