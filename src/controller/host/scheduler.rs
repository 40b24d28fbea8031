//! The queue of a permanent controller: which runs can begin, and what the others wait for.
//!
//! A pass through the queue compares all places with all free machines. Therefore a pass begins only if slaves or runs have
//! changed since the last one, and each turn of the loop does a part of it. An operator that asks what a run waits for gets
//! what the last pass has found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use crate::controller::host::matching::{Candidate, Slot, choose};
use crate::controller::host::slave::{HostSlave, Labels, Slaves, in_words};
use crate::controller::run::run::Run;
use crate::controller::run::runs::{RunNr, Runs};
use crate::machine::faults::{Fault, injected};
use crate::machine::{ConnId, Time};
use crate::text;

/// The most places and free machines that one turn of the loop compares if no run begins. A turn may exceed it by one run.
const WORK_OF_A_TURN: usize = 10_000;

/// The text for a run that no pass has reached.
const UNKNOWN: &str = "its turn to be looked at";

/// The facts on which the result of a pass depends.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QueueView {
    /// Each slave with its connection, which determines its labels, and the run that it serves.
    slaves: Vec<(Rc<str>, Option<ConnId>, Option<RunNr>)>,
    /// The runs that wait, in order.
    runs: Vec<RunNr>,
}

/// A pass through the queue. It ignores machines that connect meanwhile, because runs that it has passed may want them.
pub struct Pass {
    picture: QueueView,
    /// The machines that no earlier run has taken or reserved.
    free: Vec<(Rc<str>, ConnId)>,
    /// How many machines were free at the beginning.
    there: usize,
    runs: VecDeque<RunNr>,
}

#[derive(Default)]
pub struct Queue {
    /// When the pass begins or goes on.
    due: Option<Time>,
    pass: Option<Pass>,
    /// The facts of the last pass, and the machines that no run has taken or reserved since.
    seen: QueueView,
    left: Vec<(Rc<str>, ConnId)>,
    /// What each run waits for, in words.
    waits: BTreeMap<RunNr, String>,
    /// How many places and machines were ever compared. Tests check that there are not too many.
    work: usize,
    /// How many of them were compared in this turn of the loop.
    work_of_turn: usize,
}

impl Queue {
    pub fn due(&self) -> Option<Time> {
        self.due
    }

    /// Something may have changed. A pass begins after everything that has arrived was handled.
    pub fn look(&mut self, now: Time) {
        self.due.get_or_insert(now);
    }

    /// Returns what a run waits for, in words, as far as it is known.
    pub fn waits_for(&self, nr: RunNr) -> &str {
        self.waits.get(&nr).map_or(UNKNOWN, String::as_str)
    }

    /// A run enters the queue. Finds what it waits for before an operator asks.
    pub fn enters(&mut self, nr: RunNr, slaves: &Slaves, unwritten: &BTreeSet<RunNr>, runs: &Runs) {
        let Some(run) = runs.get(nr).filter(|run| run.is_queued()) else { return };
        let first = runs.iter().find(|(_, run)| run.is_queued()).is_none_or(|(one, _)| one == nr);
        let looked = look_at(slaves, runs, run, &QueueView::of(slaves, unwritten, runs).pass(), first);
        self.work += looked.work;
        self.waits.insert(nr, looked.waits);
    }

    /// Returns the next run that can begin now, and the machines for all its places. Returns `None` at the end of a pass, or
    /// when the work of this turn is done. Then the queue is due again.
    pub fn next_to_begin(
        &mut self,
        now: Time,
        slaves: &Slaves,
        unwritten: &BTreeSet<RunNr>,
        runs: &Runs,
    ) -> Option<(RunNr, Vec<Rc<str>>)> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => {
                let picture = QueueView::of(slaves, unwritten, runs);
                if picture == self.seen {
                    self.due = None;
                    return None;
                }
                self.waits.retain(|nr, _| runs.get(*nr).is_some_and(|run| run.is_queued()));
                self.begin(picture)
            }
        };
        while self.work_of_turn < WORK_OF_A_TURN
            && let Some(nr) = pass.runs.pop_front()
        {
            if let Some(machines) = self.look_at_next(nr, &mut pass, slaves, runs) {
                self.pass = Some(pass);
                return Some((nr, machines));
            }
        }
        (self.work_of_turn, self.due) = (0, None);
        if !pass.runs.is_empty() {
            self.pass = Some(pass);
            self.look(now);
            return None;
        }
        (self.seen, self.left) = (pass.picture, pass.free);
        // The runs that have begun have changed something, too.
        if QueueView::of(slaves, unwritten, runs) != self.seen {
            self.look(now);
        }
        None
    }

    /// Looks at the next run. Returns the machines of its places if it can begin.
    fn look_at_next(&mut self, nr: RunNr, pass: &mut Pass, slaves: &Slaves, runs: &Runs) -> Option<Vec<Rc<str>>> {
        let Some(run) = runs.get(nr).filter(|run| run.is_queued()) else {
            self.work += 1;
            self.work_of_turn += 1;
            return None;
        };
        let first = pass.picture.runs.first() == Some(&nr);
        let Looked { waits, taken, begins, work } = look_at(slaves, runs, run, pass, first);
        let mut ix = 0;
        pass.free.retain(|_| {
            ix += 1;
            !taken.contains(&(ix - 1))
        });
        self.work += work;
        self.work_of_turn += work;
        self.waits.insert(nr, waits);
        begins
    }

    /// Begins a pass. If only the number of runs has grown, it looks at the new ones.
    fn begin(&mut self, picture: QueueView) -> Pass {
        let known = self.seen.runs.len();
        let only_more = picture.slaves == self.seen.slaves && picture.runs.starts_with(&self.seen.runs);
        let free = std::mem::take(&mut self.left);
        let mut pass = picture.pass();
        if only_more {
            pass.free = free;
            pass.runs.drain(..known);
        }
        pass
    }

    #[cfg(test)]
    pub fn work(&self) -> usize {
        self.work
    }
}

impl QueueView {
    /// `unwritten`: the runs that must not begin yet.
    fn of(slaves: &Slaves, unwritten: &BTreeSet<RunNr>, runs: &Runs) -> QueueView {
        let serves = |slave: &HostSlave| slave.needed_by(runs).and(slave.serves).map(|(nr, _)| nr);
        let queued = runs.iter().filter(|(nr, run)| run.is_queued() && !unwritten.contains(nr));
        QueueView {
            slaves: slaves.iter().map(|(name, slave)| (name.clone(), slave.conn, serves(slave))).collect(),
            runs: queued.map(|(nr, _)| nr).collect(),
        }
    }

    fn pass(self) -> Pass {
        let free = self.free();
        Pass { there: free.len(), free, runs: self.runs.iter().copied().collect(), picture: self }
    }

    /// The machines that serve no run.
    fn free(&self) -> Vec<(Rc<str>, ConnId)> {
        let is_free = |serves: &Option<RunNr>| serves.is_none() || injected(Fault::SlaveServesTwo);
        let free = self.slaves.iter().filter(|(_, _, serves)| is_free(serves));
        free.filter_map(|(name, conn, _)| Some((name.clone(), (*conn)?))).collect()
    }
}

fn slots(run: &Run) -> Vec<Slot<'_>> {
    run.test.slaves.iter().map(|slave| Slot { name: &slave.name, with: slave.with.as_deref() }).collect()
}

/// Returns the machines of a list that are still connected and free, with their places in the list.
fn candidates<'a>(
    slaves: &'a Slaves,
    runs: &'a Runs,
    free: &'a [(Rc<str>, ConnId)],
) -> impl Iterator<Item = (usize, Candidate<'a>)> {
    free.iter().enumerate().filter_map(|(ix, (name, conn))| {
        let slave = slaves.get(name).filter(|slave| slave.conn == Some(*conn))?;
        let is_free = slave.needed_by(runs).is_none() || injected(Fault::SlaveServesTwo);
        is_free.then_some((ix, Candidate { name, labels: &slave.labels }))
    })
}

/// Returns what a run waits for, in words. `first`: it is the first run of the queue.
fn missing(slaves: &Slaves, runs: &Runs, slots: &[Slot<'_>], chosen: &[Option<usize>], first: bool) -> String {
    let (mut away, mut any) = (Vec::new(), BTreeMap::<&Labels, usize>::new());
    for (place, _) in slots.iter().zip(chosen).filter(|(_, chosen)| chosen.is_none()) {
        match place.with {
            Some(with) => *any.entry(with).or_default() += 1,
            None => away.push(match slaves.get(place.name).map(|slave| slave.needed_by(runs)) {
                Some(Some(other)) => format!("{} (serves {})", place.name, other.id),
                _ => format!("{} (not connected)", place.name),
            }),
        }
    }
    let any = any.into_iter().map(|(with, count)| {
        let slaves = if count == 1 { "slave" } else { "slaves" };
        format!("{count} more free {slaves} with {}", in_words(with))
    });
    let all: Vec<String> = away.into_iter().chain(any).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    match all.is_empty() {
        true if first => "its slaves to receive it".to_owned(),
        true => "the runs before it".to_owned(),
        false => text::list(&all),
    }
}

/// The result of a look at one run of the queue.
struct Looked {
    waits: String,
    /// Which of the free machines it takes, or reserves until it has all.
    taken: BTreeSet<usize>,
    /// The machines of all its places if it can begin.
    begins: Option<Vec<Rc<str>>>,
    work: usize,
}

fn look_at(slaves: &Slaves, runs: &Runs, run: &Run, pass: &Pass, first: bool) -> Looked {
    let slots = slots(run);
    let (at, free): (Vec<usize>, Vec<Candidate<'_>>) = candidates(slaves, runs, &pass.free).unzip();
    let chosen = choose(&slots, &free);
    let mut work = 1 + slots.len() + free.len();
    // Machines that earlier runs have reserved are not missing.
    let waits = if pass.free.len() == pass.there || chosen.iter().all(Option::is_some) {
        missing(slaves, runs, &slots, &chosen, first)
    } else {
        let all = pass.picture.free();
        let there: Vec<Candidate<'_>> = candidates(slaves, runs, &all).map(|(_, candidate)| candidate).collect();
        work += slots.len() + there.len();
        missing(slaves, runs, &slots, &choose(&slots, &there), first)
    };
    let begins = chosen.iter().all(Option::is_some);
    let names = || chosen.iter().flatten().map(|ix| Rc::from(free[*ix].name)).collect();
    let holds_back = begins || !injected(Fault::QueueOvertakes);
    let taken = chosen.iter().flatten().filter(|_| holds_back).map(|ix| at[*ix]).collect();
    Looked { waits, taken, begins: begins.then(names), work }
}
