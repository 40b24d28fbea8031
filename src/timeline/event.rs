//! The events of a run, as `events.jsonl` stores them.
//!
//! This file owns the format: the controller writes it, `arete run` and `arete attach` read it. `arete-results(5)`
//! describes it; both change in the same commit.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::machine::Time;
use crate::text::{harmless_json, list, push_number};
use crate::wire::rendezvous::OutcomeKind;
use crate::wire::{SlaveEvent, Verdict};

/// One line of `events.jsonl`, without its time and its slave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// A slave has connected.
    Joined {
        /// The address of the slave.
        #[serde(borrow)]
        address: Cow<'a, str>,
        /// The slave's own name. Absent if it serves under that name.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        machine: Option<Cow<'a, str>>,
    },
    /// A slave has connected again, and continues its part of the run.
    Rejoined {
        /// The address of the slave.
        #[serde(borrow)]
        address: Cow<'a, str>,
    },
    /// A slave has lost its connection. It is not lost to the run yet.
    Disconnected {
        /// Why the connection ended.
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// The controller has refused a connection.
    Refused {
        /// The name that the peer gave.
        #[serde(borrow)]
        name: Cow<'a, str>,
        /// The address of the peer.
        #[serde(borrow)]
        address: Cow<'a, str>,
        /// Why it was refused.
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// A slave has its resources and waits for the start.
    Ready,
    /// The controller has sent the instant of the start to all slaves.
    Started {
        /// The number of slaves.
        slaves: usize,
        /// The time of the start, in UTC.
        wall_clock: String,
    },
    /// The run continues after its controller was killed.
    Resumed,
    /// A trigger was notified.
    Notified {
        /// The trigger.
        #[serde(borrow)]
        trigger: Cow<'a, str>,
        /// The number of notifies that this line covers.
        count: u64,
        /// The notifies that the trigger still needs.
        left: u64,
        /// The trigger had fired before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        late: bool,
    },
    /// A trigger has fired. The controller sends this to every slave.
    Triggered {
        /// The trigger.
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// A member has arrived at a barrier, or has given its value to a sync.
    Arrived {
        /// The barrier or the sync.
        #[serde(flatten, borrow)]
        meeting: Meeting<'a>,
        /// The member.
        #[serde(borrow)]
        member: Cow<'a, str>,
    },
    /// The process or the connection of a member that had arrived has ended.
    Away {
        /// The barrier or the sync.
        #[serde(flatten, borrow)]
        meeting: Meeting<'a>,
        /// The member.
        #[serde(borrow)]
        member: Cow<'a, str>,
    },
    /// A member that was away has not returned in time. The value that it gave to a sync stays, unless the sync
    /// requires all members alive.
    MemberLost {
        /// The barrier or the sync.
        #[serde(flatten, borrow)]
        meeting: Meeting<'a>,
        /// The member.
        #[serde(borrow)]
        member: Cow<'a, str>,
    },
    /// A round of a barrier or a sync has ended.
    Met {
        /// The barrier or the sync.
        #[serde(flatten, borrow)]
        meeting: Meeting<'a>,
        /// The number of the round, unique for the barrier or the sync.
        round: u64,
        /// How it ended.
        verdict: OutcomeKind,
        /// The members that were missing, aborted, were lost or disagreed.
        #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
        who: Cow<'a, [String]>,
        /// Why it ended so. Empty: the verdict says all.
        #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
        reason: Cow<'a, str>,
        /// The number of members that had arrived.
        members: usize,
    },
    /// Everything that runs is waiting, and nothing has happened for some time.
    Stalled {
        /// What they wait for, one item for each barrier, sync and trigger.
        waits: Cow<'a, [Waiting]>,
    },
    /// A slave is lost to the run.
    Lost {
        /// Why.
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// The end condition of the test holds. Jobs that still run may finish, and no entry starts any more.
    Finishing {
        /// The end condition.
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// The end of the run has begun.
    Ending {
        /// The verdict so far.
        verdict: Verdict,
        /// Why the run ends.
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// Nothing of the run is left on a slave.
    Stopped,
    /// The run is over. This is the last event.
    Ended {
        /// The verdict.
        verdict: Verdict,
        /// Why the run ended.
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// An event that a slave has reported, with the same fields.
    #[serde(untagged)]
    Reported(#[serde(borrow)] SlaveEvent<'a>),
}

/// A barrier or a sync. Exactly one of the two is present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meeting<'a> {
    /// The name of the barrier.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<Cow<'a, str>>,
    /// The session id of the sync.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Cow<'a, str>>,
}

impl<'a> Meeting<'a> {
    /// Returns the barrier of this name.
    pub fn barrier(name: &'a str) -> Meeting<'a> {
        Meeting { barrier: Some(name.into()), session: None }
    }

    /// Returns the same with its own name.
    pub fn to_static(&self) -> Meeting<'static> {
        let own = |name: &Option<Cow<'_, str>>| name.as_ref().map(|name| Cow::Owned(name.to_string()));
        Meeting { barrier: own(&self.barrier), session: own(&self.session) }
    }

    /// Returns the sync with this session id.
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

/// Slaves or members that wait for the same barrier, sync or trigger. Exactly one of the three is present.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Waiting {
    /// The name of the barrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<String>,
    /// The session id of the sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The slaves or members that wait.
    pub who: Vec<String>,
    /// The members that have not arrived. Empty if they are not known by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The number of arrivals or notifies that are still needed. Absent if `missing` names them.
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

/// An event with its slave, as it is written.
#[derive(Serialize)]
struct EventLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    slave: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// Returns the event as a JSON object without its time, with everything escaped that a terminal would obey.
pub fn encode(slave: Option<&str>, event: &Event<'_>) -> Vec<u8> {
    let line = serde_json::to_vec(&EventLine { slave, event }).expect("an event of plain fields always encodes");
    harmless_json(line)
}

/// Appends an encoded event as a line, with its time in seconds since `start`; the time is negative before the start.
pub fn write_line(log: &mut Vec<u8>, start: Time, at: Time, encoded: &[u8]) {
    let micros = at.diff(start);
    log.reserve(encoded.len() + 32);
    log.extend_from_slice(if micros < 0 { b"{\"t\":-" } else { b"{\"t\":" });
    push_number(log, micros.unsigned_abs() / 1_000_000, 1);
    log.push(b'.');
    push_number(log, micros.unsigned_abs() % 1_000_000, 6);
    log.push(b',');
    log.extend_from_slice(&encoded[1..]);
    log.push(b'\n');
}

/// A line of `events.jsonl` that was read back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Past<'a> {
    /// The time in seconds since the start; negative before the start.
    pub t: f64,
    /// The slave. Absent: the event concerns the whole run.
    #[serde(borrow, default)]
    pub slave: Option<Cow<'a, str>>,
    /// The event.
    #[serde(flatten, borrow)]
    pub event: Event<'a>,
}

impl<'a> Past<'a> {
    /// Reads a line, without its newline. Fails for an event that this arete does not know.
    pub fn decode(line: &'a [u8]) -> Result<Past<'a>, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// Returns the time in microseconds since the start.
    pub fn micros(&self) -> i64 {
        (self.t * 1e6).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::machine::Exit;
    use crate::wire::EntryOutcome;

    #[test]
    fn a_line_has_no_character_that_a_terminal_would_obey() {
        let line = encode(None, &Event::Reported(SlaveEvent::Warning { text: "\x1b[2J\u{9b}2J\n\u{7f}".into() }));
        let text = r#"{"event":"warning","text":"\u001b[2J\u009b2J\n\u007f"}"#;
        assert_eq!(String::from_utf8(line).unwrap(), text);
    }

    #[test]
    fn a_line_has_the_time_the_slave_and_the_event() {
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
    fn a_written_line_is_read_back() {
        let meeting = || Meeting::barrier("up");
        let who = vec!["a".to_owned(), "b".to_owned()];
        let events = [
            Event::Ready,
            Event::Reported(SlaveEvent::Begun {
                late: Duration::from_millis(250),
                uncertain: Duration::from_micros(1),
            }),
            Event::Reported(SlaveEvent::Cleared),
            Event::Reported(SlaveEvent::Exited {
                entry: "e".into(),
                nr: 2,
                exit: Some(Exit::Code(1)),
                outcome: EntryOutcome::Failed,
                attempt: 3,
                cut_off: true,
                why: Some("a \"b\"\n\u{9b}".into()),
            }),
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
    }

    #[test]
    fn a_reported_event_is_read_in_place_and_written_flat() {
        let line = br#"{"t":1.5,"slave":"a","event":"spawned","entry":"x","nr":1}"#;
        let past = Past::decode(line).unwrap();
        let Event::Reported(SlaveEvent::Spawned { entry: Cow::Borrowed("x"), nr: 1, pid: None }) = &past.event else {
            panic!("{past:?}");
        };
        let mut log = Vec::new();
        write_line(&mut log, Time::default(), Time::from_micros(1_500_000), &encode(Some("a"), &past.event));
        assert_eq!(
            String::from_utf8(log).unwrap(),
            r#"{"t":1.500000,"slave":"a","event":"spawned","entry":"x","nr":1}"#.to_owned() + "\n"
        );
    }

    #[test]
    fn a_bad_line_is_not_read() {
        for event in [
            r#""event":"unheard-of""#,
            r#""entry":"x","nr":1"#,
            r#""event":"joined""#,
            r#""event":"spawned","entry":"x""#,
            r#""event":"spawned","entry":"x","nr":-1"#,
            r#""event":"entry-ready","entry":"x","nr":1,"after":-1"#,
            r#""event":7"#,
        ] {
            let line = format!("{{\"t\":1.0,{event}}}");
            assert!(Past::decode(line.as_bytes()).is_err(), "{line}");
        }
    }
}
