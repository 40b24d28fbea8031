//! Barriers: members wait at a name until all are there and alive, or the time is up, or one cannot go on.
//!
//! The rounds are those of the [rendezvous](crate::controller::room::rendezvous); a barrier adds that nobody carries anything,
//! but what its arrival costs, and that a lost member fails the round.

use std::rc::Rc;
use std::time::Duration;

use crate::controller::room::rendezvous::{ARRIVAL_COST, Act, ArrivalRequest, Presence, Process, Rendezvous, Turn};
use crate::controller::session::budget::Held;
use crate::machine::Time;
use crate::wire::rendezvous::{Arrive, FRESH, Party};

/// How much of an aborting member's reason is told, in characters.
const REASON_MAX: usize = 2_000;

/// The barriers of one room.
#[derive(Debug, Default)]
pub struct Barriers {
    pub meetings: Rendezvous<Held>,
}

/// Everything that a barrier works with.
pub fn turn<'a>(now: Time, presence: &'a dyn Presence, acts: &'a mut Vec<Act>) -> Turn<'a, Held> {
    Turn { now, presence, line: &|_, _, _| None, acts }
}

impl Barriers {
    /// A member arrives; `party` is as it says it with groups resolved, the rest as the test declares it.
    pub fn arrive(
        &mut self,
        process: Process,
        arrive: &Arrive<'_>,
        party: Result<Option<Party>, String>,
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
            Err(reason) => return self.meetings.refuse(arrival, reason, turn),
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
