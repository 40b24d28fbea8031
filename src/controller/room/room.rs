//! A room: a namespace of triggers, barriers and syncs. Each run has one; named rooms serve clients outside any run.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::controller::room::barrier::{self, Barriers};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{
    Act, Arrival, ArrivalError, Eviction, Forming, Open, Outcome, Outlook, PastRound, Presence, Process, Rendezvous,
};
use crate::controller::room::request_error::RequestError;
use crate::controller::room::sync::{self, Limits, Syncs};
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
    barriers: Barriers,
    syncs: Syncs,
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

/// The requests of a room to the controller.
#[derive(Default)]
pub struct Acts {
    pub barriers: Vec<Act>,
    pub syncs: Vec<Act>,
}

impl Acts {
    pub fn is_empty(&self) -> bool {
        self.barriers.is_empty() && self.syncs.is_empty()
    }
}

/// The context of each call of a room.
pub struct Visit<'a> {
    pub now: Time,
    pub presence: &'a dyn Presence,
    pub acts: &'a mut Acts,
}

/// Makes the same call for the barriers and for the syncs of a room.
macro_rules! both {
    ($room:ident, $visit:ident, |$meetings:ident, $turn:ident| $what:expr) => {{
        let Visit { now, presence, acts } = $visit;
        {
            let ($meetings, $turn) =
                (&mut $room.barriers.meetings, &mut barrier::turn(*now, *presence, &mut acts.barriers));
            $what;
        }
        let $meetings = &mut $room.syncs.meetings;
        sync::with_turn(&$room.name, *now, *presence, &mut acts.syncs, |$turn| $what);
    }};
}

impl Room {
    /// Creates a room that belongs to no run.
    pub fn new(name: &str, limits: Limits, budget: &Budget) -> Room {
        let meetings = Rendezvous::within(budget.clone());
        Room {
            name: Rc::from(name),
            triggers: Triggers::of_clients(budget),
            barriers: Barriers { meetings: Rendezvous::within(budget.clone()) },
            syncs: Syncs { limits, meetings },
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
        self.syncs.limits = limits;
    }

    /// Returns the barriers and the syncs at which a member waits.
    pub fn open(&self) -> impl Iterator<Item = (Meeting, Open<'_>)> {
        let barriers = self.barriers.meetings.open().map(|open| (Meeting::Barrier, open));
        barriers.chain(self.syncs.meetings.open().map(|open| (Meeting::Sync, open)))
    }

    pub fn is_run(&self) -> bool {
        self.declared.is_some()
    }

    /// Handles the arrival of a member at a barrier.
    pub fn arrive(&mut self, process: Process, arrive: &Arrive<'_>, visit: &mut Visit<'_>) {
        let party = check_name(&arrive.barrier).and_then(|()| self.resolve(arrive.party.as_ref()));
        let test = self.declared.clone();
        let declared = terms(test.as_ref().and_then(|test| test.barriers.get(&*arrive.barrier)));
        let mut turn = barrier::turn(visit.now, visit.presence, &mut visit.acts.barriers);
        self.barriers.arrive(process, arrive, party, declared, &mut turn);
    }

    /// Handles the value that a member gives to a sync.
    pub fn give(&mut self, process: Process, give: &Give<'_>, visit: &mut Visit<'_>) {
        let party = check_name(&give.session).and_then(|()| self.resolve(give.party.as_ref()));
        let test = self.declared.clone();
        let declared = terms(test.as_ref().and_then(|test| test.syncs.get(&*give.session)));
        let syncs = &mut self.syncs;
        sync::with_turn(&self.name, visit.now, visit.presence, &mut visit.acts.syncs, |turn| {
            syncs.give(process, give, party, declared, turn);
        });
    }

    /// Refuses an arrival that its process may not make. An arrival that was accepted earlier is repeated instead.
    pub fn refuse(&mut self, process: Process, id: u64, error: ArrivalError, visit: &mut Visit<'_>) {
        let (arrival, Visit { now, presence, acts }) = ((process, id), visit);
        let syncs = &mut self.syncs.meetings;
        let known = sync::with_turn(&self.name, *now, *presence, &mut acts.syncs, |turn| syncs.again(arrival, turn));
        let mut turn = barrier::turn(*now, *presence, &mut acts.barriers);
        if !known && !self.barriers.meetings.again(arrival, &mut turn) {
            self.barriers.meetings.refuse(arrival, &error, &mut turn);
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
        self.barriers.meetings.awaits_sign_of_life(process) || self.syncs.meetings.awaits_sign_of_life(process)
    }

    pub fn on_sign_of_life(&mut self, process: Process, visit: &mut Visit<'_>) {
        both!(self, visit, |meetings, turn| meetings.on_sign_of_life(process, turn));
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
        both!(self, visit, |meetings, turn| meetings.on_disconnect(process, turn));
    }

    /// Withdraws arrivals of a process.
    pub fn withdraw(&mut self, process: Process, ids: &[u64], visit: &mut Visit<'_>) {
        both!(self, visit, |meetings, turn| meetings.withdraw(process, ids, REJOIN, turn));
    }

    /// Marks a process as lost: it cannot reconnect.
    pub fn lose(&mut self, process: Process, why: &str, visit: &mut Visit<'_>) {
        both!(self, visit, |meetings, turn| meetings.lose(process, why, turn));
    }

    /// Ends the rounds that wait for members who cannot come, at barriers and then at syncs, from the meeting `from` on.
    /// Subtracts from `left` how many members it compares. Returns the meeting before which it stops when nothing is left.
    pub fn end_hopeless(
        &mut self,
        [barriers, syncs]: [&dyn Outlook; 2],
        from: Option<(Meeting, Rc<str>)>,
        left: &mut usize,
        visit: &mut Visit<'_>,
    ) -> Option<(Meeting, Rc<str>)> {
        let Visit { now, presence, acts } = visit;
        let (kind, from) = from.unzip();
        if kind != Some(Meeting::Sync) {
            let mut turn = barrier::turn(*now, *presence, &mut acts.barriers);
            let stop = self.barriers.meetings.end_hopeless(barriers, from.as_deref(), left, &mut turn);
            if let Some(name) = stop {
                return Some((Meeting::Barrier, name));
            }
        }
        let from = from.filter(|_| kind == Some(Meeting::Sync));
        let meetings = &mut self.syncs.meetings;
        let mut stop = None;
        sync::with_turn(&self.name, *now, *presence, &mut acts.syncs, |turn| {
            stop = meetings.end_hopeless(syncs, from.as_deref(), left, turn);
        });
        stop.map(|name| (Meeting::Sync, name))
    }

    /// Ends the round of one barrier or sync that waits for a member, because the host of that member is lost.
    pub fn end_for_lost_host(
        &mut self,
        (kind, meeting): (Meeting, &str),
        member: &str,
        why: &str,
        visit: &mut Visit<'_>,
    ) {
        let Visit { now, presence, acts } = visit;
        if kind == Meeting::Barrier {
            let mut turn = barrier::turn(*now, *presence, &mut acts.barriers);
            return self.barriers.meetings.end_for_lost_host(meeting, member, why, &mut turn);
        }
        let meetings = &mut self.syncs.meetings;
        sync::with_turn(&self.name, *now, *presence, &mut acts.syncs, |turn| {
            meetings.end_for_lost_host(meeting, member, why, turn);
        });
    }

    /// Returns the first known fact about a missing member of a barrier or a sync.
    pub fn first_missing<T>(&self, kind: Meeting, meeting: &str, known: impl Fn(&Rc<str>) -> Option<T>) -> Option<T> {
        match kind {
            Meeting::Sync => self.syncs.meetings.first_missing(meeting, known),
            Meeting::Barrier => self.barriers.meetings.first_missing(meeting, known),
        }
    }

    /// Returns how much could be evicted: bytes of failed rounds, or the number of abandoned rounds.
    pub fn evictable(&self, what: Eviction) -> usize {
        self.barriers.meetings.evictable(what) + self.syncs.meetings.evictable(what)
    }

    /// Evicts until `bytes` more fit into the budget, or nothing is left to evict.
    pub fn evict(&mut self, what: Eviction, bytes: usize, visit: &mut Visit<'_>) {
        both!(self, visit, |meetings, turn| meetings.evict(what, bytes, turn));
    }

    /// Returns what the room owes to a process that may reconnect.
    pub fn owes(&self, process: Process) -> Owed {
        match self.barriers.meetings.owes(process) || self.syncs.meetings.owes(process) {
            true => Owed::Verdict,
            false if self.triggers.has_total(process.0) => Owed::Count,
            false => Owed::Nothing,
        }
    }

    /// Returns whether an arrival of this process waits.
    pub fn has_waiting(&self, process: Process) -> bool {
        self.barriers.meetings.has_waiting(process) || self.syncs.meetings.has_waiting(process)
    }

    /// Returns the rounds in which a member waits, with their missing members.
    pub fn forming_rounds(&self) -> impl Iterator<Item = (Meeting, Forming)> {
        let barriers = self.barriers.meetings.forming_rounds().map(|round| (Meeting::Barrier, round));
        barriers.chain(self.syncs.meetings.forming_rounds().map(|round| (Meeting::Sync, round)))
    }

    /// Confirms that arrivals have received their outcomes, or need none any more. Returns whether any was unconfirmed.
    pub fn confirm(&mut self, process: Process, ids: &[u64]) -> bool {
        let barriers = self.barriers.meetings.confirm(process, ids);
        self.syncs.meetings.confirm(process, ids) || barriers
    }

    /// Forgets a process that cannot reconnect.
    pub fn forget(&mut self, process: Process) {
        self.triggers.forget(process.0);
        self.barriers.meetings.forget(process);
        self.syncs.meetings.forget(process);
    }

    /// Forgets outcomes that were not confirmed within `after`.
    pub fn forget_unheard(&mut self, now: Time, after: Duration) {
        self.barriers.meetings.forget_unheard(now, after);
        self.syncs.meetings.forget_unheard(now, after);
    }

    pub fn next_deadline(&self) -> Option<Time> {
        let deadlines = [self.barriers.meetings.next_deadline(), self.syncs.meetings.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Handles due timers until the work reaches `most`, in names; the rest stays due. Returns the work done.
    pub fn deadline(&mut self, most: usize, visit: &mut Visit<'_>) -> usize {
        let mut work = 0;
        both!(self, visit, |meetings, turn| work += meetings.deadline(most.saturating_sub(work), turn));
        work
    }

    /// Returns whether no arrival waits.
    pub fn is_still(&self) -> bool {
        self.barriers.meetings.waiting() == 0 && self.syncs.meetings.waiting() == 0
    }

    /// Returns whether any other member than this one waits.
    pub fn others_wait(&self, member: &str) -> bool {
        self.barriers.meetings.others_wait(member) || self.syncs.meetings.others_wait(member)
    }

    /// Returns whether a round forms, or a failed round is kept for late members.
    pub fn keeps_verdicts(&self) -> bool {
        self.barriers.meetings.keeps_rounds() || self.syncs.meetings.keeps_rounds()
    }

    /// Returns whether the test declares this barrier or sync, or a member waits there.
    pub fn has_meeting(&self, kind: Meeting, name: &str) -> bool {
        let declares =
            |test: &Rc<Test>| if kind == Meeting::Sync { &test.syncs } else { &test.barriers }.contains_key(name);
        self.declared.as_ref().is_some_and(declares) || self.how_many_wait(kind, name) > 0
    }

    /// Returns how many members have arrived in the round that forms.
    pub fn how_many_wait(&self, kind: Meeting, name: &str) -> usize {
        match kind {
            Meeting::Sync => self.syncs.meetings.how_many_wait(name),
            Meeting::Barrier => self.barriers.meetings.how_many_wait(name),
        }
    }

    /// Returns the processes of the members that have arrived in the round that forms.
    pub fn who_waits(&self, kind: Meeting, name: &str) -> Vec<Process> {
        match kind {
            Meeting::Sync => self.syncs.meetings.who_waits(name),
            Meeting::Barrier => self.barriers.meetings.who_waits(name),
        }
    }

    /// Returns the process that waits there as this member.
    pub fn who_waits_as(&self, kind: Meeting, name: &str, member: &str) -> Option<Process> {
        match kind {
            Meeting::Sync => self.syncs.meetings.who_waits_as(name, member),
            Meeting::Barrier => self.barriers.meetings.who_waits_as(name, member),
        }
    }

    /// Returns the processes that have unconfirmed outcomes, once for each outcome.
    pub fn unheard(&self) -> impl Iterator<Item = Process> {
        self.barriers.meetings.unheard().chain(self.syncs.meetings.unheard())
    }

    /// Returns the highest number of a round in this room.
    pub fn last_round(&self) -> u64 {
        self.barriers.meetings.last_round().max(self.syncs.meetings.last_round())
    }

    /// Numbers the next rounds from `last_round` + 1.
    pub fn number_after(&mut self, last_round: u64) {
        self.barriers.meetings.number_after(last_round);
        self.syncs.meetings.number_after(last_round);
    }

    /// Returns whether nothing is left in this room.
    pub fn is_empty(&self) -> bool {
        let idle = self.barriers.meetings.is_idle() && self.syncs.meetings.is_idle();
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
        let counted = self.triggers.count(now, asker.process, trigger, total);
        let counted = counted.ok_or_else(|| self.no_trigger(trigger))?;
        if let Some(data) = data.filter(|_| counted.new > 0 && !counted.late) {
            self.triggers.add_note(trigger, (Some(asker.process), from), data);
        }
        Ok(counted)
    }

    /// Replays what [`notify`](Room::notify) counted before a restart, with the notes that were kept.
    pub fn notified(
        &mut self,
        at: Time,
        process: Process,
        from: &str,
        (trigger, total): (&str, u64),
        notes: &[&RawValue],
    ) -> Option<Counted> {
        let counted = self.triggers.count(at, process.0, trigger, total)?;
        notes.iter().for_each(|note| self.triggers.add_note(trigger, (Some(process.0), from), note));
        Some(counted)
    }

    /// Returns the barrier or sync with the next name after `last`, with the failed round that is kept there.
    pub fn meeting_after(&self, kind: Meeting, last: Option<&str>) -> Option<(Rc<str>, Option<PastRound>)> {
        match kind {
            Meeting::Sync => self.syncs.meetings.meeting_after(last),
            Meeting::Barrier => self.barriers.meetings.meeting_after(last),
        }
    }

    /// Returns the arrivals after `last`, with the unconfirmed outcomes.
    pub fn arrivals_after(
        &self,
        kind: Meeting,
        last: Option<Arrival>,
    ) -> impl Iterator<Item = (Arrival, Option<&Outcome>)> {
        let barriers =
            (kind == Meeting::Barrier).then(|| self.barriers.meetings.arrivals_after(last)).into_iter().flatten();
        barriers.chain((kind == Meeting::Sync).then(|| self.syncs.meetings.arrivals_after(last)).into_iter().flatten())
    }

    /// Restores unconfirmed arrivals of a round that ended before a restart.
    pub fn restore_unheard(&mut self, kind: Meeting, arrivals: &[Arrival], outcome: &Rc<Outcome>, since: Time) {
        match kind {
            Meeting::Sync => self.syncs.meetings.restore_unheard(arrivals, outcome, since),
            Meeting::Barrier => self.barriers.meetings.restore_unheard(arrivals, outcome, since),
        }
    }

    /// Restores a round that ended before a restart.
    pub fn restore(&mut self, kind: Meeting, meeting: &str, past: PastRound, since: Time) -> Rc<Outcome> {
        match kind {
            Meeting::Sync => self.syncs.meetings.restore(meeting, past, since),
            Meeting::Barrier => self.barriers.meetings.restore(meeting, past, since),
        }
    }

    /// Restores a late member that received the outcome of a failed round before a restart.
    pub fn restore_late(
        &mut self,
        (kind, meeting): (Meeting, &str),
        member: &Rc<str>,
        arrival: Arrival,
        last: Option<Rc<Outcome>>,
        since: Time,
    ) {
        match kind {
            Meeting::Sync => self.syncs.meetings.restore_late(meeting, member, arrival, last, since),
            Meeting::Barrier => self.barriers.meetings.restore_late(meeting, member, arrival, last, since),
        }
    }

    /// Replays that a failed round was dropped before a restart.
    pub fn restore_dropped(&mut self, kind: Meeting, meeting: &str) {
        match kind {
            Meeting::Sync => self.syncs.meetings.restore_dropped(meeting),
            Meeting::Barrier => self.barriers.meetings.restore_dropped(meeting),
        }
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
        self.barriers.meetings.has_rare()
    }

    /// Recounts what this room holds of the budget, in bytes.
    pub fn recount(&self) -> usize {
        let watchers = self.watchers.values().flat_map(BTreeMap::values).map(Held::bytes).sum::<usize>();
        let triggers = self.triggers.iter().map(|(_, trigger)| trigger.held()).sum::<usize>();
        let barriers = self.barriers.meetings.recount(Held::bytes);
        watchers + triggers + barriers + self.syncs.meetings.recount(sync::Value::held)
    }
}
