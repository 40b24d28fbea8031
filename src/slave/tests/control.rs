//! Scenarios: the requests of commands on the control socket.

use serde_json::{Value, json};

use super::world::{World, shell};
use crate::machine::{ConnId, Input, ListenerId, Peer};

fn world() -> World {
    World::running(json!([shell("p", json!("poke"), json!({})), shell("a", json!({"at": 0}), json!({}))]))
}

fn reason(world: &World, conn: ConnId) -> String {
    let answer = world.answer(conn).expect("an answer");
    assert_eq!(answer["type"], "error", "{answer}");
    assert!(world.closed.contains(&conn));
    answer["reason"].as_str().unwrap().to_owned()
}

#[test]
fn every_poke_counts() {
    let mut world = world();
    world.reports();
    for nr in 1..=3 {
        let conn = world.request(r#"{"type":"poke","entry":"p"}"#);
        assert_eq!(world.answer(conn).unwrap()["type"], "done");
        assert_eq!(world.reports(), ["poked p by command".to_owned(), format!("spawned p#{nr}")]);
    }
}

#[test]
fn a_refused_poke_says_why() {
    let mut world = world();
    let conn = world.request(r#"{"type":"poke","entry":"x"}"#);
    assert_eq!(reason(&world, conn), "this slave has no entry \"x\"; its poke entries: p");
    let conn = world.request(r#"{"type":"poke","entry":"a"}"#);
    assert_eq!(reason(&world, conn), "entry \"a\" is not a poke entry; the poke entries of this slave: p");
    let mut early = World::new();
    let conn = early.request(r#"{"type":"poke"}"#);
    assert_eq!(reason(&early, conn), "no run is in progress on this slave");
    early.connect(None, 0);
    early.prepare(json!({}));
    let conn = early.request(r#"{"type":"poke"}"#);
    assert_eq!(reason(&early, conn), "the run has not started yet");
}

#[test]
fn a_notify_is_done_when_the_controller_has_counted_it() {
    let mut world = world();
    let conns = [(); 3].map(|()| world.request(r#"{"type":"notify","trigger":"go"}"#));
    let counts: Vec<Value> = world.take_said("notify").iter().map(|notify| notify["count"].clone()).collect();
    assert_eq!(counts, [1, 2, 3]);
    world.tell(json!({"type": "noted", "room": "r1", "trigger": "go", "count": 2, "left": 5}));
    assert_eq!(world.answer(conns[0]).unwrap()["left"], 5);
    assert_eq!(world.answer(conns[1]).unwrap()["left"], 5);
    assert_eq!(world.answer(conns[2]), None);
}

#[test]
fn only_a_notify_after_the_trigger_fired_is_reported_as_late() {
    let mut world = world();
    let conns = [(); 3].map(|()| world.request(r#"{"type":"notify","trigger":"go","data":1}"#));
    world.tell(json!({"type": "noted", "room": "r1", "trigger": "go", "count": 3, "left": 0, "in_time": 1}));
    let late: Vec<Value> = conns.iter().map(|conn| world.answer(*conn).unwrap()["late"].clone()).collect();
    assert_eq!(late, [Value::Null, json!(true), json!(true)]);
}

#[test]
fn an_unknown_trigger_is_refused_with_the_known_ones() {
    let mut world = world();
    let conn = world.request(r#"{"type":"notify","trigger":"gone"}"#);
    assert_eq!(reason(&world, conn), "the test has no trigger \"gone\"; its triggers: go, end");
    assert_eq!(world.take_said("notify"), [Value::Null; 0]);
}

#[test]
fn a_wait_ends_when_its_trigger_fires_or_at_once_when_it_has() {
    let mut world = world();
    let first = world.request(r#"{"type":"wait","trigger":"go"}"#);
    assert_eq!(world.answer(first), None);
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go"}));
    assert_eq!(world.answer(first).unwrap()["type"], "done");
    let second = world.request(r#"{"type":"wait","trigger":"go"}"#);
    assert_eq!(world.answer(second).unwrap()["type"], "done");
}

#[test]
fn requests_that_wait_at_the_end_are_refused() {
    let mut world = World::running(json!([]));
    let conn = world.request(r#"{"type":"wait","trigger":"go"}"#);
    world.tell(json!({"type": "stop", "run": "r1", "reason": "x", "how": "stop"}));
    assert_eq!(reason(&world, conn), "the run has ended");
}

#[test]
fn garbage_and_crowds_are_answered_and_closed() {
    let mut world = world();
    let conn = world.request("hello");
    assert!(reason(&world, conn).contains("JSON"), "{}", reason(&world, conn));
    let crowd: Vec<ConnId> = (0..4097).map(|_| world.request(r#"{"type":"wait","trigger":"go"}"#)).collect();
    assert_eq!(world.answer(crowd[4095]), None);
    assert!(reason(&world, crowd[4096]).contains("4096 requests wait"));
    world.input(Input::Closed { conn: crowd[0], reason: "gone".into() });
    let conn = ConnId(77);
    world.input(Input::Accepted { conn, listener: ListenerId(0), peer: crate::machine::stage::LOCAL });
    world.input(Input::Received { conn, bytes: &[b'x'; 200_000] });
    assert!(reason(&world, conn).contains("longer than"));
}

#[test]
fn uncounted_notifies_have_a_bound_even_if_no_command_waits_for_them() {
    let mut world = world();
    for _ in 0..4096 {
        let conn = world.request(r#"{"type":"notify","trigger":"go","data":1}"#);
        assert!(world.answer(conn).is_none());
        world.input(Input::Closed { conn, reason: "gone".into() });
    }
    let conn = world.request(r#"{"type":"notify","trigger":"go"}"#);
    assert!(reason(&world, conn).contains("away for too long to count more notifies"));
    world.tell(json!({"type": "noted", "room": "r1", "trigger": "go", "count": 1, "left": 9}));
    let conn = world.request(r#"{"type":"notify","trigger":"go"}"#);
    assert!(world.answer(conn).is_none());
}

#[test]
fn processes_of_other_users_are_refused_with_the_reason() {
    let mut world = world();
    for (serial, (uid, may)) in [(1000, true), (0, true), (1001, false), (u32::MAX, false)].into_iter().enumerate() {
        let conn = ConnId(500 + serial as u64);
        let peer = Peer::Local { uid, pid: Some(7) };
        world.input(Input::Accepted { conn, listener: ListenerId(0), peer });
        world.input(Input::Received { conn, bytes: b"{\"type\":\"wait\",\"trigger\":\"gone\"}\n" });
        assert_eq!(reason(&world, conn).contains("only that user and root"), !may, "{uid}");
        assert_eq!(world.sent[&conn].len(), 1, "{uid}");
    }
}

#[test]
fn a_measurement_is_a_report_that_is_repeated_until_it_is_recorded() {
    let mut world = world();
    world.reports();
    let record = r#"{"type":"record","entry":"a","nr":1,"measurements":[{"name":"x","value":94.1,"unit":"ms"},{"name":"y","value":-1}]}"#;
    let conn = world.request(record);
    assert_eq!(world.answer(conn).unwrap()["type"], "done");
    let said: Vec<Value> = world.take_said("report");
    let measured: Vec<_> = said.iter().map(|it| (&it["event"], &it["name"], &it["value"], &it["unit"])).collect();
    let (event, ms) = (json!("measured"), json!("ms"));
    assert_eq!(measured, [(&event, &json!("x"), &json!(94.1), &ms), (&event, &json!("y"), &json!(-1.0), &Value::Null)]);
    assert_eq!((&said[0]["entry"], &said[0]["nr"]), (&json!("a"), &json!(1)));
}

#[test]
fn a_refused_measurement_says_why() {
    let mut world = world();
    world.request(r#"{"type":"record","measurements":[{"name":"x","value":1,"unit":"ms"}]}"#);
    world.take_said("report");
    for (request, why) in [
        (r#""entry":"z","measurements":[{"name":"x","value":1}]"#, "this slave has no entry \"z\""),
        (r#""measurements":[{"name":"x","value":1}]"#, "x was recorded in ms before, and now without a unit"),
        (r#""measurements":[]"#, "one request records 1 to 100 measurements"),
        (r#""measurements":[{"name":"y","value":1},{"name":"x y","value":1}]"#, "cannot name a measurement"),
    ] {
        let conn = world.request(&format!("{{\"type\":\"record\",{request}}}"));
        let reason = reason(&world, conn);
        assert!(reason.contains(why), "{reason}");
    }
    assert_eq!(world.take_said("report"), [Value::Null; 0], "a refused request records nothing");
}
