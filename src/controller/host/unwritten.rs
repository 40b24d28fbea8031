//! A test that was handed in is a run only once the disk has it: until then its operator has no answer.

use std::collections::BTreeSet;

use crate::controller::run::runs::RunNr;
use crate::machine::{ConfirmId, ConnId};

/// The runs that are being written to the disk, in the order in which they were handed in.
#[derive(Debug, Default)]
pub struct Unwritten {
    waiting: Vec<Unconfirmed>,
}

#[derive(Debug)]
struct Unconfirmed {
    confirm: ConfirmId,
    conn: ConnId,
    /// `None`: the run could not be written, and was removed.
    nr: Option<RunNr>,
}

impl Unwritten {
    /// Adds a run that was handed in on this connection, and the confirmation that it waits for.
    pub fn push(&mut self, confirm: ConfirmId, conn: ConnId, nr: RunNr) {
        self.waiting.push(Unconfirmed { confirm, conn, nr: Some(nr) });
    }

    /// Takes out the run that waits for this confirmation, with the connection on which it was handed in. Returns `None`
    /// if none does, or if the run could not be written.
    pub fn confirmed(&mut self, confirm: ConfirmId) -> Option<(ConnId, RunNr)> {
        let at = self.waiting.iter().position(|one| one.confirm == confirm)?;
        let one = self.waiting.remove(at);
        Some((one.conn, one.nr?))
    }

    /// Takes out the first of the runs that `which` selects, because it could not be written. Returns it with the
    /// connection on which it was handed in.
    pub fn failed(&mut self, which: impl Fn(RunNr) -> bool) -> Option<(ConnId, RunNr)> {
        let one = self.waiting.iter_mut().find(|one| one.nr.is_some_and(&which))?;
        Some((one.conn, one.nr.take()?))
    }

    /// Returns the runs that are not confirmed yet.
    pub fn runs(&self) -> BTreeSet<RunNr> {
        self.waiting.iter().filter_map(|one| one.nr).collect()
    }
}
