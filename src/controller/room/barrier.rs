//! Barriers: members wait at a name until all have arrived and are alive, or the timeout expires, or a member aborts.
//!
//! The [rendezvous](crate::controller::room::rendezvous) forms the rounds. A barrier carries no values, only what an
//! arrival costs, and its round fails when a member is lost.

use std::rc::Rc;
use std::time::Duration;

use crate::controller::room::rendezvous::{
    ARRIVAL_COST, Act, ArrivalError, ArrivalRequest, Presence, Process, Rendezvous, Turn,
};
use crate::controller::session::budget::Held;
use crate::machine::Time;
use crate::wire::rendezvous::{Arrive, FRESH, Party};

/// The longest reason of an aborting member that others receive, in characters.
const REASON_MAX: usize = 2_000;

/// The barriers of one room.
#[derive(Debug, Default)]
pub struct Barriers {
    pub meetings: Rendezvous<Held>,
}

/// Returns the context for a call of the rendezvous.
pub fn turn<'a>(now: Time, presence: &'a dyn Presence, acts: &'a mut Vec<Act>) -> Turn<'a, Held> {
    Turn { now, presence, line: &|_, _, _| None, acts }
}

impl Barriers {
    /// Handles the arrival of a member. `party` is what the member declares, with groups resolved; `declared` is what
    /// the test declares.
    pub fn arrive(
        &mut self,
        process: Process,
        arrive: &Arrive<'_>,
        party: Result<Option<Party>, ArrivalError>,
        declared: (Option<&Party>, Option<Duration>),
        turn: &mut Turn<'_, Held>,
    ) {
        let arrival = (process, arrive.id);
        let shorten = |reason: &str| reason.chars().take(REASON_MAX).collect();
        let abort: Option<String> = arrive.abort.as_deref().map(shorten);
        let cost = ARRIVAL_COST + arrive.member.len() + abort.as_ref().map_or(0, String::len);
        let admitted =
            party.and_then(|party| Ok((party, self.meetings.budget().admit_for(turn.asker(process), cost)?)));
        let (party, held) = match admitted {
            Ok(admitted) => admitted,
            Err(_) if self.meetings.again(arrival, turn) => return,
            Err(error) => return self.meetings.refuse(arrival, &error, turn),
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
            value: held,
            weight: 0,
            held: None,
        };
        self.meetings.arrive(&arrive.barrier, request, declared.0, turn);
    }
}
