//! The queue: which run begins when.

use crate::controller::Controller;
use crate::controller::run::runs::RunNr;
use crate::machine::{Outbox, Time};

impl Controller {
    /// Looks at the queue as soon as everything that has come at once was heard.
    pub(in crate::controller) fn look_at_queue(&mut self, now: Time) {
        if let Some(host) = &mut self.host {
            host.look_at_queue(now);
        }
    }

    pub(in crate::controller) fn enters_queue(&mut self, nr: RunNr) {
        if let Some(host) = &mut self.host {
            host.enters_queue(nr, &self.runs);
        }
    }

    /// Begins the runs whose slaves are connected and free. What has freed them was written before, for each run has a
    /// ledger of its own.
    pub(in crate::controller) fn begin_runs(&mut self, now: Time, out: &mut Outbox) {
        while let Some((nr, machines)) = self.host.as_mut().and_then(|host| host.next_to_begin(now, &self.runs)) {
            self.begin_run(now, nr, &machines, out);
        }
    }
}
