//! The long work of runs, done in pieces: the parts of the slaves before the start, and the summary at the end.

use crate::controller::Controller;
use crate::machine::{Outbox, Time};

impl Controller {
    /// Goes on with what runs have left to send and to write, within the allowance of this turn.
    pub(in crate::controller) fn go_on_with_pieces(&mut self, now: Time, out: &mut Outbox) {
        for run in self.runs.values_mut() {
            run.prepare_marked(now, &mut self.pace, out);
            run.write_more_of_summary(now, &mut self.pace, out);
        }
    }
}
