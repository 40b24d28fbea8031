//! Rounds of members that wait for each other: what a barrier and a sync have in common.
//!
//! Members *arrive* at a *meeting* of some name, each by an arrival that its process never uses again, until the party
//! is complete; then, or when it cannot be any more, all get one *ruling*. A meeting has one round at a time that
//! forms. Its ruling stays for every arrival until that has heard it. A round that failed *stands* for the members that
//! had not arrived: who comes for the first time gets its ruling too.
//!
//! This is the rendezvous of autotest's `Barrier` and `SyncData`, with identities that survive reconnects.

mod held;
mod round;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

pub use self::round::There;
use self::round::{Round, Standing};
use self::round::{WHO_MAX, in_words};
use super::budget::{Budget, Held, Line as SharedLine};
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

/// What an arrival holds beside its value and its name, in bytes: its places and its timers.
pub const ARRIVAL_COST: usize = 512;

/// What a ruling holds beside its words, and more of it for each that has not heard it, in bytes.
const RULING_COST: usize = 512;
const PLACE_COST: usize = 128;

/// More of that for each process, because they are told one after another.
const HARMONIZE_LEAD_PER_PROCESS: Duration = Duration::from_micros(20);

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
    pub member: Rc<str>,
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
    /// How long the value is, in bytes.
    pub weight: usize,
}

/// What became of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling {
    /// 0 when the arrival was in none.
    pub round: u64,
    pub kind: Kind,
    pub who: Vec<String>,
    pub reason: String,
    /// The instant of a harmonized release.
    pub at: Option<Time>,
    /// What every member gets before the ruling, as a line: a sync's map.
    pub line: Option<SharedLine>,
    pub held: Held,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Ask a process for a sign of life.
    Check(Process),
    /// Tell these arrivals of a process what became of their round.
    Tell { process: Process, ids: Vec<u64>, ruling: Rc<Ruling> },
    /// For the record: a member has arrived.
    Arrived { meeting: Rc<str>, member: Rc<str> },
    /// For the record: a member's process or connection is gone while its round forms.
    Away { meeting: Rc<str>, member: Rc<str> },
    /// For the record: a round is over.
    Over { meeting: Rc<str>, ruling: Rc<Ruling>, members: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A member's time is up.
    Deadline(Rc<str>),
    /// A member that is away has not come back.
    Away(Rc<str>, Rc<str>),
    /// Who waits under a name has not shown that it is alive.
    Contend(Rc<str>, Rc<str>),
    /// Signs of life are due.
    Look(Rc<str>),
    /// A failed round stands no longer.
    Standing(Rc<str>),
}

/// What has become of an arrival.
#[derive(Debug)]
enum Place {
    /// It waits as this member of that meeting; `contends`: for the place of another.
    Waits { meeting: Rc<str>, member: Rc<str>, contends: bool },
    /// It has a ruling that it has not heard yet.
    Ruled(Rc<Ruling>),
}

/// All meetings of one kind in one room.
#[derive(Debug)]
pub struct Rendezvous<V> {
    meetings: BTreeMap<Rc<str>, Meeting<V>>,
    /// Every arrival that waits or has not heard its ruling.
    places: BTreeMap<Arrival, Place>,
    /// How many of them wait.
    waiting: usize,
    /// Who was asked for a sign of life, and for which meetings.
    asked: BTreeMap<Process, BTreeSet<Rc<str>>>,
    timers: Timers<Timer>,
    last_round: u64,
    budget: Budget,
}

#[derive(Debug)]
struct Meeting<V> {
    forming: Option<Round<V>>,
    standing: Option<Standing>,
}

/// The members of a complete round, by name.
pub type Assembly<V> = BTreeMap<Rc<str>, There<V>>;

/// Makes the line that all members of a complete round get before its ruling, from the meeting's name, the round's
/// number and the values.
pub type Line<'a, V> = &'a dyn Fn(&str, u64, &Assembly<V>) -> Option<Bytes>;

/// What every entry point works with.
pub struct Turn<'a, V> {
    pub now: Time,
    pub presence: &'a dyn Presence,
    pub line: Line<'a, V>,
    pub acts: &'a mut Vec<Act>,
}

impl<V: PartialEq> Rendezvous<V> {
    /// A member arrives, or says again that it has. `declared`: who shall meet when nobody says it.
    pub fn arrive(&mut self, name: &str, comer: Comer<V>, declared: Option<&Party>, turn: &mut Turn<'_, V>) {
        let arrival = (comer.process, comer.id);
        if self.again(arrival, turn) {
            return;
        }
        if let Err(reason) = self.admissible(name, &comer) {
            return self.refuse(arrival, reason, turn);
        }
        if let Some(ruling) = self.standing_for(name, &comer.member) {
            return self.rule(arrival, ruling, turn);
        }
        let name = match self.form(name, &comer, declared) {
            Ok(name) => name,
            Err(reason) => return self.refuse(arrival, reason, turn),
        };
        if let Some((first, said)) = self.disagrees(&name, &comer) {
            return self.disagree(&name, comer, first, &said, turn);
        }
        self.take_place(&name, comer, turn);
    }

    /// Whether this arrival is known: then it is there again, or hears its ruling again.
    pub fn again(&mut self, arrival: Arrival, turn: &mut Turn<'_, V>) -> bool {
        match self.places.get(&arrival) {
            Some(Place::Ruled(ruling)) => tell(arrival, ruling.clone(), turn),
            Some(Place::Waits { contends: true, .. }) => {}
            Some(Place::Waits { meeting, member, .. }) => {
                let (meeting, member) = (meeting.clone(), member.clone());
                self.returned(&meeting, &member, turn);
            }
            None => return false,
        }
        true
    }

    /// Whether an arrival can be taken at all.
    fn admissible(&self, name: &str, comer: &Comer<V>) -> Result<(), String> {
        let full = self.meetings.len() >= MEETINGS_MAX && !self.meetings.contains_key(name);
        if full || self.places.len() >= ARRIVALS_MAX {
            return Err(format!(
                "this room is full: it holds {MEETINGS_MAX} meetings and {ARRIVALS_MAX} arrivals at most"
            ));
        }
        match &comer.party {
            Some(Party::Members(members)) if !members.iter().any(|member| **member == *comer.member) => {
                Err(format!("{} is not among the members that it names", comer.member))
            }
            Some(Party::Count(0)) => Err("nobody cannot meet: the count must be at least 1".to_owned()),
            _ => Ok(()),
        }
    }

    /// The ruling of a failed round that this member has not got yet. A member that has it begins anew.
    fn standing_for(&mut self, name: &str, member: &Rc<str>) -> Option<Rc<Ruling>> {
        let meeting = self.meetings.get_mut(name)?;
        let standing = meeting.standing.as_mut()?;
        let ruling = standing.tell(member);
        if ruling.is_none() && !standing.told.contains(member) {
            return None;
        }
        if ruling.is_none() || standing.is_told() {
            meeting.standing = None;
            self.timers.cancel(&Timer::Standing(Rc::from(name)));
            self.tidy(name);
        }
        ruling
    }

    /// Makes a round if none forms, and looks whether this member belongs to it.
    fn form(&mut self, name: &str, comer: &Comer<V>, declared: Option<&Party>) -> Result<Rc<str>, String> {
        if let Some((name, meeting)) = self.meetings.get_key_value(name)
            && let Some(round) = &meeting.forming
        {
            return round.belongs(&comer.member).map(|()| name.clone());
        }
        let party = declared.or(comer.party.as_ref()).ok_or_else(|| {
            format!("{name:?} is not declared, and nobody has said who shall meet: name the members or the count")
        })?;
        let said_by = if declared.is_some() { None } else { Some(comer.member.clone()) };
        let round = Round::new(party, said_by, &self.budget)?;
        round.belongs(&comer.member)?;
        let name: Rc<str> = Rc::from(name);
        let meeting = self.meetings.entry(name.clone()).or_insert_with(|| Meeting { forming: None, standing: None });
        meeting.forming = Some(round);
        Ok(name)
    }

    /// Who has said otherwise who shall meet, and what.
    fn disagrees(&self, name: &str, comer: &Comer<V>) -> Option<(Option<Rc<str>>, String)> {
        let round = self.meetings.get(name)?.forming.as_ref()?;
        let party = comer.party.as_ref().filter(|party| !round.agrees(party))?;
        let said_by = round.said_by.as_deref().unwrap_or("the test file");
        let said = format!("{said_by} says {}, {} says {}", round.party_in_words(), comer.member, in_words(party));
        Some((round.said_by.clone(), said))
    }

    fn disagree(
        &mut self,
        name: &Rc<str>,
        comer: Comer<V>,
        first: Option<Rc<str>>,
        said: &str,
        turn: &mut Turn<'_, V>,
    ) {
        let arrival = (comer.process, comer.id);
        let who = first.iter().map(|first| first.to_string()).chain([comer.member.to_string()]).collect();
        if let Some(ruling) = self.end(name, Kind::Disagreed, who, format!("the members disagree: {said}"), turn) {
            if let Some(standing) = self.meetings.get_mut(name).and_then(|meeting| meeting.standing.as_mut()) {
                standing.tell(&comer.member);
            }
            self.rule(arrival, ruling, turn);
        }
    }

    /// Puts a member where it belongs, or lets it contend with who is there under its name.
    fn take_place(&mut self, name: &Rc<str>, comer: Comer<V>, turn: &mut Turn<'_, V>) {
        let arrival = (comer.process, comer.id);
        let member = comer.member.clone();
        let Some(round) = self.forming(name) else { return };
        let Some(there) = round.there.get(&member) else { return self.enter(name, comer, turn) };
        let other = there.process;
        if there.away || turn.presence.heard(other).is_none() {
            self.leave(name, &member, turn);
            return self.enter(name, comer, turn);
        }
        if other == comer.process {
            let same = there.value == comer.value;
            let (kind, what) =
                if same { (Kind::Refused, "waits at") } else { (Kind::Disagreed, "has given another value to") };
            let reason = format!("{member} {what} {name:?} already, and this round is not over");
            return self.rule_alone(arrival, kind, reason, turn);
        }
        if round.contenders.contains_key(&member) {
            return self.refuse(arrival, format!("others contend for the name {member} already"), turn);
        }
        let place = Place::Waits { meeting: name.clone(), member: member.clone(), contends: true };
        round.contenders.insert(member.clone(), Comer { party: None, ..comer });
        self.places.insert(arrival, place);
        self.timers.set(Timer::Contend(name.clone(), member), turn.now + CONTEND_WITHIN);
        self.ask(other, name, turn);
    }

    fn forming(&mut self, name: &str) -> Option<&mut Round<V>> {
        self.meetings.get_mut(name)?.forming.as_mut()
    }

    /// A member is there. What it wants joins what the others want.
    fn enter(&mut self, name: &Rc<str>, comer: Comer<V>, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        let (member, abort) = (comer.member.clone(), comer.abort.clone());
        let place = Place::Waits { meeting: name.clone(), member: member.clone(), contends: false };
        self.places.insert((comer.process, comer.id), place);
        self.waiting += 1;
        if round.enter(comer, turn.now) {
            let deadline = round.deadline.unwrap_or(turn.now);
            self.timers.set(Timer::Deadline(name.clone()), deadline);
        }
        if round.alive && !round.looked_after {
            round.looked_after = true;
            self.timers.set(Timer::Look(name.clone()), turn.now + CHECK_EVERY);
        }
        turn.acts.push(Act::Arrived { meeting: name.clone(), member: member.clone() });
        match abort {
            Some(reason) => {
                let reason = format!("{member} aborted: {reason}");
                self.end(name, Kind::Aborted, vec![member.to_string()], reason, turn);
            }
            None => self.complete(name, turn),
        }
    }

    /// Takes a former arrival out of its place, for another that comes under its name.
    fn leave(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_, V>) {
        self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
        let Some(round) = self.forming(name) else { return };
        let Some(there) = round.leave(member) else { return };
        match round.deadline {
            Some(deadline) => self.timers.set(Timer::Deadline(name.clone()), deadline),
            None => self.timers.cancel(&Timer::Deadline(name.clone())),
        }
        self.waiting -= 1;
        let arrival = (there.process, there.id);
        self.places.remove(&arrival);
        if !there.taken_back {
            self.refuse(arrival, format!("another process has taken the place of {member} at {name:?}"), turn);
        }
    }

    /// Looks whether a round is complete and everybody alive; asks those of whom it is not known.
    fn complete(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        if !round.is_full() {
            return;
        }
        round.full_since.get_or_insert(turn.now);
        let unproven = if round.alive { round.unproven(turn.presence) } else { BTreeSet::new() };
        if unproven.is_empty() && !(round.alive && round.away > 0) {
            self.end(name, Kind::Released, Vec::new(), String::new(), turn);
            return;
        }
        for process in unproven {
            if turn.presence.heard(process).is_some() {
                self.ask(process, name, turn);
            }
        }
    }

    fn ask(&mut self, process: Process, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        let asked = self.asked.entry(process).or_default();
        if asked.is_empty() {
            turn.acts.push(Act::Check(process));
        }
        asked.insert(name.clone());
    }

    /// Whether a sign of life of this process is waited for.
    pub fn waits_for(&self, process: Process) -> bool {
        !self.asked.is_empty() && self.asked.contains_key(&process)
    }

    /// A process that was asked has shown that it is alive.
    pub fn heard_from(&mut self, process: Process, turn: &mut Turn<'_, V>) {
        for name in self.asked.remove(&process).unwrap_or_default() {
            self.refuse_contenders(&name, process, turn);
            self.complete(&name, turn);
        }
    }

    /// Who waits under a name is alive: the others that came under it are wrong.
    fn refuse_contenders(&mut self, name: &Rc<str>, process: Process, turn: &mut Turn<'_, V>) {
        let Some(round) = self.forming(name) else { return };
        for (member, contender) in round.contenders_with(process) {
            self.timers.cancel(&Timer::Contend(name.clone(), member.clone()));
            let reason = format!("another process waits at {name:?} as {member}");
            self.refuse((contender.process, contender.id), reason, turn);
        }
    }

    /// A connection is gone: all that wait behind it are away.
    pub fn process_gone(&mut self, process: Process, turn: &mut Turn<'_, V>) {
        self.asked.remove(&process);
        let rejoin = turn.presence.rejoin(process);
        let all: Vec<u64> =
            self.places.range((process, 0)..=(process, u64::MAX)).map(|(arrival, _)| arrival.1).collect();
        for id in all {
            self.away((process, id), rejoin, turn);
        }
    }

    /// The processes behind these arrivals are gone, or wait no longer.
    pub fn gone(&mut self, process: Process, ids: &[u64], rejoin: Duration, turn: &mut Turn<'_, V>) {
        for &id in ids {
            let arrival = (process, id);
            if let Some(Place::Waits { meeting, member, contends: false }) = self.places.get(&arrival) {
                let (meeting, member) = (meeting.clone(), member.clone());
                if let Some(there) = self.forming(&meeting).and_then(|round| round.there.get_mut(&member)) {
                    there.taken_back = true;
                }
            }
            self.away(arrival, rejoin, turn);
        }
        self.told(process, ids);
    }

    fn away(&mut self, arrival: Arrival, rejoin: Duration, turn: &mut Turn<'_, V>) {
        let Some(Place::Waits { meeting, member, contends }) = self.places.get(&arrival) else { return };
        let (name, member, contends) = (meeting.clone(), member.clone(), *contends);
        let Some(round) = self.forming(&name) else { return };
        if contends {
            round.contenders.remove(&member);
            self.places.remove(&arrival);
            self.timers.cancel(&Timer::Contend(name, member));
        } else if round.set_away(&member, true) {
            turn.acts.push(Act::Away { meeting: name.clone(), member: member.clone() });
            self.timers.set(Timer::Away(name.clone(), member.clone()), turn.now + rejoin);
            self.contender_wins(&name, &member, turn);
        }
    }

    /// An arrival that was away, or not, is there again.
    fn returned(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_, V>) {
        if self.forming(name).is_some_and(|round| round.set_away(member, false)) {
            self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
        }
        self.complete(name, turn);
    }

    /// These arrivals have heard their rulings.
    pub fn told(&mut self, process: Process, ids: &[u64]) {
        for &id in ids {
            if let Some(Place::Ruled(_)) = self.places.get(&(process, id)) {
                self.places.remove(&(process, id));
            }
        }
    }

    /// This process will never be heard again.
    pub fn forget(&mut self, process: Process) {
        let unheard = |(arrival, place): (&Arrival, &Place)| matches!(place, Place::Ruled(_)).then_some(arrival.1);
        let unheard: Vec<u64> = self.places.range((process, 0)..=(process, u64::MAX)).filter_map(unheard).collect();
        self.told(process, &unheard);
    }

    /// How long the values are together that were given to a round, in bytes.
    pub fn weight(&self, name: &str) -> usize {
        self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref()).map_or(0, |round| round.weight)
    }

    /// The number of the last round.
    pub fn last_round(&self) -> u64 {
        self.last_round
    }

    /// Numbers the rounds from here on.
    pub fn number_after(&mut self, last_round: u64) {
        self.last_round = last_round;
    }

    /// How many arrivals wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether nothing is left of any meeting: nobody waits, no ruling is unheard, no failed round stands.
    pub fn is_idle(&self) -> bool {
        self.meetings.is_empty() && self.places.is_empty()
    }

    /// Whether a round still forms, or one that failed stands for those who have not come.
    pub fn stand(&self) -> bool {
        !self.meetings.is_empty()
    }

    /// Who has not heard a ruling.
    pub fn unheard(&self) -> impl Iterator<Item = Process> {
        self.places.iter().filter(|(_, place)| matches!(place, Place::Ruled(_))).map(|(arrival, _)| arrival.0)
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn deadline(&mut self, turn: &mut Turn<'_, V>) {
        while let Some(timer) = self.timers.pop_due(turn.now) {
            match timer {
                Timer::Deadline(name) => self.time_is_up(&name, turn),
                Timer::Away(name, member) => self.stayed_away(&name, &member, turn),
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

    fn time_is_up(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref()) else { return };
        let (who, reason) = round.missing_in_words(turn.presence);
        self.end(name, Kind::TimedOut, who, reason, turn);
    }

    fn stayed_away(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_, V>) {
        if self.forming(name).is_some_and(|round| round.alive) {
            let reason = format!("{member} was lost");
            self.end(name, Kind::Lost, vec![member.to_string()], reason, turn);
        }
    }

    fn contender_wins(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_, V>) {
        let Some(contender) = self.forming(name).and_then(|round| round.contenders.remove(member)) else { return };
        self.timers.cancel(&Timer::Contend(name.clone(), member.clone()));
        self.leave(name, member, turn);
        self.enter(name, contender, turn);
    }

    /// Asks everybody who waits here and has been silent for a sign of life.
    fn look(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref()) else { return };
        self.timers.set(Timer::Look(name.clone()), turn.now + CHECK_EVERY);
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
        name: &Rc<str>,
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
        let lead = HARMONIZE_LEAD + HARMONIZE_LEAD_PER_PROCESS * round.there.len() as u32;
        let at = (released && round.harmonize).then(|| turn.now + lead);
        let line = line.map(|line| SharedLine::new(line, &self.budget));
        let held = self.budget.hold(RULING_COST + reason.len() + PLACE_COST * round.there.len());
        let ruling = Rc::new(Ruling { round: self.last_round, kind, who, reason, at, line, held });
        if !released {
            meeting.standing = Standing::new(&round, ruling.clone());
            if meeting.standing.is_some() {
                let until = round.deadline.unwrap_or(turn.now).max(turn.now + STANDS_FOR);
                self.timers.set(Timer::Standing(name.clone()), until);
            }
        }
        self.timers.cancel(&Timer::Deadline(name.clone()));
        self.timers.cancel(&Timer::Look(name.clone()));
        self.dissolve(name, round, &ruling, turn);
        self.tidy(name);
        Some(ruling)
    }

    /// Gives everybody of a round its ruling, one act a process.
    fn dissolve(&mut self, name: &Rc<str>, mut round: Round<V>, ruling: &Rc<Ruling>, turn: &mut Turn<'_, V>) {
        turn.acts.push(Act::Over { meeting: name.clone(), ruling: ruling.clone(), members: round.there.len() });
        let mut arrivals: Vec<Arrival> = Vec::with_capacity(round.there.len());
        self.waiting -= round.there.len();
        for (member, there) in &round.there {
            if there.away {
                self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
            }
            let arrival = (there.process, there.id);
            if there.taken_back {
                self.places.remove(&arrival);
            } else {
                arrivals.push(arrival);
            }
        }
        for (member, contender) in std::mem::take(&mut round.contenders) {
            self.timers.cancel(&Timer::Contend(name.clone(), member.clone()));
            let arrival = (contender.process, contender.id);
            if ruling.kind == Kind::Released {
                self.refuse(arrival, format!("another process has met at {name:?} as {member}"), turn);
            } else {
                arrivals.push(arrival);
            }
        }
        arrivals.sort_unstable();
        for group in arrivals.chunk_by(|one, other| one.0 == other.0) {
            let process = group[0].0;
            if !self.asked.is_empty() {
                forget(&mut self.asked, process, name);
            }
            for arrival in group {
                match self.places.get_mut(arrival) {
                    Some(place) => *place = Place::Ruled(ruling.clone()),
                    None => debug_assert!(false, "who is there has a place"),
                }
            }
            let ids = group.iter().map(|arrival| arrival.1).collect();
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
        if self.places.len() < ARRIVALS_MAX || self.places.contains_key(&arrival) {
            self.places.insert(arrival, Place::Ruled(ruling.clone()));
        }
        tell(arrival, ruling, turn);
    }

    /// This arrival alone is wrong; the round goes on without it.
    pub fn refuse(&mut self, arrival: Arrival, reason: String, turn: &mut Turn<'_, V>) {
        self.rule_alone(arrival, Kind::Refused, reason, turn);
    }

    fn rule_alone(&mut self, arrival: Arrival, kind: Kind, reason: String, turn: &mut Turn<'_, V>) {
        let admitted = self.budget.admit(RULING_COST + reason.len());
        let remembers = admitted.is_ok();
        let held = admitted.unwrap_or_default();
        let ruling = Rc::new(Ruling { round: 0, kind, who: Vec::new(), reason, at: None, line: None, held });
        if remembers {
            return self.rule(arrival, ruling, turn);
        }
        // There is no room to remember it: it is judged again when it asks again.
        self.places.remove(&arrival);
        tell(arrival, ruling, turn);
    }
}

fn tell<V>((process, id): Arrival, ruling: Rc<Ruling>, turn: &mut Turn<'_, V>) {
    turn.acts.push(Act::Tell { process, ids: vec![id], ruling });
}

/// Takes a meeting from those of a process.
fn forget(places: &mut BTreeMap<Process, BTreeSet<Rc<str>>>, process: Process, name: &str) {
    if let Some(names) = places.get_mut(&process) {
        names.remove(name);
        if names.is_empty() {
            places.remove(&process);
        }
    }
}
