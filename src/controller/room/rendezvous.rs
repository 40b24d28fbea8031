//! Rounds of members that wait for each other: what barriers and syncs have in common.
//!
//! Members *arrive* at a *meeting*, which has a name. Each arrival has an id that its process never uses again. A
//! meeting has at most one *round* that forms. When the party is complete and alive, the round is *released*; when it
//! cannot be complete any more, the round *fails*. All its members get one *outcome*, which is kept for each arrival
//! until it has confirmed it.
//!
//! A *failed round* is kept for its *audience*, the members that had not arrived: a late member gets its outcome too.
//! An arrival at a round with a complete count goes to the *overflow*, and waits for the next round. A *contender*
//! claims the name of a member that is connected.
//!
//! What must never happen: two members of one round get different outcomes, or a round is released before each member
//! has shown, since shortly before the last arrival, that it is alive.
//!
//! This is the rendezvous of autotest's `Barrier` and `SyncData`, with identities that survive reconnects.

mod acts;
mod admit;
mod alive;
mod arrival;
mod arrival_error;
mod arrival_state;
mod arrivals;
mod conclude;
mod decision;
mod ending;
mod eviction;
mod failed_round;
mod hopeless;
mod kept;
mod memory;
mod open;
mod outcome;
mod outlook;
mod overflow;
mod past_round;
mod proofs;
mod round;
#[cfg(test)]
mod tests;
mod turn;
mod unheard;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

pub use self::acts::{Act, Decision};
pub use self::arrival::{Arrival, ArrivalRequest, Presence, Process, Value};
pub use self::arrival_error::ArrivalError;
use self::arrival_state::{ArrivalState, How};
use self::ending::Ending;
pub use self::memory::{ARRIVAL_COST, Eviction, need};
pub use self::outlook::{Forming, Open, Outlook};
pub use self::past_round::{Audience, PastRound};
pub use self::round::Assembly;

use self::arrivals::Arrivals;
use self::failed_round::FailedRound;
pub use self::outcome::Outcome;
#[cfg(test)]
pub use self::round::Participant;
use self::round::{Round, in_words};
pub use self::turn::Turn;
use crate::controller::session::budget::Budget;
use crate::machine::faults::{Fault, injected};
use crate::machine::{Time, Timers};
use crate::wire::rendezvous::{OutcomeKind, Party};

/// After this silence a process with a waiting arrival is asked for a sign of life.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// How long the holder of a name has to show that it is alive when a contender claims the name.
const CONTEND_WITHIN: Duration = Duration::from_secs(1);

/// The delay until a contention is checked again if received bytes were not read yet.
const CONTEND_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The timeout of a member expires.
    Deadline(Rc<str>),
    /// A disconnected member has not reconnected in time.
    Away(Rc<str>, Rc<str>),
    /// The holder of a contended name has not shown that it is alive.
    Contend(Rc<str>, Rc<str>),
    /// The timeout of an arrival in the overflow expires.
    Overflow(Rc<str>),
    /// Silent members are asked for signs of life.
    Silence(Rc<str>),
    /// A failed round is dropped.
    FailedRound(Rc<str>),
    /// A round in which every member is lost is dropped.
    Abandoned(Rc<str>),
}

/// All meetings of one kind in one room.
#[derive(Debug, Default)]
pub struct Rendezvous {
    meetings: BTreeMap<Rc<str>, Meeting>,
    /// Every arrival that waits or has not confirmed its outcome.
    arrivals: Arrivals,
    /// How many arrivals wait.
    waiting: usize,
    /// The failed rounds, by their size when they failed.
    failed: BTreeSet<(usize, Rc<str>)>,
    /// The rounds in which every member is lost.
    abandoned: BTreeSet<Rc<str>>,
    /// The processes that were asked for a sign of life, and for which meetings.
    asked: BTreeMap<Process, BTreeSet<Rc<str>>>,
    timers: Timers<Timer>,
    last_round: u64,
    /// Arrivals in the overflow are being moved into a round.
    promoting: bool,
    budget: Budget,
}

#[derive(Debug, Default)]
struct Meeting {
    forming: Option<Round>,
    failed_round: Option<FailedRound>,
}

impl Rendezvous {
    /// Creates a rendezvous that holds memory of this budget.
    pub fn within(budget: Budget) -> Self {
        Rendezvous { budget, ..Rendezvous::default() }
    }

    /// Returns the budget of the arrivals.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Handles an arrival, new or repeated. `declared` is the party if the member names none.
    pub fn arrive(&mut self, name: &str, request: ArrivalRequest, declared: Option<&Party>, turn: &mut Turn<'_>) {
        let arrival = (request.process, request.id);
        if self.again(arrival, turn) {
            return;
        }
        if let Err(error) = self.admissible(name, &request, turn) {
            return self.refuse(arrival, &error, turn);
        }
        if let Some(outcome) = self.outcome_for_late(name, &request, turn) {
            return tell(arrival, outcome, turn);
        }
        match self.form(name, &request, declared, turn) {
            Ok(name) => self.admit(&name, request, turn),
            Err(error) => self.refuse(arrival, &error, turn),
        }
    }

    /// Returns whether this arrival is known. If so, its member is present again, or gets its outcome again.
    pub fn again(&mut self, arrival: Arrival, turn: &mut Turn<'_>) -> bool {
        match self.arrivals.get(&arrival) {
            Some(ArrivalState::Concluded(outcome, ..)) => tell(arrival, outcome.clone(), turn),
            Some(ArrivalState::Waits { meeting, member, how: How::Participant }) => {
                let (meeting, member) = (meeting.clone(), member.clone());
                self.on_return(&meeting, &member, turn);
            }
            Some(ArrivalState::Waits { .. }) => {}
            None => return false,
        }
        true
    }

    /// Returns the outcome of a failed round that this late member has not received. If it has received it, the failed
    /// round is dropped and the member begins a new round.
    fn outcome_for_late(&mut self, name: &str, request: &ArrivalRequest, turn: &mut Turn<'_>) -> Option<Rc<Outcome>> {
        let (name, meeting) = self.meetings.get_key_value(name)?;
        let (name, failed_round) = (name.clone(), meeting.failed_round.as_ref()?);
        // After a pause of the controller, arrivals may be read before overdue timers are handled.
        let over = failed_round.until <= turn.now;
        if over || failed_round.has_delivered(&request.member) {
            self.decide(&name, Decision::FailedRoundDropped, turn);
            return None;
        }
        if !failed_round.concerns(&request.member, request.party.as_ref()) {
            return None;
        }
        let outcome = failed_round.outcome.clone();
        let (member, arrival) = (request.member.clone(), (request.process, request.id));
        self.decide(&name, Decision::Late { member, arrival }, turn);
        Some(outcome)
    }

    /// Starts a round if none forms, and checks that the member belongs to it.
    fn form(
        &mut self,
        name: &str,
        request: &ArrivalRequest,
        declared: Option<&Party>,
        turn: &Turn<'_>,
    ) -> Result<Rc<str>, ArrivalError> {
        if let Some((name, meeting)) = self.meetings.get_key_value(name)
            && let Some(round) = &meeting.forming
        {
            return round.belongs(&request.member).map(|()| name.clone());
        }
        let party = declared.or(request.party.as_ref());
        let party = party.ok_or_else(|| ArrivalError::NoParty { meeting: name.to_owned() })?;
        let said = || (request.member.clone(), turn.asker(request.process));
        let round = Round::new(party, declared.is_none().then(said), &self.budget)?;
        round.belongs(&request.member)?;
        let name: Rc<str> = Rc::from(name);
        self.meetings.entry(name.clone()).or_default().forming = Some(round);
        Ok(name)
    }

    /// Returns who named another party, and the two parties in words. `None` if they agree.
    fn disagrees(&self, name: &str, request: &ArrivalRequest) -> Option<(Option<Rc<str>>, String)> {
        let round = self.round(name)?;
        let party = request.party.as_ref().filter(|party| !round.agreed.is(party))?;
        let said_by = round.said_by.as_deref().unwrap_or("the test file");
        let said =
            format!("{said_by} says [{}], {} says [{}]", round.party_in_words(), request.member, in_words(party));
        Some((round.said_by.clone(), said))
    }

    /// Admits a member to the round, or as a contender if its name is held. A contender has no influence on the party.
    fn admit(&mut self, name: &Rc<str>, request: ArrivalRequest, turn: &mut Turn<'_>) {
        let Some(round) = self.forming(name) else { return };
        let holder = round.holder(&request.member);
        let taken = holder.is_some() || round.is_full();
        if let Some(why) = request.abort.as_ref().filter(|_| taken && self.disagrees(name, &request).is_none()) {
            let ending = Ending::of(OutcomeKind::Aborted, &request.member, aborted(&request.member, why));
            return self.end_by(name, ending, Some(&request), turn);
        }
        match holder {
            Some((process, false)) if turn.presence.heard(process).is_some() => {
                self.contend(name, process, request, turn);
            }
            Some(_) => {
                self.remove_replaced(name, &request.member, turn);
                self.admit_free(name, request, turn);
            }
            None => self.admit_free(name, request, turn),
        }
    }

    /// Admits a member under a name that is free.
    fn admit_free(&mut self, name: &Rc<str>, request: ArrivalRequest, turn: &mut Turn<'_>) {
        let budget = self.budget.clone();
        if let Some(round) = self.forming(name) {
            round.replace_party(&request, turn.asker(request.process), &budget);
        }
        if let Some((first, said)) = self.disagrees(name, &request) {
            let who = first.iter().map(|first| first.to_string()).chain([request.member.to_string()]).collect();
            let reason = format!("the members disagree: {said}; all must name the same");
            let ending = Ending { kind: OutcomeKind::Disagreed, who, reason };
            return self.end_by(name, ending, Some(&request), turn);
        }
        match self.forming(name).is_some_and(|round| round.is_full()) {
            true => self.enter_overflow(name, request, turn),
            false => self.enter(name, request, turn),
        }
    }

    /// Registers a contender for a name with a connected holder.
    fn contend(&mut self, name: &Rc<str>, other: Process, request: ArrivalRequest, turn: &mut Turn<'_>) {
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
            return self.conclude_alone(arrival, kind, reason, turn);
        }
        if round.contenders.contains_key(&member) {
            return self.refuse(arrival, &ArrivalError::Contended { member: member.to_string() }, turn);
        }
        let request = match round.keep_party(request, turn.asker(arrival.0), &budget) {
            Ok(request) => request,
            Err(shortage) => return self.refuse(arrival, &shortage.into(), turn),
        };
        let state = ArrivalState::Waits { meeting: name.clone(), member: member.clone(), how: How::Contends };
        round.contenders.insert(member.clone(), request);
        self.arrivals.insert(arrival, state);
        self.timers.set(Timer::Contend(name.clone(), member), turn.now + CONTEND_WITHIN);
        self.ask(other, name, turn);
    }

    fn round(&self, name: &str) -> Option<&Round> {
        self.meetings.get(name)?.forming.as_ref()
    }

    fn forming(&mut self, name: &str) -> Option<&mut Round> {
        self.meetings.get_mut(name)?.forming.as_mut()
    }

    /// Adds a member to the round, and merges its options with those of the others.
    fn enter(&mut self, name: &Rc<str>, request: ArrivalRequest, turn: &mut Turn<'_>) {
        self.unmark_abandoned(name);
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        let (member, abort) = (request.member.clone(), request.abort.clone());
        let now_alive = request.alive && !round.alive;
        let state = ArrivalState::Waits { meeting: name.clone(), member: member.clone(), how: How::Participant };
        self.arrivals.insert((request.process, request.id), state);
        self.waiting += 1;
        round.proofs.enter(request.process, turn.presence.heard(request.process));
        if round.enter(request, turn.now) {
            let deadline = round.patience.map_or(turn.now, |(end, _)| end);
            self.timers.set(Timer::Deadline(name.clone()), deadline);
        }
        if round.alive && !round.checks_silence {
            round.checks_silence = true;
            self.timers.set(Timer::Silence(name.clone()), turn.now + CHECK_EVERY);
        }
        turn.acts.push(Act::Arrived { meeting: name.clone(), member: member.clone() });
        match abort {
            Some(reason) => {
                let ending = Ending::of(OutcomeKind::Aborted, &member, aborted(&member, &reason));
                self.end(name, ending, turn);
            }
            None if now_alive && self.fail_if_lost(name, turn) => {}
            None => self.try_release(name, turn),
        }
    }

    /// Adds an arrival to the overflow, because the round that forms is complete without it.
    fn enter_overflow(&mut self, name: &Rc<str>, request: ArrivalRequest, turn: &mut Turn<'_>) {
        let state = ArrivalState::Waits { meeting: name.clone(), member: request.member.clone(), how: How::Overflow };
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.as_mut()) else { return };
        self.arrivals.insert((request.process, request.id), state);
        self.waiting += 1;
        // The party is left out because all members have agreed on it.
        round.overflow.push(ArrivalRequest { party: None, ..request }, turn.now);
        self.set_overflow_timer(name);
        self.fill_withdrawn(name, turn);
    }

    /// Moves arrivals from the overflow to the places of members that have withdrawn.
    fn fill_withdrawn(&mut self, name: &Rc<str>, turn: &mut Turn<'_>) {
        while let Some(member) =
            self.forming(name).filter(|round| !round.overflow.is_empty()).and_then(|round| round.withdrawn_member())
        {
            self.vacate(name, &member);
            self.promote(name, turn);
        }
    }

    /// Moves arrivals from the overflow into the round that forms, while there is room.
    fn promote(&mut self, name: &Rc<str>, turn: &mut Turn<'_>) {
        // If this completes the round, the next one starts within the loop and is filled by it too.
        if std::mem::replace(&mut self.promoting, true) {
            return;
        }
        while let Some(round) = self.forming(name).filter(|round| !round.is_full())
            && let Some(request) = round.overflow.pop(turn.now)
        {
            self.waiting -= 1;
            self.set_overflow_timer(name);
            self.enter(name, request, turn);
        }
        self.promoting = false;
    }

    /// Sets the timer for the earliest timeout in the overflow.
    fn set_overflow_timer(&mut self, name: &Rc<str>) {
        match self.forming(name).and_then(|round| round.overflow.deadline()) {
            Some(at) => self.timers.set(Timer::Overflow(name.clone()), at),
            None => self.timers.cancel(&Timer::Overflow(name.clone())),
        }
    }

    /// Removes the arrival that holds a name, because a contender takes it.
    fn remove_replaced(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_>) {
        if let Some(arrival) = self.vacate(name, member) {
            let error = ArrivalError::Replaced { meeting: name.to_string(), member: member.to_string() };
            self.refuse(arrival, &error, turn);
        }
    }

    /// Removes a member from the round. Returns its arrival if it still waits for an outcome.
    fn vacate(&mut self, name: &Rc<str>, member: &Rc<str>) -> Option<Arrival> {
        self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
        let round = self.meetings.get_mut(name)?.forming.as_mut()?;
        let (arrival, waits) = match round.leave(member) {
            Some(there) => ((there.process, there.id), !there.withdrawn),
            None => {
                let request = round.overflow.take(member)?;
                ((request.process, request.id), true)
            }
        };
        match round.patience {
            Some((end, _)) => self.timers.set(Timer::Deadline(name.clone()), end),
            None => self.timers.cancel(&Timer::Deadline(name.clone())),
        }
        self.set_overflow_timer(name);
        self.waiting -= 1;
        self.arrivals.remove(&arrival);
        waits.then_some(arrival)
    }

    /// Releases the round if it is complete and every member is alive. Otherwise asks the silent ones for a sign of
    /// life.
    fn try_release(&mut self, name: &Rc<str>, turn: &mut Turn<'_>) {
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

    fn ask(&mut self, process: Process, name: &Rc<str>, turn: &mut Turn<'_>) {
        let asked = self.asked.entry(process).or_default();
        if asked.is_empty() {
            turn.acts.push(Act::Check(process));
        }
        asked.insert(name.clone());
    }

    /// Marks all members of a disconnected process as away.
    pub fn on_disconnect(&mut self, process: Process, turn: &mut Turn<'_>) {
        self.asked.remove(&process);
        let rejoin = turn.presence.rejoin(process);
        let all: Vec<u64> = self.arrivals.of(process).map(|(id, _)| id).collect();
        for id in all {
            self.away((process, id), rejoin, turn);
        }
    }

    /// Withdraws arrivals: their commands have ended, or wait no longer.
    pub fn withdraw(&mut self, process: Process, ids: &[u64], rejoin: Duration, turn: &mut Turn<'_>) {
        for &id in ids {
            let arrival = (process, id);
            if let Some(ArrivalState::Waits { meeting, member, how: How::Participant }) = self.arrivals.get(&arrival) {
                let (meeting, member) = (meeting.clone(), member.clone());
                if let Some(round) = self.forming(&meeting) {
                    round.withdraw(&member);
                }
            }
            self.away(arrival, rejoin, turn);
        }
        self.confirm(process, ids);
    }

    fn away(&mut self, arrival: Arrival, rejoin: Duration, turn: &mut Turn<'_>) {
        let Some(ArrivalState::Waits { meeting, member, how }) = self.arrivals.get(&arrival) else { return };
        let (name, member, how) = (meeting.clone(), member.clone(), *how);
        let Some(round) = self.forming(&name) else { return };
        match how {
            How::Contends => {
                round.contenders.remove(&member);
                self.arrivals.remove(&arrival);
                self.timers.cancel(&Timer::Contend(name, member));
            }
            // It is in no round yet. After a reconnect it arrives again.
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
                self.fill_withdrawn(&name, turn);
            }
        }
    }

    /// Marks a member as present after a reconnect or a repeated arrival.
    fn on_return(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_>) {
        let Some(round) = self.forming(name) else { return };
        if let Some(process) = round.present.get(member).map(|there| there.process) {
            round.heard(process, turn.presence);
        }
        if round.set_away(member, false) {
            self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
            self.unmark_abandoned(name);
        }
        self.try_release(name, turn);
    }

    /// Returns the length of all values in the round and in its overflow, in bytes.
    pub fn weight(&self, name: &str) -> usize {
        self.round(name).map_or(0, |round| round.weight + round.overflow.weight)
    }

    /// Returns the number of the last round.
    pub fn last_round(&self) -> u64 {
        self.last_round
    }

    /// Numbers the next rounds from `last_round` + 1.
    pub fn number_after(&mut self, last_round: u64) {
        self.last_round = last_round;
    }

    /// Returns how many arrivals wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns whether any other member than this one waits, in a round or in an overflow.
    pub fn others_wait(&self, member: &str) -> bool {
        let mut rounds = self.meetings.values().filter_map(|meeting| meeting.forming.as_ref());
        rounds.any(|round| {
            let mut others = round.present.iter().filter(|(name, there)| ***name != *member && !there.withdrawn);
            others.next().is_some() || !round.overflow.is_empty()
        })
    }

    /// Returns whether nothing is left: no waiting arrival, no unconfirmed outcome, no failed round.
    pub fn is_idle(&self) -> bool {
        self.meetings.is_empty() && self.arrivals.is_empty()
    }

    /// Returns whether a round forms, or a failed round is kept.
    pub fn keeps_rounds(&self) -> bool {
        !self.meetings.is_empty()
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Handles due timers until the work reaches `most`, in names; the rest stays due. Returns the work done.
    pub fn deadline(&mut self, most: usize, turn: &mut Turn<'_>) -> usize {
        let mut work = 0;
        while work < most
            && let Some(timer) = self.timers.pop_due(turn.now)
        {
            work += 1 + self.work_of(&timer);
            match timer {
                Timer::Deadline(name) => self.on_timeout(&name, turn),
                Timer::Away(name, member) => self.on_member_lost(&name, &member, format!("{member} was lost"), turn),
                Timer::Contend(..) if turn.presence.has_unread_input() => {
                    self.timers.set(timer, turn.now + CONTEND_AGAIN)
                }
                Timer::Contend(name, member) => self.contender_wins(&name, &member, turn),
                Timer::Overflow(name) => self.expire_overflow(&name, turn),
                Timer::Silence(name) => self.check_silent(&name, turn),
                Timer::FailedRound(name) => self.drop_failed_round(&name),
                Timer::Abandoned(name) => self.drop_abandoned(&name),
            }
        }
        work
    }

    /// Returns the most names that handling a timer can visit.
    fn work_of(&self, timer: &Timer) -> usize {
        let names = |name: &str| self.round(name).map_or(0, Round::names);
        match timer {
            Timer::Deadline(name) | Timer::Silence(name) | Timer::FailedRound(name) | Timer::Abandoned(name) => {
                names(name)
            }
            Timer::Away(name, _) => self.round(name).filter(|round| round.alive).map_or(0, Round::names),
            Timer::Contend(..) | Timer::Overflow(_) => 0,
        }
    }

    fn on_timeout(&mut self, name: &Rc<str>, turn: &mut Turn<'_>) {
        let Some(round) = self.round(name) else { return };
        let (who, reason) = round.missing_in_words();
        self.end(name, Ending { kind: OutcomeKind::TimedOut, who, reason }, turn);
    }

    /// Handles that a member did not reconnect in time.
    fn on_member_lost(&mut self, name: &Rc<str>, member: &Rc<str>, reason: String, turn: &mut Turn<'_>) {
        let Some(round) = self.round(name) else { return };
        turn.acts.push(Act::Lost { meeting: name.clone(), member: member.clone() });
        if !round.alive {
            if let Some(round) = self.forming(name) {
                round.set_lost(member);
            }
            return self.mark_abandoned(name, turn);
        }
        if round.overflow.is_empty() {
            self.end(name, Ending::of(OutcomeKind::Lost, member, reason), turn);
        } else {
            // If the member reconnects later, it waits for the next round.
            self.vacate(name, member);
            self.promote(name, turn);
        }
    }

    /// Ends the arrivals in the overflow with expired timeouts. The round is not affected.
    fn expire_overflow(&mut self, name: &Rc<str>, turn: &mut Turn<'_>) {
        while let Some(round) = self.forming(name)
            && let Some(request) = round.overflow.pop_due(turn.now)
        {
            let there = round.present.len();
            self.waiting -= 1;
            let reason = format!("timed out; {there} others had arrived before, and their round was not over");
            self.conclude_alone((request.process, request.id), OutcomeKind::TimedOut, reason, turn);
            self.contender_wins(name, &request.member, turn);
        }
        self.set_overflow_timer(name);
    }

    fn contender_wins(&mut self, name: &Rc<str>, member: &Rc<str>, turn: &mut Turn<'_>) {
        let Some(contender) = self.forming(name).and_then(|round| round.contenders.remove(member)) else { return };
        self.timers.cancel(&Timer::Contend(name.clone(), member.clone()));
        self.remove_replaced(name, member, turn);
        self.admit_free(name, contender, turn);
    }

    /// Asks the silent members of this round for a sign of life.
    fn check_silent(&mut self, name: &Rc<str>, turn: &mut Turn<'_>) {
        let Some(round) = self.round(name) else { return };
        let silent =
            |process: &Process| turn.presence.heard(*process).is_some_and(|heard| turn.now.since(heard) >= CHECK_EVERY);
        let silent: BTreeSet<Process> =
            round.present.values().map(|there| there.process).filter(|process| silent(process)).collect();
        self.timers.set(Timer::Silence(name.clone()), turn.now + CHECK_EVERY);
        for process in silent {
            self.ask(process, name, turn);
        }
    }
}

/// Returns the reason of a round that a member aborts.
fn aborted(member: &str, why: &str) -> String {
    format!("{member} aborted: {why}")
}

fn tell((process, id): Arrival, outcome: Rc<Outcome>, turn: &mut Turn<'_>) {
    turn.acts.push(Act::Tell { process, ids: vec![id], outcome });
}

/// Removes a meeting from those of a process.
fn forget(places: &mut BTreeMap<Process, BTreeSet<Rc<str>>>, process: Process, name: &str) {
    if let Some(names) = places.get_mut(&process) {
        names.remove(name);
        if names.is_empty() {
            places.remove(&process);
        }
    }
}

impl Meeting {
    fn is_empty(&self) -> bool {
        self.forming.is_none() && self.failed_round.is_none()
    }
}
