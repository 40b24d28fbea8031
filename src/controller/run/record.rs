//! How much a run has recorded, in its ledger and its time line, at whose instance, and how much that may be.
//!
//! The files that slaves ship have a bound of their own. This one is for all else that slaves and clients make a controller
//! write: reports, notifies, comings and goings.

use crate::controller::Controller;
use crate::controller::RECORD_MAX;
use crate::controller::Who;
use crate::controller::refusal;
use crate::controller::run::failures::Kind;
use crate::controller::run::run::{Phase, Run};
use crate::controller::run::runs::RunNr;
use crate::machine::{ConnId, Input, Outbox, Time};
use crate::wire::Code;

/// One slave, and all clients together, have a part of so many of it.
const SHARE: u64 = 4;

/// How much more is recorded of the end of a run that has too much: a part of so many of the bound.
const FOR_THE_END: u64 = 8;

/// Who has made a run record something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Slave(usize),
    Client,
    /// Time, strangers, or who cannot be told.
    Other,
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Slave(usize),
    Clients,
    Run,
}

/// The bytes that a run has recorded.
#[derive(Debug)]
pub struct Record {
    most: u64,
    seen: u64,
    slaves: Vec<u64>,
    clients: u64,
}

impl Record {
    pub fn of(slaves: usize) -> Record {
        Record { most: RECORD_MAX, seen: 0, slaves: vec![0; slaves], clients: 0 }
    }

    pub fn set_max(&mut self, most: u64) {
        self.most = most;
    }

    /// What one slave, or all clients, may have of it.
    fn share(&self) -> u64 {
        self.most / SHARE
    }

    /// So much has been recorded in all: what is new was because of this one. Whoever has too much now, if anybody.
    pub fn charge(&mut self, by: By, all: u64) -> Option<Over> {
        let new = all.saturating_sub(self.seen);
        self.seen = all;
        if new == 0 {
            return None;
        }
        let share = self.share();
        // The end of the run is recorded, and its slaves do not go on as if it were not.
        let closing = all > self.most + self.most / FOR_THE_END;
        match by {
            By::Slave(ix) => {
                let own = self.slaves.get_mut(ix)?;
                *own += new;
                if *own > share || closing {
                    return Some(Over::Slave(ix));
                }
            }
            By::Client => {
                self.clients += new;
                if self.clients > share || closing {
                    return Some(Over::Clients);
                }
            }
            By::Other => {}
        }
        (all > self.most).then_some(Over::Run)
    }

    /// Whether clients have had what they may.
    fn is_full_for_clients(&self) -> bool {
        self.clients > self.share()
    }

    /// Why clients may not go on, if they may not.
    pub fn takes_clients(&self) -> Result<(), String> {
        match self.is_full_for_clients() {
            true => Err(format!("its clients have {}", self.too_much())),
            false => Ok(()),
        }
    }

    fn too_much(&self) -> String {
        format!("made it record more than {} bytes, a quarter of --record-max of the controller", self.share())
    }
}

impl Run {
    /// How much it has recorded.
    fn length_of_record(&self) -> u64 {
        self.ledger.recorded() + self.journal.recorded()
    }

    /// What was recorded since the last call was because of this one. Whether that one goes.
    fn charge(&mut self, now: Time, by: By, out: &mut Outbox) -> Option<String> {
        let over = self.record.charge(by, self.length_of_record());
        self.check_events(now, out);
        match over? {
            Over::Slave(ix) => {
                let reason = format!("it has {}", self.record.too_much());
                self.lose(now, ix, &reason, out);
                Some(reason)
            }
            Over::Clients => Some(format!("the clients of run {} have {}", self.id, self.record.too_much())),
            Over::Run => {
                let most = self.record.most;
                let why = format!("more than {most} bytes recorded: --record-max of the controller allows more");
                self.abort_if_going(now, Kind::Events, why, out);
                None
            }
        }
    }

    /// The same of a former life, whose ledger is gone through.
    pub(in crate::controller) fn charge_again(&mut self, by: By, ledger: u64) {
        self.record.charge(by, ledger + self.journal.recorded());
    }

    fn abort_if_going(&mut self, now: Time, kind: Kind, why: String, out: &mut Outbox) {
        if matches!(self.phase, Phase::Queued | Phase::Gathering | Phase::Running | Phase::Finishing(_)) {
            self.abort(now, kind, why, out);
        }
    }

    /// A run with too many events ends.
    fn check_events(&mut self, now: Time, out: &mut Outbox) {
        if let Some(most) = self.journal.passed() {
            let why = format!("more than {most} events: --events-max of the controller allows more");
            self.abort_if_going(now, Kind::Events, why, out);
        }
    }
}

/// The connection on which something was said, or that is gone.
pub fn conn_of(input: &Input<'_>) -> Option<ConnId> {
    match input {
        Input::Received { conn, .. } | Input::Closed { conn, .. } => Some(*conn),
        _ => None,
    }
}

impl Controller {
    /// Who is at the other end of a connection, to be asked before it is gone and once it is known.
    pub(in crate::controller) fn who(&self, conn: Option<ConnId>) -> Option<Who> {
        self.sessions.get(&conn?).map(|session| session.who)
    }

    /// What this input made the runs record was because of whoever said it.
    pub(in crate::controller) fn charge(
        &mut self,
        now: Time,
        conn: Option<ConnId>,
        before: Option<Who>,
        out: &mut Outbox,
    ) {
        let who = before.filter(|who| *who != Who::Stranger).or_else(|| self.who(conn));
        let by = |nr: RunNr| match who {
            Some(Who::Slave(of, ix, _)) if of == nr => By::Slave(ix),
            Some(Who::Client(_)) => By::Client,
            _ => By::Other,
        };
        let mut goes = None;
        for (nr, run) in self.runs.iter_mut() {
            goes = run.charge(now, by(nr), out).or(goes);
        }
        if let (Some(conn), Some(reason)) = (conn.filter(|conn| self.sessions.contains_key(conn)), goes) {
            self.part(now, conn, refusal(Code::Full, reason), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slave_and_all_clients_have_their_share_and_the_run_has_its_end() {
        let mut record = Record::of(5);
        record.set_max(1_000);
        assert_eq!(record.charge(By::Slave(0), 250), None);
        assert_eq!(record.charge(By::Slave(0), 250), None, "nothing is new");
        assert_eq!(record.charge(By::Other, 260), None);
        assert_eq!(record.charge(By::Slave(0), 261), Some(Over::Slave(0)));
        assert_eq!(record.charge(By::Client, 511), None);
        assert!(record.takes_clients().is_ok());
        assert_eq!(record.charge(By::Client, 512), Some(Over::Clients));
        assert!(record.takes_clients().is_err());
        assert_eq!(record.charge(By::Slave(1), 700), None, "others are not disturbed");
        assert_eq!(record.charge(By::Slave(2), 950), None);
        assert_eq!(record.charge(By::Slave(3), 1_001), Some(Over::Run));
        assert_eq!(record.charge(By::Slave(3), 1_125), Some(Over::Run));
        assert_eq!(record.charge(By::Slave(3), 1_126), Some(Over::Slave(3)), "the end of the run is still recorded");
        assert_eq!(record.charge(By::Other, 1_200), Some(Over::Run));
    }
}
