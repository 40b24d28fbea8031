//! A room: a name space of triggers, barriers and syncs. A run is one; named ones serve clients outside any run.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::controller::room::barrier::{self, Barriers};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{
    Act, Arrival, Eviction, Forming, Open, Outcome, Outlook, PastRound, Presence, Process, Rendezvous,
};
use crate::controller::room::sync::{self, Limits, Syncs};
use crate::controller::room::trigger::{Counted, Triggers};
use crate::controller::session::budget::{Asker, Budget, Held};
use crate::controller::session::processes::{Owed, REJOIN};
use crate::machine::{Bytes, Time};
use crate::session;
use crate::testfile::{Declared, Test};
use crate::wire::rendezvous::{Arrive, Give, Party};
use crate::wire::{Message, RawJson, Triggered};

/// What it costs to know who waits for a trigger, beside the trigger's name, in bytes.
const WATCH_COST: usize = 256;

/// A room.
pub struct Room {
    pub name: Rc<str>,
    pub triggers: Triggers,
    barriers: Barriers,
    syncs: Syncs,
    /// What a test declares; `None`: no run, clients make and remove its triggers.
    declared: Option<Rc<Test>>,
    /// Who is told when a trigger fires, beside the slaves.
    watchers: BTreeMap<String, BTreeMap<Process, Held>>,
    /// What each of them waits for, so that one who goes costs what it held.
    watched: BTreeMap<Process, BTreeSet<String>>,
    budget: Budget,
    /// The clients that are connected.
    pub clients: BTreeSet<Process>,
}

/// What a room wants to be done.
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

/// What every entry point of a room works with.
pub struct Visit<'a> {
    pub now: Time,
    pub presence: &'a dyn Presence,
    pub acts: &'a mut Acts,
}

/// Does the same with the barriers and with the syncs of a room.
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
    /// A room that is no run.
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

    /// The room of a run.
    pub fn of_run(id: &str, test: Rc<Test>, budget: &Budget) -> Room {
        let triggers = Triggers::new(&test.triggers, budget);
        Room { triggers, declared: Some(test), ..Room::new(id, Limits::default(), budget) }
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.syncs.limits = limits;
    }

    /// The barriers and the syncs at which somebody waits.
    pub fn open(&self) -> impl Iterator<Item = (Meeting, Open<'_>)> {
        let barriers = self.barriers.meetings.open().map(|open| (Meeting::Barrier, open));
        barriers.chain(self.syncs.meetings.open().map(|open| (Meeting::Sync, open)))
    }

    pub fn is_run(&self) -> bool {
        self.declared.is_some()
    }

    /// A member arrives at a barrier.
    pub fn arrive(&mut self, process: Process, arrive: &Arrive<'_>, visit: &mut Visit<'_>) {
        let party = check_name(&arrive.barrier).and_then(|()| self.resolve(arrive.party.as_ref()));
        let test = self.declared.clone();
        let declared = terms(test.as_ref().and_then(|test| test.barriers.get(&*arrive.barrier)));
        let mut turn = barrier::turn(visit.now, visit.presence, &mut visit.acts.barriers);
        self.barriers.arrive(process, arrive, party, declared, &mut turn);
    }

    /// A member gives its value to a sync.
    pub fn give(&mut self, process: Process, give: &Give<'_>, visit: &mut Visit<'_>) {
        let party = check_name(&give.session).and_then(|()| self.resolve(give.party.as_ref()));
        let test = self.declared.clone();
        let declared = terms(test.as_ref().and_then(|test| test.syncs.get(&*give.session)));
        let syncs = &mut self.syncs;
        sync::with_turn(&self.name, visit.now, visit.presence, &mut visit.acts.syncs, |turn| {
            syncs.give(process, give, party, declared, turn);
        });
    }

    /// An arrival that its process may not make, unless it made it when it might.
    pub fn refuse(&mut self, process: Process, id: u64, reason: String, visit: &mut Visit<'_>) {
        let (arrival, Visit { now, presence, acts }) = ((process, id), visit);
        let syncs = &mut self.syncs.meetings;
        let known = sync::with_turn(&self.name, *now, *presence, &mut acts.syncs, |turn| syncs.again(arrival, turn));
        let mut turn = barrier::turn(*now, *presence, &mut acts.barriers);
        if !known && !self.barriers.meetings.again(arrival, &mut turn) {
            self.barriers.meetings.refuse(arrival, reason, &mut turn);
        }
    }

    /// A party with its groups resolved.
    fn resolve(&self, party: Option<&Party>) -> Result<Option<Party>, String> {
        let Some(Party::Members(members)) = party else { return Ok(party.cloned()) };
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
                    members.ok_or_else(|| format!("there is no group {group:?} in room {:?}", &*self.name))?
                }
            };
            resolved.extend(group.iter().filter(|member| known.insert((*member).clone())).cloned());
        }
        Ok(Some(Party::Members(resolved)))
    }

    /// Whether a sign of life of this process is waited for.
    pub fn waits_for(&self, process: Process) -> bool {
        self.barriers.meetings.waits_for(process) || self.syncs.meetings.waits_for(process)
    }

    pub fn heard_from(&mut self, process: Process, visit: &mut Visit<'_>) {
        both!(self, visit, |meetings, turn| meetings.heard_from(process, turn));
    }

    pub fn process_gone(&mut self, process: Process, visit: &mut Visit<'_>) {
        self.clients.remove(&process);
        for trigger in self.watched.remove(&process).unwrap_or_default() {
            if let Some(watchers) = self.watchers.get_mut(&trigger) {
                watchers.remove(&process);
                if watchers.is_empty() {
                    self.watchers.remove(&trigger);
                }
            }
        }
        both!(self, visit, |meetings, turn| meetings.process_gone(process, turn));
    }

    /// Arrivals are taken back.
    pub fn gone(&mut self, process: Process, ids: &[u64], visit: &mut Visit<'_>) {
        both!(self, visit, |meetings, turn| meetings.gone(process, ids, REJOIN, turn));
    }

    /// A process will never come back.
    pub fn lose(&mut self, process: Process, why: &str, visit: &mut Visit<'_>) {
        both!(self, visit, |meetings, turn| meetings.lose(process, why, turn));
    }

    /// Ends the rounds that wait for members who cannot come, at barriers and then at syncs, from the meeting `from` on.
    /// Subtracts from `left` how many members it compares. Returns the meeting before which it stops when nothing is left.
    pub fn give_up(
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
            let stop = self.barriers.meetings.give_up(barriers, from.as_deref(), left, &mut turn);
            if let Some(name) = stop {
                return Some((Meeting::Barrier, name));
            }
        }
        let from = from.filter(|_| kind == Some(Meeting::Sync));
        let meetings = &mut self.syncs.meetings;
        let mut stop = None;
        sync::with_turn(&self.name, *now, *presence, &mut acts.syncs, |turn| {
            stop = meetings.give_up(syncs, from.as_deref(), left, turn);
        });
        stop.map(|name| (Meeting::Sync, name))
    }

    /// Ends the round of one barrier or sync that waits for a member whose host is lost.
    pub fn give_up_on(&mut self, (kind, meeting): (Meeting, &str), member: &str, why: &str, visit: &mut Visit<'_>) {
        let Visit { now, presence, acts } = visit;
        if kind == Meeting::Barrier {
            let mut turn = barrier::turn(*now, *presence, &mut acts.barriers);
            return self.barriers.meetings.give_up_on(meeting, member, why, &mut turn);
        }
        let meetings = &mut self.syncs.meetings;
        sync::with_turn(&self.name, *now, *presence, &mut acts.syncs, |turn| {
            meetings.give_up_on(meeting, member, why, turn);
        });
    }

    /// The first of those who have not come to a barrier or a sync about whom something is known.
    pub fn first_missing<T>(&self, kind: Meeting, meeting: &str, known: impl Fn(&Rc<str>) -> Option<T>) -> Option<T> {
        match kind {
            Meeting::Sync => self.syncs.meetings.first_missing(meeting, known),
            Meeting::Barrier => self.barriers.meetings.first_missing(meeting, known),
        }
    }

    /// How much could be dropped.
    pub fn spare(&self, what: Eviction) -> usize {
        self.barriers.meetings.spare(what) + self.syncs.meetings.spare(what)
    }

    /// Drops what can be spared until there is room for so many bytes.
    pub fn drop_spare(&mut self, what: Eviction, bytes: usize, visit: &mut Visit<'_>) {
        both!(self, visit, |meetings, turn| meetings.drop_spare(what, bytes, turn));
    }

    /// What a process may still ask for.
    pub fn owes(&self, process: Process) -> Owed {
        match self.barriers.meetings.owes(process) || self.syncs.meetings.owes(process) {
            true => Owed::Verdict,
            false if self.triggers.knows(process.0) => Owed::Count,
            false => Owed::Nothing,
        }
    }

    /// Whether anything waits behind this process.
    pub fn has_waiting(&self, process: Process) -> bool {
        self.barriers.meetings.has_waiting(process) || self.syncs.meetings.has_waiting(process)
    }

    /// The rounds in which somebody waits: whether it is a sync, and who waits for whom.
    pub fn forming_rounds(&self) -> impl Iterator<Item = (Meeting, Forming)> {
        let barriers = self.barriers.meetings.forming_rounds().map(|round| (Meeting::Barrier, round));
        barriers.chain(self.syncs.meetings.forming_rounds().map(|round| (Meeting::Sync, round)))
    }

    /// Arrivals have heard their rulings, or ask for none any more. Whether that is news.
    pub fn told(&mut self, process: Process, ids: &[u64]) -> bool {
        let barriers = self.barriers.meetings.told(process, ids);
        self.syncs.meetings.told(process, ids) || barriers
    }

    /// A process will never be heard again.
    pub fn forget(&mut self, process: Process) {
        self.triggers.forget(process.0);
        self.barriers.meetings.forget(process);
        self.syncs.meetings.forget(process);
    }

    /// Who has not heard its ruling for so long will not hear it any more.
    pub fn forget_unheard(&mut self, now: Time, after: Duration) {
        self.barriers.meetings.forget_unheard(now, after);
        self.syncs.meetings.forget_unheard(now, after);
    }

    pub fn next_deadline(&self) -> Option<Time> {
        let deadlines = [self.barriers.meetings.next_deadline(), self.syncs.meetings.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due, until that was as much work as `most` names: the rest stays due. Returns how much it was.
    pub fn deadline(&mut self, most: usize, visit: &mut Visit<'_>) -> usize {
        let mut work = 0;
        both!(self, visit, |meetings, turn| work += meetings.deadline(most.saturating_sub(work), turn));
        work
    }

    /// Whether no arrival waits.
    pub fn is_still(&self) -> bool {
        self.barriers.meetings.waiting() == 0 && self.syncs.meetings.waiting() == 0
    }

    /// Whether anybody waits beside this member.
    pub fn others_wait(&self, member: &str) -> bool {
        self.barriers.meetings.others_wait(member) || self.syncs.meetings.others_wait(member)
    }

    /// Whether a round still forms, or one that failed stands for those who have not come.
    pub fn keeps_verdicts(&self) -> bool {
        self.barriers.meetings.stand() || self.syncs.meetings.stand()
    }

    /// Whether it has this barrier or sync: the test declares it, or somebody waits there.
    pub fn has_meeting(&self, kind: Meeting, name: &str) -> bool {
        let declares =
            |test: &Rc<Test>| if kind == Meeting::Sync { &test.syncs } else { &test.barriers }.contains_key(name);
        self.declared.as_ref().is_some_and(declares) || self.how_many_wait(kind, name) > 0
    }

    /// How many are there in the round of a barrier or a sync that forms.
    pub fn how_many_wait(&self, kind: Meeting, name: &str) -> usize {
        match kind {
            Meeting::Sync => self.syncs.meetings.how_many_wait(name),
            Meeting::Barrier => self.barriers.meetings.how_many_wait(name),
        }
    }

    /// Their processes.
    pub fn who_waits(&self, kind: Meeting, name: &str) -> Vec<Process> {
        match kind {
            Meeting::Sync => self.syncs.meetings.who_waits(name),
            Meeting::Barrier => self.barriers.meetings.who_waits(name),
        }
    }

    /// The process that waits there as this member.
    pub fn who_waits_as(&self, kind: Meeting, name: &str, member: &str) -> Option<Process> {
        match kind {
            Meeting::Sync => self.syncs.meetings.who_waits_as(name, member),
            Meeting::Barrier => self.barriers.meetings.who_waits_as(name, member),
        }
    }

    /// Those that have not heard a ruling.
    pub fn unheard(&self) -> impl Iterator<Item = Process> {
        self.barriers.meetings.unheard().chain(self.syncs.meetings.unheard())
    }

    /// The highest number of a round that was here.
    pub fn last_round(&self) -> u64 {
        self.barriers.meetings.last_round().max(self.syncs.meetings.last_round())
    }

    /// Numbers its rounds from here on.
    pub fn number_after(&mut self, last_round: u64) {
        self.barriers.meetings.number_after(last_round);
        self.syncs.meetings.number_after(last_round);
    }

    /// Whether nothing of it is left.
    pub fn is_empty(&self) -> bool {
        let idle = self.barriers.meetings.is_idle() && self.syncs.meetings.is_idle();
        self.clients.is_empty() && self.triggers.is_empty() && idle
    }

    /// A process has notified a trigger so often, all in all. Fails with the reason why that means nothing.
    pub fn notify(
        &mut self,
        now: Time,
        asker: Asker,
        from: &str,
        (trigger, total): (&str, u64),
        data: Option<&RawValue>,
    ) -> Result<Counted, String> {
        if let Some(data) = data {
            self.triggers.takes_note(trigger, (asker, from), data)?;
        }
        let counted = self.triggers.state(now, asker.process, trigger, total);
        let counted = counted.ok_or_else(|| self.no_trigger(trigger))?;
        if let Some(data) = data.filter(|_| counted.new > 0 && !counted.late) {
            self.triggers.note(trigger, (Some(asker.process), from), data);
        }
        Ok(counted)
    }

    /// What [`notify`](Room::notify) has counted in a former life, with the notes that were kept.
    pub fn notified(
        &mut self,
        at: Time,
        process: Process,
        from: &str,
        (trigger, total): (&str, u64),
        notes: &[&RawValue],
    ) -> Option<Counted> {
        let counted = self.triggers.state(at, process.0, trigger, total)?;
        notes.iter().for_each(|note| self.triggers.note(trigger, (Some(process.0), from), note));
        Some(counted)
    }

    /// The barrier or sync whose name comes next behind this one, with the failed round that stands there.
    pub fn meeting_after(&self, kind: Meeting, last: Option<&str>) -> Option<(Rc<str>, Option<PastRound>)> {
        match kind {
            Meeting::Sync => self.syncs.meetings.meeting_after(last),
            Meeting::Barrier => self.barriers.meetings.meeting_after(last),
        }
    }

    /// The arrivals behind this one, with the rulings of those that have not heard theirs.
    pub fn arrivals_after(
        &self,
        kind: Meeting,
        last: Option<Arrival>,
    ) -> impl Iterator<Item = (Arrival, Option<&Outcome>)> {
        let barriers =
            (kind == Meeting::Barrier).then(|| self.barriers.meetings.arrivals_after(last)).into_iter().flatten();
        barriers.chain((kind == Meeting::Sync).then(|| self.syncs.meetings.arrivals_after(last)).into_iter().flatten())
    }

    /// More arrivals of a former life that have not heard their ruling.
    pub fn restore_unheard(&mut self, kind: Meeting, arrivals: &[Arrival], outcome: &Rc<Outcome>, since: Time) {
        match kind {
            Meeting::Sync => self.syncs.meetings.restore_unheard(arrivals, outcome, since),
            Meeting::Barrier => self.barriers.meetings.restore_unheard(arrivals, outcome, since),
        }
    }

    /// A round of a former life.
    pub fn restore(&mut self, kind: Meeting, meeting: &str, former: PastRound, since: Time) -> Rc<Outcome> {
        match kind {
            Meeting::Sync => self.syncs.meetings.restore(meeting, former, since),
            Meeting::Barrier => self.barriers.meetings.restore(meeting, former, since),
        }
    }

    /// One that was told late.
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

    /// A failed round of a former life stood no longer.
    pub fn restore_stood_down(&mut self, kind: Meeting, meeting: &str) {
        match kind {
            Meeting::Sync => self.syncs.meetings.restore_stood_down(meeting),
            Meeting::Barrier => self.barriers.meetings.restore_stood_down(meeting),
        }
    }

    /// A process wants to know when a trigger has fired. Whether it has.
    pub fn watch(&mut self, process: Process, trigger: &str) -> Result<bool, String> {
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

    /// Why nothing can be done with a trigger that is not there.
    pub fn no_trigger(&self, trigger: &str) -> String {
        let (room, what) = (&self.name, format!("there is no trigger {trigger:?} in room {:?}", self.name));
        match self.declared {
            Some(_) => format!("{what}: the triggers of a run are those of its test file"),
            None => format!("{what}: make it with arete trigger create NAME COUNT --room {room}"),
        }
    }

    /// Those who wait for a trigger; they are told, and wait no longer.
    pub fn take_watchers(&mut self, trigger: &str) -> Vec<Process> {
        let watchers: Vec<Process> = self.watchers.remove(trigger).unwrap_or_default().into_keys().collect();
        for process in &watchers {
            if let Some(watched) = self.watched.get_mut(process) {
                watched.remove(trigger);
            }
        }
        watchers
    }

    /// The line that says that a trigger has fired.
    pub fn triggered(&mut self, trigger: &str) -> Bytes {
        let room = &*self.name;
        let encode = |notes: Option<&RawValue>| {
            let notes = notes.map(|json| RawJson { json });
            Triggered { room: room.into(), trigger: trigger.into(), notes }.encode()
        };
        self.triggers.told(trigger, encode)
    }
}

fn terms(declared: Option<&Declared>) -> (Option<&Party>, Option<Duration>) {
    (declared.and_then(|declared| declared.party.as_ref()), declared.and_then(|declared| declared.timeout))
}

fn check_name(name: &str) -> Result<(), String> {
    match session::is_meeting(name) {
        true => Ok(()),
        false => Err(format!("of a barrier or a session the {}", session::words_rule())),
    }
}

#[cfg(test)]
impl Room {
    /// As [`Rendezvous::has_rare`], at barriers.
    pub fn has_rare(&self) -> [bool; 3] {
        self.barriers.meetings.has_rare()
    }

    /// What everything here holds of the budget, counted anew.
    pub fn recount(&self) -> usize {
        let watchers = self.watchers.values().flat_map(BTreeMap::values).map(Held::bytes).sum::<usize>();
        let triggers = self.triggers.iter().map(|(_, trigger)| trigger.held()).sum::<usize>();
        let barriers = self.barriers.meetings.recount(Held::bytes);
        watchers + triggers + barriers + self.syncs.meetings.recount(sync::Value::held)
    }
}
