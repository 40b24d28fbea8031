//! Barriers: members wait at a name until all have arrived and are alive, or the timeout expires, or a member aborts.
//!
//! The [rendezvous](crate::controller::room::rendezvous) forms the rounds. A barrier carries no values, only what an
//! arrival costs, and its round fails when a member is lost.

use std::rc::Rc;
use std::time::Duration;

use crate::controller::room::rendezvous::{
    ARRIVAL_COST, ArrivalError, ArrivalRequest, Process, Rendezvous, Turn, Value,
};
use crate::wire::rendezvous::{Arrive, FRESH, Party};

/// The longest reason of an aborting member that others receive, in characters.
const REASON_MAX: usize = 2_000;

/// Handles the arrival of a member. `party` is what the member declares, with groups resolved; `declared` is what
/// the test declares.
pub fn arrive(
    meetings: &mut Rendezvous,
    process: Process,
    arrive: &Arrive<'_>,
    party: Result<Option<Party>, ArrivalError>,
    declared: (Option<&Party>, Option<Duration>),
    turn: &mut Turn<'_>,
) {
    let arrival = (process, arrive.id);
    let shorten = |reason: &str| reason.chars().take(REASON_MAX).collect();
    let abort: Option<String> = arrive.abort.as_deref().map(shorten);
    let cost = ARRIVAL_COST + arrive.member.len() + abort.as_ref().map_or(0, String::len);
    let admitted = party.and_then(|party| Ok((party, meetings.budget().admit_for(turn.asker(process), cost)?)));
    let (party, held) = match admitted {
        Ok(admitted) => admitted,
        Err(_) if meetings.again(arrival, turn) => return,
        Err(error) => return meetings.refuse(arrival, &error, turn),
    };
    let request = ArrivalRequest {
        process,
        id: arrive.id,
        member: Rc::from(&*arrive.member),
        party,
        timeout: arrive.timeout.map(Duration::from_micros).or(declared.1),
        fresh: Duration::from_micros(arrive.fresh.unwrap_or(FRESH)),
        alive: true,
        harmonize: arrive.harmonize,
        abort,
        value: Value { json: Box::default(), held },
        held: None,
    };
    meetings.arrive(&arrive.barrier, request, declared.0, turn);
}
