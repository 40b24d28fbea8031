//! Conversions between the decisions of meetings and their facts.

use std::borrow::Cow;
use std::rc::Rc;

use crate::controller::ledger::fact::{Audience, Fact};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{self, Arrival, Decision, Outcome, PastRound, Process};
use crate::controller::session::budget::Budget;
use crate::machine::Bytes;

/// Returns the map of a round, which is a fact of its own before the round.
pub fn map_of(past: &PastRound) -> Option<&[u8]> {
    past.outcome.line.as_ref().map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Returns the fact that a round is over.
pub fn round_fact<'a>(room: &'a str, kind: Meeting, meeting: &'a str, past: &'a PastRound) -> Fact<'a> {
    let Outcome { round, kind: verdict, who, reason, at, .. } = &*past.outcome;
    Fact::Round {
        room: Cow::from(room),
        kind,
        meeting: Cow::from(meeting),
        round: *round,
        verdict: *verdict,
        who: who.clone(),
        reason: Cow::from(reason),
        at: *at,
        arrivals: by_process(&past.arrivals),
        audience: past.audience.as_ref().map(|audience| Audience {
            party: audience.party().clone(),
            informed: audience.informed.iter().map(|member| member.to_string()).collect(),
            other: audience.other.clone(),
            until: audience.until,
        }),
    }
}

/// Groups arrivals by process, as facts have them.
pub fn by_process(arrivals: &[Arrival]) -> Vec<(u64, Vec<u64>)> {
    let ids = |group: &[Arrival]| (group[0].0.0, group.iter().map(|arrival| arrival.1).collect());
    arrivals.chunk_by(|one, other| one.0 == other.0).map(ids).collect()
}

/// Returns the arrivals of a fact.
pub fn arrivals_of(by_process: &[(u64, Vec<u64>)]) -> Vec<Arrival> {
    by_process.iter().flat_map(|(process, ids)| ids.iter().map(|id| (Process(*process), *id))).collect()
}

/// Returns the decision of a fact, with its room and its meeting. `map` is the fact before it.
pub fn decision_of<'a>(
    fact: &'a Fact<'_>,
    map: Option<Bytes>,
    budget: &Budget,
) -> Option<(&'a str, Meeting, &'a str, Decision)> {
    let (room, kind, meeting, decision) = match fact {
        Fact::Round { room, kind, meeting, round, verdict, who, reason, at, arrivals, audience } => {
            let words = (who.clone(), reason.to_string());
            let outcome = Outcome::new((*round, *verdict), words, *at, map, budget);
            let audience = audience.as_ref().map(|audience| {
                let informed = audience.informed.iter().map(|member| Rc::from(&**member));
                rendezvous::Audience::new(&audience.party, informed, audience.other.clone(), audience.until)
            });
            let past = PastRound { outcome, arrivals: arrivals_of(arrivals), audience };
            (room, kind, meeting, Decision::Over(Rc::new(past)))
        }
        Fact::Late { room, kind, meeting, member, process, id } => {
            let (member, arrival) = (Rc::from(&**member), (Process(*process), *id));
            (room, kind, meeting, Decision::Late { member, arrival })
        }
        Fact::FailedRoundDropped { room, kind, meeting } => (room, kind, meeting, Decision::FailedRoundDropped),
        _ => return None,
    };
    Some((&**room, *kind, &**meeting, decision))
}
