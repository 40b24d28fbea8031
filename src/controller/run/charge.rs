//! Who has made a run record how much, and what becomes of one that has made it record too much.

use crate::controller::run::failures::FailureKind;
use crate::controller::run::record::{By, Over};
use crate::controller::run::run::{Phase, Run};
use crate::machine::{Outbox, Time};

/// How much of the disk a file or a directory takes beyond its bytes, at most.
const FILE_COST: u64 = 4_096;

impl Run {
    /// How much of the disk its directory takes, in bytes: its record, what its slaves have shipped, and its test.
    pub(in crate::controller) fn disk_use(&self) -> u64 {
        let test = self.hosted.as_ref().map_or(0, |hosted| hosted.size as u64);
        let files: usize = self.roster.iter().map(|member| member.files.len() + member.directories).sum();
        self.length_of_record() + self.shipped + test + files as u64 * FILE_COST
    }

    /// How much it has recorded.
    fn length_of_record(&self) -> u64 {
        self.ledger.recorded() + self.event_log.recorded()
    }

    /// What was recorded since the last call was because of this one. Whether that one goes.
    pub(in crate::controller) fn charge(&mut self, now: Time, by: By, out: &mut Outbox) -> Option<String> {
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
                let most = self.record.most();
                let why = format!("more than {most} bytes recorded: --record-max of the controller allows more");
                self.abort_if_going(now, FailureKind::Events, why, out);
                None
            }
        }
    }

    /// The same of a former life, whose ledger is gone through.
    pub(in crate::controller) fn charge_again(&mut self, by: By, ledger: u64) {
        self.record.charge(by, ledger + self.event_log.recorded());
    }

    fn abort_if_going(&mut self, now: Time, kind: FailureKind, why: String, out: &mut Outbox) {
        if matches!(self.phase, Phase::Queued | Phase::Gathering | Phase::Running | Phase::Finishing(_)) {
            self.abort(now, kind, why, out);
        }
    }

    /// A run with too many events ends.
    fn check_events(&mut self, now: Time, out: &mut Outbox) {
        if let Some(most) = self.event_log.passed() {
            let why = format!("more than {most} events: --events-max of the controller allows more");
            self.abort_if_going(now, FailureKind::Events, why, out);
        }
    }
}
