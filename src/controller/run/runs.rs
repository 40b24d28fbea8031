//! The runs of a controller: one, or the submitted runs of a permanent controller.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::controller::run::run::Run;

/// The number of a run. No number is used twice within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunNr(u64);

/// The runs, in the order in which they were added.
#[derive(Default)]
pub struct Runs {
    by_nr: BTreeMap<RunNr, Run>,
    by_id: BTreeMap<Rc<str>, RunNr>,
    last: u64,
}

impl Runs {
    pub fn insert(&mut self, run: Run) -> RunNr {
        self.last += 1;
        let nr = RunNr(self.last);
        self.by_id.insert(run.room.name.clone(), nr);
        self.by_nr.insert(nr, run);
        nr
    }

    /// Returns the place of the next run, after all others.
    pub fn next_place(&self) -> u64 {
        self.last + 1
    }

    pub fn remove(&mut self, nr: RunNr) -> Option<Run> {
        let run = self.by_nr.remove(&nr)?;
        self.by_id.remove(&run.room.name);
        Some(run)
    }

    pub fn get(&self, nr: RunNr) -> Option<&Run> {
        self.by_nr.get(&nr)
    }

    pub fn get_mut(&mut self, nr: RunNr) -> Option<&mut Run> {
        self.by_nr.get_mut(&nr)
    }

    /// The only run of a controller that has one and ends with it.
    pub fn first_mut(&mut self) -> Option<(RunNr, &mut Run)> {
        self.by_nr.iter_mut().next().map(|(nr, run)| (*nr, run))
    }

    /// The run with this id, which is the name of its room.
    pub fn find(&self, id: &str) -> Option<RunNr> {
        self.by_id.get(id).copied()
    }

    pub fn by_id(&self, id: &str) -> Option<&Run> {
        self.get(self.find(id)?)
    }

    pub fn by_id_mut(&mut self, id: &str) -> Option<&mut Run> {
        self.get_mut(self.find(id)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = (RunNr, &Run)> {
        self.by_nr.iter().map(|(nr, run)| (*nr, run))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (RunNr, &mut Run)> {
        self.by_nr.iter_mut().map(|(nr, run)| (*nr, run))
    }

    pub fn values(&self) -> impl Iterator<Item = &Run> {
        self.by_nr.values()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Run> {
        self.by_nr.values_mut()
    }

    pub fn len(&self) -> usize {
        self.by_nr.len()
    }
}
