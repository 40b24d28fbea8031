//! Lines that are longer than others, because they carry the value of a sync or name many members: how long they may be,
//! and what becomes of those that are longer.

use crate::controller::Controller;
use crate::controller::reply::refusal;
use crate::controller::room::line_limits::LineBound;
use crate::controller::room::rendezvous::Process;
use crate::controller::room::rooms::room_of;
use crate::controller::session::session::Who;
use crate::machine::Time;
use crate::wire::rendezvous::Giver;
use crate::wire::{Bound, Bye, Code, LINE_AROUND_VALUES, LINE_MAX, LINE_MAX_BEFORE_HELLO};

/// Of the memory for members so much, one part of so many, may be taken by lines that have not ended.
const PARTIAL_PART: usize = 2;

impl Controller {
    /// How long the lines of a peer may be that holds so many bytes of one and says so many more.
    pub(in crate::controller) fn line_bound(&self, who: Who, length: usize) -> LineBound {
        if who == Who::Stranger {
            return LineBound { max: LINE_MAX_BEFORE_HELLO, crowded: false };
        }
        // Neither a slave that serves no run nor an operator has a value to give.
        if matches!(who, Who::Idle | Who::Operator) {
            return LineBound { max: LINE_MAX, crowded: false };
        }
        let max = self.budget.max();
        let crowded = self.partial.bytes() + length > max / PARTIAL_PART || self.budget.held() + length > max;
        LineBound { max: if crowded { LINE_MAX } else { self.limits.value + LINE_AROUND_VALUES }, crowded }
    }

    /// A line is too long. A value is read to its end, and whoever gives it is told which limit it has passed; what else is
    /// so long ends the connection.
    pub(in crate::controller) fn too_long(
        &mut self,
        now: Time,
        who: Who,
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
        if room_of(&mut self.runs, &mut self.rooms, &name).is_some() {
            let reason = self.may(process, &name, &giver.room, &giver.member).err().unwrap_or(reason);
            self.visit(now, &name, |room, visit| room.refuse(process, giver.id, reason, visit));
        }
    }

    /// A peer holds so much of a line that has not ended, and held another much of one before.
    pub(in crate::controller) fn hold_line(&mut self, who: Who, before: usize, after: usize) {
        if who == Who::Stranger {
            self.strangers_hold = self.strangers_hold - before + after;
        } else {
            self.partial.shrink(before);
            self.partial.grow(after);
        }
    }
}
