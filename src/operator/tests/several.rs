//! Several operators in one process: who gets which input, and what is printed when.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::world::submission;
use crate::machine::{Address, ConnId, Effect, Input, Machine, Outbox, Peer, Signal, Stream, Time};
use crate::operator::{Config, Job, Jobs, Operator, Several, Show, Task};

/// Jobs that are made from their numbers.
struct Numbered {
    waiting: VecDeque<usize>,
    ended: Vec<(usize, u8)>,
}

impl Jobs for Numbered {
    type Worker = Operator;

    fn next(&mut self) -> Option<Job<Operator>> {
        let id = self.waiting.pop_front()?;
        let task = Task::Run { submission: Box::new(submission()), results: Some(PathBuf::from(format!("/r{id}"))) };
        let controller = Address::Inet("c:1".to_owned());
        let timeout = Some(Duration::from_secs(10));
        let show = Show::default();
        let operator = Operator::new(Config { controller, seed: id as u64, task, show, begun: None, timeout });
        let [begins, before, after] = ["begins", "<", ">"].map(|word| format!("{word}{id}\n"));
        Some(Job { id, operator, begins, before, after })
    }

    fn ended(&mut self, id: usize, code: u8) -> String {
        self.ended.push((id, code));
        format!("ended{id}\n")
    }
}

/// What was printed, to whom was connected, and how it exited.
#[derive(Default)]
struct Seen {
    printed: String,
    conns: Vec<ConnId>,
    sent: Vec<(ConnId, Value)>,
    exit: Option<u8>,
}

struct Played {
    several: Several<Numbered>,
    out: Outbox,
    now: Time,
    seen: Seen,
}

impl Played {
    fn new(count: usize, at_once: usize) -> Played {
        let jobs = Numbered { waiting: (0..count).collect(), ended: Vec::new() };
        let (several, out) = (Several::new(jobs, at_once), Outbox::new());
        let mut played = Played { several, out, now: Time::default(), seen: Seen::default() };
        played.input(Input::Begin);
        played
    }

    fn input(&mut self, input: Input<'_>) {
        self.several.handle(self.now, input, &mut self.out);
        for effect in self.out.drain() {
            match effect {
                Effect::Connect { conn, .. } => self.seen.conns.push(conn),
                Effect::Print { stream: Stream::Out, bytes, .. } => {
                    self.seen.printed += std::str::from_utf8(&bytes).expect("text");
                }
                Effect::Send { conn, bytes } => {
                    self.seen.sent.push((conn, serde_json::from_slice(&bytes).expect("a message")));
                }
                Effect::Exit { code } => self.seen.exit = Some(code),
                _ => {}
            }
        }
    }

    fn tell(&mut self, nr: usize, message: &Value) {
        // The type is the first field of each message.
        let mut fields = message.clone();
        let kind = fields.as_object_mut().and_then(|fields| fields.remove("type")).expect("a message has a type");
        let line = format!("{{\"type\":{kind},{}\n", &fields.to_string()[1..]);
        self.input(Input::Received { conn: self.seen.conns[nr], bytes: line.as_bytes() });
    }

    /// Connects an operator, and accepts its run.
    fn accept(&mut self, nr: usize) {
        let conn = self.seen.conns[nr];
        self.input(Input::Connected { conn, peer: Peer::Local { uid: 0, pid: None }, local: None });
        self.tell(nr, &json!({"type": "welcome", "protocol": 1, "version": "x"}));
        let run = json!({"run": format!("run{nr}"), "test": "t", "state": "queued", "submitted": "2026-01-31T12:00:00.000Z",
                         "why": "", "slaves": 2, "connected": 0});
        self.tell(nr, &json!({"type": "seen", "submission": "s1", "run": run}));
    }

    /// Ends an operator: the controller knows nothing of its run any more.
    fn deny(&mut self, nr: usize) {
        let run = format!("run{nr}");
        self.tell(nr, &json!({"type": "denied", "run": run, "code": "no-such-run", "reason": "no such run"}));
    }
}

#[test]
fn only_so_many_work_at_once_and_the_next_takes_the_place_of_one_that_has_ended() {
    let mut played = Played::new(4, 2);
    assert_eq!((&*played.seen.printed, played.seen.conns.len()), ("begins0\nbegins1\n", 2));
    played.accept(0);
    played.accept(1);
    assert_eq!(played.seen.printed, "begins0\nbegins1\n", "what they print is held");
    played.deny(1);
    let second = "begins0\nbegins1\n<1\nrun run1 at c:1\nqueued\nended1\n>1\nbegins2\n";
    assert_eq!((&*played.seen.printed, played.seen.conns.len()), (second, 3));
    assert_eq!(played.several.jobs().ended, [(1, 7)]);
    played.accept(2);
    for nr in [0, 2] {
        played.deny(nr);
    }
    assert_eq!(played.seen.exit, None);
    played.accept(3);
    played.deny(3);
    assert_eq!((played.seen.exit, &*played.several.jobs().ended), (Some(0), &[(1, 7), (0, 7), (2, 7), (3, 7)][..]));
}

#[test]
fn a_signal_reaches_all_that_work_and_no_other_begins() {
    let mut played = Played::new(4, 2);
    played.accept(0);
    played.accept(1);
    played.seen.sent.clear();
    played.input(Input::Signal(Signal::TERM));
    let cancels = |seen: &Seen| -> Vec<Value> {
        let sent = seen.sent.iter().filter(|(_, message)| message["type"] == "cancel");
        sent.map(|(_, message)| message["run"].clone()).collect()
    };
    assert_eq!(cancels(&played.seen), ["run0", "run1"]);
    played.deny(0);
    assert_eq!((played.seen.exit, played.seen.conns.len()), (None, 2));
    for _ in 0..2 {
        played.input(Input::Signal(Signal::INT));
    }
    assert_eq!((played.seen.exit, &*played.several.jobs().ended), (Some(0), &[(0, 7), (1, 130)][..]));
}

#[test]
fn the_deadlines_of_all_are_kept() {
    let mut played = Played::new(2, 2);
    let first = played.several.next_deadline().expect("they wait for the controller");
    assert!(first <= Time::default() + Duration::from_secs(10));
    played.now = Time::default() + Duration::from_secs(11);
    played.input(Input::Deadline);
    assert_eq!((played.seen.exit, &*played.several.jobs().ended), (Some(0), &[(0, 7), (1, 7)][..]));
    assert_eq!(played.several.next_deadline(), None);
}
