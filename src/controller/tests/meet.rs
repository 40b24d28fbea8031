//! Members that meet in the rooms of a controller.

use std::time::Duration;

use super::{Controller, World};
use crate::controller::room::sync::Limits;
use crate::machine::{Bytes, ConnId, Input, Signal};

const SECOND: Duration = Duration::from_secs(1);

fn bare() -> World {
    World::of(Controller::bare(None))
}

impl World {
    /// A client joins the room "r" as a member.
    fn join(&mut self, number: u64, member: &str) -> ConnId {
        self.join_again(number, member, member)
    }

    fn join_again(&mut self, number: u64, member: &str, incarnation: &str) -> ConnId {
        let conn = self.accept_nr(number);
        let incarnation = incarnation.replace('#', "_");
        self.say(
            conn,
            &format!(
                r#"{{"type":"join","protocol":1,"version":"x","incarnation":"{incarnation}","room":"r","member":"{member}"}}"#
            ),
        );
        let welcome = self.take(conn);
        assert!(welcome.starts_with("{\"type\":\"welcome\""), "{welcome}");
        conn
    }

    fn arrive(&mut self, conn: ConnId, id: u64, member: &str, more: &str) {
        self.say(conn, &format!(r#"{{"type":"arrive","room":"r","barrier":"b","id":{id},"member":"{member}"{more}}}"#));
    }

    fn give(&mut self, conn: ConnId, id: u64, member: &str, value: &str) {
        let party = r#""party":{"members":["a","b"]}"#;
        self.say(
            conn,
            &format!(
                r#"{{"type":"give","room":"r","session":"s","id":{id},"member":"{member}",{party},"value":{value}}}"#
            ),
        );
    }
}

const TWO: &str = r#","party":{"members":["a","b"]}"#;

#[test]
fn two_clients_meet_and_get_the_same_outcome() {
    let mut world = bare();
    let (a, b) = (world.join(1, "a"), world.join(2, "b"));
    world.arrive(a, 1, "a", TWO);
    assert_eq!(world.take(a), "");
    world.arrive(b, 7, "b", TWO);
    assert_eq!(
        world.take(a),
        "{\"type\":\"verdict\",\"room\":\"r\",\"round\":1,\"verdict\":\"released\",\"ids\":[1]}\n"
    );
    assert_eq!(
        world.take(b),
        "{\"type\":\"verdict\",\"room\":\"r\",\"round\":1,\"verdict\":\"released\",\"ids\":[7]}\n"
    );
}

#[test]
fn a_member_that_was_disconnected_at_the_release_gets_its_outcome_after_a_reconnect() {
    let mut world = bare();
    let (a, b) = (world.join(1, "a"), world.join(2, "b"));
    world.give(a, 1, "a", "[1]");
    world.input(Input::Closed { conn: a, reason: "cut".into() });
    world.give(b, 1, "b", "{\"x\":null}");
    let heard = world.take(b);
    let map =
        "{\"type\":\"map\",\"room\":\"r\",\"session\":\"s\",\"round\":1,\"map\":{\"a\":[1],\"b\":{\"x\":null}}}\n";
    assert!(heard.starts_with(map), "{heard}");
    let a = world.join(3, "a");
    world.give(a, 1, "a", "[1]");
    assert_eq!(world.take(a), heard);
    assert!(!world.machine.is_quiet());
    for conn in [a, b] {
        world.say(conn, r#"{"type":"heard","room":"r","ids":[1]}"#);
    }
    assert!(world.machine.is_quiet());
}

#[test]
fn a_withdrawn_arrival_frees_its_name() {
    let mut world = bare();
    let first = world.join_again(1, "a", "first");
    world.arrive(first, 1, "a", TWO);
    world.pass(SECOND);
    let second = world.join_again(2, "a", "second");
    world.arrive(second, 1, "a", TWO);
    assert_eq!(world.take(first).trim_end(), r#"{"type":"check"}"#);
    world.say(first, r#"{"type":"gone","room":"r","ids":[1]}"#);
    assert_eq!(world.take(second), "");
    let b = world.join(3, "b");
    world.arrive(b, 1, "b", TWO);
    assert!(world.take(second).contains("released") && world.take(b).contains("released"));
}

#[test]
fn a_client_acts_only_for_its_own_member() {
    let mut world = bare();
    let a = world.join(1, "a");
    world.arrive(a, 1, "b", TWO);
    let heard = world.take(a);
    assert!(heard.contains("\"verdict\":\"refused\"") && heard.contains("a cannot act as"), "{heard}");
}

#[test]
fn a_peer_that_does_not_answer_a_check_is_disconnected() {
    let mut world = bare();
    let (a, b) = (world.join(1, "a"), world.join(2, "b"));
    world.arrive(a, 1, "a", TWO);
    world.pass(SECOND * 3);
    world.arrive(b, 1, "b", TWO);
    assert_eq!(world.take(a), "{\"type\":\"check\"}\n");
    assert_eq!(world.take(b), "");
    world.pass(SECOND * 3);
    assert_eq!(world.take(b), "{\"type\":\"check\"}\n");
    world.say(b, r#"{"type":"alive"}"#);
    world.pass(SECOND * 2);
    assert_eq!(world.closed, [a]);
    assert!(world.take(a).contains("not answered a check"));
    for _ in 0..3 {
        world.say(b, r#"{"type":"alive"}"#);
        world.pass(SECOND * 2);
    }
    let verdict = world.take(b);
    assert!(verdict.contains("\"verdict\":\"lost\",\"who\":[\"a\"]"), "{verdict}");
}

#[test]
fn the_data_of_notifies_is_sent_to_watchers() {
    let mut world = bare();
    let (a, b) = (world.join(1, "a"), world.join(2, "b"));
    world.say(b, r#"{"type":"watch","room":"r","trigger":"t"}"#);
    assert!(world.take(b).contains("there is no trigger"));
    world.say(a, r#"{"type":"create","room":"r","trigger":"t","count":2}"#);
    assert_eq!(world.take(a), "{\"type\":\"created\",\"room\":\"r\",\"trigger\":\"t\"}\n");
    world.say(b, r#"{"type":"watch","room":"r","trigger":"t"}"#);
    for _ in 0..2 {
        world.say(a, r#"{"type":"notify","room":"r","trigger":"t","count":1,"data":"x"}"#);
        let noted = world.take(a);
        assert_eq!(noted, "{\"type\":\"noted\",\"room\":\"r\",\"trigger\":\"t\",\"count\":1,\"left\":1}\n");
    }
    world.say(b, r#"{"type":"notify","room":"r","trigger":"t","count":1,"data":[2]}"#);
    let told =
        r#"{"type":"triggered","room":"r","trigger":"t","notes":[{"from":"a","data":"x"},{"from":"b","data":[2]}]}"#;
    let heard = world.take(b);
    assert!(heard.starts_with(told), "{heard}");
    world.say(a, r#"{"type":"watch","room":"r","trigger":"t"}"#);
    assert_eq!(world.take(a).trim_end(), told);
    world.say(a, r#"{"type":"list","room":"r"}"#);
    let listing = r#"{"type":"listing","room":"r","triggers":[{"trigger":"t","initial":2,"left":0,"fired":true}]}"#;
    assert_eq!(world.take(a).trim_end(), listing);
    for _ in 0..2 {
        world.say(a, r#"{"type":"notify","room":"r","trigger":"t","count":2,"data":"late"}"#);
        let noted = r#"{"type":"noted","room":"r","trigger":"t","count":2,"left":0,"in_time":1}"#;
        assert_eq!(world.take(a).trim_end(), noted);
    }
    world.say(a, r#"{"type":"watch","room":"r","trigger":"t"}"#);
    assert_eq!(world.take(a).trim_end(), told, "everybody reads the same");
}

#[test]
fn an_empty_room_is_removed() {
    let mut world = bare();
    let a = world.join(1, "a");
    world.say(a, r#"{"type":"create","room":"r","trigger":"t","count":2}"#);
    world.input(Input::Closed { conn: a, reason: "cut".into() });
    assert_eq!(world.machine.rooms.by_name().len(), 1);
    let a = world.join(2, "a");
    world.say(a, r#"{"type":"delete","room":"r","trigger":"t"}"#);
    assert_eq!(world.machine.rooms.by_name().len(), 1);
    world.input(Input::Closed { conn: a, reason: "cut".into() });
    assert_eq!(world.machine.rooms.by_name().len(), 0);
}

#[test]
fn a_room_is_kept_while_it_has_a_failed_round() {
    let mut world = bare();
    let a = world.join(1, "a");
    world.arrive(a, 1, "a", r#","party":{"members":["a","b"]},"abort":"no disk""#);
    world.say(a, r#"{"type":"heard","room":"r","ids":[1]}"#);
    world.input(Input::Closed { conn: a, reason: "done".into() });
    world.pass(SECOND * 30);
    let b = world.join(2, "b");
    world.arrive(b, 1, "b", TWO);
    assert!(world.take(b).contains("a aborted: no disk"));
    world.say(b, r#"{"type":"heard","room":"r","ids":[1]}"#);
    world.input(Input::Closed { conn: b, reason: "done".into() });
    assert_eq!(world.machine.rooms.by_name().len(), 0);
}

#[test]
fn a_bare_controller_ends_on_a_signal() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130)] {
        let mut world = bare();
        world.input(Input::Signal(signal));
        assert_eq!(world.exit, Some(code));
    }
}

const RUN: &str = r#"{ "name": "t", "end": { "duration": 100 }, "slaves": { "a": ["s"], "b": ["s"] },
    "groups": { "both": ["a", "b"] }, "guests": ["desk"], "barriers": { "b": { "members": ["@both"], "timeout": 9 } },
    "schedules": { "s": [{ "name": "x", "poke": true, "end": "passed" }] } }"#;

/// Returns a run with two slaves that have started.
fn running() -> (World, ConnId, ConnId) {
    let mut world = World::running(RUN);
    let conns = [(1, "a"), (2, "b")].map(|(number, name)| {
        let conn = world.accept_nr(number);
        world.say(
            conn,
            &format!(r#"{{"type":"hello","protocol":1,"version":"x","name":"{name}","incarnation":"i{name}"}}"#),
        );
        conn
    });
    for conn in conns {
        assert!(world.take(conn).contains(r#""timeouts":{"b":9000000}"#), "declared timeouts are sent");
        world.say(conn, r#"{"type":"ready","run":"r1"}"#);
    }
    world.pass(SECOND);
    world.sent.clear();
    (world, conns[0], conns[1])
}

fn at_the_barrier(member: &str, id: u64, more: &str) -> String {
    format!(r#"{{"type":"arrive","room":"r1","barrier":"b","id":{id},"member":"{member}"{more}}}"#)
}

#[test]
fn slaves_of_a_run_meet_as_the_test_declares_and_it_is_recorded() {
    let (mut world, a, b) = running();
    world.say(a, &at_the_barrier("a", 1, ""));
    world.say(b, &at_the_barrier("b", 1, r#","party":{"members":["@both"]}"#));
    for conn in [a, b] {
        let verdict = world.take(conn);
        assert!(verdict.contains(r#""room":"r1","round":1,"verdict":"released""#), "{verdict}");
    }
    let arrived = r#""event":"arrived","barrier":"b","member":"a""#;
    assert!(world.recorded.contains(arrived), "{}", world.recorded);
    let met = r#""event":"met","barrier":"b","round":1,"verdict":"released","members":2"#;
    assert!(world.recorded.contains(met), "{}", world.recorded);
}

#[test]
fn a_declared_timeout_applies_if_the_arrival_names_none() {
    let (mut world, a, b) = running();
    world.say(a, &at_the_barrier("a", 1, ""));
    for _ in 0..9 {
        world.pass(SECOND);
        world.say(a, r#"{"type":"alive"}"#);
        world.say(b, r#"{"type":"ping","time":1}"#);
    }
    let verdict = world.take(a);
    assert!(verdict.contains(r#""verdict":"timed-out","who":["b"],"reason":"timed out; missing: b""#), "{verdict}");
    world.say(b, &at_the_barrier("b#x", 1, ""));
    assert!(world.take(b).contains("b#x is not a member"));
    world.say(b, &at_the_barrier("b", 2, r#","party":{"members":["@none"]}"#));
    assert!(world.take(b).contains("there is no group"));
    for (id, name) in [(3, "a\\u202e"), (4, ""), (5, "#t"), (6, &*"x".repeat(300))] {
        world.say(b, &at_the_barrier("b", id, &format!(r#","party":{{"members":["b","{name}"]}}"#)));
        assert!(world.take(b).contains("cannot be a member"), "{name:?}");
    }
}

#[test]
fn a_slave_that_reconnects_while_the_run_ends_gets_its_outcome() {
    let (mut world, a, b) = running();
    world.say(a, &at_the_barrier("a", 1, ""));
    world.input(Input::Closed { conn: a, reason: "cut".into() });
    world.say(b, &at_the_barrier("b", 1, r#","abort":"no disk""#));
    world.input(Input::Signal(Signal::INT));
    let a = world.accept_nr(3);
    world.say(a, r#"{"type":"hello","protocol":1,"version":"x","name":"a","incarnation":"ia","run":"r1"}"#);
    world.say(a, &at_the_barrier("a", 1, ""));
    let heard = world.take(a);
    assert!(heard.contains(r#""verdict":"aborted","who":["b"],"reason":"b aborted: no disk""#), "{heard}");
    world.say(a, &at_the_barrier("a", 2, ""));
    assert!(world.take(a).contains("is not going on"));
}

#[test]
fn a_client_meets_slaves_in_the_room_of_the_run() {
    let (mut world, a, _) = running();
    let client = world.accept_nr(9);
    world.say(client, r#"{"type":"join","protocol":1,"version":"x","incarnation":"c","room":"r1","member":"desk"}"#);
    world.take(client);
    let arrive = |member| {
        let party = r#""party":{"members":["a","desk"]}"#;
        format!(r#"{{"type":"arrive","room":"r1","barrier":"other","id":1,"member":"{member}",{party}}}"#)
    };
    world.say(client, &arrive("desk"));
    world.say(a, &arrive("a"));
    for conn in [a, client] {
        assert!(world.take(conn).contains("released"));
    }
    world.say(client, r#"{"type":"create","room":"r1","trigger":"t","count":1}"#);
    assert!(world.take(client).contains("its triggers are those of its test file"));
}

#[test]
fn values_are_bounded_and_the_refusal_names_the_limit() {
    let mut world = World::of(Controller::bare(None).limited(Limits::new(Some(10), Some(15), None)));
    let (a, b) = (world.join(1, "a"), world.join(2, "b"));
    world.give(a, 1, "a", "\"12345678+\"");
    assert!(world.take(a).contains("a value has at most 10 bytes (--value-max of the controller), this one has 11"));
    world.give(a, 2, "a", "\"12345678\"");
    world.give(b, 1, "b", "\"1234\"");
    assert!(world.take(b).contains("at most 15 bytes together (--session-max of the controller); 10 bytes were given"));
    world.give(b, 2, "b", "\"123\"");
    assert!(world.take(b).contains("released"));
}

#[test]
fn a_value_may_be_longer_than_other_lines_and_all_members_share_the_bytes_of_the_map() {
    let mut world = bare();
    let (a, b) = (world.join(1, "a"), world.join(2, "b"));
    let long = format!("{:?}", "x".repeat(3 * 1024 * 1024));
    world.give(a, 1, "a", &long);
    let stranger = world.accept_nr(3);
    world.say(stranger, &long);
    assert_eq!(world.closed, [stranger]);
    let party = r#""party":{"members":["a","b"]}"#;
    let give = format!(r#"{{"type":"give","room":"r","session":"s","id":1,"member":"b",{party},"value":{long}}}"#);
    world.sent.clear();
    for piece in format!("{give}\n").as_bytes().chunks(65_536) {
        world.input(Input::Received { conn: b, bytes: piece });
    }
    let long = |sent: Vec<Bytes>| sent.into_iter().filter(|bytes| bytes.len() > 6 * 1024 * 1024).collect::<Vec<_>>();
    let maps = std::mem::take(&mut world.sent).into_iter().map(|(conn, sent)| (conn, long(sent)));
    let maps: Vec<_> = maps.flat_map(|(conn, maps)| maps.into_iter().map(move |map| (conn, map.as_ptr()))).collect();
    assert_eq!(maps.iter().map(|(conn, _)| *conn).collect::<Vec<_>>(), [a, b]);
    assert_eq!(maps[0].1, maps[1].1);
    assert_eq!(world.machine.sessions.partial(), 0);
}

#[test]
fn arrivals_that_are_repeated_together_are_answered_by_one_message() {
    let mut world = bare();
    let a = world.join(1, "a");
    let alone = r#","party":{"count":1}"#;
    world.arrive(a, 1, "a", alone);
    let first = world.take(a);
    let again = format!(r#"{{"type":"arrive","room":"r","barrier":"b","id":1,"member":"a"{alone}}}"#);
    world.say(a, &format!("{again}\n{again}"));
    assert_eq!(world.take(a), first);
}
