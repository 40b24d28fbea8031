//! Charges what a run records to its cause, and handles a cause that exceeds its share.

use crate::controller::run::failures::FailureKind;
use crate::controller::run::record::{By, Over, ShareUsed};
use crate::controller::run::run::{Phase, Run};
use crate::machine::{Outbox, Time};

/// How much of the disk a file or a directory takes beyond its bytes, at most.
const FILE_COST: u64 = 4_096;

/// The files of the controller itself in the directory: the events, the ledger, the summary, the report, what is known of the
/// run when it is over, and the test.
const OWN_FILES: usize = 6;

impl Run {
    /// Returns how much of the disk its directory takes, in bytes: its record, its outcome, what its slaves have shipped, and
    /// its test. What the archive writes into it later is not included.
    pub(in crate::controller) fn disk_use(&self) -> u64 {
        let test = self.hosted.as_ref().map_or(0, |hosted| hosted.size as u64);
        let files: usize = self.roster.iter().map(|member| member.files.len() + member.directories).sum();
        self.length_of_record()
            + self.outcome.length()
            + self.shipped.bytes()
            + test
            + (OWN_FILES + files) as u64 * FILE_COST
    }

    /// Returns how much is recorded, in bytes.
    fn length_of_record(&self) -> u64 {
        self.ledger.recorded() + self.event_log.recorded()
    }

    /// Charges what was recorded since the last call. Returns why this cause must be disconnected, if it must.
    pub(in crate::controller) fn charge(&mut self, now: Time, by: By, out: &mut Outbox) -> Option<ShareUsed> {
        let over = self.record.charge(by, self.length_of_record());
        self.check_events(now, out);
        match over? {
            Over::Slave(ix) => {
                let used = ShareUsed::Slave { share: self.record.share() };
                self.lose(now, ix, &used.to_string(), out);
                Some(used)
            }
            Over::Clients => Some(ShareUsed::Clients { run: self.id.clone(), share: self.record.share() }),
            Over::Run => {
                let most = self.record.most();
                let why = format!("more than {most} bytes recorded: --record-max of the controller allows more");
                self.abort_if_going(now, FailureKind::Events, why, out);
                None
            }
        }
    }

    /// Charges what was recorded before a restart.
    pub(in crate::controller) fn replay_charge(&mut self, by: By, ledger: u64) {
        self.record.charge(by, ledger + self.event_log.recorded());
    }

    fn abort_if_going(&mut self, now: Time, kind: FailureKind, why: String, out: &mut Outbox) {
        if matches!(self.phase, Phase::Queued | Phase::Gathering | Phase::Running | Phase::Finishing(_)) {
            self.abort(now, kind, why, out);
        }
    }

    /// Ends a run with too many events.
    fn check_events(&mut self, now: Time, out: &mut Outbox) {
        if let Some(most) = self.event_log.passed() {
            let why = format!("more than {most} events: --events-max of the controller allows more");
            self.abort_if_going(now, FailureKind::Events, why, out);
        }
    }
}
