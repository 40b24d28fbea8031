//! The long work of runs, done in pieces: the parts of the slaves before the start, the summary at the end, and then the
//! memory of the run, which takes time to free.

use crate::controller::Controller;
use crate::machine::{Outbox, Time};

/// The cost of freeing a run of an entry, in bytes that could be sent instead.
const COST_OF_RUN: usize = 64;

impl Controller {
    /// Goes on with what runs have left to send and to write, within the allowance of this turn.
    pub(in crate::controller) fn go_on_with_pieces(&mut self, now: Time, out: &mut Outbox) {
        for run in self.runs.values_mut() {
            run.prepare_marked(now, &mut self.pace, out);
            run.write_more_of_summary(now, &mut self.pace, out);
        }
        while !self.discarded.is_empty() && !self.pace.is_used_up(now) {
            let runs = self.discarded.pop().map_or(0, |slave| slave.size());
            self.pace.sends((1 + runs) * COST_OF_RUN);
        }
    }
}
