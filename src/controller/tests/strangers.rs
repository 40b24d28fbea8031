//! Which peers may act under which names.

use super::World;
use crate::controller::Controller;
use crate::controller::config::Config;
use crate::controller::config::Local;
use crate::machine::{ConnId, Input, ListenerId, Peer, Signal};
use crate::testfile;

const TEST: &str = r#"{ "name": "t", "end": { "duration": 1 }, "slaves": { "a": ["s"], "b": ["s"] },
    "schedules": { "s": [{ "name": "x", "poke": true, "end": "passed" }] } }"#;

impl World {
    /// Connects a peer that has proven these names.
    fn accept_proven(&mut self, number: u64, names: &[&str]) -> ConnId {
        let conn = ConnId(number);
        let names: Vec<Box<str>> = names.iter().map(|name| Box::from(*name)).collect();
        let peer = Peer::proven(([10, 0, 0, 7], 5).into(), names);
        self.input(Input::Accepted { conn, listener: ListenerId(0), peer });
        conn
    }
}

fn hello(name: &str, more: &str) -> String {
    format!(r#"{{"type":"hello","protocol":1,"version":"x","name":"{name}","incarnation":"i-{name}"{more}}}"#)
}

fn join(more: &str) -> String {
    format!(r#"{{"type":"join","protocol":1,"version":"x","incarnation":"j","room":"r"{more}}}"#)
}

#[test]
fn a_slave_is_accepted_only_under_a_name_of_its_certificate() {
    let mut world = World::running(TEST);
    let conn = world.accept_proven(1, &["b", "10.0.0.7"]);
    world.say(conn, &hello("a", ""));
    let said = world.take(conn);
    assert!(
        said.contains("\"bye\"") && said.contains("for b, 10.0.0.7 and not for") && said.contains("\"fatal\":true"),
        "{said}"
    );
    assert!(!said.contains("protocol") && world.closed.contains(&conn));
    let conn = world.accept_proven(2, &["b", "10.0.0.7"]);
    world.say(conn, &hello("b", ""));
    assert!(world.take(conn).contains("\"welcome\""));
    // It can neither take the place of another slave by a second hello, nor act for another member.
    world.say(conn, r#"{"type":"arrive","room":"r1","barrier":"x","id":1,"member":"a","party":{"count":1}}"#);
    assert!(world.take(conn).contains("b cannot act as \\\"a\\\""));
    // A refusal does not reveal whether a name is in the test to a peer that could not use it.
    let conn = world.accept_proven(3, &["c"]);
    world.say(conn, &hello("d", ""));
    let said = world.take(conn);
    assert!(said.contains("not for \\\"d\\\"") && !said.contains("its slaves are"), "{said}");
    world.input(Input::Signal(Signal::INT));
    world.input(Input::Signal(Signal::INT));
    world.pass(std::time::Duration::from_secs(5));
    assert!(world.recorded.contains("\"refused\"") && world.recorded.contains("10.0.0.7:5"), "{}", world.recorded);
}

#[test]
fn a_client_joins_for_a_member_of_its_certificate_or_for_none() {
    let mut world = World::of(Controller::bare(None));
    let cases = [
        (r#","member":"b""#, true),
        (r#","member":"b#1""#, true),
        ("", true),
        (r#","member":"a""#, false),
        (r#","member":"bb""#, false),
    ];
    for (nr, (member, may)) in cases.into_iter().enumerate() {
        let conn = world.accept_proven(10 + nr as u64, &["b"]);
        world.say(conn, &join(member));
        assert_eq!(world.take(conn).contains("\"welcome\""), may, "{member}");
        assert_eq!(world.closed.contains(&conn), !may, "{member}");
    }
}

#[test]
fn a_run_that_starts_its_slaves_accepts_only_peers_that_know_its_secret() {
    let mut world = World::of(Controller::new(Config {
        local: Some(Local {
            arete: "/arete".into(),
            address: "127.0.0.1:7".to_owned(),
            dir: "/tmp/x".into(),
            keep: false,
            secret: Some("s3cret".to_owned()),
            security: Default::default(),
        }),
        ..super::config(testfile::parse("t.json", TEST, &mut |file| Err(file.to_owned())).expect("a test"))
    }));
    for (nr, said) in [hello("a", ""), hello("a", r#","secret":"s3cre7""#), join("")].into_iter().enumerate() {
        let conn = world.accept_nr(nr as u64 + 1);
        world.say(conn, &said);
        let answer = world.take(conn);
        assert!(answer.contains("admits no other peer") && !answer.contains("s3cret"), "{said}: {answer}");
        assert!(world.closed.contains(&conn));
    }
    let conn = world.accept_nr(9);
    world.say(conn, &hello("a", r#","secret":"s3cret""#));
    assert!(world.take(conn).contains("\"welcome\""));
    assert!(!world.recorded.contains("s3cret"), "{}", world.recorded);
}

#[test]
fn a_tls_handshake_without_tls_is_refused_at_once() {
    let mut world = World::new();
    let conn = world.accept_nr(1);
    world.input(Input::Received { conn, bytes: &[0x16, 3, 1, 2, 0, 1] });
    assert!(world.take(conn).contains("does not speak TLS") && world.closed.contains(&conn));
}
