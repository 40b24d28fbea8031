//! Scenarios: members that arrive at barriers and give values to syncs.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{AHEAD, World, decoded, entry};
use crate::machine::{ConnId, Input, Signal};

const SECOND: Duration = Duration::from_secs(1);

fn world() -> World {
    let mut world = World::running(json!([]));
    world.said.clear();
    world
}

fn barrier(world: &mut World, more: &str) -> ConnId {
    world.request(&format!("{{\"type\":\"barrier\",\"barrier\":\"up\"{more}}}"))
}

/// How long a confirmation waits at most for a message with which it can be sent.
const HELD: Duration = Duration::from_millis(5);

fn verdict(world: &mut World, kind: &str, ids: Value) {
    world.tell(json!({"type": "verdict", "room": "r1", "round": 1, "verdict": kind, "who": ["x"], "reason": "why",
        "ids": ids}));
}

fn ids(messages: &[Value]) -> Vec<&Value> {
    messages.iter().map(|message| &message["id"]).collect()
}

/// The last answer to a command.
fn met(world: &World, conn: ConnId) -> Value {
    let answer = world.sent.get(&conn).and_then(|lines| lines.last()).expect("an answer");
    let answer: Value = serde_json::from_slice(answer).expect("a JSON line");
    assert_eq!(answer["type"], "met", "{answer}");
    assert!(world.closed.contains(&conn));
    answer
}

#[test]
fn a_command_arrives_as_its_slave_and_gets_the_verdict() {
    let mut world = world();
    let conn = barrier(&mut world, r#","party":{"members":["node1","b"]},"timeout":5000000,"tag":"t""#);
    let arrive = world.take_said("arrive").remove(0);
    let said = json!({"type": "arrive", "room": "r1", "barrier": "up", "id": 1, "member": "node1#t",
        "party": {"members": ["node1", "b"]}, "timeout": 5_000_000});
    assert_eq!(arrive, said);
    assert_eq!(world.answer(conn), None);
    verdict(&mut world, "lost", json!([1]));
    assert_eq!(world.take_said("heard").len(), 0, "it waits for a message with which it can be sent");
    world.pass(HELD);
    assert_eq!(world.take_said("heard"), [json!({"type": "heard", "room": "r1", "ids": [1]})]);
    assert_eq!(met(&world, conn), json!({"type": "met", "verdict": "lost", "who": ["x"], "reason": "why"}));
    world.pass(10 * SECOND);
    assert_eq!(world.take_said("gone").len(), 0);
}

#[test]
fn the_members_of_a_slave_have_the_name_under_which_it_serves() {
    let mut world = World::new();
    world.run(json!({"serve_as": "any1", "entries": [
        entry("meets", json!({"at": 0}), json!({"barrier": {"barrier": "here", "tag": "x"}}))]}));
    barrier(&mut world, "");
    barrier(&mut world, r#","tag":"t""#);
    world.request(r#"{"type":"sync","session":"s","value":1}"#);
    let members = |said: Vec<Value>| said.iter().map(|it| it["member"].clone()).collect::<Vec<_>>();
    assert_eq!(members(world.take_said("arrive")), ["any1#x", "any1", "any1#t"]);
    assert_eq!(members(world.take_said("give")), ["any1"]);
    // The hello still has its own name, and the members keep theirs after a reconnect.
    assert_eq!(world.reconnect(Some("r1"), 0)["name"], "node1");
    assert_eq!(members(world.take_said("arrive")), ["any1#x", "any1", "any1#t"]);
}

#[test]
fn one_verdict_releases_several_members_and_is_confirmed_once() {
    let mut world = world();
    let conns = ["a", "b", "c"].map(|tag| barrier(&mut world, &format!(",\"tag\":\"{tag}\"")));
    assert_eq!(ids(&world.take_said("arrive")), [1, 2, 3]);
    verdict(&mut world, "released", json!([1, 3]));
    assert_eq!(met(&world, conns[0])["verdict"], "released");
    assert_eq!(world.answer(conns[1]), None);
    assert_eq!(met(&world, conns[2])["verdict"], "released");
    world.pass(HELD);
    assert_eq!(world.take_said("heard")[0]["ids"], json!([1, 3]));
    verdict(&mut world, "released", json!([1]));
    assert_eq!(world.sent[&conns[0]].len(), 1);
    world.pass(HELD);
    assert_eq!(world.take_said("heard")[0]["ids"], json!([1]), "a repeated verdict is confirmed again");
}

#[test]
fn arrivals_are_sent_again_after_a_reconnect_with_the_time_left() {
    let mut world = world();
    barrier(&mut world, r#","timeout":60000000"#);
    barrier(&mut world, r#","tag":"x""#);
    barrier(&mut world, r#","tag":"y""#);
    verdict(&mut world, "released", json!([3]));
    world.said.clear();
    let before = world.now;
    world.pass(10 * SECOND);
    world.reconnect(Some("r1"), 1_000);
    let again = world.take_said("arrive");
    assert_eq!(ids(&again), [1, 2]);
    let left = 60_000_000 - world.now.since(before).as_micros() as u64;
    assert_eq!((&again[0]["timeout"], &again[1]["timeout"]), (&json!(left), &Value::Null));
}

#[test]
fn a_timeout_expires_on_time_while_the_controller_is_away() {
    let mut world = world();
    let conn = barrier(&mut world, r#","timeout":3000000"#);
    world.lose();
    let tried = world.now;
    while world.answer(conn).is_none() {
        world.conn = None;
        world.pass(Duration::from_millis(1));
        assert!(world.now.since(tried) <= 3 * SECOND + Duration::from_millis(1));
    }
    assert!(world.now.since(tried) >= 3 * SECOND);
    assert_eq!(met(&world, conn), json!({"type": "met", "reason": "the controller is out of reach (reset)"}));
}

#[test]
fn the_controllers_own_verdict_wins_while_it_is_connected() {
    let mut world = world();
    let conn = barrier(&mut world, r#","timeout":3000000"#);
    world.pass(3 * SECOND + Duration::from_millis(249));
    assert_eq!(world.answer(conn), None);
    verdict(&mut world, "timed-out", json!([1]));
    assert_eq!(met(&world, conn)["verdict"], "timed-out");
    let mute = barrier(&mut world, r#","timeout":3000000"#);
    world.pass(3 * SECOND + Duration::from_millis(250));
    assert_eq!(met(&world, mute).get("verdict"), None);
    assert_eq!(met(&world, mute)["reason"], "the controller is connected and has not answered yet");
    assert_eq!(world.take_said("gone"), [json!({"type": "gone", "room": "r1", "ids": [2]})]);
}

#[test]
fn withdrawals_and_confirmations_are_repeated_until_the_controller_has_them() {
    let mut world = world();
    let conn = barrier(&mut world, "");
    barrier(&mut world, r#","tag":"x""#);
    world.lose();
    world.input(Input::Closed { conn, reason: "died".into() });
    assert_eq!(world.take_said("gone").len(), 0);
    world.await_dial();
    world.connect(Some("r1"), 1_000);
    assert_eq!(world.take_said("gone")[0]["ids"], json!([1]));
    world.said.clear();
    verdict(&mut world, "released", json!([2]));
    world.reconnect(Some("r1"), 1_000);
    assert_eq!(world.take_said("heard").last().unwrap()["ids"], json!([2]));
    world.pass(20 * SECOND);
    world.said.clear();
    world.reconnect(Some("r1"), 1_000);
    assert_eq!(
        (world.take_said("gone").len(), world.take_said("heard").len(), world.take_said("arrive").len()),
        (0, 0, 0)
    );
}

#[test]
fn the_arrival_of_a_command_that_dies_is_taken_back() {
    let mut world = world();
    let conn = barrier(&mut world, "");
    world.input(Input::Closed { conn, reason: "died".into() });
    assert_eq!(world.take_said("gone")[0]["ids"], json!([1]));
    verdict(&mut world, "released", json!([1]));
    assert_eq!(world.answer(conn), None);
}

#[test]
fn a_release_at_an_instant_waits_for_it_on_our_own_clock() {
    let mut world = world();
    let conn = barrier(&mut world, r#","harmonize":true,"timeout":1000"#);
    assert_eq!(world.take_said("arrive")[0]["harmonize"], true);
    let at = world.now.as_micros() + AHEAD + 50_000;
    world.tell(json!({"type": "verdict", "room": "r1", "round": 1, "verdict": "released", "at": at, "ids": [1]}));
    world.pass(HELD);
    assert_eq!(world.take_said("heard").len(), 1);
    world.pass(Duration::from_micros(49_999) - HELD);
    assert_eq!(world.answer(conn), None);
    world.pass(Duration::from_micros(1));
    assert_eq!(met(&world, conn)["verdict"], "released");
}

#[test]
fn a_release_far_in_the_future_is_not_awaited() {
    let mut world = world();
    let conn = barrier(&mut world, "");
    world.tell(json!({"type": "verdict", "room": "r1", "round": 1, "verdict": "released", "at": u64::MAX, "ids": [1]}));
    world.pass(SECOND);
    assert_eq!(met(&world, conn)["verdict"], "released");
}

#[test]
fn the_map_of_a_sync_is_relayed_byte_for_byte_before_the_verdict() {
    let mut world = world();
    let value = r#"{"b": 1.50, "a":[2,  3]}"#;
    let give = |tag: &str| format!("{{\"type\": \"sync\",\"session\":\"s\",\"tag\":\"{tag}\",\"value\":{value}}}");
    let conns = ["a", "b"].map(|tag| world.request(&give(tag)));
    let said = world.take_said("give");
    assert_eq!((&said[0]["timeout"], &said[0]["member"]), (&json!(60_000_000), &json!("node1#a")));
    let map = "{\"type\":\"map\",\"room\":\"r1\",\"session\":\"s\",\"round\":4,\"map\":{\"node1#a\":{\"x\":  1.0}}}\n";
    world.say(world.conn.unwrap(), map.trim_end());
    assert_eq!(world.answer(conns[0]), None);
    world.tell(json!({"type": "verdict", "room": "r1", "round": 4, "verdict": "released", "ids": [1, 2]}));
    for conn in conns {
        assert_eq!(world.answer(conn).unwrap()["map"], json!({"node1#a": {"x": 1.0}}));
        assert_eq!(met(&world, conn)["verdict"], "released");
        assert_eq!(&*world.sent[&conn][0], map.as_bytes());
    }
}

#[test]
fn a_value_may_be_longer_than_other_requests() {
    let mut world = world();
    let long = "x".repeat(2_000_000);
    world.request(&format!("{{\"type\":\"sync\",\"session\":\"s\",\"value\":\"{long}\"}}"));
    assert_eq!(world.take_said("give")[0]["value"].as_str().unwrap().len(), long.len());
    let conn = world.request(&format!("{{\"type\":\"barrier\",\"barrier\":\"s\",\"abort\":\"{long}\"}}"));
    assert_eq!(world.answer(conn).unwrap()["type"], "error");
}

#[test]
fn the_timeout_of_the_test_file_applies_if_a_request_names_none() {
    let mut world = World::new();
    world.run(json!({"timeouts": {"up": 7_000_000}}));
    barrier(&mut world, "");
    barrier(&mut world, r#","tag":"x","timeout":8000000"#);
    let timeouts: Vec<Value> = world.take_said("arrive").iter().map(|arrive| arrive["timeout"].clone()).collect();
    assert_eq!(timeouts, [7_000_000, 8_000_000]);
}

#[test]
fn an_entry_at_a_barrier_runs_until_the_verdict_and_exits_with_its_status() {
    for (kind, status, outcome) in [
        ("released", 0, "passed"),
        ("timed-out", 3, "failed"),
        ("aborted", 4, "failed"),
        ("lost", 5, "failed"),
        ("disagreed", 1, "failed"),
        ("refused", 1, "failed"),
    ] {
        let mut world = World::running(json!([
            entry("up", json!({"at": 0}), json!({"barrier": {"barrier": "up"}})),
            entry(
                "next",
                json!({"after": {"of": [{"entry": "up", "when": {"exited": {"code": status}}}]}}),
                json!({"notify": {"trigger": "go"}})
            ),
        ]));
        assert_eq!(world.reports(), ["begun", "spawned up#1"], "it is not idle");
        verdict(&mut world, kind, json!([1]));
        let reports = world.take_said("report");
        assert_eq!((&reports[0]["exit"], &reports[0]["outcome"]), (&json!({"code": status}), &json!(outcome)));
        let why = if status == 0 { Value::Null } else { json!("barrier up: why") };
        assert_eq!(reports[0]["why"], why);
        assert_eq!(world.take_said("notify").len(), 1, "its followers run");
    }
}

#[test]
fn an_entry_passes_with_a_status_that_it_expects_and_with_no_other() {
    for (expect, kind, why) in [
        (json!({"of": [{"code": 4}]}), "aborted", Value::Null),
        (json!({"of": [{"code": 3}, {"code": 0}]}), "released", Value::Null),
        (json!("any"), "lost", Value::Null),
        (json!({"of": [{"code": 4}]}), "timed-out", json!("barrier up: why; exit status 3, expected 4")),
        (json!({"of": [{"code": 4}]}), "released", json!("barrier up: all members arrived; exit status 0, expected 4")),
    ] {
        let action = json!({"barrier": {"barrier": "up", "expect": expect}});
        let mut world = World::running(json!([entry("up", json!({"at": 0}), action)]));
        world.take_said("report");
        verdict(&mut world, kind, json!([1]));
        let report = world.take_said("report").remove(0);
        let outcome = if why.is_null() { "passed" } else { "failed" };
        assert_eq!((&report["outcome"], &report["why"]), (&json!(outcome), &why), "{expect} {kind}");
    }
}

#[test]
fn the_reason_of_an_entry_that_aborts_may_hold_variables() {
    let action = json!({"barrier": {"barrier": "up", "abort": "no disk on @{slave.name}",
        "expect": {"of": [{"code": 4}]}}});
    let mut world = World::running(json!([entry("off", json!({"at": 0}), action)]));
    assert_eq!(world.take_said("arrive")[0]["abort"], "no disk on node1");
    verdict(&mut world, "aborted", json!([1]));
    assert!(world.reports().contains(&"exited off#1 passed".to_owned()));
}

#[test]
fn an_entry_without_a_verdict_exits_with_6() {
    let mut world = World::running(json!([entry(
        "up",
        json!({"at": 0}),
        json!({"barrier": {"barrier": "up", "timeout": 1_000_000}})
    )]));
    world.pass(2 * SECOND);
    let reports = world.take_said("report");
    let exited = reports.iter().find(|report| report["event"] == "exited").unwrap();
    assert_eq!(exited["exit"], json!({"code": 6}));
    assert!(exited["why"].as_str().unwrap().contains("no verdict was heard within 1s"), "{exited}");
}

#[test]
fn the_map_of_a_sync_entry_is_its_standard_output() {
    let action = json!({"sync": {"session": "s", "value": {"me": ["@{slave.name}", 1]}}});
    let mut world = World::running(json!([entry("s", json!({"at": 0}), action)]));
    assert_eq!(world.take_said("give")[0]["value"], json!({"me": ["node1", 1]}));
    world.tell(json!({"type": "map", "room": "r1", "session": "s", "round": 1, "map": {"node1": 1}}));
    verdict(&mut world, "released", json!([1]));
    world.pass(SECOND);
    let outputs = world.take_said("output");
    assert_eq!((outputs.len(), &outputs[0]["file"]), (1, &json!("s.out")));
    assert_eq!(decoded(&outputs[0]), b"{\"node1\":1}\n");
}

#[test]
fn the_end_of_the_run_stops_entries_and_takes_their_arrivals_back() {
    let mut world = World::running(json!([entry("up", json!({"at": 0}), json!({"barrier": {"barrier": "up"}}))]));
    let conn = barrier(&mut world, r#","tag":"x""#);
    world.reports();
    world.tell(json!({"type": "stop", "run": "r1", "reason": "x", "how": "stop"}));
    assert!(world.reports().contains(&"exited up#1 stopped".to_owned()));
    let gone: Vec<Value> = world.take_said("gone").iter().map(|gone| gone["ids"].clone()).collect();
    assert_eq!(gone, [json!([1]), json!([2])]);
    assert_eq!(world.answer(conn).unwrap()["reason"], "the run has ended");
}

#[test]
fn a_kill_ends_an_entry_that_waits_and_takes_its_arrival_back() {
    for action in [json!({"barrier": {"barrier": "up"}}), json!({"sync": {"session": "up", "value": 1}})] {
        let killed = |exit| json!({"after": {"of": [{"entry": "up", "when": {"exited": exit}}]}});
        let mut world = World::running(json!([
            entry("up", json!({"at": 0}), action),
            entry("pause", json!({"at": 1_000_000}), json!({"kill": {"entry": "up", "signal": "SIGSTOP"}})),
            entry("kill", json!({"at": 2_000_000}), json!({"kill": {"entry": "up", "signal": "SIGTERM"}})),
            entry("next", killed(json!({"signal": "SIGTERM"})), json!({"notify": {"trigger": "go"}})),
            entry("other", killed(json!({"code": 0})), json!({"notify": {"trigger": "go"}})),
        ]));
        world.pass(SECOND);
        assert_eq!(world.take_said("gone").len(), 0, "SIGSTOP takes no arrival back");
        world.said.clear();
        world.pass(SECOND);
        assert_eq!(world.take_said("gone"), [json!({"type": "gone", "room": "r1", "ids": [1]})]);
        let reports = world.take_said("report");
        let exited = reports.iter().find(|report| report["event"] == "exited" && report["entry"] == "up").unwrap();
        assert_eq!((&exited["exit"], &exited["outcome"]), (&json!({"signal": "SIGTERM"}), &json!("stopped")));
        assert_eq!(exited["why"], "entry kill sent SIGTERM");
        assert_eq!(
            world.take_said("notify").len(),
            1,
            "the entries after its death run, those after its success do not"
        );
        verdict(&mut world, "released", json!([1]));
        world.pass(HELD);
        assert_eq!(world.take_said("heard").len(), 1);
        assert!(!world.reports().iter().any(|report| report.starts_with("exited up")), "it has exited already");
    }
}

#[test]
fn a_check_is_answered_at_once_with_and_without_a_run() {
    let mut idle = World::new();
    idle.connect(None, 0);
    for mut world in [idle, world()] {
        world.tell(json!({"type": "check"}));
        assert_eq!(world.take_said("alive").len(), 1);
    }
}

#[test]
fn a_wait_shows_the_data_of_notifies_and_data_is_sent_again() {
    let mut world = world();
    let conn = world.request(r#"{"type":"wait","trigger":"go"}"#);
    world.request(r#"{"type":"notify","trigger":"go","data":{"x":1}}"#);
    world.request(r#"{"type":"notify","trigger":"go"}"#);
    world.said.clear();
    world.reconnect(Some("r1"), 1_000);
    assert_eq!(world.take_said("state")[0]["notified"], json!({}));
    let again = world.take_said("notify");
    assert_eq!((&again[0]["count"], &again[0]["data"]), (&json!(1), &json!({"x": 1})));
    assert_eq!((again.len(), &again[1]["count"]), (2, &json!(2)));
    let notes = json!([{"from": "node1", "data": {"x": 1}}]);
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go", "notes": notes}));
    assert_eq!(world.answer(conn).unwrap()["notes"], notes);
    let late = world.request(r#"{"type":"wait","trigger":"go"}"#);
    assert_eq!(world.answer(late).unwrap()["notes"], notes);
}

#[test]
fn names_that_are_not_valid_are_refused() {
    let mut world = world();
    let long = format!(r#","tag":"{}""#, "x".repeat(256));
    for more in [r#","tag":"a\u0007""#, &long] {
        let conn = barrier(&mut world, more);
        assert!(world.answer(conn).unwrap()["reason"].as_str().unwrap().contains("tag"));
    }
    for name in ["", "a\\u009b"] {
        let conn = world.request(&format!(r#"{{"type":"barrier","barrier":"{name}"}}"#));
        assert_eq!(world.answer(conn).unwrap()["type"], "error");
    }
    assert_eq!(world.take_said("arrive").len(), 0);
    barrier(&mut world, r#","tag":"""#);
    barrier(&mut world, r##","tag":"ż b#c""##);
    let members: Vec<_> = world.take_said("arrive").into_iter().map(|arrive| arrive["member"].clone()).collect();
    assert_eq!(members, ["node1#", "node1#ż b#c"]);
    world.signal(Signal::TERM);
}
