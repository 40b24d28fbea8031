//! Members that wait in the default room while a run of this controller has a meeting of that name: most likely they have
//! forgotten to name the run. They learn which run it is, and continue to wait.

use std::borrow::Cow;
use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::Process;
use crate::controller::run::run::Run;
use crate::machine::Outbox;
use crate::wire::Message;
use crate::wire::rendezvous::Elsewhere;
use crate::wire::room::DEFAULT_ROOM;

impl Controller {
    /// A member has arrived in a room: tells members that wait for it in another room.
    pub(in crate::controller) fn point_elsewhere(
        &self,
        room: &Rc<str>,
        kind: Meeting,
        name: &str,
        member: &str,
        out: &mut Outbox,
    ) {
        match self.runs.by_id(room) {
            Some(run) => self.run_has(run, kind, name, out),
            None if **room == *DEFAULT_ROOM => self.waits_outside(kind, name, member, out),
            None => {}
        }
    }

    /// A member has arrived at a meeting in the default room.
    fn waits_outside(&self, kind: Meeting, name: &str, member: &str, out: &mut Outbox) {
        let Some(process) =
            self.rooms.named(DEFAULT_ROOM).and_then(|room| room.meetings(kind).who_waits_as(name, member))
        else {
            return;
        };
        let mut going = self.runs.values().filter(|run| run.takes_members());
        if let Some(run) = going.find(|run| run.room.has_meeting(kind, name)) {
            self.point_to(run, kind, name, process, out);
        }
    }

    /// A member has arrived at a meeting of a run. Only its first member does this, so that members in the default room are
    /// told once in a round, and not once for each member.
    fn run_has(&self, run: &Run, kind: Meeting, name: &str, out: &mut Outbox) {
        let Some(room) = self.rooms.named(DEFAULT_ROOM) else { return };
        if !run.takes_members() || run.room.meetings(kind).how_many_wait(name) != 1 {
            return;
        }
        for process in room.meetings(kind).who_waits(name) {
            self.point_to(run, kind, name, process, out);
        }
    }

    fn point_to(&self, run: &Run, kind: Meeting, name: &str, process: Process, out: &mut Outbox) {
        let Some(conn) = self.processes.conn(process) else { return };
        let (room, run) = (Cow::from(DEFAULT_ROOM), Cow::from(&*run.room.name));
        out.send(conn, Elsewhere { room, run, name: name.into(), sync: kind == Meeting::Sync }.encode());
    }
}
