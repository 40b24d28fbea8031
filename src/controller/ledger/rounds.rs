//! Rounds of barriers and syncs as a ledger has them.

use std::borrow::Cow;
use std::rc::Rc;

use crate::controller::ledger::fact::{Fact, Stands};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{self, Arrival, Former, Process};
use crate::machine::Bytes;

/// The map of a round, which comes before it.
pub fn map_of(former: &Former) -> Option<&[u8]> {
    former.line.as_ref().map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Returns the fact that a round is over.
pub fn round_fact<'a>(room: &'a str, kind: Meeting, meeting: &'a str, former: &'a Former) -> Fact<'a> {
    Fact::Round {
        room: Cow::from(room),
        kind,
        meeting: Cow::from(meeting),
        round: former.round,
        verdict: former.kind,
        who: former.who.clone(),
        reason: Cow::from(&former.reason),
        at: former.at,
        arrivals: by_process(&former.arrivals),
        stands: former.stands.as_ref().map(|stands| Stands {
            party: stands.party().clone(),
            told: stands.told.iter().map(|member| member.to_string()).collect(),
            other: stands.other.clone(),
            until: stands.until,
        }),
    }
}

/// Arrivals as a ledger has them.
pub fn by_process(arrivals: &[Arrival]) -> Vec<(u64, Vec<u64>)> {
    let ids = |group: &[Arrival]| (group[0].0.0, group.iter().map(|arrival| arrival.1).collect());
    arrivals.chunk_by(|one, other| one.0 == other.0).map(ids).collect()
}

/// Arrivals from a ledger.
pub fn arrivals_of(by_process: &[(u64, Vec<u64>)]) -> Vec<Arrival> {
    by_process.iter().flat_map(|(process, ids)| ids.iter().map(|id| (Process(*process), *id))).collect()
}

/// A round as its meeting takes it up.
pub fn former(fact: &Fact<'_>, line: Option<Bytes>) -> Former {
    let Fact::Round { round, verdict, who, reason, at, arrivals, stands, .. } = fact else {
        unreachable!("only rounds are asked for");
    };
    let stands = stands.as_ref().map(|stands| {
        let told = stands.told.iter().map(|member| Rc::from(&**member));
        rendezvous::Stands::new(&stands.party, told, stands.other.clone(), stands.until)
    });
    Former {
        round: *round,
        kind: *verdict,
        who: who.clone(),
        reason: reason.to_string(),
        at: *at,
        line,
        arrivals: arrivals_of(arrivals),
        stands,
    }
}
