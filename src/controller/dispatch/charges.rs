//! How much a run has recorded, in its ledger and its time line, at whose instance, and how much that may be.
//!
//! The files that slaves ship have a bound of their own. This one is for all else that slaves and clients make a controller
//! write: reports, notifies, comings and goings.

use crate::controller::Controller;
use crate::controller::reply::refusal;
use crate::controller::run::record::By;
use crate::controller::run::runs::RunNr;
use crate::controller::session::session::Role;
use crate::machine::{ConnId, Outbox, Time};
use crate::wire::Code;

impl Controller {
    /// Who is at the other end of a connection, to be asked before it is gone and once it is known.
    pub(in crate::controller) fn who(&self, conn: Option<ConnId>) -> Option<Role> {
        self.sessions.who(conn?)
    }

    /// What this input made the runs record was because of whoever said it.
    pub(in crate::controller) fn charge(
        &mut self,
        now: Time,
        conn: Option<ConnId>,
        before: Option<Role>,
        out: &mut Outbox,
    ) {
        let who = before.filter(|who| *who != Role::Stranger).or_else(|| self.who(conn));
        let by = |nr: RunNr| match who {
            Some(Role::Slave(of, ix, _)) if of == nr => By::Slave(ix),
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
}
