//! A room: a namespace of triggers, barriers and syncs. Each run has one; named rooms serve clients outside any run.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::controller::room::barrier;
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{
    Act, ArrivalError, Assembly, Decision, Eviction, Forming, Open, Outlook, Presence, Process, Rendezvous, Turn,
};
use crate::controller::room::request_error::RequestError;
use crate::controller::room::sync::{self, Limits};
use crate::controller::room::trigger::{Counted, Triggers};
use crate::controller::session::budget::{Asker, Budget, Held};
use crate::controller::session::processes::{Owed, REJOIN};
use crate::machine::{Bytes, Time};
use crate::session;
use crate::testfile::{Declared, Test};
use crate::wire::rendezvous::{Arrive, Give, Party};
use crate::wire::{Message, RawJson, Triggered};

/// The memory of one watcher of a trigger besides the trigger's name, in bytes.
const WATCH_COST: usize = 256;

/// A room.
pub struct Room {
    pub name: Rc<str>,
    pub triggers: Triggers,
    /// The barriers and the syncs, in the order of [`Meeting::BOTH`].
    meetings: [Rendezvous; 2],
    limits: Limits,
    /// The test that declares the meetings. `None`: the room belongs to no run, and clients create and delete its triggers.
    declared: Option<Rc<Test>>,
    /// The clients that wait for each trigger; slaves need no entry.
    watchers: BTreeMap<String, BTreeMap<Process, Held>>,
    /// The triggers that each client waits for, so that a disconnect costs only what it held.
    watched: BTreeMap<Process, BTreeSet<String>>,
    budget: Budget,
    /// The clients that are connected.
    pub clients: BTreeSet<Process>,
}

/// The requests of a room's barriers and syncs to the controller, in the order of [`Meeting::BOTH`].
pub type Acts = [Vec<Act>; 2];

/// The context of each call of a room.
pub struct Visit<'a> {
    pub now: Time,
    pub presence: &'a dyn Presence,
    pub acts: &'a mut Acts,
}

impl Room {
    /// Creates a room that belongs to no run.
    pub fn new(name: &str, limits: Limits, budget: &Budget) -> Room {
        Room {
            name: Rc::from(name),
            triggers: Triggers::of_clients(budget),
            meetings: Meeting::BOTH.map(|_| Rendezvous::within(budget.clone())),
            limits,
            budget: budget.clone(),
            declared: None,
            watchers: BTreeMap::new(),
            watched: BTreeMap::new(),
            clients: BTreeSet::new(),
        }
    }

    /// Creates the room of a run.
    pub fn of_run(id: &str, test: Rc<Test>, budget: &Budget) -> Room {
        let triggers = Triggers::new(&test.triggers, budget);
        Room { triggers, declared: Some(test), ..Room::new(id, Limits::default(), budget) }
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Returns the meetings of one kind.
    pub fn meetings(&self, kind: Meeting) -> &Rendezvous {
        &self.meetings[kind as usize]
    }

    fn both(&self) -> impl Iterator<Item = (Meeting, &Rendezvous)> {
        Meeting::BOTH.into_iter().zip(&self.meetings)
    }

    /// Calls the meetings of one kind with the context that they need. All members of a sync get its map.
    pub fn at<T>(
        &mut self,
        kind: Meeting,
        visit: &mut Visit<'_>,
        what: impl FnOnce(&mut Rendezvous, &mut Turn<'_>) -> T,
    ) -> T {
        let line = |session: &str, round: u64, there: &Assembly| {
            (kind == Meeting::Sync).then(|| sync::map(&self.name, session, round, there))
        };
        let acts = &mut visit.acts[kind as usize];
        what(
            &mut self.meetings[kind as usize],
            &mut Turn { now: visit.now, presence: visit.presence, line: &line, acts },
        )
    }

    fn at_both(&mut self, visit: &mut Visit<'_>, mut what: impl FnMut(&mut Rendezvous, &mut Turn<'_>)) {
        Meeting::BOTH.into_iter().for_each(|kind| self.at(kind, visit, &mut what));
    }

    /// Returns the barriers and the syncs at which a member waits.
    pub fn open(&self) -> impl Iterator<Item = (Meeting, Open<'_>)> {
        self.both().flat_map(|(kind, meetings)| meetings.open().map(move |open| (kind, open)))
    }

    pub fn is_run(&self) -> bool {
        self.declared.is_some()
    }

    /// Handles the arrival of a member at a barrier.
    pub fn arrive(&mut self, process: Process, arrive: &Arrive<'_>, visit: &mut Visit<'_>) {
        let party = check_name(&arrive.barrier).and_then(|()| self.resolve(arrive.party.as_ref()));
        let test = self.declared.clone();
        let declared = terms(test.as_ref().and_then(|test| test.barriers.get(&*arrive.barrier)));
        self.at(Meeting::Barrier, visit, |meetings, turn| {
            barrier::arrive(meetings, process, arrive, party, declared, turn);
        });
    }

    /// Handles the value that a member gives to a sync.
    pub fn give(&mut self, process: Process, give: &Give<'_>, visit: &mut Visit<'_>) {
        let party = check_name(&give.session).and_then(|()| self.resolve(give.party.as_ref()));
        let test = self.declared.clone();
        let declared = terms(test.as_ref().and_then(|test| test.syncs.get(&*give.session)));
        let limits = self.limits;
        self.at(Meeting::Sync, visit, |meetings, turn| {
            sync::give(meetings, limits, process, give, party, declared, turn);
        });
    }

    /// Refuses an arrival that its process may not make. An arrival that was accepted earlier is repeated instead.
    pub fn refuse(&mut self, process: Process, id: u64, error: ArrivalError, visit: &mut Visit<'_>) {
        let arrival = (process, id);
        let known = |kind| self.at(kind, visit, |meetings, turn| meetings.again(arrival, turn));
        if !Meeting::BOTH.into_iter().any(known) {
            self.at(Meeting::Barrier, visit, |meetings, turn| meetings.refuse(arrival, &error, turn));
        }
    }

    /// Resolves the groups in a party. Fails if a group is unknown, or a name cannot be that of a member.
    fn resolve(&self, party: Option<&Party>) -> Result<Option<Party>, ArrivalError> {
        let Some(Party::Members(members)) = party else { return Ok(party.cloned()) };
        // A name that no member can have would make the others wait in vain, and could be written to their terminals.
        if let Some(name) = members.iter().find(|name| !name.starts_with('@') && !session::is_member(name)) {
            return Err(ArrivalError::NotAMember { name: name.chars().take(session::NAME_MAX).collect() });
        }
        if !members.iter().any(|member| member.starts_with('@')) {
            return Ok(party.cloned());
        }
        let mut resolved = Vec::new();
        let mut known = BTreeSet::new();
        for member in members {
            let group = match member.strip_prefix('@') {
                None => std::slice::from_ref(member),
                Some(group) => {
                    let groups = self.declared.as_ref().map(|test| &test.groups);
                    let members = groups.and_then(|groups| groups.get(group));
                    members
                        .ok_or_else(|| ArrivalError::NoGroup { group: group.to_owned(), room: self.name.to_string() })?
                }
            };
            resolved.extend(group.iter().filter(|member| known.insert((*member).clone())).cloned());
        }
        Ok(Some(Party::Members(resolved)))
    }

    /// Returns whether a sign of life of this process was requested and has not arrived.
    pub fn awaits_sign_of_life(&self, process: Process) -> bool {
        self.meetings.iter().any(|meetings| meetings.awaits_sign_of_life(process))
    }

    pub fn on_sign_of_life(&mut self, process: Process, visit: &mut Visit<'_>) {
        self.at_both(visit, |meetings, turn| meetings.on_sign_of_life(process, turn));
    }

    pub fn on_disconnect(&mut self, process: Process, visit: &mut Visit<'_>) {
        self.clients.remove(&process);
        for trigger in self.watched.remove(&process).unwrap_or_default() {
            if let Some(watchers) = self.watchers.get_mut(&trigger) {
                watchers.remove(&process);
                if watchers.is_empty() {
                    self.watchers.remove(&trigger);
                }
            }
        }
        self.at_both(visit, |meetings, turn| meetings.on_disconnect(process, turn));
    }

    /// Withdraws arrivals of a process.
    pub fn withdraw(&mut self, process: Process, ids: &[u64], visit: &mut Visit<'_>) {
        self.at_both(visit, |meetings, turn| meetings.withdraw(process, ids, REJOIN, turn));
    }

    /// Marks a process as lost: it cannot reconnect.
    pub fn lose(&mut self, process: Process, why: &str, visit: &mut Visit<'_>) {
        self.at_both(visit, |meetings, turn| meetings.lose(process, why, turn));
    }

    /// Ends the rounds that wait for members who cannot come, at barriers and then at syncs, from the meeting `from` on.
    /// Subtracts from `left` how many members it compares. Returns the meeting before which it stops when nothing is left.
    pub fn end_hopeless(
        &mut self,
        outlooks: [&dyn Outlook; 2],
        from: Option<(Meeting, Rc<str>)>,
        left: &mut usize,
        visit: &mut Visit<'_>,
    ) -> Option<(Meeting, Rc<str>)> {
        for (kind, outlook) in Meeting::BOTH.into_iter().zip(outlooks) {
            let from = match &from {
                Some((first, _)) if *first > kind => continue,
                Some((first, name)) if *first == kind => Some(&**name),
                _ => None,
            };
            let stop = self.at(kind, visit, |meetings, turn| meetings.end_hopeless(outlook, from, left, turn));
            if let Some(name) = stop {
                return Some((kind, name));
            }
        }
        None
    }

    /// Returns how much could be evicted: bytes of failed rounds, or the number of abandoned rounds.
    pub fn evictable(&self, what: Eviction) -> usize {
        self.meetings.iter().map(|meetings| meetings.evictable(what)).sum()
    }

    /// Evicts until `bytes` more fit into the budget, or nothing is left to evict.
    pub fn evict(&mut self, what: Eviction, bytes: usize, visit: &mut Visit<'_>) {
        self.at_both(visit, |meetings, turn| meetings.evict(what, bytes, turn));
    }

    /// Returns what the room owes to a process that may reconnect.
    pub fn owes(&self, process: Process) -> Owed {
        match self.meetings.iter().any(|meetings| meetings.owes(process)) {
            true => Owed::Verdict,
            false if self.triggers.has_total(process.0) => Owed::Count,
            false => Owed::Nothing,
        }
    }

    /// Returns whether an arrival of this process waits.
    pub fn has_waiting(&self, process: Process) -> bool {
        self.meetings.iter().any(|meetings| meetings.has_waiting(process))
    }

    /// Returns the rounds in which a member waits, with their missing members.
    pub fn forming_rounds(&self) -> impl Iterator<Item = (Meeting, Forming)> {
        self.both().flat_map(|(kind, meetings)| meetings.forming_rounds().map(move |round| (kind, round)))
    }

    /// Handles that arrivals have received their outcomes, or need none any more.
    pub fn on_heard(&mut self, process: Process, ids: &[u64], visit: &mut Visit<'_>) {
        self.at_both(visit, |meetings, turn| {
            if meetings.confirm(process, ids) {
                turn.acts.push(Act::Heard { process, ids: ids.to_vec() });
            }
        });
    }

    /// Confirms that arrivals have received their outcomes, or need none any more. Returns whether any was unconfirmed.
    pub fn confirm(&mut self, process: Process, ids: &[u64]) -> bool {
        // Both are asked, because the ids may be of either.
        let [barriers, syncs] = &mut self.meetings;
        barriers.confirm(process, ids) | syncs.confirm(process, ids)
    }

    /// Forgets a process that cannot reconnect.
    pub fn forget(&mut self, process: Process) {
        self.triggers.forget(process.0);
        self.meetings.iter_mut().for_each(|meetings| meetings.forget(process));
    }

    /// Forgets outcomes that were not confirmed within `after`.
    pub fn forget_unheard(&mut self, now: Time, after: Duration) {
        self.meetings.iter_mut().for_each(|meetings| meetings.forget_unheard(now, after));
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.meetings.iter().filter_map(Rendezvous::next_deadline).min()
    }

    /// Handles due timers until the work reaches `most`, in names; the rest stays due. Returns the work done.
    pub fn deadline(&mut self, most: usize, visit: &mut Visit<'_>) -> usize {
        let mut work = 0;
        self.at_both(visit, |meetings, turn| work += meetings.deadline(most.saturating_sub(work), turn));
        work
    }

    /// Returns whether no arrival waits.
    pub fn is_still(&self) -> bool {
        self.meetings.iter().all(|meetings| meetings.waiting() == 0)
    }

    /// Returns whether any other member than this one waits.
    pub fn others_wait(&self, member: &str) -> bool {
        self.meetings.iter().any(|meetings| meetings.others_wait(member))
    }

    /// Returns whether a round forms, or a failed round is kept for late members.
    pub fn keeps_verdicts(&self) -> bool {
        self.meetings.iter().any(Rendezvous::keeps_rounds)
    }

    /// Returns whether the test declares this barrier or sync, or a member waits there.
    pub fn has_meeting(&self, kind: Meeting, name: &str) -> bool {
        let declares =
            |test: &Rc<Test>| if kind == Meeting::Sync { &test.syncs } else { &test.barriers }.contains_key(name);
        self.declared.as_ref().is_some_and(declares) || self.meetings(kind).how_many_wait(name) > 0
    }

    /// Returns the processes that have unconfirmed outcomes, once for each outcome.
    pub fn unheard(&self) -> impl Iterator<Item = Process> {
        self.meetings.iter().flat_map(Rendezvous::unheard)
    }

    /// Returns the highest number of a round in this room.
    pub fn last_round(&self) -> u64 {
        self.meetings.iter().map(Rendezvous::last_round).max().unwrap_or(0)
    }

    /// Numbers the next rounds from `last_round` + 1.
    pub fn number_after(&mut self, last_round: u64) {
        self.meetings.iter_mut().for_each(|meetings| meetings.number_after(last_round));
    }

    /// Returns whether nothing is left in this room.
    pub fn is_empty(&self) -> bool {
        let idle = self.meetings.iter().all(Rendezvous::is_idle);
        self.clients.is_empty() && self.triggers.is_empty() && idle
    }

    /// Counts a total of notifies of a trigger that a process states. Fails if the trigger or the data is refused.
    pub fn notify(
        &mut self,
        now: Time,
        asker: Asker,
        from: &str,
        (trigger, total): (&str, u64),
        data: Option<&RawValue>,
    ) -> Result<Counted, RequestError> {
        if let Some(data) = data {
            self.triggers.check_note(trigger, (asker, from), data)?;
        }
        let counted = self.triggers.notified(now, asker.process, from, (trigger, total), data.as_slice());
        counted.ok_or_else(|| self.no_trigger(trigger))
    }

    /// Applies a decision of a meeting that an earlier controller made.
    pub fn apply(&mut self, kind: Meeting, meeting: &str, decision: &Decision, at: Time) {
        self.meetings[kind as usize].apply(&Rc::from(meeting), decision, at);
    }

    /// Registers a process as a watcher of a trigger. Returns whether the trigger has fired already.
    pub fn watch(&mut self, process: Process, trigger: &str) -> Result<bool, RequestError> {
        match self.triggers.get(trigger) {
            None => Err(self.no_trigger(trigger)),
            Some(state) if state.fired.is_some() => Ok(true),
            Some(_) => {
                let asker = Asker { process: process.0, slave: false };
                let held = self.budget.admit_for(asker, WATCH_COST + trigger.len())?;
                self.watchers.entry(trigger.to_owned()).or_default().insert(process, held);
                self.watched.entry(process).or_default().insert(trigger.to_owned());
                Ok(false)
            }
        }
    }

    /// Returns the error about a trigger that does not exist in this room.
    fn no_trigger(&self, trigger: &str) -> RequestError {
        RequestError::Unknown { trigger: trigger.to_owned(), room: self.name.to_string(), of_run: self.is_run() }
    }

    /// Takes the watchers of a trigger that has fired.
    pub fn take_watchers(&mut self, trigger: &str) -> Vec<Process> {
        let watchers: Vec<Process> = self.watchers.remove(trigger).unwrap_or_default().into_keys().collect();
        for process in &watchers {
            if let Some(watched) = self.watched.get_mut(process) {
                watched.remove(trigger);
            }
        }
        watchers
    }

    /// Returns the line that reports that a trigger has fired.
    pub fn triggered(&mut self, trigger: &str) -> Bytes {
        let room = &*self.name;
        let encode = |notes: Option<&RawValue>| {
            let notes = notes.map(|json| RawJson { json });
            Triggered { room: room.into(), trigger: trigger.into(), notes }.encode()
        };
        self.triggers.fired_line(trigger, encode)
    }
}

fn terms(declared: Option<&Declared>) -> (Option<&Party>, Option<Duration>) {
    (declared.and_then(|declared| declared.party.as_ref()), declared.and_then(|declared| declared.timeout))
}

fn check_name(name: &str) -> Result<(), ArrivalError> {
    session::is_meeting(name).then_some(()).ok_or(ArrivalError::Name)
}

#[cfg(test)]
impl Room {
    /// As [`Rendezvous::has_rare`], at barriers.
    pub fn has_rare(&self) -> [bool; 3] {
        self.meetings(Meeting::Barrier).has_rare()
    }

    /// Recounts what this room holds of the budget, in bytes.
    pub fn recount(&self) -> usize {
        let watchers = self.watchers.values().flat_map(BTreeMap::values).map(Held::bytes).sum::<usize>();
        let triggers = self.triggers.iter().map(|(_, trigger)| trigger.held()).sum::<usize>();
        watchers + triggers + self.meetings.iter().map(Rendezvous::recount).sum::<usize>()
    }
}
