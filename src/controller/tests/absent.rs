//! Members that cannot arrive: which members learn it, and when.

use std::time::Duration;

use super::World;
use crate::machine::{ConnId, Input};

const SECOND: Duration = Duration::from_secs(1);

/// Three slaves that arrive at the barrier `b`: two at once, and the third after its command has succeeded.
const TEST: &str = r#"{ "name": "t", "end": { "idle": true, "limit": "5min" }, "on_lost": "continue",
    "schedules": {
        "come": [{ "name": "b", "at": 0, "barrier": "b", "members": ["s1", "s2", "s3"] }],
        "work": [{ "name": "work", "at": 0, "shell": "true" },
            { "name": "b", "after": { "entry": "work", "exit": 0 }, "barrier": "b", "members": ["s1", "s2", "s3"] }]
    },
    "slaves": { "s[1-2]": ["come"], "s3": ["work"] } }"#;

/// The test has started, and its slaves have reported that they have begun.
fn started() -> (World, Vec<ConnId>) {
    let mut world = World::running(TEST);
    let conns: Vec<ConnId> = (1..=3).map(|number| world.accept_nr(number)).collect();
    for (conn, nr) in conns.iter().zip(1..) {
        world.say(*conn, &hello(nr, "i"));
    }
    conns.iter().for_each(|conn| world.say(*conn, r#"{"type":"ready","run":"r1"}"#));
    world.pass(SECOND);
    conns.iter().for_each(|conn| report(&mut world, *conn, 1, r#""event":"begun","late":0,"uncertain":0"#));
    world.sent.clear();
    (world, conns)
}

fn hello(nr: u32, incarnation: &str) -> String {
    format!(r#"{{"type":"hello","protocol":1,"version":"x","name":"s{nr}","incarnation":"{incarnation}"}}"#)
}

fn report(world: &mut World, conn: ConnId, seq: u64, what: &str) {
    world.say(conn, &format!(r#"{{"type":"report","run":"r1","seq":{seq},"time":1,{what}}}"#));
}

fn arrive(world: &mut World, conn: ConnId, member: &str) {
    let party = r#""party":{"members":["s1","s2","s3"]}"#;
    world.say(conn, &format!(r#"{{"type":"arrive","room":"r1","barrier":"b","id":1,"member":"{member}",{party}}}"#));
}

fn live(world: &mut World, conns: &[ConnId], seconds: u32) {
    for _ in 0..seconds {
        world.pass(SECOND);
        conns.iter().for_each(|conn| world.say(*conn, r#"{"type":"ping","time":1}"#));
    }
}

#[test]
fn a_lost_slave_fails_its_round_in_the_same_turn_and_late_members_at_once() {
    let (mut world, conns) = started();
    arrive(&mut world, conns[0], "s1");
    world.input(Input::Closed { conn: conns[2], reason: "cut".into() });
    assert_eq!(world.take(conns[0]), "");
    let again = world.accept_nr(9);
    world.say(again, &hello(3, "another"));
    let why = r#""who":["s3"],"reason":"s3 was lost: it was restarted in the middle of the run""#;
    let heard = world.take(conns[0]);
    assert!(heard.contains(r#""verdict":"lost""#) && heard.contains(why), "{heard}");
    arrive(&mut world, conns[1], "s2");
    let heard = world.take(conns[1]);
    assert!(heard.contains(r#""verdict":"lost""#) && heard.contains("an earlier round failed: s3 was lost"), "{heard}");
    world.say(conns[0], r#"{"type":"heard","room":"r1","ids":[1]}"#);
    let party = r#""party":{"members":["s1","s3#x"]}"#;
    let other = format!(r#"{{"type":"arrive","room":"r1","barrier":"c","id":2,"member":"s1",{party}}}"#);
    world.say(conns[0], &other);
    let heard = world.take(conns[0]);
    assert!(heard.contains(r#""who":["s3#x"],"reason":"s3#x was lost: it was restarted"#), "{heard}");
}

#[test]
fn a_member_cannot_arrive_after_its_slave_is_idle_but_may_while_reports_are_under_way() {
    let (mut world, conns) = started();
    arrive(&mut world, conns[0], "s1");
    report(&mut world, conns[2], 2, r#""event":"spawned","entry":"work","nr":1,"pid":7"#);
    live(&mut world, &conns, 3);
    // It has exited as the next entry requires. That entry starts, even if the report has not arrived yet.
    report(&mut world, conns[2], 3, r#""event":"exited","entry":"work","nr":1,"exit":{"code":0},"outcome":"passed""#);
    live(&mut world, &conns, 3);
    assert!(!world.take(conns[0]).contains("verdict"));
    report(&mut world, conns[2], 4, r#""event":"spawned","entry":"b","nr":1"#);
    live(&mut world, &conns, 3);
    assert!(!world.take(conns[0]).contains("verdict"));
    report(
        &mut world,
        conns[2],
        5,
        r#""event":"exited","entry":"b","nr":1,"exit":{"code":3},"outcome":"failed","why":"x""#,
    );
    report(&mut world, conns[2], 6, r#""event":"idle","heard":0"#);
    // A process that its command left in the background may still arrive.
    live(&mut world, &conns, 3);
    assert!(!world.take(conns[0]).contains("verdict"));
    report(&mut world, conns[2], 7, r#""event":"cleared""#);
    live(&mut world, &conns, 2);
    let heard = world.take(conns[0]);
    assert!(heard.contains(r#""reason":"s3 cannot come any more: its entry b failed (x)""#), "{heard}");
}

#[test]
fn a_failed_command_ends_the_wait_and_a_standstill_is_reported_once() {
    let (mut world, conns) = started();
    arrive(&mut world, conns[0], "s1");
    for (conn, entry, pid) in [(conns[0], "b", ""), (conns[1], "b", ""), (conns[2], "work", r#","pid":7"#)] {
        report(&mut world, conn, 2, &format!(r#""event":"spawned","entry":"{entry}","nr":1{pid}"#));
    }
    world.say(conns[2], r#"{"type":"waits","run":"r1","waits":[{"entry":"work","trigger":"none"}]}"#);
    live(&mut world, &conns, 10);
    assert!(!world.recorded.contains("stalled"), "an unknown trigger is not a wait: {}", world.recorded);
    world.say(conns[2], r#"{"type":"waits","run":"r1","waits":[{"entry":"work","barrier":"other"}]}"#);
    live(&mut world, &conns, 20);
    let stalled = r#""event":"stalled","waits":[{"barrier":"b","who":["s1"],"missing":["s2","s3"]}]"#;
    assert_eq!(world.recorded.matches(stalled).count(), 1, "{}", world.recorded);
    report(
        &mut world,
        conns[2],
        3,
        r#""event":"exited","entry":"work","nr":1,"exit":{"code":1},"outcome":"failed","why":"exit status 1, expected 0""#,
    );
    report(&mut world, conns[2], 4, r#""event":"idle","heard":0"#);
    report(&mut world, conns[2], 5, r#""event":"cleared""#);
    live(&mut world, &conns, 2);
    let heard = world.take(conns[0]);
    assert!(heard.contains("s3 cannot come any more: its entry work failed (exit status 1)"), "{heard}");
}

#[test]
fn a_look_that_compares_very_many_members_goes_on_in_later_turns() {
    let (mut world, conns) = started();
    // Nothing is known against these members, so each look compares all of them.
    let crowd: Vec<String> = (0..9_000).map(|nr| format!("\"s2#{nr}\"")).collect();
    for id in 1..=12 {
        let party = format!(r#""party":{{"members":["s1",{}]}}"#, crowd.join(","));
        let barrier = format!(r#""room":"r1","barrier":"c{id:02}","id":{id},"member":"s1""#);
        world.say(conns[0], &format!(r#"{{"type":"arrive",{barrier},{party}}}"#));
    }
    let last = r#""room":"r1","barrier":"d","id":13,"member":"s1","party":{"members":["s1","s3#x"]}"#;
    world.say(conns[0], &format!(r#"{{"type":"arrive",{last}}}"#));
    world.take(conns[0]);
    world.say(conns[2], r#"{"type":"bye","reason":"gone","fatal":false}"#);
    assert!(!world.take(conns[0]).contains("verdict"), "the look has not come to the last barrier");
    world.pass(SECOND / 2);
    let heard = world.take(conns[0]);
    assert!(heard.contains(r#""ids":[13]"#) && heard.contains("s3#x was lost: it said bye: gone"), "{heard}");
    assert_eq!(heard.matches("ids").count(), 1, "the others still wait: {heard}");
}
