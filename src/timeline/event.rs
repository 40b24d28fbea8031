//! What happens in a run, as `events.jsonl` says it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::machine::{Exit, Time};
use crate::text::{harmless_json, list};
use crate::wire::rendezvous::OutcomeKind;
use crate::wire::{EntryOutcome, PokedBy, Verdict};

/// One line of `events.jsonl`, without its time and its slave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// A slave has connected.
    Joined {
        #[serde(borrow)]
        address: Cow<'a, str>,
        /// The name of the machine, if it serves as another.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        machine: Option<Cow<'a, str>>,
    },
    /// A slave has connected again, and its part of the run goes on.
    Rejoined {
        #[serde(borrow)]
        address: Cow<'a, str>,
    },
    /// A slave's connection is gone; the slave is not lost yet.
    Disconnected {
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// A connection was turned away.
    Refused {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(borrow)]
        address: Cow<'a, str>,
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// A slave has its resources and waits for the start.
    Ready,
    /// All slaves were told the instant of the start.
    Started {
        slaves: usize,
        /// In UTC.
        wall_clock: String,
    },
    /// The controller was killed, and goes on.
    Resumed,
    /// A slave has started its `at` entries, so many seconds after the instant.
    Begun {
        late: f64,
        /// By how much that can be wrong.
        uncertain: f64,
    },
    Spawned {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        nr: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    /// A run of an entry has become ready, so many seconds after it was started.
    EntryReady {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        nr: u32,
        after: f64,
    },
    Exited {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        nr: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        outcome: EntryOutcome,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        why: Option<Cow<'a, str>>,
    },
    /// The last lines that a failed command wrote.
    Tail {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        nr: u32,
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    Poked {
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        entry: Option<Cow<'a, str>>,
        by: PokedBy,
    },
    /// A slave has notified a trigger `count` times; `late`: after it had fired.
    Notified {
        #[serde(borrow)]
        trigger: Cow<'a, str>,
        count: u64,
        left: u64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        late: bool,
    },
    /// A trigger's count has reached zero; every slave is told.
    Triggered {
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// A member is at a barrier, or has given its value to a sync.
    Arrived {
        #[serde(flatten, borrow)]
        meeting: Meeting<'a>,
        #[serde(borrow)]
        member: Cow<'a, str>,
    },
    /// The process or the connection of a member that has arrived is gone.
    Away {
        #[serde(flatten, borrow)]
        meeting: Meeting<'a>,
        #[serde(borrow)]
        member: Cow<'a, str>,
    },
    /// It has not come back in time. What it has given to a sync stays, if the sync does not want all alive.
    MemberLost {
        #[serde(flatten, borrow)]
        meeting: Meeting<'a>,
        #[serde(borrow)]
        member: Cow<'a, str>,
    },
    /// A round of a barrier or of a sync is over, for so many members that were there.
    Met {
        #[serde(flatten, borrow)]
        meeting: Meeting<'a>,
        round: u64,
        verdict: OutcomeKind,
        #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
        who: Cow<'a, [String]>,
        #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
        reason: Cow<'a, str>,
        members: usize,
    },
    /// All that runs waits, and nothing has happened for a while.
    Stalled {
        /// A place each.
        waits: Cow<'a, [Waiting]>,
    },
    /// A slave has heard it.
    Heard {
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// What it set off on a slave has exited.
    Settled {
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// No job runs on a slave any more.
    Idle {
        /// Whether services do.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        services: bool,
    },
    /// No process runs on a slave that a command has started or left behind.
    Cleared,
    /// The action of an entry asks for the end of the run.
    End {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        verdict: Verdict,
    },
    /// A slave will not come back to this run.
    Lost {
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    Warning {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    Trouble {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    /// The end condition of the test holds: jobs that still run may finish, and nothing begins any more.
    Finishing {
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// The end of the run has begun.
    Ending {
        verdict: Verdict,
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// Nothing of the run is left on a slave.
    Stopped,
    /// The run is over. The last event.
    Ended {
        verdict: Verdict,
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
}

/// Where members meet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meeting<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Cow<'a, str>>,
}

impl<'a> Meeting<'a> {
    pub fn barrier(name: &'a str) -> Meeting<'a> {
        Meeting { barrier: Some(name.into()), session: None }
    }

    pub fn session(name: &'a str) -> Meeting<'a> {
        Meeting { barrier: None, session: Some(name.into()) }
    }
}

impl std::fmt::Display for Meeting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.barrier, &self.session) {
            (Some(name), _) => write!(f, "barrier {name}"),
            (_, session) => write!(f, "sync {}", session.as_deref().unwrap_or_default()),
        }
    }
}

/// Some who wait at one place, and for whom or what.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Waiting {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    pub who: Vec<String>,
    /// Who has not come, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// How many more must come, or how many notifies the trigger lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |names: &[String]| list(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let wait = if self.who.len() == 1 { "waits" } else { "wait" };
        write!(f, "{} {wait}", names(&self.who))?;
        match (&self.barrier, &self.session, &self.trigger) {
            (Some(name), ..) => write!(f, " at barrier {name}")?,
            (_, Some(name), _) => write!(f, " in sync {name}")?,
            (.., trigger) => write!(f, " for trigger {}", trigger.as_deref().unwrap_or_default())?,
        }
        match (self.trigger.is_some(), self.left) {
            (true, left) => write!(f, ", {} left", left.unwrap_or_default()),
            (false, Some(left)) => write!(f, " for {left} more"),
            (false, None) if self.missing.is_empty() => Ok(()),
            (false, None) => write!(f, " for {}", names(&self.missing)),
        }
    }
}

#[derive(Serialize)]
struct EventLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    slave: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// The event as a JSON object, without its time.
pub fn encode(slave: Option<&str>, event: &Event<'_>) -> Vec<u8> {
    let line = serde_json::to_vec(&EventLine { slave, event }).expect("an event of plain fields always encodes");
    harmless_json(line)
}

/// Appends an encoded event as a line, with its time in seconds since `start`; negative before it.
pub fn write_line(log: &mut Vec<u8>, start: Time, at: Time, encoded: &[u8]) {
    let micros = at.diff(start);
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, rest) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    log.extend_from_slice(format!("{{\"t\":{sign}{seconds}.{rest:06},").as_bytes());
    log.extend_from_slice(&encoded[1..]);
    log.push(b'\n');
}

/// A line of `events.jsonl`, read back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Past<'a> {
    /// When it happened, in seconds since the start; negative before it.
    pub t: f64,
    #[serde(borrow, default)]
    pub slave: Option<Cow<'a, str>>,
    #[serde(flatten, borrow)]
    pub event: Event<'a>,
}

impl<'a> Past<'a> {
    /// Reads a line. Fails for an event that this arete does not know.
    pub fn decode(line: &'a [u8]) -> Result<Past<'a>, String> {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }

    /// When it happened, in microseconds since the start.
    pub fn micros(&self) -> i64 {
        (self.t * 1e6).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_nothing_that_a_terminal_would_obey() {
        let line = encode(None, &Event::Warning { text: "\x1b[2J\u{9b}2J\n\u{7f}".into() });
        let text = r#"{"event":"warning","text":"\u001b[2J\u009b2J\n\u007f"}"#;
        assert_eq!(String::from_utf8(line).unwrap(), text);
    }

    #[test]
    fn a_line_holds_the_time_the_slave_and_what_happened() {
        let mut log = Vec::new();
        let event = Event::Notified { trigger: "t".into(), count: 1, left: 2, late: false };
        let start = Time::from_micros(10_000_000);
        write_line(&mut log, start, Time::from_micros(11_500_000), &encode(Some("a"), &event));
        write_line(&mut log, start, Time::from_micros(9_999_999), &encode(None, &Event::Ready));
        assert_eq!(
            String::from_utf8(log).unwrap(),
            "{\"t\":1.500000,\"slave\":\"a\",\"event\":\"notified\",\"trigger\":\"t\",\"count\":1,\"left\":2}\n\
             {\"t\":-0.000001,\"event\":\"ready\"}\n"
        );
    }
    #[test]
    fn what_was_written_is_read_back() {
        let meeting = || Meeting::barrier("up");
        let who = vec!["a".to_owned(), "b".to_owned()];
        let (exit, outcome) = (Some(Exit::Code(1)), EntryOutcome::Failed);
        let events = [
            Event::Ready,
            Event::Begun { late: 0.25, uncertain: 0.000_1 },
            Event::Spawned { entry: "e".into(), nr: 2, pid: None },
            Event::EntryReady { entry: "e".into(), nr: 2, after: 0.125 },
            Event::Exited { entry: "e".into(), nr: 2, exit, outcome, why: Some("a \"b\"\n\u{9b}".into()) },
            Event::Notified { trigger: "t".into(), count: 1, left: 2, late: true },
            Event::Notified { trigger: "t".into(), count: 1, left: 2, late: false },
            Event::Arrived { meeting: meeting(), member: "a#1".into() },
            Event::Met {
                meeting: meeting(),
                round: 1,
                verdict: OutcomeKind::Lost,
                who: who.into(),
                reason: "".into(),
                members: 2,
            },
            Event::Ended { verdict: Verdict::Passed, why: "all is well".into() },
        ];
        for (event, at) in events.iter().zip(9_999_999..) {
            let mut log = Vec::new();
            write_line(&mut log, Time::from_micros(10_000_000), Time::from_micros(at), &encode(Some("a"), event));
            let past = Past::decode(log.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!((past.micros(), past.slave.as_deref(), &past.event), (at as i64 - 10_000_000, Some("a"), event));
        }
        assert!(Past::decode(br#"{"t":1.0,"event":"unheard-of"}"#).is_err());
    }
}
