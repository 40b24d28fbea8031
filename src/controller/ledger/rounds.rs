//! Conversions between rounds and their facts.

use std::borrow::Cow;
use std::rc::Rc;

use crate::controller::ledger::fact::{Audience, Fact};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{self, Arrival, PastRound, Process};
use crate::machine::Bytes;

/// Returns the map of a round, which is a fact of its own before the round.
pub fn map_of(past: &PastRound) -> Option<&[u8]> {
    past.line.as_ref().map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Returns the fact that a round is over.
pub fn round_fact<'a>(room: &'a str, kind: Meeting, meeting: &'a str, past: &'a PastRound) -> Fact<'a> {
    Fact::Round {
        room: Cow::from(room),
        kind,
        meeting: Cow::from(meeting),
        round: past.round,
        verdict: past.kind,
        who: past.who.clone(),
        reason: Cow::from(&past.reason),
        at: past.at,
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

/// Returns the round of a fact, to restore it.
pub fn past_round(fact: &Fact<'_>, line: Option<Bytes>) -> PastRound {
    let Fact::Round { round, verdict, who, reason, at, arrivals, audience, .. } = fact else {
        unreachable!("the caller passes a round");
    };
    let audience = audience.as_ref().map(|audience| {
        let informed = audience.informed.iter().map(|member| Rc::from(&**member));
        rendezvous::Audience::new(&audience.party, informed, audience.other.clone(), audience.until)
    });
    PastRound {
        round: *round,
        kind: *verdict,
        who: who.clone(),
        reason: reason.to_string(),
        at: *at,
        line,
        arrivals: arrivals_of(arrivals),
        audience,
    }
}
