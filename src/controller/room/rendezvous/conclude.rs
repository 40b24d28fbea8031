//! How a round ends: all members get one outcome. A failed round is kept for its audience, and the overflow begins the
//! next round.

use std::rc::Rc;
use std::time::Duration;

use super::acts::{Act, Decision};
use super::arrival::{Arrival, ArrivalRequest};
use super::arrival_error::ArrivalError;
use super::arrivals::REFUSED_MAX;
use super::ending::Ending;
use super::memory::{OUTCOME_COST, UNCONFIRMED_COST, cost};
use super::outcome::Outcome;
use super::past_round::{Audience, PastRound};
use super::round::{Round, WHO_MAX};
use super::turn::Turn;
use super::{Meeting, Rendezvous, Timer, forget, tell};
use crate::machine::Time;
use crate::machine::faults::{Fault, injected};
use crate::wire::rendezvous::{OutcomeKind, Party};

/// How long a failed round is kept for late members if no member named a timeout.
pub const FAILED_ROUND_KEPT: Duration = Duration::from_secs(60);

/// How long a failed round is kept at most.
pub const FAILED_ROUND_KEPT_MAX: Duration = Duration::from_secs(3600);

/// How far in the future the instant of a harmonized release is.
pub const HARMONIZE_LEAD: Duration = Duration::from_millis(50);

/// The extra lead for each process, because the outcomes are sent one after another.
const HARMONIZE_LEAD_PER_PROCESS: Duration = Duration::from_micros(20);

impl Rendezvous {
    /// Ends the round that forms. All its members get one outcome.
    pub(super) fn end(&mut self, name: &Rc<str>, ending: Ending, turn: &mut Turn<'_>) {
        self.end_by(name, ending, None, turn);
    }

    /// Ends the round that forms. All its members get one outcome. `by`: an arrival that is not in the round ends it, and
    /// gets the outcome too.
    pub(super) fn end_by(&mut self, name: &Rc<str>, ending: Ending, by: Option<&ArrivalRequest>, turn: &mut Turn<'_>) {
        let Some(mut round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.take()) else { return };
        let number = self.last_round + u64::from(!injected(Fault::RoundsShareANumber));
        let Ending { kind, mut who, reason } = ending;
        who.truncate(WHO_MAX);
        let (released, members) = (kind == OutcomeKind::Released, round.present.len());
        let line = if released { (turn.line)(name, number, &round.present) } else { None };
        let lead = HARMONIZE_LEAD + HARMONIZE_LEAD_PER_PROCESS * members as u32;
        let at = (released && round.harmonize).then(|| turn.now + lead);
        let outcome = Outcome::new((number, kind), (who, reason), at, line, &self.budget);
        let audience = (!released).then(|| self.audience_of(&round, kind, by, turn.now));
        self.cancel_timers_of(name);
        self.unmark_abandoned(name);
        let next = round.take_next();
        let mut arrivals: Vec<Arrival> = Vec::with_capacity(members);
        self.waiting -= members;
        for (member, there) in round.present {
            let arrival = (there.process, there.id);
            match there.withdrawn {
                true => self.arrivals.remove(&arrival),
                false => arrivals.push(arrival),
            }
            if there.away {
                self.timers.cancel(&Timer::Away(name.clone(), member));
            }
        }
        arrivals.extend(by.map(|by| (by.process, by.id)));
        for (member, contender) in round.contenders {
            self.timers.cancel(&Timer::Contend(name.clone(), member.clone()));
            let arrival = (contender.process, contender.id);
            if released {
                let error = ArrivalError::Released { meeting: name.to_string(), member: member.to_string() };
                self.refuse(arrival, &error, turn);
            } else {
                arrivals.push(arrival);
            }
        }
        arrivals.sort_unstable();
        let past = Rc::new(PastRound { outcome: outcome.clone(), arrivals, audience });
        self.decide(name, Decision::Over(past.clone()), turn);
        turn.acts.push(Act::Met { meeting: name.clone(), outcome: outcome.clone(), members });
        for group in past.arrivals.chunk_by(|one, other| one.0 == other.0) {
            let process = group[0].0;
            if !self.asked.is_empty() {
                forget(&mut self.asked, process, name);
            }
            let ids = group.iter().map(|arrival| arrival.1).collect();
            turn.acts.push(Act::Tell { process, ids, outcome: outcome.clone() });
        }
        match next {
            Some(next) => self.begin(name, next, turn),
            None => self.tidy(name),
        }
    }

    /// Returns the members for which a round is kept that fails now.
    fn audience_of(&self, round: &Round, kind: OutcomeKind, by: Option<&ArrivalRequest>, now: Time) -> Audience {
        let timeout = round.patience.map(|(_, timeout)| timeout).or(by.and_then(|by| by.timeout));
        let until = now + timeout.unwrap_or(FAILED_ROUND_KEPT).min(FAILED_ROUND_KEPT_MAX);
        // The members of the other party join the audience if there is memory for their names.
        let fits = |by: &ArrivalRequest, party: &Party| by.held.is_some() || self.budget.admit(cost(party)).is_ok();
        let disagrees = by.filter(|_| kind == OutcomeKind::Disagreed);
        let other = disagrees.and_then(|by| by.party.as_ref().filter(|party| fits(by, party)));
        let informed = round.present.keys().chain(by.map(|by| &by.member)).cloned().collect();
        Audience { agreed: round.agreed.clone(), informed, other: other.cloned(), until }
    }

    /// Begins the next round with members from the overflow. Their contenders stay.
    fn begin(&mut self, name: &Rc<str>, next: Round, turn: &mut Turn<'_>) {
        let contended = next.contenders.keys().filter_map(|member| next.holder(member));
        let contended: Vec<_> = contended.map(|(process, _)| process).collect();
        self.meetings.entry(name.clone()).or_default().forming = Some(next);
        for process in contended {
            self.ask(process, name, turn);
        }
        self.promote(name, turn);
    }

    /// Removes a meeting if it is empty.
    pub(super) fn tidy(&mut self, name: &str) {
        if self.meetings.get(name).is_some_and(Meeting::is_empty) {
            self.meetings.remove(name);
        }
    }

    /// Refuses one arrival. The round continues without it.
    pub fn refuse(&mut self, arrival: Arrival, error: &ArrivalError, turn: &mut Turn<'_>) {
        self.conclude_alone(arrival, OutcomeKind::Refused, error.to_string(), turn);
    }

    pub(super) fn conclude_alone(&mut self, arrival: Arrival, kind: OutcomeKind, reason: String, turn: &mut Turn<'_>) {
        let cost = OUTCOME_COST + reason.len();
        let remembers = self.budget.has_room_for(cost + UNCONFIRMED_COST);
        let held = self.budget.hold(if remembers { cost } else { 0 });
        let outcome = Rc::new(Outcome { round: 0, kind, who: Vec::new(), reason, at: None, line: None, held });
        if !remembers {
            // The refusal is not remembered because memory is short. The arrival is judged again when it is repeated.
            self.arrivals.remove(&arrival);
        } else if self.arrivals.len() < REFUSED_MAX || self.arrivals.get(&arrival).is_some() {
            self.record_outcome(arrival, outcome.clone(), turn.now);
        }
        tell(arrival, outcome, turn);
    }
}
