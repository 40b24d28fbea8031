//! The messages that the members of the bench send to each server, and those that they wait for.

use std::borrow::Cow;
use std::marker::PhantomData;

use arete::machine::Time;
use arete::session::VERSION;
use arete::wire::rendezvous::{Alive, Arrive, Check, Give, Heard, Map, OutcomeKind, Party, RoundVerdict};
use arete::wire::room::{Create, Join, Watch};
use arete::wire::{Hello, Message, Noted, Notify, PROTOCOL, Ping, RawJson, Ready, Triggered, Welcome};

use crate::rows::{Play, Row, Subject};

/// The room, as long as the id of a run.
const ROOM: &str = "speed-20260101T000000Z";
const SESSION: &str = "addresses";

/// The trigger of the rows of notifies.
pub const FLOOD: &str = "flood";

/// The length of a member's value in a sync, in bytes of JSON.
pub const VALUE_BYTES: usize = 1024;

/// The members that meet in the row of connections. More than 10,000 cannot meet at one barrier.
const GROUP: usize = 1_000;

/// The channel of Redis.
const CHANNEL: &str = "bench";

/// What every arrival adds to the counter in Redis. So the last count differs from the number of subscribers, which Redis
/// also returns.
const STEP: usize = 3;

/// The space for the count in an answer of the limit, in digits. JSON allows spaces before a number.
const COUNT_DIGITS: usize = 20;

pub const MAP: &[u8] = b"{\"type\":\"map\"";
pub const MAP_END: &[u8] = b"}}\n";

/// The words of one member of a row, or of the limit.
pub struct Speech {
    pub row: &'static Row,
    pub subject: Subject,
    /// The row of connections plays several.
    pub play: Play,
    pub room: String,
}

impl Speech {
    pub fn new(row: &'static Row, subject: Subject) -> Speech {
        Speech { row, subject, play: row.play, room: ROOM.to_owned() }
    }

    pub fn greeting(&self, index: usize) -> Vec<u8> {
        let incarnation = format!("bench-{index}").into();
        let name = member_name(index);
        match self.subject {
            // With version 3 of its protocol a subscriber can send other commands.
            Subject::Redis => [&["HELLO", "3"][..], &["SUBSCRIBE", CHANNEL], &["PING"]].map(redis).concat(),
            Subject::Slaves => {
                let (protocol, version, name) = (PROTOCOL, VERSION.into(), name.into());
                line(&Hello { protocol, version, name, incarnation, ..Hello::default() })
            }
            Subject::Clients | Subject::Limit => {
                let (room, member) = ((&*self.room).into(), Some(name.into()));
                line(&Join { protocol: PROTOCOL, version: VERSION.into(), incarnation, room, member })
            }
        }
    }

    /// The beginning of the answer to the greeting.
    pub fn welcome(&self) -> &'static [u8] {
        if self.subject == Subject::Redis { b"+PONG" } else { b"{\"type\":\"welcome\"" }
    }

    pub fn ready(&self) -> Vec<u8> {
        line(&Ready { run: (&*self.room).into() })
    }

    /// What member `nr` of connection `index` sends in a round.
    pub fn enter(&self, round: u64, index: usize, nr: usize) -> Vec<u8> {
        let room = (&*self.room).into();
        let party = if self.row.play == Play::Connections { GROUP } else { self.row.members() };
        let party = Some(Party::Count(party as u32));
        let name = member_name(index);
        let member: Cow<str> = if self.row.size.1 > 1 { format!("{name}#{nr:03}") } else { name }.into();
        let id = self.id(round, nr);
        match (self.subject, self.play) {
            (Subject::Redis, play) => {
                let count = redis(&["INCRBY", &format!("count{round}"), &STEP.to_string()]);
                let give = || redis(&["HSET", &format!("map{round}"), &member, &value(index)]);
                if play == Play::Sync { [give(), count].concat() } else { count }
            }
            (_, Play::Trigger) => line(&Notify { room, trigger: trigger(round).into(), count: 1, data: None }),
            (_, Play::Sync) => {
                let (value, session) = (value(index), SESSION.into());
                let value = RawJson { json: serde_json::from_str(&value).expect("a value is JSON") };
                line(&Give { room, session, id, member, party, timeout: None, all_alive: false, value })
            }
            _ => {
                let (barrier, timeout, fresh, abort) = (format!("b{}", index / GROUP), None, None, None);
                let barrier = if self.row.play == Play::Connections { barrier.into() } else { "server-up".into() };
                line(&Arrive { room, barrier, id, member, party, timeout, fresh, abort, harmonize: false })
            }
        }
    }

    /// The id of an arrival.
    fn id(&self, round: u64, nr: usize) -> u64 {
        (round - 1) * self.row.size.1 as u64 + nr as u64 + 1
    }

    /// The beginning and the end of the line that ends a round for a connection.
    pub fn release(&self, round: u64) -> (&'static [u8], Vec<u8>) {
        if self.subject == Subject::Redis {
            return (b"00", Vec::new());
        }
        let mut whole = self.release_line(round);
        whole.truncate(whole.len() - 1);
        if self.play == Play::Trigger {
            return (b"{\"type\":\"triggered\"", whole);
        }
        let at = memchr::memmem::find(&whole, b"\"verdict\":\"rel").expect("a verdict has a verdict");
        (b"{\"type\":\"verdict\"", whole.split_off(at))
    }

    /// That line, as the limit writes it.
    pub fn release_line(&self, round: u64) -> Vec<u8> {
        let room = (&*self.room).into();
        if self.play == Play::Trigger {
            return line(&Triggered { room, trigger: trigger(round).into(), notes: None });
        }
        let ids = (0..self.row.size.1).map(|nr| self.id(round, nr)).collect();
        let (who, reason, at) = (Vec::new(), "".into(), None);
        line(&RoundVerdict { room, round, verdict: OutcomeKind::Released, who, reason, at, ids })
    }

    /// What Redis publishes, as long as a verdict.
    fn payload(&self, round: u64) -> String {
        format!("{round:0>width$}", width = self.release_line(round).len())
    }

    /// The lines that a connection answers in a round, by their beginnings, and the answers.
    pub fn replies(&self, round: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
        if self.subject != Subject::Redis {
            return vec![(
                line(&Check { lifetime: PhantomData })[..15].to_vec(),
                line(&Alive { lifetime: PhantomData }),
            )];
        }
        let payload = self.payload(round);
        let all = format!(":{}\r", STEP * self.row.members()).into_bytes();
        let mut replies = vec![(all, redis(&["PUBLISH", CHANNEL, &payload]))];
        if self.play == Play::Sync {
            replies.push((payload.into_bytes(), redis(&["HGETALL", &format!("map{round}")])));
        }
        replies
    }

    /// What confirms the verdicts of a round.
    pub fn heard(&self, round: u64) -> Option<Vec<u8>> {
        let has_verdict = round > 0 && self.subject != Subject::Redis && self.play != Play::Trigger;
        if !has_verdict {
            return None;
        }
        let ids = (0..self.row.size.1).map(|nr| self.id(round, nr)).collect();
        Some(line(&Heard { room: (&*self.room).into(), ids }))
    }

    /// What creates the trigger of the rows of notifies.
    pub fn flooded(&self) -> Vec<u8> {
        line(&Create { room: (&*self.room).into(), trigger: FLOOD.into(), count: arete::testfile::TRIGGER_MAX })
    }

    /// The parts of a notify before and after the count, and the beginning of its answer, in the rows of notifies.
    pub fn flood(&self) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        if self.subject == Subject::Redis {
            return (redis(&["DECR", FLOOD]), Vec::new(), b":".to_vec());
        }
        let notify = line(&Notify { room: (&*self.room).into(), trigger: FLOOD.into(), count: 0, data: None });
        let mut noted = self.noted();
        noted.truncate(noted.len() - COUNT_DIGITS - NOTED_END.len());
        (notify[..notify.len() - 3].to_vec(), b"}\n".to_vec(), noted)
    }

    /// The limit's answer to notifies, with space for [`put_count`].
    pub fn noted(&self) -> Vec<u8> {
        let (room, trigger) = ((&*self.room).into(), FLOOD.into());
        let mut noted = line(&Noted { room, trigger, count: 0, left: 1_000_000, in_time: None });
        noted.truncate(noted.len() - NOTED_END.len() - 1);
        noted.extend_from_slice(&[b' '; COUNT_DIGITS]);
        noted.extend_from_slice(NOTED_END);
        noted
    }

    /// The beginning of a map.
    pub fn map_start(&self, round: u64) -> Vec<u8> {
        let map = RawJson { json: serde_json::from_str("{}").expect("an empty map is JSON") };
        let mut map = line(&Map { room: (&*self.room).into(), session: SESSION.into(), round, map });
        map.truncate(map.len() - MAP_END.len());
        map
    }

    /// What creates the trigger of a round, and what waits for it.
    pub fn watch(&self, round: u64) -> [Vec<u8>; 2] {
        let (room, trigger, count) = (&*self.room, trigger(round), self.row.members() as u64);
        let create = line(&Create { room: room.into(), trigger: (&*trigger).into(), count });
        [create, line(&Watch { room: room.into(), trigger: trigger.into() })]
    }
}

/// The end of the limit's answer to notifies.
const NOTED_END: &[u8] = b",\"left\":1000000}\n";

/// Writes the count into the limit's answer.
pub fn put_count(noted: &mut [u8], count: u64) {
    let at = noted.len() - NOTED_END.len();
    // The previous count may be of another connection, and longer.
    noted[at - COUNT_DIGITS..at].fill(b' ');
    digits(count, &mut noted[at - COUNT_DIGITS..at]);
}

/// Appends a number in decimal.
pub fn push_count(text: &mut Vec<u8>, count: u64) {
    let mut space = [b' '; COUNT_DIGITS];
    digits(count, &mut space);
    text.extend_from_slice(space.trim_ascii_start());
}

/// Writes a number to the end of `space`, many times faster than `format!`.
fn digits(mut count: u64, space: &mut [u8]) {
    for digit in space.iter_mut().rev() {
        *digit = b'0' + (count % 10) as u8;
        count /= 10;
        if count == 0 {
            return;
        }
    }
}

pub fn trigger(round: u64) -> String {
    format!("t{round}")
}

pub fn member_name(index: usize) -> String {
    format!("slave{:05}", index + 1)
}

/// The value of one member, as JSON. It is different for each member.
fn value(index: usize) -> String {
    format!("\"{:x<width$}\"", member_name(index), width = VALUE_BYTES - "\"\"".len())
}

pub fn ping() -> Vec<u8> {
    line(&Ping { time: Time::from_micros(1), measured: None, lifetime: PhantomData })
}

pub fn welcome() -> Vec<u8> {
    line(&Welcome { protocol: PROTOCOL, version: VERSION.into(), run: None, recorded: 0, leave: false })
}

pub fn check() -> Vec<u8> {
    line(&Check { lifetime: PhantomData })
}

fn redis(words: &[&str]) -> Vec<u8> {
    let words_of: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{words_of}", words.len()).into_bytes()
}

fn line(message: &impl Message) -> Vec<u8> {
    let mut line = Vec::new();
    message.write_to(&mut line);
    line
}
