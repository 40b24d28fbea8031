//! Syncs: each member of a session gives a value, and all receive the map of all values, in the same bytes.
//!
//! The [rendezvous](crate::controller::room::rendezvous) forms the rounds. A sync adds the values, their limits and the
//! map. A lost member fails the round only if a member requests that all stay alive.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::controller::room::rendezvous::{
    ARRIVAL_COST, ArrivalError, ArrivalRequest, Assembly, Process, Rendezvous, Turn, Value,
};
use crate::machine::Bytes;
use crate::machine::faults::{Fault, injected};
use crate::wire::rendezvous::{FRESH, Give, Map, Party, SESSION_MAX, SYNC_TIMEOUT, VALUE_MAX};
use crate::wire::{Message, RawJson};

/// How many sessions with the longest values fit into memory: each holds its values and its map.
const FULL_SESSIONS: usize = 2;

/// The memory that a process may always hold besides its value, in bytes: its arrival, and the names of a small party.
const AROUND_A_VALUE: usize = 64 * 1024;

/// The default limit for the files that all slaves of a run ship, in bytes.
pub const OUTPUT_MAX: u64 = 64 << 30;

/// The default limit for the events of a run.
pub const EVENTS_MAX: u64 = 10_000_000;

/// The default limit for the other records of a run, in bytes: twice the usual size of [`EVENTS_MAX`] events.
pub const RECORD_MAX: u64 = 8 << 30;

/// How many disconnected processes are remembered although nothing is owed to them, and as many that have notified and
/// not said goodbye. Beyond that, the earliest are forgotten. Processes with an unconfirmed outcome are bounded by the
/// memory for outcomes.
pub const AWAY_MAX: usize = 100_000;

/// Limits for what peers can make grow, where a lab may need other values than the defaults.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Limits {
    /// One value of a sync, in bytes of JSON.
    pub value: usize,
    /// All values of a session together, in bytes.
    pub session: usize,
    /// The memory for all members together, in bytes.
    pub memory: usize,
    /// The files that all slaves of a run ship, in bytes.
    pub output: u64,
    /// The events of a run.
    pub events: u64,
    /// The disconnected processes that are remembered although nothing is owed to them.
    #[serde(default = "away_max")]
    pub away: usize,
    /// The other records of a run, in bytes.
    pub record: u64,
}

fn away_max() -> usize {
    AWAY_MAX
}

impl Limits {
    /// Returns limits with defaults for `None`. A default grows if a given limit would not fit into it.
    pub fn new(value: Option<usize>, session: Option<usize>, memory: Option<usize>) -> Limits {
        let value = value.unwrap_or(VALUE_MAX);
        let session = session.unwrap_or(SESSION_MAX.max(value));
        let full = session.max(SESSION_MAX).saturating_mul(2 * FULL_SESSIONS);
        Limits {
            value,
            session,
            memory: memory.unwrap_or(full),
            output: OUTPUT_MAX,
            events: EVENTS_MAX,
            away: AWAY_MAX,
            record: RECORD_MAX,
        }
    }

    /// Returns what each process may always hold, in bytes: the longest value, its place in the map, and the rest of an
    /// arrival.
    pub fn least(&self) -> usize {
        self.value.saturating_mul(2).saturating_add(AROUND_A_VALUE)
    }

    /// Returns these limits with the limits of one run replaced.
    pub fn of_a_run(self, output: Option<u64>, events: Option<u64>, record: Option<u64>) -> Limits {
        let (output, events) = (output.unwrap_or(self.output), events.unwrap_or(self.events));
        Limits { output, events, record: record.unwrap_or(self.record), ..self }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::new(None, None, None)
    }
}

/// Handles the value of a member. `party` is what the member declares, with groups resolved; `declared` is what the
/// test declares.
pub fn give(
    meetings: &mut Rendezvous,
    limits: Limits,
    process: Process,
    give: &Give<'_>,
    party: Result<Option<Party>, ArrivalError>,
    declared: (Option<&Party>, Option<Duration>),
    turn: &mut Turn<'_>,
) {
    let arrival = (process, give.id);
    if meetings.again(arrival, turn) {
        return;
    }
    let value = give.value.json.get();
    let within = party.and_then(|party| within_limits(meetings, limits, &give.session, value.len()).map(|()| party));
    // The value is counted twice because its copy in the map exists before the values are dropped.
    let cost = ARRIVAL_COST + 2 * (give.member.len() + value.len());
    let admitted = within.and_then(|party| Ok((party, meetings.budget().admit_for(turn.asker(process), cost)?)));
    let (party, held) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => return meetings.refuse(arrival, &error, turn),
    };
    let timeout = give.timeout.map(Duration::from_micros).or(declared.1);
    let request = ArrivalRequest {
        process,
        id: give.id,
        member: Rc::from(&*give.member),
        party,
        timeout: Some(timeout.unwrap_or(Duration::from_micros(SYNC_TIMEOUT))),
        fresh: Duration::from_micros(FRESH),
        alive: give.all_alive,
        harmonize: false,
        abort: None,
        held: None,
        value: Value { json: Box::from(value), held },
    };
    meetings.arrive(&give.session, request, declared.0, turn);
}

fn within_limits(meetings: &Rendezvous, limits: Limits, session: &str, length: usize) -> Result<(), ArrivalError> {
    let Limits { value, session: all, .. } = limits;
    if length > value {
        return Err(ArrivalError::Value { max: value, length: Some(length) });
    }
    let given = meetings.weight(session);
    if given + length > all {
        return Err(ArrivalError::Session { max: all, given, length });
    }
    Ok(())
}

/// Returns the map of all values as a line. It is built once for all members, because it may be as long as all values
/// together.
pub fn map(room: &str, session: &str, round: u64, there: &Assembly) -> Bytes {
    let empty = serde_json::value::RawValue::NULL;
    let head = Map { room: Cow::from(room), session: Cow::from(session), round, map: RawJson { json: empty } };
    let mut head = head.encode().to_vec();
    head.truncate(head.len() - "null}\n".len());
    // Each value follows a comma or a brace, the name of its member, and a colon.
    let mut names = Vec::with_capacity(there.len());
    let left_out = usize::from(injected(Fault::MapLacksAValue));
    for (nr, member) in there.keys().take(there.len() - left_out).enumerate() {
        let mut name = vec![if nr == 0 { b'{' } else { b',' }];
        serde_json::to_writer(&mut name, &**member).expect("a string always encodes");
        name.push(b':');
        names.push(name);
    }
    let values = there.values().map(|there| there.value.json.as_bytes());
    let pairs = names.iter().zip(values).flat_map(|(name, value)| [name, value]);
    let pieces = || std::iter::once(&head[..]).chain(pairs.clone()).chain(std::iter::once(&b"}}\n"[..]));
    let length = pieces().map(<[u8]>::len).sum();
    let mut line: Bytes = std::iter::repeat_n(0, length).collect();
    let mut rest = Rc::get_mut(&mut line).expect("the line has one owner here");
    for piece in pieces() {
        let (place, after) = rest.split_at_mut(piece.len());
        place.copy_from_slice(piece);
        rest = after;
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::controller::room::rendezvous::Participant;
    use crate::controller::session::budget::Held;
    use crate::wire::FromController;

    #[test]
    fn the_map_is_a_message_with_every_value_as_it_was_given() {
        let there = |value: &str| Participant {
            process: Process(1),
            id: 1,
            value: Value { json: Box::from(value), held: Held::default() },
            patience: None,
            away: false,
            withdrawn: false,
            lost: false,
        };
        let all = BTreeMap::from([(Rc::from("b\"\\"), there("1e3")), (Rc::from("a#1"), there("{\"x\": [ ]}"))]);
        let line = map("r", "s", 7, &all);
        let Ok(FromController::Map(map)) = FromController::decode(&line[..line.len() - 1]) else { panic!("no map") };
        assert_eq!((&*map.room, &*map.session, map.round), ("r", "s", 7));
        assert_eq!(map.map.json.get(), r#"{"a#1":{"x": [ ]},"b\"\\":1e3}"#);
    }
}
