//! What was handed in is a run only once the disk has it: nobody is told before that it is.

use std::borrow::Cow;
use std::path::Path;

use crate::controller::Controller;
use crate::controller::run::runs::RunNr;
use crate::machine::{ConnId, Outbox, Time};
use crate::wire::Message;
use crate::wire::operate::{Seen, Unfit};

impl Controller {
    /// A run was just made of what this operator has handed in.
    pub(in crate::controller) fn await_the_disk(&mut self, conn: ConnId, nr: RunNr, out: &mut Outbox) {
        if let Some(host) = &mut self.host {
            host.unwritten.push(out.next_serial(), conn, nr);
            out.confirm();
        }
    }

    /// All that was to be written before a confirmation was asked for has been. Whether it was asked for a new run.
    pub(in crate::controller) fn confirm_submission(&mut self, now: Time, out: &mut Outbox) -> bool {
        let ending = self.runs.values().filter_map(|run| run.confirms).min().unwrap_or(u64::MAX);
        let Some(host) = &mut self.host else { return false };
        let Some((conn, nr)) = host.unwritten.confirmed_before(ending) else { return false };
        let Some(nr) = nr else { return true };
        self.enters_queue(nr);
        let submission = self.runs.get(nr).and_then(|run| Some(run.hosted.as_ref()?.submission.clone()));
        if let (Some(run), Some(submission)) = (self.state_of(now, nr), submission)
            && self.sessions.contains(conn)
        {
            out.send(conn, Seen { submission: Some(Cow::from(submission)), run }.encode());
        }
        self.look_at_queue(now);
        true
    }

    /// A file of a run that nobody knows of could not be written: then there is no such run. Whether it was that.
    pub(in crate::controller) fn reject_unwritten(&mut self, path: &Path, error: &str, out: &mut Outbox) -> bool {
        let Some(host) = &mut self.host else { return false };
        let is_in = |nr| self.runs.get(nr).is_some_and(|run| path.starts_with(&run.results));
        let Some((conn, nr)) = host.unwritten.give_up(is_in) else { return false };
        let Some(run) = self.runs.remove(nr) else { return false };
        self.rooms.forget(&run.room.name);
        host.remove(&run.id, out);
        let submission = run.hosted.as_ref().map(|hosted| hosted.submission.clone()).unwrap_or_default();
        let problems = vec![format!("the controller cannot write {}: {error}", path.display())];
        log::error!("run {} is not taken: cannot write {}: {error}", run.id, path.display());
        if self.sessions.contains(conn) {
            out.send(conn, Unfit { submission: Cow::from(submission), problems }.encode());
        }
        true
    }
}
