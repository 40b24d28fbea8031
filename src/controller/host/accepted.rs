//! What was handed in is a run only once the disk has it: no operator is told before that.

use std::collections::{BTreeSet, VecDeque};

use crate::controller::run::runs::RunNr;
use crate::machine::ConnId;

/// The runs on their way to the disk, in the order in which they were handed in.
#[derive(Debug, Default)]
pub struct Unwritten {
    waiting: VecDeque<Unconfirmed>,
}

#[derive(Debug)]
struct Unconfirmed {
    /// The serial of the effect that asks whether all before it is written.
    confirmation: u64,
    conn: ConnId,
    /// `None`: the run could not be written, and is gone.
    nr: Option<RunNr>,
}

impl Unwritten {
    /// A run was handed in on this connection; its confirmation is the effect with this serial.
    pub fn push(&mut self, confirmation: u64, conn: ConnId, nr: RunNr) {
        self.waiting.push_back(Unconfirmed { confirmation, conn, nr: Some(nr) });
    }

    /// Takes out the first, if its confirmation was asked for before `other`: the connection on which it was handed in,
    /// and the run, unless that could not be written.
    pub fn confirmed_before(&mut self, other: u64) -> Option<(ConnId, Option<RunNr>)> {
        self.waiting.front().filter(|first| first.confirmation < other)?;
        let first = self.waiting.pop_front()?;
        Some((first.conn, first.nr))
    }

    /// The first of these runs, which could not be written, is a run no more. Its confirmation is still to come.
    pub fn give_up(&mut self, which: impl Fn(RunNr) -> bool) -> Option<(ConnId, RunNr)> {
        let one = self.waiting.iter_mut().find(|one| one.nr.is_some_and(&which))?;
        Some((one.conn, one.nr.take()?))
    }

    /// The runs that are still on their way.
    pub fn runs(&self) -> BTreeSet<RunNr> {
        self.waiting.iter().filter_map(|one| one.nr).collect()
    }
}
