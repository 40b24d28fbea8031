//! How a round ends: all members get one outcome. A failed round is kept for its audience, and the overflow begins the
//! next round.

use std::rc::Rc;
use std::time::Duration;

use super::acts::Act;
use super::arrival::{Arrival, ArrivalRequest};
use super::arrival_error::ArrivalError;
use super::arrivals::{ARRIVALS_MAX, REFUSED_MAX};
use super::ending::Ending;
use super::failed_round::FailedRound;
use super::memory::{OUTCOME_COST, UNCONFIRMED_COST, cost};
use super::outcome::Outcome;
use super::past_round::Audience;
use super::round::{Round, WHO_MAX};
use super::turn::Turn;
use super::{Meeting, Rendezvous, Timer, forget, tell};
use crate::controller::session::budget::SharedLine;
use crate::machine::faults::{Fault, injected};
use crate::wire::rendezvous::OutcomeKind;

/// How long a failed round is kept for late members if no member named a timeout.
pub const FAILED_ROUND_KEPT: Duration = Duration::from_secs(60);

/// How long a failed round is kept at most.
pub const FAILED_ROUND_KEPT_MAX: Duration = Duration::from_secs(3600);

/// How far in the future the instant of a harmonized release is.
pub const HARMONIZE_LEAD: Duration = Duration::from_millis(50);

/// The extra lead for each process, because the outcomes are sent one after another.
const HARMONIZE_LEAD_PER_PROCESS: Duration = Duration::from_micros(20);

impl<V: PartialEq> Rendezvous<V> {
    /// Fails the round that forms because of an arrival that is not in it. That arrival gets the outcome as well.
    pub(super) fn fail(
        &mut self,
        name: &Rc<str>,
        request: ArrivalRequest<V>,
        kind: OutcomeKind,
        (who, reason): (Vec<String>, String),
        turn: &mut Turn<'_, V>,
    ) {
        let other = request.party.as_ref().filter(|_| kind == OutcomeKind::Disagreed);
        // The members of the other party join the audience if there is memory for their names.
        let other = other.filter(|party| request.held.is_some() || self.budget.admit(cost(party)).is_ok());
        let ending = Ending { kind, who, reason, other, timeout: request.timeout };
        let Some(outcome) = self.end(name, ending, turn) else { return };
        let (arrival, member) = ((request.process, request.id), request.member);
        turn.acts.push(Act::Late { meeting: name.clone(), member: member.clone(), arrival, ends: true });
        self.deliver_late(name, &member);
        self.conclude(arrival, outcome, turn);
    }

    /// Ends the round that forms. All its members get one outcome.
    pub(super) fn end(&mut self, name: &Rc<str>, ending: Ending<'_>, turn: &mut Turn<'_, V>) -> Option<Rc<Outcome>> {
        let mut round = self.meetings.get_mut(name)?.forming.take()?;
        self.last_round += u64::from(!injected(Fault::RoundsShareANumber));
        let Ending { kind, mut who, reason, other, timeout } = ending;
        who.truncate(WHO_MAX);
        let released = kind == OutcomeKind::Released;
        let line = if released { (turn.line)(name, self.last_round, &round.present) } else { None };
        let lead = HARMONIZE_LEAD + HARMONIZE_LEAD_PER_PROCESS * round.present.len() as u32;
        let at = (released && round.harmonize).then(|| turn.now + lead);
        let line = line.map(|line| SharedLine::new(line, &self.budget));
        let held = self.budget.hold(OUTCOME_COST + reason.len());
        let outcome = Rc::new(Outcome { round: self.last_round, kind, who, reason, at, line, held });
        let mut audience = None;
        if !released {
            let timeout = round.patience.map(|(_, timeout)| timeout).or(timeout);
            let until = turn.now + timeout.unwrap_or(FAILED_ROUND_KEPT).min(FAILED_ROUND_KEPT_MAX);
            let informed = round.present.keys().cloned().collect();
            let failed_round =
                FailedRound::new(round.agreed.clone(), informed, &outcome, other, until, round.held.clone());
            audience = Some(failed_round.audience());
            self.keep_failed_round(name, failed_round);
        }
        self.cancel_timers_of(name);
        self.unmark_abandoned(name);
        let next = round.take_next();
        self.deliver(name, round, &outcome, audience, turn);
        match next {
            Some(next) => self.begin(name, next, turn),
            None => self.tidy(name),
        }
        Some(outcome)
    }

    /// Begins the next round with members from the overflow. Their contenders stay.
    fn begin(&mut self, name: &Rc<str>, next: Round<V>, turn: &mut Turn<'_, V>) {
        let contended = next.contenders.keys().filter_map(|member| next.holder(member));
        let contended: Vec<_> = contended.map(|(process, _)| process).collect();
        if let Some(meeting) = self.meetings.get_mut(name) {
            meeting.forming = Some(next);
        }
        for process in contended {
            self.ask(process, name, turn);
        }
        self.promote(name, turn);
    }

    /// Sends the outcome to every member of a round, one act per process.
    fn deliver(
        &mut self,
        name: &Rc<str>,
        mut round: Round<V>,
        outcome: &Rc<Outcome>,
        audience: Option<Audience>,
        turn: &mut Turn<'_, V>,
    ) {
        let members = round.present.len();
        let mut arrivals: Vec<Arrival> = Vec::with_capacity(round.present.len());
        self.waiting -= round.present.len();
        for (member, there) in &round.present {
            if there.away {
                self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
            }
            let arrival = (there.process, there.id);
            if there.withdrawn {
                self.arrivals.remove(&arrival);
            } else {
                arrivals.push(arrival);
            }
        }
        let contenders = std::mem::take(&mut round.contenders);
        if outcome.kind != OutcomeKind::Released {
            arrivals.extend(contenders.values().map(|contender| (contender.process, contender.id)));
        }
        arrivals.sort_unstable();
        let (meeting, of) = (name.clone(), arrivals.clone());
        turn.acts.push(Act::Over { meeting, outcome: outcome.clone(), members, arrivals: of, audience });
        for (member, contender) in contenders {
            self.timers.cancel(&Timer::Contend(name.clone(), member.clone()));
            if outcome.kind == OutcomeKind::Released {
                let error = ArrivalError::Released { meeting: name.to_string(), member: member.to_string() };
                self.refuse((contender.process, contender.id), &error, turn);
            }
        }
        for group in arrivals.chunk_by(|one, other| one.0 == other.0) {
            let process = group[0].0;
            if !self.asked.is_empty() {
                forget(&mut self.asked, process, name);
            }
            for arrival in group {
                debug_assert!(self.arrivals.get(arrival).is_some(), "each member has an arrival");
                match injected(Fault::VerdictToldOnce) {
                    true => self.arrivals.remove(arrival),
                    false => self.record_outcome(*arrival, outcome.clone(), turn.now),
                }
            }
            let ids = group.iter().map(|arrival| arrival.1).collect();
            turn.acts.push(Act::Tell { process, ids, outcome: outcome.clone() });
        }
    }

    /// Keeps a failed round for its audience, unless the audience is empty.
    pub(super) fn keep_failed_round(&mut self, name: &Rc<str>, failed_round: FailedRound) {
        let (audience, until, size) = (!failed_round.is_delivered(), failed_round.until, failed_round.size());
        let Some(meeting) = self.meetings.get_mut(name) else { return };
        if let Some(old) = std::mem::replace(&mut meeting.failed_round, audience.then_some(failed_round)) {
            self.failed.remove(&(old.size(), name.clone()));
        }
        if audience {
            self.failed.insert((size, name.clone()));
        }
        match audience {
            true => self.timers.set(Timer::FailedRound(name.clone()), until),
            false => self.timers.cancel(&Timer::FailedRound(name.clone())),
        }
    }

    /// Returns the outcome of a failed round for a late member. When the whole audience has it, the failed round is
    /// dropped.
    pub(super) fn deliver_late(&mut self, name: &str, member: &Rc<str>) -> Option<Rc<Outcome>> {
        let failed_round = self.meetings.get_mut(name)?.failed_round.as_mut()?;
        let outcome = failed_round.outcome_for(member);
        if failed_round.is_delivered() {
            self.drop_failed_round(name);
        }
        outcome
    }

    /// Drops the failed round of a meeting.
    pub(super) fn drop_failed_round(&mut self, name: &str) {
        let failed_round = self.meetings.get_mut(name).and_then(|meeting| meeting.failed_round.take());
        if let Some(failed_round) = failed_round {
            self.failed.remove(&(failed_round.size(), Rc::from(name)));
        }
        self.timers.cancel(&Timer::FailedRound(Rc::from(name)));
        self.tidy(name);
    }

    /// Removes a meeting if it is empty.
    pub(super) fn tidy(&mut self, name: &str) {
        if self.meetings.get(name).is_some_and(Meeting::is_empty) {
            self.meetings.remove(name);
        }
    }

    pub(super) fn conclude(&mut self, arrival: Arrival, outcome: Rc<Outcome>, turn: &mut Turn<'_, V>) {
        let max = if outcome.round == 0 { REFUSED_MAX } else { ARRIVALS_MAX };
        if self.arrivals.len() < max || self.arrivals.get(&arrival).is_some() {
            self.record_outcome(arrival, outcome.clone(), turn.now);
        }
        tell(arrival, outcome, turn);
    }

    /// Refuses one arrival. The round continues without it.
    pub fn refuse(&mut self, arrival: Arrival, error: &ArrivalError, turn: &mut Turn<'_, V>) {
        self.conclude_alone(arrival, OutcomeKind::Refused, error.to_string(), turn);
    }

    pub(super) fn conclude_alone(
        &mut self,
        arrival: Arrival,
        kind: OutcomeKind,
        reason: String,
        turn: &mut Turn<'_, V>,
    ) {
        let cost = OUTCOME_COST + reason.len();
        let remembers = self.budget.has_room_for(cost + UNCONFIRMED_COST);
        let held = self.budget.hold(if remembers { cost } else { 0 });
        let outcome = Rc::new(Outcome { round: 0, kind, who: Vec::new(), reason, at: None, line: None, held });
        if remembers {
            return self.conclude(arrival, outcome, turn);
        }
        // The refusal is not remembered because memory is short. The arrival is judged again when it is repeated.
        self.arrivals.remove(&arrival);
        tell(arrival, outcome, turn);
    }
}
