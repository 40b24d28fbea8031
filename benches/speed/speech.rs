//! The lines that the slaves and the members of the bench send to each server, and the lines that they wait for.

use arete::session;
use arete::wire::rendezvous::{self, Alive, Arrive, Give, Heard, Party};
use arete::wire::room::Join;
use arete::wire::{Hello, Message, Noted, Notify, Ping, RawJson, Ready, Triggered};

use arete::machine::Time;

/// The words with which a server prints its address, which follows.
pub const LISTENING: &str = "listening on ";

/// The greeting of the limit for each connection.
pub const LIMIT_WELCOME: &[u8] = b"welcome\n";

/// The run's id in the limit's lines, as long as a real one.
const LIMIT_RUN: &str = "fanout-20260101T000000Z";

/// The trigger of the throughput rows.
pub const FLOOD: &str = "flood";

/// The bare controller's room, the barrier and the session, with arete.
const ROOM: &str = "bench";
const BARRIER: &str = "server-up";
const SESSION: &str = "addresses";

/// The length of a member's value in a sync, in bytes of JSON.
pub const VALUE_BYTES: usize = 1024;

/// The Redis channel and the key of the throughput row.
const CHANNEL: &str = "bench";
const REDIS_KEY: &str = "flood";

/// The space for the count in an answer of the limit, in digits. JSON allows spaces before a number.
const COUNT_DIGITS: usize = 20;

/// The kinds of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Arete,
    Limit,
    Redis,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Limit, Kind::Arete, Kind::Redis];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Arete => "arete",
            Kind::Limit => "limit",
            Kind::Redis => "redis",
        }
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What the client plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// Slaves that all hear of a trigger.
    Fan,
    /// Slaves that notify a trigger that never fires.
    Flood,
    /// Members of a barrier, each a client.
    Members,
    /// The same, but the last member is so late that the controller asks the others for signs of life.
    Late,
    /// Members of a barrier, many of them on one slave.
    Slaves,
    /// Members of a sync, each a client.
    Sync,
}

impl Play {
    const ALL: [Play; 6] = [Play::Fan, Play::Flood, Play::Members, Play::Late, Play::Slaves, Play::Sync];

    pub fn name(self) -> &'static str {
        match self {
            Play::Fan => "fan",
            Play::Flood => "flood",
            Play::Members => "members",
            Play::Late => "late",
            Play::Slaves => "slaves",
            Play::Sync => "sync",
        }
    }

    pub fn from_name(name: &str) -> Option<Play> {
        Play::ALL.into_iter().find(|play| play.name() == name)
    }

    /// Returns whether it needs a run instead of a bare controller.
    pub fn is_run(self) -> bool {
        matches!(self, Play::Fan | Play::Flood | Play::Slaves)
    }
}

/// The lines for one server and, with arete, one run.
pub struct Speech {
    pub kind: Kind,
    pub play: Play,
    /// The number of members on each connection.
    pub members: usize,
    pub run: String,
}

impl Speech {
    pub fn new(kind: Kind, play: Play, members: usize) -> Speech {
        let run = if kind == Kind::Arete && !play.is_run() { ROOM } else { LIMIT_RUN };
        Speech { kind, play, members, run: run.to_owned() }
    }

    /// The first line of connection `index`. Empty if the server speaks first.
    pub fn greeting(&self, index: usize) -> Vec<u8> {
        match self.kind {
            Kind::Limit => Vec::new(),
            Kind::Redis => match self.play {
                Play::Fan => redis_command(&["SUBSCRIBE", CHANNEL]),
                Play::Flood => redis_command(&["PING"]),
                // With version 3 of its protocol a subscriber can send other commands.
                _ => [&["HELLO", "3"][..], &["SUBSCRIBE", CHANNEL], &["PING"]].map(redis_command).concat(),
            },
            Kind::Arete if !self.play.is_run() => line(&Join {
                protocol: arete::wire::PROTOCOL,
                version: session::VERSION.into(),
                incarnation: format!("bench-{index}").into(),
                room: (&*self.run).into(),
                member: Some(slave_name(index).into()),
            }),
            Kind::Arete => line(&Hello {
                protocol: arete::wire::PROTOCOL,
                version: session::VERSION.into(),
                name: slave_name(index).into(),
                incarnation: format!("bench-{index}").into(),
                ..Hello::default()
            }),
        }
    }

    /// The notify that counts a round's trigger down. With Redis, the command that publishes it.
    pub fn notify(&self, round: u64) -> Vec<u8> {
        match self.kind {
            Kind::Redis => redis_command(&["PUBLISH", CHANNEL, &self.payload(round)]),
            _ => line(&Notify { room: (&*self.run).into(), trigger: trigger_name(round).into(), count: 1, data: None }),
        }
    }

    /// The beginning of the answers to a round's notifies.
    pub fn answer(&self, round: u64) -> Vec<u8> {
        match self.kind {
            Kind::Arete => self.answer_to(&trigger_name(round)),
            Kind::Limit => limit_answer_start(),
            Kind::Redis => b":".to_vec(),
        }
    }

    /// The line that reports that a round's trigger has fired, without its newline.
    pub fn triggered(&self, round: u64) -> Vec<u8> {
        match self.kind {
            Kind::Arete => self.payload(round).into_bytes(),
            Kind::Limit => limit_triggered().strip_suffix(b"\n").expect("a line ends").to_vec(),
            Kind::Redis => (self.payload(round) + "\r").into_bytes(),
        }
    }

    /// The beginning of the answers in the throughput rows. The count follows.
    pub fn flood_answer(&self) -> Vec<u8> {
        match self.kind {
            Kind::Arete => self.answer_to(FLOOD),
            Kind::Limit => limit_answer_start(),
            Kind::Redis => b":".to_vec(),
        }
    }

    /// The parts of a notify before and after the count, in the throughput rows.
    pub fn flood_parts(&self) -> (Vec<u8>, &'static [u8]) {
        let whole = line(&Notify { room: (&*self.run).into(), trigger: FLOOD.into(), count: 0, data: None });
        (whole[..whole.len() - b"0}\n".len()].to_vec(), b"}\n")
    }

    /// The arrival of member `nr` on connection `index`. `party` is the number of members that meet.
    pub fn arrive(&self, round: u64, index: usize, nr: usize, party: usize) -> Vec<u8> {
        line(&Arrive {
            room: (&*self.run).into(),
            barrier: BARRIER.into(),
            id: self.arrival(round, nr),
            member: self.member(index, nr).into(),
            party: Some(Party::Count(party as u32)),
            timeout: None,
            fresh: None,
            abort: None,
            harmonize: false,
        })
    }

    /// The id of the arrival of a connection's member `nr`.
    pub fn arrival(&self, round: u64, nr: usize) -> u64 {
        (round - 1) * self.members as u64 + nr as u64 + 1
    }

    fn member(&self, index: usize, nr: usize) -> String {
        match self.play {
            Play::Slaves => format!("{}#{nr}", slave_name(index)),
            _ => slave_name(index),
        }
    }

    /// The line with which the member of connection `index` gives its value.
    pub fn give(&self, round: u64, index: usize, party: usize, value: &str) -> Vec<u8> {
        let value: &serde_json::value::RawValue = serde_json::from_str(value).expect("a value is JSON");
        line(&Give {
            room: (&*self.run).into(),
            session: SESSION.into(),
            id: round,
            member: slave_name(index).into(),
            party: Some(Party::Count(party as u32)),
            timeout: None,
            all_alive: false,
            value: RawJson { json: value },
        })
    }

    /// The line that confirms the verdicts of a round on one connection.
    pub fn heard(&self, round: u64) -> Vec<u8> {
        let ids = (0..self.members).map(|nr| self.arrival(round, nr)).collect();
        line(&Heard { room: (&*self.run).into(), ids })
    }

    /// The end of the verdict for a connection with one member: the member is released, and its arrival.
    pub fn released(&self, round: u64) -> Vec<u8> {
        match self.kind {
            Kind::Arete => format!(",\"verdict\":\"released\",\"ids\":[{round}]}}").into_bytes(),
            Kind::Limit => limit_release().trim_ascii_end().to_vec(),
            Kind::Redis => (redis_release(round) + "\r").into_bytes(),
        }
    }

    pub fn ready(&self) -> Vec<u8> {
        line(&Ready { run: (&*self.run).into() })
    }

    fn answer_to(&self, trigger: &str) -> Vec<u8> {
        let noted =
            line(&Noted { room: (&*self.run).into(), trigger: trigger.into(), count: 0, left: 0, in_time: None });
        up_to_count(&noted)
    }

    /// The fired trigger as a slave receives it, and as Redis's subscribers receive it.
    fn payload(&self, round: u64) -> String {
        let whole = line(&Triggered { room: (&*self.run).into(), trigger: trigger_name(round).into(), notes: None });
        String::from_utf8(whole).expect("JSON is UTF-8").trim_end().to_owned()
    }
}

pub fn trigger_name(round: u64) -> String {
    format!("t{round}")
}

pub fn slave_name(index: usize) -> String {
    format!("slave{:05}", index + 1)
}

pub fn ping(micros: u64) -> Vec<u8> {
    line(&Ping { time: Time::from_micros(micros), measured: None, lifetime: std::marker::PhantomData })
}

/// The limit's answer to notifies, with space for [`put_count`].
pub fn limit_answer() -> Vec<u8> {
    let mut answer = limit_answer_start();
    answer.extend_from_slice(&[b' '; COUNT_DIGITS]);
    answer.extend_from_slice(b",\"left\":1000000}\n");
    answer
}

fn limit_answer_start() -> Vec<u8> {
    Speech::new(Kind::Limit, Play::Fan, 1).answer_to(FLOOD)
}

pub fn limit_triggered() -> Vec<u8> {
    line(&Triggered { room: LIMIT_RUN.into(), trigger: FLOOD.into(), notes: None })
}

/// The line that asks a member of the limit's late barrier whether it is alive.
pub fn limit_check() -> Vec<u8> {
    line(&rendezvous::Check { lifetime: std::marker::PhantomData })
}

/// The line that releases a member of the limit's barrier, as long as a real verdict.
pub fn limit_release() -> Vec<u8> {
    line(&rendezvous::RoundVerdict {
        room: ROOM.into(),
        round: 1,
        verdict: rendezvous::OutcomeKind::Released,
        who: Vec::new(),
        reason: "".into(),
        at: None,
        ids: vec![1],
    })
}

/// The beginning of the line with a sync's map, for the limit and for arete. The members of the map follow.
pub fn map_start() -> Vec<u8> {
    let map: &serde_json::value::RawValue = serde_json::from_str("{}").expect("an empty map is JSON");
    let whole =
        line(&rendezvous::Map { room: ROOM.into(), session: SESSION.into(), round: 1, map: RawJson { json: map } });
    whole[..whole.len() - MAP_END.len()].to_vec()
}

/// The end of that line.
pub const MAP_END: &[u8] = b"}}\n";

/// The message to a Redis subscriber when a round is released, as long as a real verdict.
pub fn redis_release(round: u64) -> String {
    format!("{:0>1$}", round, limit_release().len() - 1)
}

/// The Redis commands of a round: of a member that arrives, and of the last one.
pub fn redis_arrive(round: u64) -> Vec<u8> {
    redis_command(&["INCR", &format!("count{round}")])
}

pub fn redis_publish(round: u64) -> Vec<u8> {
    redis_command(&["PUBLISH", CHANNEL, &redis_release(round)])
}

pub fn redis_give(round: u64, index: usize, value: &str) -> Vec<u8> {
    redis_command(&["HSET", &format!("map{round}"), &slave_name(index), value])
}

pub fn redis_take(round: u64) -> Vec<u8> {
    redis_command(&["HGETALL", &format!("map{round}")])
}

pub fn redis_forget(round: u64) -> Vec<u8> {
    redis_command(&["DEL", &format!("count{round}"), &format!("map{round}")])
}

pub fn alive() -> Vec<u8> {
    line(&Alive { lifetime: std::marker::PhantomData })
}

/// Writes the count into the limit's answer.
pub fn put_count(answer: &mut [u8], mut count: u64) {
    let mut at = answer.len() - b",\"left\":1000000}\n".len();
    // The previous count may be of another connection, and longer.
    answer[at - COUNT_DIGITS..at].fill(b' ');
    loop {
        at -= 1;
        answer[at] = b'0' + (count % 10) as u8;
        count /= 10;
        if count == 0 {
            return;
        }
    }
}

/// Appends a number in decimal.
pub fn push_count(text: &mut Vec<u8>, mut count: u64) {
    let mut digits = [0; COUNT_DIGITS];
    let mut at = COUNT_DIGITS;
    loop {
        at -= 1;
        digits[at] = b'0' + (count % 10) as u8;
        count /= 10;
        if count == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
}

/// Reads the number at the beginning of `text`, and skips spaces before it.
pub fn read_count(text: &[u8]) -> u64 {
    let digits = text.trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |count, digit| count * 10 + u64::from(digit - b'0'))
}

pub fn redis_command(words: &[&str]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    command.into_bytes()
}

pub fn redis_decrement() -> Vec<u8> {
    redis_command(&["DECR", REDIS_KEY])
}

/// Raises this process's limit on open files to the most that the system allows.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If the system refuses, connections beyond the limit fail with an error.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn line(message: &impl Message) -> Vec<u8> {
    let mut line = Vec::new();
    message.write_to(&mut line);
    line
}

fn up_to_count(noted: &[u8]) -> Vec<u8> {
    let key = b"\"count\":";
    let at = noted.windows(key.len()).position(|window| window == key).expect("an answer has a count");
    noted[..at + key.len()].to_vec()
}
