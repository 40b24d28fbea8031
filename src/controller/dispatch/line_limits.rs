//! Lines that are longer than others, because they carry the value of a sync or name many members: how long they may be,
//! and what becomes of those that are longer.

use crate::controller::Controller;
use crate::controller::reply::refusal;
use crate::controller::room::line_limits::LineBound;
use crate::controller::room::rendezvous::Process;
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
        let reason = match bound.crowded {
            true => {
                let max = self.budget.max();
                format!(
                    "the controller may hold {max} bytes of its members (--memory-max), and they are taken: try again"
                )
            }
            false => {
                let max = self.limits.value;
                format!("a value has at most {max} bytes (--value-max of the controller), this one has more")
            }
        };
        self.refuse_gift(now, process, &giver, reason);
        Ok(())
    }

    fn refuse_gift(&mut self, now: Time, process: Process, giver: &Giver, reason: String) {
        let Some(name) = self.processes.get(process).map(|known| known.room.clone()) else { return };
        if self.rooms.of(&mut self.runs, &name).is_some() {
            let reason = self.may(process, &name, &giver.room, &giver.member).err().unwrap_or(reason);
            self.visit(now, &name, |room, visit| room.refuse(process, giver.id, reason, visit));
        }
    }
}
