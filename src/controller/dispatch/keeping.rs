//! Keeping a ledger: where facts are written, and what happens if that fails.

use std::borrow::Cow;
use std::path::Path;

use crate::controller::Controller;
use crate::controller::ledger::rounds::{map_of, round_fact};
use crate::controller::ledger::{Fact, Keep, Ledger};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::Decision;
use crate::exit_code;
use crate::machine::{Outbox, Stream, Time};

impl Controller {
    /// Adds a ledger, so that the controller can be killed and continued.
    pub fn keeping(mut self, keep: Keep) -> Controller {
        self.keeper.keep(keep);
        self
    }

    /// Returns whether the controller's ledger is of rooms alone. Only such a ledger is rewritten when it is long.
    pub(in crate::controller) fn ledger_is_of_rooms(&self) -> bool {
        self.runs.values().all(|run| !run.ledger.is(self.keeper.ledger()))
    }

    /// Writes the next piece of a ledger of rooms that is being rewritten, or begins to rewrite it if it is long.
    pub(in crate::controller) fn rewrite_if_long(&mut self, now: Time, out: &mut Outbox) {
        self.keeper.rewrite_if_long(now, self.ledger_is_of_rooms(), (&self.processes, &self.rooms), out);
    }

    /// Returns the ledger for what happens in a room.
    pub(in crate::controller) fn ledger_of(&self, room: &str) -> Ledger {
        self.runs.by_id(room).map_or(self.keeper.ledger(), |run| &run.ledger).clone()
    }

    /// Handles that a file of no run could not be written. A controller of rooms that cannot write its ledger ends before
    /// anything of this turn is sent, so that a service manager starts it again when there is space.
    pub(in crate::controller) fn ledger_failed(&mut self, path: &Path, error: &str, out: &mut Outbox) {
        if self.keeper.write_failed(path) {
            let why = format!(
                "arete: cannot write {}: {error}: the controller answers nothing that is not kept",
                path.display()
            );
            out.print(Stream::Err, format!("{why}\n"));
            out.halt(exit_code::FAILED);
        }
    }

    /// Writes a decision of a meeting. The map of a round is a fact of its own before the round.
    pub(in crate::controller) fn write_decision(&self, room: &str, kind: Meeting, meeting: &str, decision: &Decision) {
        let ledger = self.ledger_of(room);
        if !ledger.is_open() {
            return;
        }
        match decision {
            Decision::Over(past) => {
                if let Some(map) = map_of(past) {
                    ledger.write_raw("map", map);
                }
                ledger.write(&round_fact(room, kind, meeting, past));
            }
            Decision::Late { member, arrival: (process, id) } => {
                let (room, meeting, member) = (Cow::from(room), Cow::from(meeting), Cow::from(&**member));
                ledger.write(&Fact::Late { room, kind, meeting, member, process: process.0, id: *id });
            }
            Decision::FailedRoundDropped => {
                ledger.write(&Fact::FailedRoundDropped { room: Cow::from(room), kind, meeting: Cow::from(meeting) });
            }
        }
    }
}
