//! What the slaves of the bench say to each server, and what they wait to hear, as lines.

use arete::session;
use arete::wire::{Hello, Message, Noted, Notify, Ping, Ready, Triggered};

use arete::machine::Time;

/// How a server says where it listens; the address follows.
pub const LISTENING: &str = "listening on ";

/// What the limit says to who connects.
pub const LIMIT_WELCOME: &[u8] = b"welcome\n";

/// The run's id as the limit's lines have it, as long as a real one.
const LIMIT_RUN: &str = "fanout-20260101T000000Z";

/// The trigger of the throughput rows.
pub const FLOOD: &str = "flood";

/// The Redis channel and the key of the throughput row.
const CHANNEL: &str = "bench";
const REDIS_KEY: &str = "flood";

/// Room for the count in an answer of the limit, in digits: JSON allows spaces before a number.
const COUNT_DIGITS: usize = 20;

/// Whom we speak to.
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

/// The lines for one server and, with arete, one run.
pub struct Speech {
    pub kind: Kind,
    pub run: String,
}

impl Speech {
    pub fn new(kind: Kind) -> Speech {
        Speech { kind, run: LIMIT_RUN.to_owned() }
    }

    /// What connection `index` says first; nothing where the server speaks first.
    pub fn greeting(&self, index: usize, subscribe: bool) -> Vec<u8> {
        match self.kind {
            Kind::Limit => Vec::new(),
            Kind::Redis if subscribe => redis_command(&["SUBSCRIBE", CHANNEL]),
            Kind::Redis => redis_command(&["PING"]),
            Kind::Arete => line(&Hello {
                protocol: arete::wire::PROTOCOL,
                version: session::VERSION.into(),
                name: slave_name(index).into(),
                incarnation: format!("bench-{index}").into(),
                run: None,
            }),
        }
    }

    /// The notify that brings a round's trigger nearer to zero; with Redis the one that makes it known.
    pub fn notify(&self, round: u64) -> Vec<u8> {
        match self.kind {
            Kind::Redis => redis_command(&["PUBLISH", CHANNEL, &self.payload(round)]),
            _ => line(&Notify { room: (&*self.run).into(), trigger: trigger_name(round).into(), count: 1 }),
        }
    }

    /// How the answers to a round's notifies begin.
    pub fn answer(&self, round: u64) -> Vec<u8> {
        match self.kind {
            Kind::Arete => self.answer_to(&trigger_name(round)),
            Kind::Limit => limit_answer_start(),
            Kind::Redis => b":".to_vec(),
        }
    }

    /// The line that says that a round's trigger has fired, without its newline.
    pub fn triggered(&self, round: u64) -> Vec<u8> {
        match self.kind {
            Kind::Arete => self.payload(round).into_bytes(),
            Kind::Limit => limit_triggered().strip_suffix(b"\n").expect("a line ends").to_vec(),
            Kind::Redis => (self.payload(round) + "\r").into_bytes(),
        }
    }

    /// How the answers of the throughput rows begin; the count follows.
    pub fn flood_answer(&self) -> Vec<u8> {
        match self.kind {
            Kind::Arete => self.answer_to(FLOOD),
            Kind::Limit => limit_answer_start(),
            Kind::Redis => b":".to_vec(),
        }
    }

    /// What comes before and after the count in a notify of the throughput rows.
    pub fn flood_parts(&self) -> (Vec<u8>, &'static [u8]) {
        let whole = line(&Notify { room: (&*self.run).into(), trigger: FLOOD.into(), count: 0 });
        (whole[..whole.len() - b"0}\n".len()].to_vec(), b"}\n")
    }

    pub fn ready(&self) -> Vec<u8> {
        line(&Ready { run: (&*self.run).into() })
    }

    fn answer_to(&self, trigger: &str) -> Vec<u8> {
        let noted = line(&Noted { room: (&*self.run).into(), trigger: trigger.into(), count: 0, left: 0 });
        up_to_count(&noted)
    }

    /// The fired trigger as a slave hears it, the same for Redis's subscribers.
    fn payload(&self, round: u64) -> String {
        let whole = line(&Triggered { room: (&*self.run).into(), trigger: trigger_name(round).into() });
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
    line(&Ping { time: Time::from_micros(micros), lifetime: std::marker::PhantomData })
}

/// The limit's answer to notifies, with room for [`put_count`].
pub fn limit_answer() -> Vec<u8> {
    let mut answer = limit_answer_start();
    answer.extend_from_slice(&[b' '; COUNT_DIGITS]);
    answer.extend_from_slice(b",\"left\":1000000}\n");
    answer
}

fn limit_answer_start() -> Vec<u8> {
    Speech::new(Kind::Limit).answer_to(FLOOD)
}

pub fn limit_triggered() -> Vec<u8> {
    line(&Triggered { room: LIMIT_RUN.into(), trigger: FLOOD.into() })
}

/// Writes the count into the limit's answer.
pub fn put_count(answer: &mut [u8], mut count: u64) {
    let mut at = answer.len() - b",\"left\":1000000}\n".len();
    // The count before it may have been another connection's, and longer.
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

/// Reads the number at the beginning of `text`, spaces before it skipped.
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

/// Allows this process as many open files as the system does.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it is refused, the connections that do not fit say so.
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
