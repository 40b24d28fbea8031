//! Tests of the controller through its messages; the peers are played step by step.

mod absent;
mod arrivals;
mod crowds;
mod elsewhere;
mod failed;
mod guests;
mod lab;
mod launch;
mod limits;
mod meet;
mod pieces;
mod places;
mod record;
mod resume;
mod rewrite;
mod strangers;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::controller::config::Config;

use crate::controller::Controller;

use crate::controller::ledger;
use crate::machine::{ConnId, Effect, Input, ListenerId, Machine, Outbox, Peer, Time};
use crate::testfile::{self, Test};

const TEST: &str = r#"{ "name": "t", "end": { "duration": 1 }, "slaves": { "a": ["s"] },
    "schedules": { "s": [{ "name": "x", "poke": true, "end": "passed" }] } }"#;

const PEER: Peer = Peer::Local { uid: 0, pid: None };

fn config(test: Test) -> Config {
    Config {
        test: Rc::new(test),
        run: "r1".to_owned(),
        results: "/results".into(),
        wait: None,
        lost_after: Duration::from_secs(60),
        local: None,
        listening: None,
        follow: false,
        terminal: None,
        colors: false,
        wall_offset: 0,
    }
}

struct World {
    controller: Controller,
    out: Outbox,
    now: Time,
    heard: BTreeMap<ConnId, String>,
    closed: Vec<ConnId>,
    exit: Option<u8>,
    halted: Option<u8>,
    /// The bytes that were appended to all files.
    recorded: String,
    /// A ledger that was rewritten and replaces the old one.
    anew: String,
    /// All other effects.
    asked: Vec<Effect>,
}

/// Returns whether this is a rewritten ledger.
fn is_new(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "new")
}

impl World {
    fn new() -> World {
        World::running(TEST)
    }

    fn running(test: &str) -> World {
        let test = testfile::parse("t.json", test, &mut |file| Err(format!("no such file: {file}"))).expect("a test");
        World::of(Controller::new(config(test)))
    }

    fn of(controller: Controller) -> World {
        let now = Time::from_micros(1_000_000);
        let mut world = World {
            controller,
            out: Outbox::new(),
            now,
            heard: BTreeMap::new(),
            closed: Vec::new(),
            exit: None,
            halted: None,
            recorded: String::new(),
            anew: String::new(),
            asked: Vec::new(),
        };
        world.input(Input::Begin);
        world
    }

    fn input(&mut self, input: Input<'_>) {
        self.controller.handle(self.now, input, &mut self.out);
        let mut confirms = Vec::new();
        for effect in self.out.drain() {
            match effect {
                Effect::Confirm { confirm } => confirms.push(confirm),
                Effect::Send { conn, bytes } => {
                    self.heard.entry(conn).or_default().push_str(&String::from_utf8_lossy(&bytes));
                }
                Effect::Close { conn, .. } => self.closed.push(conn),
                Effect::Append { path, bytes } if is_new(&path) => self.anew.push_str(&String::from_utf8_lossy(&bytes)),
                Effect::Persist { path, bytes } if is_new(&path) => {
                    self.anew = String::from_utf8_lossy(&bytes).into_owned();
                }
                Effect::Install { length, .. } => {
                    assert_eq!(self.anew.len() as u64, length);
                    self.recorded = std::mem::take(&mut self.anew);
                }
                Effect::Append { bytes, .. } => self.recorded.push_str(&String::from_utf8_lossy(&bytes)),
                Effect::Exit { code } => self.exit = Some(code),
                Effect::Halt { code } => self.halted = Some(code),
                other => self.asked.push(other),
            }
        }
        for confirm in confirms {
            self.input(Input::Written { confirm });
        }
    }

    fn say(&mut self, conn: ConnId, text: &str) {
        let line = format!("{text}\n");
        self.input(Input::Received { conn, bytes: line.as_bytes() });
    }

    /// Takes what a peer has received since the last call.
    fn take(&mut self, conn: ConnId) -> String {
        self.heard.remove(&conn).unwrap_or_default()
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.controller.next_deadline().filter(|at| *at <= end) {
            self.now = at;
            self.input(Input::Deadline);
        }
        self.now = end;
    }

    fn accept(&mut self, number: u64) -> ConnId {
        let conn = ConnId(number);
        self.input(Input::Accepted { conn, listener: ListenerId(0), peer: PEER });
        conn
    }
}

#[test]
fn a_hello_sent_byte_by_byte_does_not_extend_its_deadline() {
    let mut world = World::new();
    let (slow, silent) = (world.accept(1), world.accept(2));
    for _ in 0..11 {
        world.input(Input::Received { conn: slow, bytes: b" " });
        world.pass(Duration::from_secs(1));
    }
    for conn in [slow, silent] {
        assert!(world.closed.contains(&conn), "{:?}", world.heard);
        assert!(world.heard[&conn].contains("no hello within 10s"), "{:?}", world.heard);
    }
}

#[test]
fn a_peer_with_unread_messages_is_not_silent() {
    let mut world = World::new();
    let (slave, stranger) = (world.accept(1), world.accept(2));
    let hello = br#"{"type":"hello","protocol":1,"version":"x","name":"a","incarnation":"i"}"#;
    world.input(Input::Received { conn: slave, bytes: hello });
    world.input(Input::Received { conn: slave, bytes: b"\n" });
    // One turn takes half a minute, and received bytes wait in the sockets.
    let since = world.now;
    world.now = world.now + Duration::from_secs(30);
    world.input(Input::Behind { since });
    world.input(Input::Deadline);
    assert_eq!(world.closed, []);
    world.input(Input::Received { conn: slave, bytes: b"{\"type\":\"ping\",\"time\":1}\n" });
    world.pass(Duration::from_secs(2));
    assert_eq!(world.closed, [stranger], "all was read, and it has sent nothing");
}

#[test]
fn a_slave_that_pings_is_not_silent() {
    let mut world = World::new();
    let conn = world.accept(1);
    world.pass(Duration::from_secs(9));
    let hello = br#"{"type":"hello","protocol":1,"version":"x","name":"a","incarnation":"i"}"#;
    world.input(Input::Received { conn, bytes: hello });
    world.input(Input::Received { conn, bytes: b"\n" });
    for _ in 0..6 {
        world.pass(Duration::from_secs(19));
        world.input(Input::Received { conn, bytes: b"{\"type\":\"ping\",\"time\":1}\n" });
    }
    assert_eq!(world.closed, []);
    world.pass(Duration::from_secs(21));
    assert_eq!(world.closed, [conn]);
    assert!(world.heard[&conn].ends_with("\"fatal\":false}\n"), "{:?}", world.heard);
}
