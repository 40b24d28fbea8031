//! What happens in a run, as `events.jsonl` says it.

use serde::Serialize;

use crate::machine::{Exit, Time};
use crate::spoken::harmless_json;
use crate::wire::rendezvous::Kind;
use crate::wire::{Outcome, PokedBy, Verdict};

/// One line of `events.jsonl`, without its time and its slave.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// A slave has connected.
    Joined {
        address: &'a str,
    },
    /// A slave has connected again, and its part of the run goes on.
    Rejoined {
        address: &'a str,
    },
    /// A slave's connection is gone; the slave is not lost yet.
    Disconnected {
        reason: &'a str,
    },
    /// A connection was turned away.
    Refused {
        name: &'a str,
        address: &'a str,
        reason: &'a str,
    },
    /// A slave has its resources and waits for the start.
    Ready,
    /// All slaves were told the instant of the start.
    Started {
        slaves: usize,
        wall_clock: String,
    },
    /// The controller was killed, and goes on.
    Resumed,
    /// A slave has started its `at` entries, so many seconds after the instant.
    Begun {
        late: f64,
        uncertain: f64,
    },
    Spawned {
        entry: &'a str,
        nr: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    Exited {
        entry: &'a str,
        nr: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<&'a str>,
    },
    Poked {
        #[serde(skip_serializing_if = "Option::is_none")]
        entry: Option<&'a str>,
        by: PokedBy,
    },
    /// A slave has notified a trigger `count` times; `late`: after it had fired.
    Notified {
        trigger: &'a str,
        count: u64,
        left: u64,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        late: bool,
    },
    /// A trigger's count has reached zero; every slave is told.
    Triggered {
        trigger: &'a str,
    },
    /// A member is at a barrier, or has given its value to a sync.
    Arrived {
        #[serde(flatten)]
        meeting: Meeting<'a>,
        member: &'a str,
    },
    /// The process or the connection of a member that has arrived is gone.
    Away {
        #[serde(flatten)]
        meeting: Meeting<'a>,
        member: &'a str,
    },
    /// It has not come back in time. What it has given to a sync stays, if the sync does not want all alive.
    MemberLost {
        #[serde(flatten)]
        meeting: Meeting<'a>,
        member: &'a str,
    },
    /// A round of a barrier or of a sync is over, for so many members that were there.
    Met {
        #[serde(flatten)]
        meeting: Meeting<'a>,
        round: u64,
        verdict: Kind,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        who: &'a [String],
        #[serde(skip_serializing_if = "str::is_empty")]
        reason: &'a str,
        members: usize,
    },
    /// A slave has heard it.
    Heard {
        trigger: &'a str,
    },
    /// What it set off on a slave has exited.
    Settled {
        trigger: &'a str,
    },
    /// Nothing runs on a slave any more.
    Idle,
    /// The action of an entry asks for the end of the run.
    End {
        entry: &'a str,
        verdict: Verdict,
    },
    /// A slave will not come back to this run.
    Lost {
        reason: &'a str,
    },
    Warning {
        text: &'a str,
    },
    Trouble {
        text: &'a str,
    },
    /// The end of the run has begun.
    Ending {
        verdict: Verdict,
        why: &'a str,
    },
    /// Nothing of the run is left on a slave.
    Stopped,
    /// The run is over. The last event.
    Ended {
        verdict: Verdict,
        why: &'a str,
    },
}

/// Where members meet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Meeting<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barrier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a str>,
}

impl<'a> Meeting<'a> {
    pub fn barrier(name: &'a str) -> Meeting<'a> {
        Meeting { barrier: Some(name), session: None }
    }

    pub fn session(name: &'a str) -> Meeting<'a> {
        Meeting { barrier: None, session: Some(name) }
    }
}

impl std::fmt::Display for Meeting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.barrier, self.session) {
            (Some(name), _) => write!(f, "barrier {name}"),
            (_, session) => write!(f, "sync {}", session.unwrap_or_default()),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    slave: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// The event as a JSON object, without its time.
pub fn encode(slave: Option<&str>, event: &Event<'_>) -> Vec<u8> {
    let line = serde_json::to_vec(&Line { slave, event }).expect("an event of plain fields always encodes");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_nothing_that_a_terminal_would_obey() {
        let line = encode(None, &Event::Warning { text: "\x1b[2J\u{9b}2J\n\u{7f}" });
        let text = r#"{"event":"warning","text":"\u001b[2J\u009b2J\n\u007f"}"#;
        assert_eq!(String::from_utf8(line).unwrap(), text);
    }

    #[test]
    fn a_line_holds_the_time_the_slave_and_what_happened() {
        let mut log = Vec::new();
        let event = Event::Notified { trigger: "t", count: 1, left: 2, late: false };
        let start = Time::from_micros(10_000_000);
        write_line(&mut log, start, Time::from_micros(11_500_000), &encode(Some("a"), &event));
        write_line(&mut log, start, Time::from_micros(9_999_999), &encode(None, &Event::Ready));
        assert_eq!(
            String::from_utf8(log).unwrap(),
            "{\"t\":1.500000,\"slave\":\"a\",\"event\":\"notified\",\"trigger\":\"t\",\"count\":1,\"left\":2}\n\
             {\"t\":-0.000001,\"event\":\"ready\"}\n"
        );
    }
}
