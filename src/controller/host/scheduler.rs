//! The queue of a controller that stays: which runs can begin, and what the others wait for.
//!
//! To look through the queue costs as much as all its places and all free machines. It is looked through only if slaves or
//! runs have changed since, a part in each turn of the loop, and who asks what a run waits for gets what was found then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::host::host::{Lab, Labels, in_words};
use crate::controller::host::matching::{Candidate, Place, choose};
use crate::controller::run::run::{Phase, Run};
use crate::controller::run::runs::{RunNr, Runs};
use crate::machine::faults::{Fault, injected};
use crate::machine::{ConnId, Outbox, Time};
use crate::spoken;

/// How many places and machines are looked at in one turn, before the run that is looked at then is done.
const WORK_OF_A_TURN: usize = 10_000;

/// What is said of a run that was not looked at yet.
const UNKNOWN: &str = "its turn to be looked at";

/// What all that is known of the queue depends on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Picture {
    /// Each slave with its connection, which has its labels, and the run that it serves.
    slaves: Vec<(Rc<str>, Option<ConnId>, Option<RunNr>)>,
    /// The runs that wait, in order.
    runs: Vec<RunNr>,
}

/// A walk through the queue. Machines that come meanwhile are for the next one: runs that were passed may have wanted them.
struct Pass {
    picture: Picture,
    /// What no run before has taken or holds back.
    free: Vec<(Rc<str>, ConnId)>,
    /// How many machines were free in the beginning.
    there: usize,
    runs: VecDeque<RunNr>,
}

#[derive(Default)]
pub struct Queue {
    /// When it is looked at.
    due: Option<Time>,
    pass: Option<Pass>,
    /// By what it was looked at last, and what no run has taken or holds back since.
    seen: Picture,
    left: Vec<(Rc<str>, ConnId)>,
    /// What each run waits for, for people.
    waits: BTreeMap<RunNr, String>,
    /// How many places and machines were ever looked at, to see in tests that it is not too much.
    work: usize,
}

impl Queue {
    pub fn due(&self) -> Option<Time> {
        self.due
    }

    /// Something may be otherwise: it is looked at as soon as everything that has come at once was heard.
    pub fn look(&mut self, now: Time) {
        self.due.get_or_insert(now);
    }

    /// What a run waits for, as far as it is known.
    pub fn waits_for(&self, nr: RunNr) -> &str {
        self.waits.get(&nr).map_or(UNKNOWN, String::as_str)
    }

    /// Begins to look: only at the runs that are new, if nothing else is.
    fn begin(&mut self, picture: Picture) -> Pass {
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

impl Picture {
    fn of(lab: &Lab, runs: &Runs) -> Picture {
        let unwritten: BTreeSet<RunNr> = lab.unwritten.iter().filter_map(|unwritten| unwritten.run()).collect();
        let serves = |slave| Lab::needed_by(slave, runs).and(slave.serves).map(|(nr, _)| nr);
        let queued = runs.iter().filter(|(nr, run)| run.phase == Phase::Queued && !unwritten.contains(nr));
        Picture {
            slaves: lab.slaves.iter().map(|(name, slave)| (name.clone(), slave.conn, serves(slave))).collect(),
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

/// The machines of these that are still there and free, with where they are in the list.
fn candidates<'a>(
    lab: &'a Lab,
    runs: &'a Runs,
    free: &'a [(Rc<str>, ConnId)],
) -> impl Iterator<Item = (usize, Candidate<'a>)> {
    free.iter().enumerate().filter_map(|(ix, (name, conn))| {
        let slave = lab.slaves.get(name).filter(|slave| slave.conn == Some(*conn))?;
        let is_free = Lab::needed_by(slave, runs).is_none() || injected(Fault::SlaveServesTwo);
        is_free.then_some((ix, Candidate { name, labels: &slave.labels }))
    })
}

fn places(run: &Run) -> Vec<Place<'_>> {
    run.test.slaves.iter().map(|slave| Place { name: &slave.name, with: slave.with.as_deref() }).collect()
}

/// What is missing of a run whose places are served so, for people. `first`: no other is before it.
fn missing(lab: &Lab, runs: &Runs, places: &[Place<'_>], chosen: &[Option<usize>], first: bool) -> String {
    let (mut away, mut any) = (Vec::new(), BTreeMap::<&Labels, usize>::new());
    for (place, _) in places.iter().zip(chosen).filter(|(_, chosen)| chosen.is_none()) {
        match place.with {
            Some(with) => *any.entry(with).or_default() += 1,
            None => away.push(match lab.slaves.get(place.name).map(|slave| Lab::needed_by(slave, runs)) {
                Some(Some(other)) => format!("{} (serves {})", place.name, other.id),
                _ => format!("{} (not connected)", place.name),
            }),
        }
    }
    let any = any.into_iter().map(|(with, count)| format!("{count} more with {}", in_words(with)));
    let all: Vec<String> = away.into_iter().chain(any).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    match all.is_empty() {
        true if first => "its slaves, which are there, to be told".to_owned(),
        true => "the runs before it".to_owned(),
        false => spoken::list(&all),
    }
}

/// What looking at one run of the queue has found.
struct Looked {
    waits: String,
    /// Which of the free machines it takes, or holds back until it has all.
    taken: BTreeSet<usize>,
    /// The machines of all its places, if it can begin.
    begins: Option<Vec<Rc<str>>>,
    work: usize,
}

fn look_at(lab: &Lab, runs: &Runs, run: &Run, pass: &Pass, first: bool) -> Looked {
    let places = places(run);
    let (at, free): (Vec<usize>, Vec<Candidate<'_>>) = candidates(lab, runs, &pass.free).unzip();
    let chosen = choose(&places, &free);
    let mut work = 1 + places.len() + free.len();
    // What runs before it hold back is there all the same.
    let waits = if pass.free.len() == pass.there || chosen.iter().all(Option::is_some) {
        missing(lab, runs, &places, &chosen, first)
    } else {
        let all = pass.picture.free();
        let there: Vec<Candidate<'_>> = candidates(lab, runs, &all).map(|(_, candidate)| candidate).collect();
        work += places.len() + there.len();
        missing(lab, runs, &places, &choose(&places, &there), first)
    };
    let begins = chosen.iter().all(Option::is_some);
    let names = || chosen.iter().flatten().map(|ix| Rc::from(free[*ix].name)).collect();
    let holds_back = begins || !injected(Fault::QueueOvertakes);
    let taken = chosen.iter().flatten().filter(|_| holds_back).map(|ix| at[*ix]).collect();
    Looked { waits, taken, begins: begins.then(names), work }
}

impl Controller {
    /// Looks at the queue as soon as everything that has come at once was heard.
    pub(in crate::controller) fn look_at_queue(&mut self, now: Time) {
        if let Some(lab) = &mut self.lab {
            lab.queue.look(now);
        }
    }

    /// A run is in the queue: what it waits for is known before anybody asks.
    pub(in crate::controller) fn enters_queue(&mut self, nr: RunNr) {
        let (Some(lab), Some(run)) = (&mut self.lab, self.runs.get(nr)) else { return };
        if run.phase == Phase::Queued {
            let first = self.runs.iter().find(|(_, run)| run.phase == Phase::Queued).is_none_or(|(one, _)| one == nr);
            let looked = look_at(lab, &self.runs, run, &Picture::of(lab, &self.runs).pass(), first);
            lab.queue.work += looked.work;
            lab.queue.waits.insert(nr, looked.waits);
        }
    }

    /// Begins the runs whose slaves are connected and free. What has freed them was written before, for each run has a
    /// ledger of its own.
    pub(in crate::controller) fn begin_runs(&mut self, now: Time, out: &mut Outbox) {
        let Some(lab) = self.lab.as_mut().filter(|lab| lab.queue.due.is_some_and(|due| due <= now)) else { return };
        lab.queue.due = None;
        let mut pass = match lab.queue.pass.take() {
            Some(pass) => pass,
            None => {
                let picture = Picture::of(lab, &self.runs);
                if picture == lab.queue.seen {
                    return;
                }
                let runs = &self.runs;
                lab.queue.waits.retain(|nr, _| runs.get(*nr).is_some_and(|run| run.phase == Phase::Queued));
                lab.queue.begin(picture)
            }
        };
        let mut work = 0;
        while work < WORK_OF_A_TURN
            && let Some(nr) = pass.runs.pop_front()
        {
            work += self.look_at_run(now, nr, &mut pass, out);
        }
        let Some(lab) = &mut self.lab else { return };
        lab.queue.work += work;
        if !pass.runs.is_empty() {
            lab.queue.pass = Some(pass);
            return lab.queue.look(now);
        }
        (lab.queue.seen, lab.queue.left) = (pass.picture, pass.free);
        // What has changed meanwhile, by the runs that have begun too.
        if Picture::of(lab, &self.runs) != lab.queue.seen {
            lab.queue.look(now);
        }
    }

    /// Looks at the next run, and begins it if it can. Answers with how much work that was.
    fn look_at_run(&mut self, now: Time, nr: RunNr, pass: &mut Pass, out: &mut Outbox) -> usize {
        let (Some(lab), Some(run)) = (&mut self.lab, self.runs.get(nr)) else { return 1 };
        if run.phase != Phase::Queued {
            return 1;
        }
        let first = pass.picture.runs.first() == Some(&nr);
        let Looked { waits, taken, begins, work } = look_at(lab, &self.runs, run, pass, first);
        let mut ix = 0;
        pass.free.retain(|_| {
            ix += 1;
            !taken.contains(&(ix - 1))
        });
        lab.queue.waits.insert(nr, waits);
        if let Some(machines) = begins {
            self.begin_run(now, nr, &machines, out);
        }
        work
    }
}
