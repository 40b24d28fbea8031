//! Which processes of a complete round have still to show that they are alive.
//!
//! A round keeps an instant for each of its processes: when that process was heard last, as far as the round knows. A
//! process is checked again only when this instant has become too old, so that the number of checks is bounded by the
//! arrivals and the signs of life. What must never happen: a loop over all members for each sign of life. At a barrier
//! of thousands it would keep the controller from reading until it takes living peers for silent ones.

use std::collections::BTreeSet;

use super::arrival::{Presence, Process};
use crate::machine::{IdMap, Time};

/// The processes of a round.
#[derive(Debug, Default)]
pub struct Proofs {
    known: IdMap<Process, Proof>,
    /// The processes that are not awaited, by the time at which they were heard.
    by_time: BTreeSet<(Time, Process)>,
    /// The processes that must give a sign of life.
    awaited: BTreeSet<Process>,
}

#[derive(Debug, Default)]
struct Proof {
    /// How many members of the round it has.
    members: usize,
    /// It was heard at this time or later.
    heard: Time,
}

impl Proofs {
    /// Adds a member of this process.
    pub fn enter(&mut self, process: Process, heard: Option<Time>) {
        let known = self.known.entry(process).or_default();
        known.members += 1;
        if known.members == 1 {
            known.heard = heard.unwrap_or_default();
            self.by_time.insert((known.heard, process));
        }
    }

    /// Removes a member of this process.
    pub fn leave(&mut self, process: Process) {
        let Some(known) = self.known.get_mut(&process) else { return };
        known.members -= 1;
        if known.members == 0 {
            self.by_time.remove(&(known.heard, process));
            self.awaited.remove(&process);
            self.known.remove(&process);
        }
    }

    /// Requires signs of life since an instant, which never goes back. Returns the processes that were not awaited
    /// before.
    pub fn want(&mut self, since: Time, presence: &dyn Presence) -> Vec<Process> {
        let mut stale = Vec::new();
        while let Some(&(_, process)) = self.by_time.first().filter(|(heard, _)| *heard < since) {
            self.by_time.pop_first();
            match presence.heard(process).filter(|heard| *heard >= since) {
                Some(heard) => self.prove(process, heard),
                None => {
                    self.awaited.insert(process);
                    stale.push(process);
                }
            }
        }
        stale
    }

    /// Handles that a process was heard.
    pub fn heard(&mut self, process: Process, since: Time, presence: &dyn Presence) {
        if let Some(heard) = presence.heard(process).filter(|heard| *heard >= since)
            && self.awaited.remove(&process)
        {
            self.prove(process, heard);
        }
    }

    fn prove(&mut self, process: Process, heard: Time) {
        if let Some(known) = self.known.get_mut(&process) {
            known.heard = heard;
            self.by_time.insert((heard, process));
        }
    }

    /// Returns the processes that must give a sign of life.
    pub fn awaited(&self) -> &BTreeSet<Process> {
        &self.awaited
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    /// Every process was heard at the same instant; counts the calls.
    struct Counting(Time, Cell<u64>);

    impl Presence for Counting {
        fn heard(&self, _: Process) -> Option<Time> {
            self.1.set(self.1.get() + 1);
            Some(self.0)
        }
        fn rejoin(&self, _: Process) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn each_process_is_checked_once_and_once_for_each_sign_of_life() {
        let (early, since, late) = (Time::from_micros(1), Time::from_micros(10), Time::from_micros(11));
        let (mut proofs, many) = (Proofs::default(), 4_000);
        for process in 0..many {
            proofs.enter(Process(process), Some(early));
        }
        let mut presence = Counting(early, Cell::new(0));
        assert_eq!(proofs.want(since, &presence).len() as u64, many);
        presence.0 = late;
        for process in 0..many {
            assert_eq!(proofs.awaited().len() as u64, many - process);
            proofs.heard(Process(process), since, &presence);
            assert!(proofs.want(since, &presence).is_empty());
        }
        assert!(proofs.awaited().is_empty());
        assert_eq!(presence.1.get(), 2 * many);
    }

    #[test]
    fn a_process_counts_as_long_as_one_of_its_members_is_there() {
        let (mut proofs, presence) = (Proofs::default(), Counting(Time::default(), Cell::new(0)));
        for _ in 0..2 {
            proofs.enter(Process(1), None);
        }
        proofs.leave(Process(1));
        assert_eq!(proofs.want(Time::from_micros(5), &presence), [Process(1)]);
        proofs.leave(Process(1));
        assert!(proofs.awaited().is_empty() && proofs.known.is_empty() && proofs.by_time.is_empty());
    }
}
