//! Syncs: every member of a session gives a value, and all get the map of all values, the same bytes.
//!
//! The rounds are those of the [rendezvous](crate::controller::rendezvous); a sync adds the values, their bounds and the
//! map, and that a lost member fails the round only if one of the members wants it so.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use crate::controller::rendezvous::{Act, Assembly, Comer, Presence, Process, Rendezvous, Turn};
use crate::machine::{Bytes, Time};
use crate::wire::rendezvous::{FRESH, Give, Map, Party, SESSION_MAX, SYNC_TIMEOUT, VALUE_MAX};
use crate::wire::{Message, Note};

/// How much the values are in bytes of JSON at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub value: usize,
    /// All values of a session together.
    pub session: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { value: VALUE_MAX, session: SESSION_MAX }
    }
}

/// What a member gives: JSON, as it was written.
pub type Value = Rc<str>;

/// The syncs of one room.
#[derive(Debug, Default)]
pub struct Syncs {
    pub meetings: Rendezvous<Value>,
    pub limits: Limits,
}

/// Does something with everything that a sync works with.
pub fn with_turn<T>(
    room: &str,
    now: Time,
    presence: &dyn Presence,
    acts: &mut Vec<Act>,
    act: impl FnOnce(&mut Turn<'_, Value>) -> T,
) -> T {
    let line = |session: &str, round: u64, there: &Assembly<Value>| Some(map(room, session, round, there));
    act(&mut Turn { now, presence, line: &line, acts })
}

impl Syncs {
    /// A member gives its value; `party` is as it says it with groups resolved, the rest as the test declares it.
    pub fn give(
        &mut self,
        process: Process,
        give: &Give<'_>,
        party: Result<Option<Party>, String>,
        declared: (Option<&Party>, Option<Duration>),
        turn: &mut Turn<'_, Value>,
    ) {
        let arrival = (process, give.id);
        if self.meetings.again(arrival, turn) {
            return;
        }
        let value = give.value.json.get();
        let party = match party.and_then(|party| self.within_limits(&give.session, value.len()).map(|()| party)) {
            Ok(party) => party,
            Err(reason) => return self.meetings.refuse(arrival, reason, turn),
        };
        let timeout = give.timeout.map(Duration::from_micros).or(declared.1);
        let comer = Comer {
            process,
            id: give.id,
            member: Rc::from(&*give.member),
            party,
            timeout: Some(timeout.unwrap_or(Duration::from_micros(SYNC_TIMEOUT))),
            fresh: Duration::from_micros(FRESH),
            alive: give.all_alive,
            harmonize: false,
            abort: None,
            weight: value.len(),
            value: Value::from(value),
        };
        self.meetings.arrive(&give.session, comer, declared.0, turn);
    }

    fn within_limits(&self, session: &str, length: usize) -> Result<(), String> {
        let Limits { value, session: all } = self.limits;
        if length > value {
            return Err(format!("a value has at most {value} bytes, this one has {length}"));
        }
        let given = self.meetings.weight(session);
        if given + length > all {
            return Err(format!(
                "the values of a session have at most {all} bytes together; {given} are there, and this one has {length}"
            ));
        }
        Ok(())
    }
}

/// The map of all values as a line, once for all members.
fn map(room: &str, session: &str, round: u64, there: &Assembly<Value>) -> Bytes {
    // A name, its quotes, a colon and a comma.
    const AROUND: usize = 4;
    let values: usize = there.iter().map(|(member, there)| member.len() + there.value.len() + AROUND).sum();
    let empty = serde_json::value::RawValue::NULL;
    let head = Map { room: Cow::from(room), session: Cow::from(session), round, map: Note { json: empty } };
    let mut line = Vec::with_capacity(values + room.len() + session.len() + 128);
    head.write_to(&mut line);
    line.truncate(line.len() - "null}\n".len());
    let mut before = b'{';
    for (member, there) in there {
        line.push(before);
        before = b',';
        serde_json::to_writer(&mut line, &**member).expect("a string always encodes");
        line.push(b':');
        line.extend_from_slice(there.value.as_bytes());
    }
    line.extend_from_slice(b"}}\n");
    Bytes::from(line)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::controller::rendezvous::There;
    use crate::wire::FromController;

    #[test]
    fn the_map_is_a_message_with_every_value_as_it_was_given() {
        let there = |value: &str| There {
            process: Process(1),
            id: 1,
            value: Rc::from(value),
            weight: 0,
            patience: None,
            away: false,
            taken_back: false,
        };
        let all = BTreeMap::from([(Rc::from("b\"\\"), there("1e3")), (Rc::from("a#1"), there("{\"x\": [ ]}"))]);
        let line = map("r", "s", 7, &all);
        let Ok(FromController::Map(map)) = FromController::decode(&line[..line.len() - 1]) else { panic!("no map") };
        assert_eq!((&*map.room, &*map.session, map.round), ("r", "s", 7));
        assert_eq!(map.map.json.get(), r#"{"a#1":{"x": [ ]},"b\"\\":1e3}"#);
    }
}
