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

/// The identity of a process. Its state and its key share it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub room: Rc<str>,
    pub speaker: Speaker,
    pub incarnation: Box<str>,
}

/// The slave or the client that a process acts for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speaker {
    /// A slave of the run, by its place in the test, with its name. It acts for the members `NAME` and `NAME#TAG`.
    Slave(u32, Rc<str>),
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
    pub identity: Rc<Identity>,
    pub conn: Option<ConnId>,
    /// While it is connected, when it was heard last; otherwise when it disconnected.
    at: Time,
    rejoin: Duration,
    /// It has said goodbye, and nothing is owed to it.
    left: bool,
    /// The debt to it at the last check since it disconnected.
    owed: Owed,
    /// Since when the answer to a check is awaited.
    checked: Option<Time>,
}

/// All processes.
#[derive(Debug)]
pub struct Processes {
    /// Each state is in a box: the nodes of the map are half empty, because the numbers ascend.
    known: BTreeMap<Process, Box<ProcessState>>,
    by_identity: BTreeMap<Rc<Identity>, Process>,
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
            by_identity: BTreeMap::new(),
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
        let identity = Rc::new(Identity { room: room.clone(), speaker, incarnation: Box::from(incarnation) });
        self.last = self.last.max(process.0);
        self.add(process, identity, rejoin);
    }

    fn add(&mut self, process: Process, identity: Rc<Identity>, rejoin: Duration) {
        self.by_identity.insert(identity.clone(), process);
        let (at, left, owed) = (Time::default(), false, Owed::Nothing);
        self.known
            .insert(process, Box::new(ProcessState { identity, conn: None, at, rejoin, left, owed, checked: None }));
    }

    /// Sets whether received bytes were not read yet at this deadline.
    pub fn set_unread_input(&mut self, unread: bool) {
        self.unread_input = unread;
    }

    /// Returns the process after `last`, or the first, for a rewrite of the ledger.
    pub fn after(&self, last: Option<Process>) -> Option<(Process, &ProcessState)> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.known.range((after, Bound::Unbounded)).next().map(|(process, known)| (*process, &**known))
    }

    /// Marks every process as disconnected now, after a restart.
    pub fn disconnect_all(&mut self, now: Time) {
        for (&process, known) in &mut self.known {
            known.at = now;
            if let Speaker::Client(_) = known.identity.speaker {
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
        let identity = Identity { room: room.clone(), speaker, incarnation: Box::from(incarnation) };
        let process = match self.by_identity.get(&identity) {
            Some(&process) => process,
            None => {
                self.last += 1;
                self.add(Process(self.last), Rc::new(identity), rejoin);
                Process(self.last)
            }
        };
        let known = self.known.get_mut(&process).expect("the process of an identity is known");
        self.away[known.owed as usize].remove(&(known.at, process));
        known.at = now;
        known.checked = None;
        known.left = false;
        (process, known.conn.replace(conn))
    }

    /// Marks a process as disconnected. Returns `false` if the connection was not its newest.
    pub fn disconnected(&mut self, now: Time, conn: ConnId, process: Process) -> bool {
        let Some(known) = self.known.get_mut(&process).filter(|known| known.conn == Some(conn)) else { return false };
        known.conn = None;
        known.checked = None;
        known.at = now;
        known.owed = Owed::Nothing;
        if let Speaker::Client(_) = known.identity.speaker {
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
            self.away[known.owed as usize].insert((known.at, process));
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns the number of a known process.
    pub fn find(&self, room: &Rc<str>, speaker: &Speaker, incarnation: &str) -> Option<Process> {
        let (room, speaker, incarnation) = (room.clone(), speaker.clone(), Box::from(incarnation));
        self.by_identity.get(&Identity { room, speaker, incarnation }).copied()
    }

    /// Returns the members of the clients of a room that are connected, or may reconnect in time.
    pub fn clients_of(&self, now: Time, room: &Rc<str>) -> Vec<Option<Rc<str>>> {
        let there = self.of_room(room, Speaker::Client(None)).filter(|(_, process)| !self.is_lost(now, **process));
        let client = |(identity, _): (&Rc<Identity>, &Process)| match &identity.speaker {
            Speaker::Client(name) => Some(name.clone()),
            Speaker::Slave(..) => None,
        };
        there.filter_map(client).collect()
    }

    /// Returns whether a client of this room acts for this host or one of its members, and is connected or may
    /// reconnect in time.
    pub fn client_of_host(&self, now: Time, room: &Rc<str>, host: &str) -> bool {
        let tagged = format!("{host}#");
        let of = |first: &str, is: &dyn Fn(&str) -> bool| {
            let own = |identity: &Identity| matches!(&identity.speaker, Speaker::Client(Some(name)) if is(name));
            let from = self.of_room(room, Speaker::Client(Some(Rc::from(first))));
            from.take_while(|(identity, _)| own(identity)).any(|(_, process)| !self.is_lost(now, *process))
        };
        of(host, &|name| name == host) || of(&tagged, &|name| name.starts_with(&tagged))
    }

    /// Returns the processes of a room from a speaker on.
    fn of_room(&self, room: &Rc<str>, first: Speaker) -> impl Iterator<Item = (&Rc<Identity>, &Process)> {
        let first = Identity { room: room.clone(), speaker: first, incarnation: Box::from("") };
        self.by_identity.range::<Identity, _>(&first..).take_while(|(identity, _)| identity.room == *room)
    }

    pub fn get(&self, process: Process) -> Option<&ProcessState> {
        self.known.get(&process).map(|known| &**known)
    }

    pub fn conn(&self, process: Process) -> Option<ConnId> {
        self.known.get(&process)?.conn
    }

    /// Records a sign of life of a process. Returns whether it answers a check.
    pub fn on_sign_of_life(&mut self, now: Time, process: Process) -> bool {
        let Some(known) = self.known.get_mut(&process) else { return false };
        if known.conn.is_some() {
            known.at = now;
        }
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
        let check = self.checks.front().map(|(at, _)| *at + CHECK_WITHIN);
        let crowded = [Owed::Nothing, Owed::Count].iter().any(|owed| self.away[*owed as usize].len() > self.away_max);
        let oldest = self.away.iter().filter_map(|away| away.first()).map(|(gone, _)| *gone).min();
        let forget = oldest.map(|gone| if crowded { gone } else { gone + FORGET_AFTER });
        [check, forget].into_iter().flatten().min()
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
            known.owed = if known.left { Owed::Nothing } else { owed(&known.identity.room, process) };
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
        let first = Speaker::Slave(0, Rc::from(""));
        let gone: Vec<Process> = self.of_room(room, first).map(|(_, process)| *process).collect();
        for process in gone {
            if self.conn(process).is_none() {
                self.forget(process);
            }
        }
    }

    fn forget(&mut self, process: Process) -> Option<(Process, Rc<str>)> {
        let known = self.known.remove(&process)?;
        self.away[known.owed as usize].remove(&(known.at, process));
        // A process that was forgotten and has returned has another number. After a restart both numbers may be known.
        if self.by_identity.get(&known.identity) == Some(&process) {
            self.by_identity.remove(&known.identity);
        }
        Some((process, known.identity.room.clone()))
    }

    /// Returns whether a process cannot reconnect in time.
    pub fn is_lost(&self, now: Time, process: Process) -> bool {
        let lost = |known: &ProcessState| known.conn.is_none() && now.since(known.at) > known.rejoin;
        self.known.get(&process).is_none_or(|known| lost(known))
    }
}

impl Presence for Processes {
    fn has_unread_input(&self) -> bool {
        self.unread_input
    }

    fn is_slave(&self, process: Process) -> bool {
        self.known.get(&process).is_some_and(|known| matches!(known.identity.speaker, Speaker::Slave(..)))
    }

    fn heard(&self, process: Process) -> Option<Time> {
        let known = self.known.get(&process)?;
        known.conn.map(|_| known.at)
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
