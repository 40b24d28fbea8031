//! The processes that connect to the controller: incarnations of slaves and of clients, numbered in the order of
//! arrival.
//!
//! A process has at most one connection, the newest. A disconnected process is remembered, because it may reconnect and
//! request what it has missed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

use crate::controller::room::rendezvous::{Presence, Process};
use crate::controller::room::sync::AWAY_MAX;
use crate::machine::{ConnId, Time};

/// How long a client may be disconnected before it is lost.
pub const REJOIN: Duration = Duration::from_secs(5);

/// How long a peer may take to answer a check before its connection is closed.
pub const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// How long a disconnected process is remembered, and how long an outcome waits for its confirmation.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);

/// A debt to a disconnected process, in ascending order of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owed {
    Nothing,
    /// Its totals of notifies, which it may repeat and which must not count twice.
    Count,
    /// The outcome of a round.
    Verdict,
}

/// The identity of a process: its room, its speaker and its incarnation.
type Key = (Rc<str>, Speaker, Box<str>);

/// The slave or the client that a process acts for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speaker {
    /// A slave of the run, by its place in the test, with its name. It acts for the members `NAME` and `NAME#TAG`.
    Slave(usize, Rc<str>),
    /// A client, for one member or for none.
    Client(Option<Rc<str>>),
}

impl Speaker {
    /// Returns whether it may act for this member.
    pub fn acts_for(&self, member: &str) -> bool {
        match self {
            Speaker::Slave(_, name) => match member.strip_prefix(&**name) {
                Some("") => true,
                Some(rest) => rest.strip_prefix('#').is_some_and(crate::session::is_tag),
                None => false,
            },
            Speaker::Client(name) => name.as_deref() == Some(member),
        }
    }

    /// Returns its name, for messages.
    pub fn name(&self) -> Option<&str> {
        match self {
            Speaker::Slave(_, name) => Some(name),
            Speaker::Client(name) => name.as_deref(),
        }
    }
}

/// The state of a process.
#[derive(Debug)]
pub struct ProcessState {
    pub room: Rc<str>,
    pub speaker: Speaker,
    pub conn: Option<ConnId>,
    pub incarnation: Box<str>,
    heard: Time,
    /// When it disconnected.
    gone: Time,
    rejoin: Duration,
    /// It has said goodbye, and nothing is owed to it.
    left: bool,
    /// The debt to it at the last check since it disconnected.
    owed: Owed,
    /// Since when the answer to a check is awaited.
    checked: Option<Time>,
}

impl ProcessState {
    fn new(now: Time, room: Rc<str>, speaker: Speaker, incarnation: Box<str>, rejoin: Duration) -> ProcessState {
        let (conn, left, owed, checked) = (None, false, Owed::Nothing, None);
        ProcessState { room, speaker, conn, incarnation, heard: now, gone: now, rejoin, left, owed, checked }
    }
}

/// All processes.
#[derive(Debug)]
pub struct Processes {
    known: BTreeMap<Process, ProcessState>,
    by_key: BTreeMap<Key, Process>,
    /// The disconnected clients and when they disconnected, one set for each kind of debt. The slaves of a run are
    /// remembered as long as the run.
    away: [BTreeSet<(Time, Process)>; 3],
    /// The limit for each set.
    away_max: usize,
    /// The checks that were sent, in order, including answered ones.
    checks: VecDeque<(Time, Process)>,
    /// Received bytes were not read yet.
    unread_input: bool,
    last: u64,
}

impl Default for Processes {
    fn default() -> Self {
        Processes {
            known: BTreeMap::new(),
            by_key: BTreeMap::new(),
            away: Default::default(),
            away_max: AWAY_MAX,
            checks: VecDeque::new(),
            unread_input: false,
            last: 0,
        }
    }
}

impl Processes {
    /// Restores a process after a restart, by its number.
    pub fn restore(&mut self, process: Process, room: &Rc<str>, speaker: Speaker, incarnation: &str, rejoin: Duration) {
        let (room, incarnation, never) = (room.clone(), Box::from(incarnation), Time::default());
        self.last = self.last.max(process.0);
        self.by_key.insert((room.clone(), speaker.clone(), Box::clone(&incarnation)), process);
        self.known.insert(process, ProcessState::new(never, room, speaker, incarnation, rejoin));
    }

    /// Sets whether received bytes were not read yet at this deadline.
    pub fn set_unread_input(&mut self, unread: bool) {
        self.unread_input = unread;
    }

    /// Returns the process after `last`, or the first, for a rewrite of the ledger.
    pub fn after(&self, last: Option<Process>) -> Option<(Process, &ProcessState)> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.known.range((after, Bound::Unbounded)).next().map(|(process, known)| (*process, known))
    }

    /// Marks every process as disconnected now, after a restart.
    pub fn disconnect_all(&mut self, now: Time) {
        for (&process, known) in &mut self.known {
            (known.heard, known.gone) = (now, now);
            if let Speaker::Client(_) = known.speaker {
                self.away[0].insert((now, process));
            }
        }
    }

    /// Registers the connection of a process. Returns the number of the process, and the connection that this one
    /// replaces.
    pub fn connected(
        &mut self,
        now: Time,
        conn: ConnId,
        room: &Rc<str>,
        speaker: Speaker,
        incarnation: &str,
        rejoin: Duration,
    ) -> (Process, Option<ConnId>) {
        let key = (room.clone(), speaker, Box::from(incarnation));
        let process = match self.by_key.get(&key) {
            Some(&process) => process,
            None => {
                self.last += 1;
                let process = Process(self.last);
                self.by_key.insert(key.clone(), process);
                process
            }
        };
        let (room, speaker, incarnation) = key;
        let known =
            self.known.entry(process).or_insert_with(|| ProcessState::new(now, room, speaker, incarnation, rejoin));
        self.away[known.owed as usize].remove(&(known.gone, process));
        known.heard = now;
        known.checked = None;
        known.left = false;
        (process, known.conn.replace(conn))
    }

    /// Marks a process as disconnected. Returns `false` if the connection was not its newest.
    pub fn disconnected(&mut self, now: Time, conn: ConnId, process: Process) -> bool {
        let Some(known) = self.known.get_mut(&process).filter(|known| known.conn == Some(conn)) else { return false };
        known.conn = None;
        known.checked = None;
        known.gone = now;
        known.owed = Owed::Nothing;
        if let Speaker::Client(_) = known.speaker {
            self.away[0].insert((now, process));
        }
        true
    }

    /// Marks a process that has said goodbye.
    pub fn on_goodbye(&mut self, process: Process) {
        if let Some(known) = self.known.get_mut(&process) {
            known.left = true;
        }
    }

    /// Marks a slave's process that a newer one has replaced. It is remembered only as long as a client.
    pub fn on_superseded(&mut self, process: Process) {
        if let Some(known) = self.known.get(&process).filter(|known| known.conn.is_none()) {
            self.away[known.owed as usize].insert((known.gone, process));
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns the number of a known process.
    pub fn find(&self, room: &Rc<str>, speaker: &Speaker, incarnation: &str) -> Option<Process> {
        self.by_key.get(&(room.clone(), speaker.clone(), Box::from(incarnation))).copied()
    }

    /// Returns the members of the clients of a room that are connected, or may reconnect in time.
    pub fn clients_of(&self, now: Time, room: &Rc<str>) -> Vec<Option<Rc<str>>> {
        let first = (room.clone(), Speaker::Client(None), Box::from(""));
        let here = self.by_key.range(first..).take_while(|(key, _)| key.0 == *room);
        let there = here.filter(|(_, process)| !self.is_lost(now, **process));
        let client = |(key, _): (&Key, &Process)| match &key.1 {
            Speaker::Client(name) => Some(name.clone()),
            Speaker::Slave(..) => None,
        };
        there.filter_map(client).collect()
    }

    /// Returns whether a client of this room acts for this host or one of its members, and is connected or may
    /// reconnect in time.
    pub fn client_of_host(&self, now: Time, room: &Rc<str>, host: &str) -> bool {
        let from = |name: &str| (room.clone(), Speaker::Client(Some(Rc::from(name))), Box::from(""));
        let tagged = format!("{host}#");
        let of = |first: Key, is: &dyn Fn(&str) -> bool| {
            let own = |key: &Key| matches!(&key.1, Speaker::Client(Some(name)) if key.0 == *room && is(name));
            let mut all = self.by_key.range(first..).take_while(|(key, _)| own(key));
            all.any(|(_, process)| !self.is_lost(now, *process))
        };
        of(from(host), &|name| name == host) || of(from(&tagged), &|name| name.starts_with(&tagged))
    }

    pub fn get(&self, process: Process) -> Option<&ProcessState> {
        self.known.get(&process)
    }

    pub fn conn(&self, process: Process) -> Option<ConnId> {
        self.known.get(&process)?.conn
    }

    /// Records a sign of life of a process. Returns whether it answers a check.
    pub fn on_sign_of_life(&mut self, now: Time, process: Process) -> bool {
        let Some(known) = self.known.get_mut(&process) else { return false };
        known.heard = now;
        known.checked.take().is_some()
    }

    /// Starts a check of a process. Returns the connection for it, unless a check is in progress.
    pub fn check(&mut self, now: Time, process: Process) -> Option<ConnId> {
        let known = self.known.get_mut(&process)?;
        let conn = known.conn?;
        if known.checked.is_some() {
            return None;
        }
        known.checked = Some(now);
        self.checks.push_back((now, process));
        Some(conn)
    }

    /// Returns when the next check expires or the next process is forgotten.
    pub fn next_deadline(&self) -> Option<Time> {
        self.checks.front().map(|(at, _)| *at + CHECK_WITHIN)
    }

    /// Takes a connection with a check that has expired.
    pub fn pop_unanswered(&mut self, now: Time) -> Option<ConnId> {
        while let Some(&(at, process)) = self.checks.front().filter(|(at, _)| *at + CHECK_WITHIN <= now) {
            self.checks.pop_front();
            let known = self.known.get(&process).filter(|known| known.checked == Some(at));
            if let Some(conn) = known.and_then(|known| known.conn) {
                return Some(conn);
            }
        }
        None
    }

    /// Forgets a process that has been disconnected for too long. Returns it with its room.
    pub fn pop_forgotten(&mut self, now: Time) -> Option<(Process, Rc<str>)> {
        let first = self.away.iter().filter_map(|away| away.first()).min();
        let &(_, process) = first.filter(|(gone, _)| now.since(*gone) >= FORGET_AFTER)?;
        self.forget(process)
    }

    /// Sets how many disconnected processes are remembered although nothing is owed to them.
    pub fn set_max(&mut self, away_max: usize) {
        self.away_max = away_max;
    }

    /// Forgets a process if too many are disconnected. Returns it with its room. `owed` asks its room what is owed to
    /// it. It is called once for each disconnected process, so that a crowd costs no more than its size.
    pub fn pop_crowded(&mut self, mut owed: impl FnMut(&Rc<str>, Process) -> Owed) -> Option<(Process, Rc<str>)> {
        while let Some(&(gone, process)) = self.away[0].first().filter(|_| self.away[0].len() > self.away_max) {
            let known = self.known.get_mut(&process)?;
            known.owed = if known.left { Owed::Nothing } else { owed(&known.room, process) };
            if known.owed == Owed::Nothing {
                return self.forget(process);
            }
            self.away[0].pop_first();
            self.away[known.owed as usize].insert((gone, process));
        }
        let counts = &self.away[Owed::Count as usize];
        let &(_, process) = counts.first().filter(|_| counts.len() > self.away_max)?;
        self.forget(process)
    }

    /// Forgets all processes of a room that was removed.
    pub fn forget_room(&mut self, room: &Rc<str>) {
        let here = |(key, process): (&Key, &Process)| (key.0 == *room).then_some(*process);
        let first = (room.clone(), Speaker::Slave(0, Rc::from("")), Box::from(""));
        let gone: Vec<Process> = self.by_key.range(first..).map_while(here).collect();
        for process in gone {
            if self.conn(process).is_none() {
                self.forget(process);
            }
        }
    }

    fn forget(&mut self, process: Process) -> Option<(Process, Rc<str>)> {
        let known = self.known.remove(&process)?;
        self.away[known.owed as usize].remove(&(known.gone, process));
        let key = (known.room, known.speaker, known.incarnation);
        // A process that was forgotten and has returned has another number. After a restart both numbers may be known.
        if self.by_key.get(&key) == Some(&process) {
            self.by_key.remove(&key);
        }
        Some((process, key.0))
    }

    /// Returns whether a process cannot reconnect in time.
    pub fn is_lost(&self, now: Time, process: Process) -> bool {
        let lost = |known: &ProcessState| known.conn.is_none() && now.since(known.gone) > known.rejoin;
        self.known.get(&process).is_none_or(lost)
    }
}

impl Presence for Processes {
    fn has_unread_input(&self) -> bool {
        self.unread_input
    }

    fn is_slave(&self, process: Process) -> bool {
        self.known.get(&process).is_some_and(|known| matches!(known.speaker, Speaker::Slave(..)))
    }

    fn heard(&self, process: Process) -> Option<Time> {
        let known = self.known.get(&process)?;
        known.conn.map(|_| known.heard)
    }

    fn rejoin(&self, process: Process) -> Duration {
        self.known.get(&process).map_or(REJOIN, |known| known.rejoin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_forgotten_and_returned_has_its_new_number_after_a_restart() {
        let (room, speaker) = (Rc::from("r"), Speaker::Client(Some(Rc::from("a"))));
        let mut processes = Processes::default();
        processes.set_max(1);
        for number in [1, 2] {
            processes.restore(Process(number), &room, speaker.clone(), "i", REJOIN);
        }
        processes.disconnect_all(Time::from_micros(1));
        let forgotten = processes.pop_crowded(|_, _| Owed::Nothing).map(|(process, _)| process);
        assert_eq!(forgotten, Some(Process(1)));
        assert_eq!(processes.find(&room, &speaker, "i"), Some(Process(2)));
    }

    #[test]
    fn a_slave_acts_only_for_itself_and_its_tags() {
        let slave = Speaker::Slave(0, Rc::from("host"));
        for own in ["host", "host#a", "host#1.x_y-z", "host#", "host#a b", "host#a#b"] {
            assert!(slave.acts_for(own), "{own}");
        }
        for other in ["hos", "host2", "host2#a", "host#a\nb", "other", ""] {
            assert!(!slave.acts_for(other), "{other}");
        }
        assert!(Speaker::Client(Some(Rc::from("a#1"))).acts_for("a#1"));
        assert!(!Speaker::Client(Some(Rc::from("a"))).acts_for("a#1") && !Speaker::Client(None).acts_for("a"));
    }
}
