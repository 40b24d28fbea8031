//! The runs that the disk does not have yet. An operator must not hear of its run before the disk has it.

use std::collections::{BTreeSet, VecDeque};

use crate::controller::run::runs::RunNr;
use crate::machine::ConnId;

/// The runs that are being written to the disk, in the order in which they were handed in.
#[derive(Debug, Default)]
pub struct Unwritten {
    waiting: VecDeque<Unconfirmed>,
}

#[derive(Debug)]
struct Unconfirmed {
    /// The serial of the effect that confirms that everything before it is written.
    confirmation: u64,
    conn: ConnId,
    /// `None`: the run could not be written, and does not exist any more.
    nr: Option<RunNr>,
}

impl Unwritten {
    /// A run was handed in on this connection. The effect with this serial confirms it.
    pub fn push(&mut self, confirmation: u64, conn: ConnId, nr: RunNr) {
        self.waiting.push_back(Unconfirmed { confirmation, conn, nr: Some(nr) });
    }

    /// Takes out the first run if its confirmation was requested before `other`. Returns the connection on which it was
    /// handed in, and the run unless it could not be written.
    pub fn confirmed_before(&mut self, other: u64) -> Option<(ConnId, Option<RunNr>)> {
        self.waiting.front().filter(|first| first.confirmation < other)?;
        let first = self.waiting.pop_front()?;
        Some((first.conn, first.nr))
    }

    /// Gives up the first run for which `which` holds, because it could not be written. Its confirmation still arrives.
    pub fn give_up(&mut self, which: impl Fn(RunNr) -> bool) -> Option<(ConnId, RunNr)> {
        let one = self.waiting.iter_mut().find(|one| one.nr.is_some_and(&which))?;
        Some((one.conn, one.nr.take()?))
    }

    /// The runs that are being written.
    pub fn runs(&self) -> BTreeSet<RunNr> {
        self.waiting.iter().filter_map(|one| one.nr).collect()
    }
}
