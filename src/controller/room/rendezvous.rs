//! Rounds of members that wait for each other: what a barrier and a sync have in common.
//!
//! Members *arrive* at a *meeting* of some name, each by an arrival that its process never uses again, until the party
//! is complete; then, or when it cannot be any more, all get one *ruling*. A meeting has one round at a time that
//! forms. Its ruling stays for every arrival until that has heard it. A round that failed *stands* for the members that
//! had not arrived: who comes for the first time gets its ruling too. Who comes to a count that is complete is surplus,
//! and waits for the next round.
//!
//! This is the rendezvous of autotest's `Barrier` and `SyncData`, with identities that survive reconnects.

mod acts;
mod admit;
mod alive;
mod arrival;
mod arrival_state;
mod conclude;
mod ending;
mod failed_round;
mod former;
mod hopeless;
mod memory;
mod open;
mod outcome;
mod outlook;
mod overflow;
mod proofs;
mod restore;
mod round;
mod seats;
mod spare;
#[cfg(test)]
mod tests;
mod turn;
mod unheard;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

pub use self::acts::Act;
pub use self::arrival::{Arrival, ArrivalRequest, Presence, Process};
use self::arrival_state::{ArrivalState, How};
use self::ending::Ending;
pub use self::former::{Audience, PastRound};
pub use self::memory::{ARRIVAL_COST, Eviction, need};
pub use self::outlook::{Forming, Open, Outlook};
pub use self::round::Assembly;

use self::failed_round::FailedRound;
pub use self::outcome::Outcome;
#[cfg(test)]
pub use self::round::Participant;
use self::round::{Round, in_words};
use self::seats::Seats;
pub use self::turn::Turn;
use crate::controller::session::budget::Budget;
use crate::machine::faults::{Fault, injected};
use crate::machine::{Time, Timers};
use crate::wire::rendezvous::{OutcomeKind, Party};

/// Who waits is asked for a sign of life when it has given none for so long.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// How long an arrival has to show that it is alive when another process comes under its name.
const CONTEND_WITHIN: Duration = Duration::from_secs(1);

/// After how long that is looked at again when not all that has come was read.
const CONTEND_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A member's time is up.
    Deadline(Rc<str>),
    /// A member that is away has not come back.
    Away(Rc<str>, Rc<str>),
    /// Who waits under a name has not shown that it is alive.
    Contend(Rc<str>, Rc<str>),
    /// The time of one who waits for the next round is up.
    Overflow(Rc<str>),
    /// Signs of life are due.
    Look(Rc<str>),
    /// A failed round stands no longer.
    FailedRound(Rc<str>),
    /// Everybody in a round is lost, and nobody has come.
    Abandoned(Rc<str>),
}

/// All meetings of one kind in one room.
#[derive(Debug)]
pub struct Rendezvous<V> {
    meetings: BTreeMap<Rc<str>, Meeting<V>>,
    /// Every arrival that waits or has not heard its ruling.
    places: Seats,
    /// How many of them wait.
    waiting: usize,
    /// The failed rounds that stand, by what they held when they began to.
    failed: BTreeSet<(usize, Rc<str>)>,
    /// The rounds in which everybody is lost.
    abandoned: BTreeSet<Rc<str>>,
    /// Who was asked for a sign of life, and for which meetings.
    asked: BTreeMap<Process, BTreeSet<Rc<str>>>,
    timers: Timers<Timer>,
    last_round: u64,
    /// Surplus members are being put into a round.
    promoting: bool,
    budget: Budget,
}

#[derive(Debug)]
struct Meeting<V> {
    forming: Option<Round<V>>,
    failed_round: Option<FailedRound>,
}

impl<V> Default for Rendezvous<V> {
    fn default() -> Self {
        Rendezvous::within(Budget::default())
    }
}

impl<V> Rendezvous<V> {
    /// One that holds of this budget; its values hold what they cost themselves.
    pub fn within(budget: Budget) -> Self {
        Rendezvous {
            budget,
            meetings: BTreeMap::new(),
            places: Seats::default(),
            failed: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            waiting: 0,
            asked: BTreeMap::new(),
            timers: Timers::default(),
            last_round: 0,
            promoting: false,
        }
    }

    /// What arrivals hold of.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }
}

impl<V: PartialEq> Rendezvous<V> {
    /// A member arrives, or says again that it has. `declared`: who shall meet when nobody says it.
    pub fn arrive(&mut self, name: &str, request: ArrivalRequest<V>, declared: Option<&Party>, turn: &mut Turn<'_, V>) {
        let arrival = (request.process, request.id);
        if self.again(arrival, turn) {
            return;
        }
        if let Err(reason) = self.admissible(name, &request, turn) {
            return self.refuse(arrival, reason, turn);
        }
        if let Some(outcome) = self.standing_for(name, &request, turn) {
            return self.rule(arrival, outcome, turn);
        }
        match self.form(name, &request, declared, turn) {
            Ok(name) => self.seat(&name, request, turn),
            Err(reason) => self.refuse(arrival, reason, turn),
        }
    }

    /// Whether this arrival is known: then it is there again, or hears its ruling again.
    pub fn again(&mut self, arrival: Arrival, turn: &mut Turn<'_, V>) -> bool {
        match self.places.get(&arrival) {
            Some(ArrivalState::Ruled(outcome, ..)) => tell(arrival, outcome.clone(), turn),
            Some(ArrivalState::Waits { meeting, member, how: How::Participant }) => {
                let (meeting, member) = (meeting.clone(), member.clone());
                self.returned(&meeting, &member, turn);
            }
            Some(ArrivalState::Waits { .. }) => {}
            None => return false,
        }
        true
    }

    /// The ruling of a failed round that this member has not got yet. A member that has it begins anew.
    fn standing_for(&mut self, name: &str, request: &ArrivalRequest<V>, turn: &mut Turn<'_, V>) -> Option<Rc<Outcome>> {
        let (name, meeting) = self.meetings.get_key_value(name)?;
        let (name, failed_round) = (name.clone(), meeting.failed_round.as_ref()?);
        // A controller that was paused hears of those who have come meanwhile before it sees to what is due.
        let over = failed_round.until <= turn.now;
        if over || failed_round.has_told(&request.member) {
            self.stand_down(&name);
            turn.acts.push(Act::StoodDown { meeting: name });
            return None;
        }
        if !failed_round.concerns(request.party.as_ref()) {
            return None;
        }
        let outcome = self.tell_standing(&name, &request.member)?;
        let (member, arrival) = (request.member.clone(), (request.process, request.id));
        turn.acts.push(Act::Late { meeting: name, member, arrival, ends: false });
        Some(outcome)
    }

    /// Makes a round if none forms, and looks whether this member belongs to it.
    fn form(
        &mut self,
        name: &str,
        request: &ArrivalRequest<V>,
        declared: Option<&Party>,
        turn: &Turn<'_, V>,
    ) -> Result<Rc<str>, String> {
        if let Some((name, meeting)) = self.meetings.get_key_value(name)
            && let Some(round) = &meeting.forming
        {
            return round.belongs(&request.member).map(|()| name.clone());
        }
        let party = declared.or(request.party.as_ref()).ok_or_else(|| {
            format!(
                "{name:?} is not declared, and nobody has said who shall meet: name the members or the count, or let \
                 a member come first that does"
            )
        })?;
        let said = || (request.member.clone(), turn.asker(request.process));
        let round = Round::new(party, declared.is_none().then(said), &self.budget)?;
        round.belongs(&request.member)?;
        let name: Rc<str> = Rc::from(name);
        let meeting =
            self.meetings.entry(name.clone()).or_insert_with(|| Meeting { forming: None, failed_round: None });
        meeting.forming = Some(round);
        Ok(name)
    }

    /// Who has said otherwise who shall meet, and what.
    fn disagrees(&self, name: &str, request: &ArrivalRequest<V>) -> Option<(Option<Rc<str>>, String)> {
        let round = self.meetings.get(name)?.forming.as_ref()?;
        let party = request.party.as_ref().filter(|party| !round.agreed.is(party))?;
        let said_by = round.said_by.as_deref().unwrap_or("the test file");
        let said = format!("{said_by} says {}, {} says {}", round.party_in_words(), request.member, in_words(party));
        Some((round.said_by.clone(), said))
    }

    /// Puts a member where it belongs, or lets it contend with who waits under its name. Who is not in the place that
    /// it claims has no say in who shall meet.
    fn seat(&mut self, name: &Rc<str>, request: ArrivalRequest<V>, turn: &mut Turn<'_, V>) {
        let Some(round) = self.forming(name) else { return };
        let holder = round.holder(&request.member);
        let taken = holder.is_some() || round.is_full();
        if let Some(why) = request.abort.as_ref().filter(|_| taken && self.disagrees(name, &request).is_none()) {
            let (who, reason) = (vec![request.member.to_string()], aborted(&request.member, why));
            return self.fail(name, request, OutcomeKind::Aborted, (who, reason), turn);
        }
        match holder {
            Some((process, false)) if turn.presence.heard(process).is_some() => {
                self.contend(name, process, request, turn);
            }
            Some(_) => {
                self.leave(name, &request.member, turn);
                self.take_place(name, request, turn);
            }
            None => self.take_place(name, request, turn),
        }
    }

    /// A member comes to a place that is free.
    fn take_place(&mut self, name: &Rc<str>, request: ArrivalRequest<V>, turn: &mut Turn<'_, V>) {
        let budget = self.budget.clone();
        if let Some(round) = self.forming(name) {
            round.begin_anew(&request, turn.asker(request.process), &budget);
        }
        if let Some((first, said)) = self.disagrees(name, &request) {
            let who = first.iter().map(|first| first.to_string()).chain([request.member.to_string()]).collect();
            let reason = format!("the members disagree: {said}");
            return self.fail(name, request, OutcomeKind::Disagreed, (who, reason), turn);
        }
        match self.forming(name).is_some_and(|round| round.is_full()) {
            true => self.wait_for_next(name, request, turn),
            false => self.enter(name, request, turn),
        }
    }

    /// Another waits under a member's name, and its connection is there.
    fn contend(&mut self, name: &Rc<str>, other: Process, request: ArrivalRequest<V>, turn: &mut Turn<'_, V>) {
        let (arrival, member) = ((request.process, request.id), request.member.clone());
        let budget = self.budget.clone();
        let Some(round) = self.forming(name) else { return };
        if other == request.process {
            let same = round.value(&member) == Some(&request.value);
            let (kind, what) = if same {
                (OutcomeKind::Refused, "waits at")
            } else {
                (OutcomeKind::Disagreed, "has given another value to")
            };
            let reason = format!("{member} {what} {name:?} already, and this round is not over");
            return self.rule_alone(arrival, kind, reason, turn);
        }
        if round.contenders.contains_key(&member) {
            return self.refuse(arrival, format!("others contend for the name {member} already"), turn);
        }
        let request = match round.keep_party(request, turn.asker(arrival.0), &budget) {
            Ok(request) => request,
            Err(reason) => return self.refuse(arrival, reason, turn),
        };
        let place = ArrivalState::Waits { meeting: name.clone(), member: member.clone(), how: How::Contends };
        round.contenders.insert(member.clone(), request);
        self.places.insert(arrival, place);
        self.timers.set(Timer::Contend(name.clone(), member), turn.now + CONTEND_WITHIN);
        self.ask(other, name, turn);
    }

    fn forming(&mut self, name: &str) -> Option<&mut Round<V>> {
        self.meetings.get_mut(name)?.forming.as_mut()
    }

    /// A member is there. What it wants joins what the others want.
    fn enter(&mut self, name: &Rc<str>, request: ArrivalRequest<V>, turn: &mut Turn<'_, V>) {
        self.not_abandoned(name);
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        let (member, abort) = (request.member.clone(), request.abort.clone());
        let now_alive = request.alive && !round.alive;
        let place = ArrivalState::Waits { meeting: name.clone(), member: member.clone(), how: How::Participant };
        self.places.insert((request.process, request.id), place);
        self.waiting += 1;
        round.proofs.enter(request.process, turn.presence.heard(request.process));
        if round.enter(request, turn.now) {
            let deadline = round.patience.map_or(turn.now, |(end, _)| end);
            self.timers.set(Timer::Deadline(name.clone()), deadline);
        }
        if round.alive && !round.looked_after {
            round.looked_after = true;
            self.timers.set(Timer::Look(name.clone()), turn.now + CHECK_EVERY);
        }
        turn.acts.push(Act::Arrived { meeting: name.clone(), member: member.clone() });
        match abort {
            Some(reason) => {
                let ending = Ending::of(OutcomeKind::Aborted, &member, aborted(&member, &reason));
                self.end(name, ending, turn);
            }
            None if now_alive && self.ends_with_the_lost(name, turn) => {}
            None => self.complete(name, turn),
        }
    }

    /// The round that forms is complete without this member.
    fn wait_for_next(&mut self, name: &Rc<str>, request: ArrivalRequest<V>, turn: &mut Turn<'_, V>) {
        let place = ArrivalState::Waits { meeting: name.clone(), member: request.member.clone(), how: How::Overflow };
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        self.places.insert((request.process, request.id), place);
        self.waiting += 1;
        // Who shall meet, all have agreed on.
        round.overflow.push(ArrivalRequest { party: None, ..request }, turn.now);
        self.time_surplus(name);
        self.replace(name, turn);
    }

    /// Those who wait for the next round take the places of those who have left this one.
    fn replace(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        while let Some(member) = self.forming(name).filter(|round| !round.overflow.is_empty()).and_then(|it| it.left())
        {
            self.vacate(name, &member);
            self.promote(name, turn);
        }
    }

    /// Puts those who wait for the next round into the round that forms, as far as there is room.
    fn promote(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        // A round that this makes complete is followed by another, which is filled here too.
        if std::mem::replace(&mut self.promoting, true) {
            return;
        }
        while let Some(round) = self.forming(name).filter(|round| !round.is_full())
            && let Some(request) = round.overflow.pop(turn.now)
        {
            self.waiting -= 1;
            self.time_surplus(name);
            self.enter(name, request, turn);
        }
        self.promoting = false;
    }

    /// Knows when the first of those who wait for the next round loses its patience.
    fn time_surplus(&mut self, name: &Rc<str>) {
        match self.forming(name).and_then(|round| round.overflow.deadline()) {
            Some(at) => self.timers.set(Timer::Overflow(name.clone()), at),
            None => self.timers.cancel(&Timer::Overflow(name.clone())),
        }
    }

    /// Takes a former arrival out of its place, for another that comes under its name.
    fn leave(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_, V>) {
        if let Some(arrival) = self.vacate(name, member) {
            self.refuse(arrival, format!("another process has taken the place of {member} at {name:?}"), turn);
        }
    }

    /// Takes a member out. Its arrival, if anybody still waits for a ruling behind it.
    fn vacate(&mut self, name: &Rc<str>, member: &Rc<str>) -> Option<Arrival> {
        self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
        let round = self.meetings.get_mut(name)?.forming.as_mut()?;
        let (arrival, waits) = match round.leave(member) {
            Some(there) => ((there.process, there.id), !there.taken_back),
            None => {
                let request = round.overflow.take(member)?;
                ((request.process, request.id), true)
            }
        };
        match round.patience {
            Some((end, _)) => self.timers.set(Timer::Deadline(name.clone()), end),
            None => self.timers.cancel(&Timer::Deadline(name.clone())),
        }
        self.time_surplus(name);
        self.waiting -= 1;
        self.places.remove(&arrival);
        waits.then_some(arrival)
    }

    /// Looks whether a round is complete and everybody alive; asks those of whom it is not known.
    fn complete(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        if !round.is_full() {
            return;
        }
        round.full_since.get_or_insert(turn.now);
        let proves = round.alive && !injected(Fault::ReleasesUnproven);
        let since = round.since();
        let stale = if proves { round.proofs.want(since, turn.presence) } else { Vec::new() };
        let unproven = proves && !round.proofs.awaited().is_empty();
        let waits = unproven || round.alive && round.away > 0;
        if !waits {
            self.end(name, Ending::released(), turn);
            return;
        }
        for process in stale {
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

    /// A connection is gone: all that wait behind it are away.
    pub fn process_gone(&mut self, process: Process, turn: &mut Turn<'_, V>) {
        self.asked.remove(&process);
        let rejoin = turn.presence.rejoin(process);
        let all: Vec<u64> = self.places.of(process).map(|(id, _)| id).collect();
        for id in all {
            self.away((process, id), rejoin, turn);
        }
    }

    /// The processes behind these arrivals are gone, or wait no longer.
    pub fn gone(&mut self, process: Process, ids: &[u64], rejoin: Duration, turn: &mut Turn<'_, V>) {
        for &id in ids {
            let arrival = (process, id);
            if let Some(ArrivalState::Waits { meeting, member, how: How::Participant }) = self.places.get(&arrival) {
                let (meeting, member) = (meeting.clone(), member.clone());
                if let Some(round) = self.forming(&meeting) {
                    round.take_back(&member);
                }
            }
            self.away(arrival, rejoin, turn);
        }
        self.told(process, ids);
    }

    fn away(&mut self, arrival: Arrival, rejoin: Duration, turn: &mut Turn<'_, V>) {
        let Some(ArrivalState::Waits { meeting, member, how }) = self.places.get(&arrival) else { return };
        let (name, member, how) = (meeting.clone(), member.clone(), *how);
        let Some(round) = self.forming(&name) else { return };
        match how {
            How::Contends => {
                round.contenders.remove(&member);
                self.places.remove(&arrival);
                self.timers.cancel(&Timer::Contend(name, member));
            }
            // It is in no round yet: when it is back it says that it is there, and waits again.
            How::Overflow => {
                self.vacate(&name, &member);
                self.contender_wins(&name, &member, turn);
            }
            How::Participant => {
                if round.set_away(&member, true) {
                    turn.acts.push(Act::Away { meeting: name.clone(), member: member.clone() });
                    self.timers.set(Timer::Away(name.clone(), member.clone()), turn.now + rejoin);
                    self.contender_wins(&name, &member, turn);
                }
                self.replace(&name, turn);
            }
        }
    }

    /// An arrival that was away, or not, is there again.
    fn returned(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_, V>) {
        let Some(round) = self.forming(name) else { return };
        if let Some(process) = round.there.get(member).map(|there| there.process) {
            round.heard(process, turn.presence);
        }
        if round.set_away(member, false) {
            self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
            self.not_abandoned(name);
        }
        self.complete(name, turn);
    }

    /// How long the values are together that were given to a round and are there for the next, in bytes.
    pub fn weight(&self, name: &str) -> usize {
        self.meetings
            .get(name)
            .and_then(|meeting| meeting.forming.as_ref())
            .map_or(0, |round| round.weight + round.overflow.weight)
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

    /// Whether anybody waits beside this member, in a round or for the next one.
    pub fn others_wait(&self, member: &str) -> bool {
        let mut rounds = self.meetings.values().filter_map(|meeting| meeting.forming.as_ref());
        rounds.any(|round| {
            let mut others = round.there.iter().filter(|(name, there)| ***name != *member && !there.taken_back);
            others.next().is_some() || !round.overflow.is_empty()
        })
    }

    /// Whether nothing is left of any meeting: nobody waits, no ruling is unheard, no failed round stands.
    pub fn is_idle(&self) -> bool {
        self.meetings.is_empty() && self.places.is_empty()
    }

    /// Whether a round still forms, or one that failed stands for those who have not come.
    pub fn stand(&self) -> bool {
        !self.meetings.is_empty()
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Does what is due, until that was as much work as `most` names: the rest stays due. Returns how much it was.
    pub fn deadline(&mut self, most: usize, turn: &mut Turn<'_, V>) -> usize {
        let mut work = 0;
        while work < most
            && let Some(timer) = self.timers.pop_due(turn.now)
        {
            work += 1 + self.work_of(&timer);
            match timer {
                Timer::Deadline(name) => self.time_is_up(&name, turn),
                Timer::Away(name, member) => self.lost_there(&name, &member, format!("{member} was lost"), turn),
                Timer::Contend(..) if turn.presence.is_behind() => self.timers.set(timer, turn.now + CONTEND_AGAIN),
                Timer::Contend(name, member) => self.contender_wins(&name, &member, turn),
                Timer::Overflow(name) => self.surplus_goes(&name, turn),
                Timer::Look(name) => self.look(&name, turn),
                Timer::FailedRound(name) => self.stand_down(&name),
                Timer::Abandoned(name) => self.drop_abandoned(&name),
            }
        }
        work
    }

    /// How many names a timer goes through, if it may go through all of its round.
    fn work_of(&self, timer: &Timer) -> usize {
        let round = |name: &Rc<str>| self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref());
        match timer {
            Timer::Deadline(name) | Timer::Look(name) | Timer::FailedRound(name) | Timer::Abandoned(name) => {
                round(name).map_or(0, Round::names)
            }
            Timer::Away(name, _) => round(name).filter(|round| round.alive).map_or(0, Round::names),
            Timer::Contend(..) | Timer::Overflow(_) => 0,
        }
    }

    fn time_is_up(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref()) else { return };
        let (who, reason) = round.missing_in_words();
        self.end(name, Ending { kind: OutcomeKind::TimedOut, who, reason, other: None, timeout: None }, turn);
    }

    /// A member that had come is lost.
    fn lost_there(&mut self, name: &Rc<str>, member: &Rc<str>, reason: String, turn: &mut Turn<'_, V>) {
        let Some(round) = self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref()) else { return };
        turn.acts.push(Act::Lost { meeting: name.clone(), member: member.clone() });
        if !round.alive {
            if let Some(round) = self.forming(name) {
                round.set_lost(member);
            }
            return self.note_abandoned(name, turn);
        }
        if round.overflow.is_empty() {
            self.end(name, Ending::of(OutcomeKind::Lost, member, reason), turn);
        } else {
            // Should it come back all the same, it waits for the next round.
            self.vacate(name, member);
            self.promote(name, turn);
        }
    }

    /// The time of some who wait for the next round is up: theirs alone.
    fn surplus_goes(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        while let Some(round) = self.forming(name)
            && let Some(request) = round.overflow.pop_due(turn.now)
        {
            let there = round.there.len();
            self.waiting -= 1;
            let reason = format!("timed out; {there} others were there before, and their round was not over");
            self.rule_alone((request.process, request.id), OutcomeKind::TimedOut, reason, turn);
            self.contender_wins(name, &request.member, turn);
        }
        self.time_surplus(name);
    }

    fn contender_wins(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_, V>) {
        let Some(contender) = self.forming(name).and_then(|round| round.contenders.remove(member)) else { return };
        self.timers.cancel(&Timer::Contend(name.clone(), member.clone()));
        self.leave(name, member, turn);
        self.take_place(name, contender, turn);
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
}

/// Why a round is aborted.
fn aborted(member: &str, why: &str) -> String {
    format!("{member} aborted: {why}")
}

fn tell<V>((process, id): Arrival, outcome: Rc<Outcome>, turn: &mut Turn<'_, V>) {
    turn.acts.push(Act::Tell { process, ids: vec![id], outcome });
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

impl<V> Meeting<V> {
    fn is_empty(&self) -> bool {
        self.forming.is_none() && self.failed_round.is_none()
    }
}
