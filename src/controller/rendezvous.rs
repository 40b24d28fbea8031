//! Rounds of members that wait for each other: what a barrier and a sync have in common.
//!
//! Members *arrive* at a *meeting* of some name, each by an arrival that its process never uses again, until the party
//! is complete; then, or when it cannot be any more, all get one *ruling*. A meeting has one round at a time that
//! forms. Its ruling stays for every arrival until that has heard it. A round that failed *stands* for the members that
//! had not arrived: who comes for the first time gets its ruling too.
//!
//! This is the rendezvous of autotest's `Barrier` and `SyncData`, with identities that survive reconnects.

mod round;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use self::round::{Round, Standing, There};
use crate::machine::{Bytes, Time, Timers};
use crate::wire::rendezvous::{Kind, Party};

/// Who waits is asked for a sign of life when it has given none for so long.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// How long an arrival has to show that it is alive when another process comes under its name.
const CONTEND_WITHIN: Duration = Duration::from_secs(1);

/// How long a failed round stands for its missing members when nobody named a timeout.
const STANDS_FOR: Duration = Duration::from_secs(60);

/// How far ahead of now a harmonized release is named.
const HARMONIZE_LEAD: Duration = Duration::from_millis(50);

/// How many meetings may go on at once in one room.
const MEETINGS_MAX: usize = 10_000;

/// How many arrivals may wait, or not have heard their ruling, at once in one room.
const ARRIVALS_MAX: usize = 200_000;

/// How many members a ruling names.
const WHO_MAX: usize = 100;

/// An incarnation of a slave or of a client, as the controller numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub u64);

/// An arrival's identity.
pub type Arrival = (Process, u64);

/// Who is there, as the controller knows it.
pub trait Presence {
    /// When this process was heard last; `None` when its connection is gone.
    fn heard(&self, process: Process) -> Option<Time>;
    /// How long its connection may be gone before it is lost.
    fn rejoin(&self, process: Process) -> Duration;
}

/// A member that arrives.
#[derive(Debug, Clone)]
pub struct Comer<V> {
    pub process: Process,
    pub id: u64,
    pub member: String,
    /// Who shall meet, as this member says it; groups are resolved.
    pub party: Option<Party>,
    pub timeout: Option<Duration>,
    /// How long before the last arrival it may have shown last that it is alive.
    pub fresh: Duration,
    /// Fail when a member is lost that has arrived.
    pub alive: bool,
    pub harmonize: bool,
    pub abort: Option<String>,
    pub value: V,
}

/// What became of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling {
    pub round: u64,
    pub kind: Kind,
    pub who: Vec<String>,
    pub reason: String,
    /// The instant of a harmonized release.
    pub at: Option<Time>,
    /// What every member gets before the ruling, as a line: a sync's map.
    pub line: Option<Bytes>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Ask a process for a sign of life.
    Check(Process),
    /// Tell these arrivals of a process what became of their round.
    Tell { process: Process, ids: Vec<u64>, ruling: Rc<Ruling> },
    /// For the record: a member has arrived.
    Arrived { meeting: String, member: String },
    /// For the record: a member's process or connection is gone while its round forms.
    Away { meeting: String, member: String },
    /// For the record: a round is over.
    Over { meeting: String, ruling: Rc<Ruling>, members: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A member's time is up.
    Deadline(String),
    /// A member that is away has not come back.
    Away(String, String),
    /// Who waits under a name has not shown that it is alive.
    Contend(String, String),
    /// Signs of life are due.
    Look(String),
    /// A failed round stands no longer.
    Standing(String),
}

/// All meetings of one kind in one room.
#[derive(Debug)]
pub struct Rendezvous<V> {
    meetings: BTreeMap<String, Meeting<V>>,
    /// The rulings that were not heard yet.
    rulings: BTreeMap<Arrival, Rc<Ruling>>,
    /// Where each process waits.
    waiting: BTreeMap<Process, BTreeSet<String>>,
    /// Who was asked for a sign of life, and for which meetings.
    asked: BTreeMap<Process, BTreeSet<String>>,
    timers: Timers<Timer>,
    last_round: u64,
    arrivals: usize,
}

#[derive(Debug)]
struct Meeting<V> {
    forming: Option<Round<V>>,
    standing: Option<Standing>,
}

/// Makes the line that all members of a complete round get before its ruling, from their values and the round's number.
pub type Line<'a, V> = &'a dyn Fn(&str, u64, &BTreeMap<String, There<V>>) -> Option<Bytes>;

impl<V> Default for Rendezvous<V> {
    fn default() -> Self {
        Rendezvous {
            meetings: BTreeMap::new(),
            rulings: BTreeMap::new(),
            waiting: BTreeMap::new(),
            asked: BTreeMap::new(),
            timers: Timers::default(),
            last_round: 0,
            arrivals: 0,
        }
    }
}

/// What every entry point works with.
pub struct Turn<'a, V> {
    pub now: Time,
    pub presence: &'a dyn Presence,
    pub line: Line<'a, V>,
    pub acts: &'a mut Vec<Act>,
}

impl<V> Rendezvous<V> {
    /// A member arrives, or says again that it has. `declared`: who shall meet when nobody says it.
    pub fn arrive(&mut self, name: &str, comer: Comer<V>, declared: Option<&Party>, turn: &mut Turn<'_, V>) {
        let arrival = (comer.process, comer.id);
        if let Some(ruling) = self.rulings.get(&arrival) {
            return tell(arrival, ruling.clone(), turn);
        }
        if let Some(there) = self.meetings.get_mut(name).and_then(|meeting| meeting.find(arrival)) {
            let member = there.member.clone();
            return self.returned(name, &member, turn);
        }
        if let Err(reason) = self.admissible(name, &comer) {
            return self.refuse(arrival, reason, turn);
        }
        if let Some(ruling) = self.standing_for(name, &comer.member) {
            return self.rule(arrival, ruling, turn);
        }
        if let Err(reason) = self.form(name, &comer, declared) {
            return self.refuse(arrival, reason, turn);
        }
        if let Some((first, said)) = self.disagrees(name, &comer) {
            return self.disagree(name, comer, first, &said, turn);
        }
        self.take_place(name, comer, turn);
    }

    /// Whether an arrival can be taken at all.
    fn admissible(&self, name: &str, comer: &Comer<V>) -> Result<(), String> {
        let full = self.meetings.len() >= MEETINGS_MAX && !self.meetings.contains_key(name);
        if full || self.arrivals + self.rulings.len() >= ARRIVALS_MAX {
            return Err(format!(
                "this room is full: it holds {MEETINGS_MAX} meetings and {ARRIVALS_MAX} arrivals at most"
            ));
        }
        match &comer.party {
            Some(Party::Members(members)) if !members.contains(&comer.member) => {
                Err(format!("{} is not among the members that it names", comer.member))
            }
            Some(Party::Count(0)) => Err("nobody cannot meet: the count must be at least 1".to_owned()),
            _ => Ok(()),
        }
    }

    /// The ruling of a failed round that this member has not got yet. A member that has it begins anew.
    fn standing_for(&mut self, name: &str, member: &str) -> Option<Rc<Ruling>> {
        let meeting = self.meetings.get_mut(name)?;
        let standing = meeting.standing.as_mut()?;
        if standing.missing.remove(member) {
            let ruling = standing.ruling.clone();
            if standing.missing.is_empty() {
                meeting.standing = None;
                self.timers.cancel(&Timer::Standing(name.to_owned()));
            }
            return Some(ruling);
        }
        if standing.told.contains(member) {
            meeting.standing = None;
            self.timers.cancel(&Timer::Standing(name.to_owned()));
        }
        None
    }

    /// Makes a round if none forms, and looks whether this member belongs to it.
    fn form(&mut self, name: &str, comer: &Comer<V>, declared: Option<&Party>) -> Result<(), String> {
        let forming = self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref());
        if let Some(round) = forming {
            return round.belongs(&comer.member);
        }
        let party = declared.or(comer.party.as_ref()).ok_or_else(|| {
            format!("{name:?} is not declared, and nobody has said who shall meet: name the members or the count")
        })?;
        let round = Round::new(party, &comer.member)?;
        round.belongs(&comer.member)?;
        let meeting = self.meetings.entry(name.to_owned()).or_insert_with(|| Meeting { forming: None, standing: None });
        meeting.forming = Some(round);
        Ok(())
    }

    /// Who has said otherwise who shall meet, and what.
    fn disagrees(&self, name: &str, comer: &Comer<V>) -> Option<(String, String)> {
        let round = self.meetings.get(name)?.forming.as_ref()?;
        let party = comer.party.as_ref().filter(|party| !round.agrees(party))?;
        let said = format!(
            "{} says {}, {} says {}",
            round.said_by,
            round.party_in_words(),
            comer.member,
            round::in_words(party)
        );
        Some((round.said_by.clone(), said))
    }

    fn disagree(&mut self, name: &str, comer: Comer<V>, first: String, said: &str, turn: &mut Turn<'_, V>) {
        let who = vec![first, comer.member.clone()];
        let arrival = (comer.process, comer.id);
        let ruling = self.end(name, Kind::Disagreed, who, format!("the members disagree: {said}"), turn);
        if let Some(ruling) = ruling {
            self.rule(arrival, ruling, turn);
        }
    }

    /// Puts a member where it belongs, or lets it contend with who is there under its name.
    fn take_place(&mut self, name: &str, comer: Comer<V>, turn: &mut Turn<'_, V>) {
        let arrival = (comer.process, comer.id);
        let member = comer.member.clone();
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        if let Some(there) = round.there.get(&member) {
            let other = there.process;
            let absent = there.away.is_some() || turn.presence.heard(other).is_none();
            if !absent && other == comer.process {
                return self.refuse(arrival, format!("{member} waits at {name:?} already"), turn);
            }
            if !absent {
                if round.contenders.contains_key(&member) {
                    return self.refuse(arrival, format!("others contend for the name {member} already"), turn);
                }
                round.contenders.insert(member.clone(), comer);
                self.timers.set(Timer::Contend(name.to_owned(), member), turn.now + CONTEND_WITHIN);
                return self.ask(other, name, turn);
            }
            let former = (there.process, there.id);
            self.leave(name, &member, former);
        }
        self.enter(name, comer, turn);
    }

    /// A member is there. What it wants joins what the others want.
    fn enter(&mut self, name: &str, comer: Comer<V>, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        self.arrivals += 1;
        self.waiting.entry(comer.process).or_default().insert(name.to_owned());
        let (member, abort) = (comer.member.clone(), comer.abort.clone());
        if round.enter(comer, turn.now) {
            let deadline = round.deadline.unwrap_or(turn.now);
            self.timers.set(Timer::Deadline(name.to_owned()), deadline);
        }
        let look = Timer::Look(name.to_owned());
        if round.alive && self.timers.get(&look).is_none() {
            self.timers.set(look, turn.now + CHECK_EVERY);
        }
        turn.acts.push(Act::Arrived { meeting: name.to_owned(), member: member.clone() });
        match abort {
            Some(reason) => {
                let reason = format!("{member} aborted: {reason}");
                self.end(name, Kind::Aborted, vec![member], reason, turn);
            }
            None => self.complete(name, turn),
        }
    }

    /// Takes a former arrival out of its place; it gets no ruling: its process is gone.
    fn leave(&mut self, name: &str, member: &str, arrival: Arrival) {
        self.timers.cancel(&Timer::Away(name.to_owned(), member.to_owned()));
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        if round.there.remove(member).is_some() {
            self.arrivals -= 1;
        }
        if !round.there.values().any(|there| there.process == arrival.0) {
            forget(&mut self.waiting, arrival.0, name);
        }
    }

    /// Looks whether a round is complete and everybody alive; asks those of whom it is not known.
    fn complete(&mut self, name: &str, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        if !round.is_full() {
            return;
        }
        let last = *round.full_since.get_or_insert(turn.now);
        if !round.alive {
            return self.release(name, turn);
        }
        let since = last.offset(-(round.fresh.as_micros() as i64));
        let stale = |process: Process| turn.presence.heard(process).is_none_or(|heard| heard < since);
        let unproven: BTreeSet<Process> =
            round.there.values().filter(|there| stale(there.process)).map(|there| there.process).collect();
        let away = round.there.values().any(|there| there.away.is_some());
        if unproven.is_empty() && !away {
            return self.release(name, turn);
        }
        for process in unproven {
            if turn.presence.heard(process).is_some() {
                self.ask(process, name, turn);
            }
        }
    }

    fn release(&mut self, name: &str, turn: &mut Turn<'_, V>) {
        let reason = String::new();
        self.end(name, Kind::Released, Vec::new(), reason, turn);
    }

    fn ask(&mut self, process: Process, name: &str, turn: &mut Turn<'_, V>) {
        let asked = self.asked.entry(process).or_default();
        if asked.is_empty() {
            turn.acts.push(Act::Check(process));
        }
        asked.insert(name.to_owned());
    }

    /// Whether a sign of life of this process is waited for.
    pub fn waits_for(&self, process: Process) -> bool {
        self.asked.contains_key(&process)
    }

    /// A process that was asked has shown that it is alive.
    pub fn heard_from(&mut self, process: Process, turn: &mut Turn<'_, V>) {
        for name in self.asked.remove(&process).unwrap_or_default() {
            self.refuse_contenders(&name, process, turn);
            self.complete(&name, turn);
        }
    }

    /// Who waits under a name is alive: the others that came under it are wrong.
    fn refuse_contenders(&mut self, name: &str, process: Process, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        for (member, contender) in round.contenders_with(process) {
            self.timers.cancel(&Timer::Contend(name.to_owned(), member.clone()));
            let reason = format!("another process waits at {name:?} as {member}");
            self.refuse((contender.process, contender.id), reason, turn);
        }
    }

    /// A connection is gone: all that wait behind it are away.
    pub fn process_gone(&mut self, process: Process, turn: &mut Turn<'_, V>) {
        self.asked.remove(&process);
        let rejoin = turn.presence.rejoin(process);
        for name in self.waiting.get(&process).cloned().unwrap_or_default() {
            self.away(&name, rejoin, &|there| there.process == process, turn);
        }
    }

    /// The processes behind these arrivals are gone, or wait no longer.
    pub fn gone(&mut self, process: Process, ids: &[u64], rejoin: Duration, turn: &mut Turn<'_, V>) {
        for name in self.waiting.get(&process).cloned().unwrap_or_default() {
            self.away(&name, rejoin, &|there| there.process == process && ids.contains(&there.id), turn);
        }
        for &id in ids {
            self.rulings.remove(&(process, id));
        }
    }

    fn away(&mut self, name: &str, rejoin: Duration, which: &dyn Fn(&There<V>) -> bool, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        for (member, there) in round.there.iter_mut().filter(|(_, there)| there.away.is_none() && which(there)) {
            there.away = Some(turn.now);
            turn.acts.push(Act::Away { meeting: name.to_owned(), member: member.clone() });
            self.timers.set(Timer::Away(name.to_owned(), member.clone()), turn.now + rejoin);
        }
    }

    /// An arrival that was away, or not, is there again.
    fn returned(&mut self, name: &str, member: &str, turn: &mut Turn<'_, V>) {
        self.timers.cancel(&Timer::Away(name.to_owned(), member.to_owned()));
        let round = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut());
        if let Some(there) = round.and_then(|round| round.there.get_mut(member)) {
            there.away = None;
        }
        self.complete(name, turn);
    }

    /// These arrivals have heard their rulings.
    pub fn told(&mut self, process: Process, ids: &[u64]) {
        for &id in ids {
            self.rulings.remove(&(process, id));
        }
    }

    /// This process will never be heard again.
    pub fn forget(&mut self, process: Process) {
        let unheard: Vec<Arrival> =
            self.rulings.range((process, 0)..=(process, u64::MAX)).map(|(&arrival, _)| arrival).collect();
        for arrival in unheard {
            self.rulings.remove(&arrival);
        }
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn deadline(&mut self, turn: &mut Turn<'_, V>) {
        while let Some(timer) = self.timers.pop_due(turn.now) {
            match timer {
                Timer::Deadline(name) => self.time_is_up(&name, turn),
                Timer::Away(name, member) => self.stayed_away(&name, member, turn),
                Timer::Contend(name, member) => self.contender_wins(&name, &member, turn),
                Timer::Look(name) => self.look(&name, turn),
                Timer::Standing(name) => {
                    if let Some(meeting) = self.meetings.get_mut(&name) {
                        meeting.standing = None;
                    }
                    self.tidy(&name);
                }
            }
        }
    }

    fn time_is_up(&mut self, name: &str, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref()) else { return };
        let (who, reason) = round.missing_in_words();
        self.end(name, Kind::TimedOut, who, reason, turn);
    }

    fn stayed_away(&mut self, name: &str, member: String, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref()) else { return };
        if round.alive {
            let reason = format!("{member} was lost");
            self.end(name, Kind::Lost, vec![member], reason, turn);
        }
    }

    fn contender_wins(&mut self, name: &str, member: &str, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        let Some(contender) = round.contenders.remove(member) else { return };
        if let Some(former) = round.there.get(member).map(|there| (there.process, there.id)) {
            self.leave(name, member, former);
        }
        self.enter(name, contender, turn);
    }

    /// Asks everybody who waits here and has been silent for a sign of life.
    fn look(&mut self, name: &str, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref()) else { return };
        self.timers.set(Timer::Look(name.to_owned()), turn.now + CHECK_EVERY);
        let silent =
            |process: &Process| turn.presence.heard(*process).is_some_and(|heard| turn.now.since(heard) >= CHECK_EVERY);
        let silent: BTreeSet<Process> =
            round.there.values().map(|there| there.process).filter(|process| silent(process)).collect();
        for process in silent {
            self.ask(process, name, turn);
        }
    }

    /// Ends the round that forms, with one ruling for everybody who is there.
    fn end(
        &mut self,
        name: &str,
        kind: Kind,
        mut who: Vec<String>,
        reason: String,
        turn: &mut Turn<'_, V>,
    ) -> Option<Rc<Ruling>> {
        let meeting = self.meetings.get_mut(name)?;
        let round = meeting.forming.take()?;
        self.last_round += 1;
        who.truncate(WHO_MAX);
        let released = kind == Kind::Released;
        let line = if released { (turn.line)(name, self.last_round, &round.there) } else { None };
        let at = (released && round.harmonize).then(|| turn.now + HARMONIZE_LEAD);
        let ruling = Rc::new(Ruling { round: self.last_round, kind, who, reason, at, line });
        if !released {
            meeting.standing = Standing::new(&round, ruling.clone());
            if meeting.standing.is_some() {
                let until = round.deadline.unwrap_or(turn.now).max(turn.now + STANDS_FOR);
                self.timers.set(Timer::Standing(name.to_owned()), until);
            }
        }
        self.timers.cancel(&Timer::Deadline(name.to_owned()));
        self.timers.cancel(&Timer::Look(name.to_owned()));
        self.dissolve(name, round, &ruling, turn);
        self.tidy(name);
        Some(ruling)
    }

    /// Gives everybody of a round its ruling, one message a process.
    fn dissolve(&mut self, name: &str, round: Round<V>, ruling: &Rc<Ruling>, turn: &mut Turn<'_, V>) {
        let members = round.there.len();
        let mut ids: BTreeMap<Process, Vec<u64>> = BTreeMap::new();
        self.arrivals -= members;
        for (member, there) in round.there {
            if there.away.is_some() {
                self.timers.cancel(&Timer::Away(name.to_owned(), member));
            }
            ids.entry(there.process).or_default().push(there.id);
        }
        for (member, contender) in round.contenders {
            self.timers.cancel(&Timer::Contend(name.to_owned(), member));
            ids.entry(contender.process).or_default().push(contender.id);
        }
        turn.acts.push(Act::Over { meeting: name.to_owned(), ruling: ruling.clone(), members });
        for (process, ids) in ids {
            forget(&mut self.waiting, process, name);
            forget(&mut self.asked, process, name);
            self.rulings.extend(ids.iter().map(|&id| ((process, id), ruling.clone())));
            turn.acts.push(Act::Tell { process, ids, ruling: ruling.clone() });
        }
    }

    /// Forgets a meeting of which nothing is left.
    fn tidy(&mut self, name: &str) {
        if self.meetings.get(name).is_some_and(|meeting| meeting.forming.is_none() && meeting.standing.is_none()) {
            self.meetings.remove(name);
        }
    }

    fn rule(&mut self, arrival: Arrival, ruling: Rc<Ruling>, turn: &mut Turn<'_, V>) {
        self.rulings.insert(arrival, ruling.clone());
        tell(arrival, ruling, turn);
    }

    fn refuse(&mut self, arrival: Arrival, reason: String, turn: &mut Turn<'_, V>) {
        let ruling = Ruling { round: 0, kind: Kind::Refused, who: Vec::new(), reason, at: None, line: None };
        self.rule(arrival, Rc::new(ruling), turn);
    }
}

impl<V> Meeting<V> {
    fn find(&mut self, arrival: Arrival) -> Option<&mut There<V>> {
        let round = self.forming.as_mut()?;
        round.there.values_mut().find(|there| (there.process, there.id) == arrival)
    }
}

fn tell<V>((process, id): Arrival, ruling: Rc<Ruling>, turn: &mut Turn<'_, V>) {
    turn.acts.push(Act::Tell { process, ids: vec![id], ruling });
}

/// Takes a meeting from those of a process.
fn forget(places: &mut BTreeMap<Process, BTreeSet<String>>, process: Process, name: &str) {
    if let Some(names) = places.get_mut(&process) {
        names.remove(name);
        if names.is_empty() {
            places.remove(&process);
        }
    }
}
