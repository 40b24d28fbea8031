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
mod measured;
mod meet;
mod pieces;
mod places;
mod record;
mod resume;
mod rewrite;
mod strangers;

use std::rc::Rc;
use std::time::Duration;

use crate::controller::config::Config;

use crate::controller::Controller;

use crate::controller::ledger;
use crate::machine::stage::{LOCAL, Stage, Surroundings};
use crate::machine::{ConnId, Effect, Input, ListenerId, Peer, Time};
use crate::testfile::{self, Test};

const TEST: &str = r#"{ "name": "t", "end": { "duration": 1 }, "slaves": { "a": ["s"] },
    "schedules": { "s": [{ "name": "x", "poke": true, "end": "passed" }] } }"#;

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

type World = Stage<Controller, Disk>;

/// What the controller writes. Everything else that it asks for is left to the tests.
#[derive(Default)]
struct Disk {
    /// The bytes that were appended to all files.
    recorded: String,
    /// A ledger that was rewritten and replaces the old one.
    anew: String,
}

impl Surroundings<Controller> for Disk {
    fn perform(world: &mut World, effect: Effect) -> Option<Effect> {
        use Effect::{Close, Confirm, Exit, Halt, Send};
        match effect {
            Effect::Append { path, bytes, .. } => {
                let to = if is_new(&path) { &mut world.anew } else { &mut world.recorded };
                to.push_str(&String::from_utf8_lossy(&bytes));
            }
            Effect::Persist { path, bytes } if is_new(&path) => {
                world.anew = String::from_utf8_lossy(&bytes).into_owned();
            }
            Effect::Install { length, .. } => {
                assert_eq!(world.anew.len() as u64, length);
                world.recorded = std::mem::take(&mut world.anew);
            }
            Send { .. } | Close { .. } | Exit { .. } | Halt { .. } | Confirm { .. } => return Some(effect),
            other => world.asked.push(other),
        }
        None
    }
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
        Stage::begin(controller, Disk::default())
    }

    /// Accepts a connection of this number.
    fn accept_nr(&mut self, number: u64) -> ConnId {
        let conn = ConnId(number);
        self.input(Input::Accepted { conn, listener: ListenerId(0), peer: LOCAL });
        conn
    }
}

#[test]
fn a_hello_sent_byte_by_byte_does_not_extend_its_deadline() {
    let mut world = World::new();
    let (slow, silent) = (world.accept_nr(1), world.accept_nr(2));
    for _ in 0..11 {
        world.input(Input::Received { conn: slow, bytes: b" " });
        world.pass(Duration::from_secs(1));
    }
    for conn in [slow, silent] {
        assert!(world.closed.contains(&conn));
        assert!(world.take(conn).contains("no hello within 10s"));
    }
}

#[test]
fn a_peer_with_unread_messages_is_not_silent() {
    let mut world = World::new();
    let (slave, stranger) = (world.accept_nr(1), world.accept_nr(2));
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
    let conn = world.accept_nr(1);
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
    assert!(world.take(conn).ends_with("\"fatal\":false}\n"));
}
