//! Members that meet in a controller's rooms, played by hand.

use std::time::Duration;

use super::{Controller, World};
use crate::machine::{ConnId, Input, Signal};

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
        let conn = self.accept(number);
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
fn two_clients_meet_and_hear_the_same_verdict() {
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
fn who_was_away_at_the_release_hears_its_verdict_when_it_asks_again() {
    let mut world = bare();
    let (a, b) = (world.join(1, "a"), world.join(2, "b"));
    world.give(a, 1, "a", "[1]");
    world.input(Input::Closed { conn: a, reason: "cut".to_owned() });
    world.give(b, 1, "b", "{\"x\":null}");
    let heard = world.take(b);
    let map =
        "{\"type\":\"map\",\"room\":\"r\",\"session\":\"s\",\"round\":1,\"map\":{\"a\":[1],\"b\":{\"x\":null}}}\n";
    assert!(heard.starts_with(map), "{heard}");
    let a = world.join(3, "a");
    world.give(a, 1, "a", "[1]");
    assert_eq!(world.take(a), heard);
    assert!(!world.controller.is_quiet());
    for conn in [a, b] {
        world.say(conn, r#"{"type":"heard","room":"r","ids":[1]}"#);
    }
    assert!(world.controller.is_quiet());
}

#[test]
fn a_client_acts_as_itself_alone() {
    let mut world = bare();
    let a = world.join(1, "a");
    world.arrive(a, 1, "b", TWO);
    let heard = world.take(a);
    assert!(heard.contains("\"verdict\":\"refused\"") && heard.contains("a cannot act as"), "{heard}");
}

#[test]
fn who_does_not_answer_a_check_loses_its_connection() {
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
    assert!(world.take(a).contains("not answered a check"), "{:?}", world.heard);
    for _ in 0..3 {
        world.say(b, r#"{"type":"alive"}"#);
        world.pass(SECOND * 2);
    }
    let verdict = world.take(b);
    assert!(verdict.contains("\"verdict\":\"lost\",\"who\":[\"a\"]"), "{verdict}");
}

#[test]
fn notifies_with_data_are_told_to_those_who_watch() {
    let mut world = bare();
    let (a, b) = (world.join(1, "a"), world.join(2, "b"));
    world.say(b, r#"{"type":"watch","room":"r","trigger":"t"}"#);
    assert!(world.take(b).contains("there is no trigger"), "{:?}", world.heard);
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
}

#[test]
fn a_room_of_which_nothing_is_left_is_forgotten() {
    let mut world = bare();
    let a = world.join(1, "a");
    world.say(a, r#"{"type":"create","room":"r","trigger":"t","count":2}"#);
    world.input(Input::Closed { conn: a, reason: "cut".to_owned() });
    assert_eq!(world.controller.rooms.len(), 1);
    let a = world.join(2, "a");
    world.say(a, r#"{"type":"delete","room":"r","trigger":"t"}"#);
    assert_eq!(world.controller.rooms.len(), 1);
    world.input(Input::Closed { conn: a, reason: "cut".to_owned() });
    assert_eq!(world.controller.rooms.len(), 0);
}

#[test]
fn a_bare_controller_ends_when_it_is_told_to() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130)] {
        let mut world = bare();
        world.input(Input::Signal(signal));
        assert_eq!(world.exit, Some(code));
    }
}
