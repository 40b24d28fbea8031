//! The measurements that slaves report: each counts once, and the assertions are judged at the end.

use serde_json::{Value, json};

use super::*;
use crate::controller::ledger::{Keep, Past};

const LEDGER: &str = "/results/state.jsonl";

/// Returns a controller of a run of two slaves with these assertions.
fn controller(asserts: &str) -> Controller {
    let text = format!(
        r#"{{ "name": "t", "end": {{ "duration": 5 }}, "slaves": {{ "a": ["s"], "b": ["s"] }}, "assert": {asserts},
            "schedules": {{ "s": [{{ "name": "x", "poke": true, "shell": "true" }}] }} }}"#
    );
    let test = testfile::parse("t.json", &text, &mut |file| Err(format!("no such file: {file}"))).expect("a test");
    let keep = Keep { path: LEDGER.into(), boot: "boot".to_owned(), ..Keep::default() };
    Controller::new(config(test)).keeping(keep)
}

impl World {
    fn slave(&mut self, number: u64, name: &str, more: &str) -> ConnId {
        let conn = self.accept_nr(number);
        let who = format!(r#""name":"{name}","incarnation":"{name}"{more}"#);
        self.say(conn, &format!(r#"{{"type":"hello","protocol":1,"version":"x",{who}}}"#));
        conn
    }

    fn measures(&mut self, conn: ConnId, seq: u64, name: &str, value: &str, unit: &str) -> String {
        let what = format!(r#""event":"measured","name":"{name}","value":{value},"unit":"{unit}""#);
        self.say(conn, &format!(r#"{{"type":"report","run":"r1","seq":{seq},"time":1,{what}}}"#));
        self.take(conn)
    }

    /// The run reaches its end, and the slaves stop. Returns its summary.
    fn over(&mut self, slaves: [ConnId; 2]) -> Value {
        self.pass(Duration::from_secs(10));
        slaves.iter().for_each(|conn| self.say(*conn, r#"{"type":"stopped","run":"r1"}"#));
        let is_summary =
            |effect: &&Effect| matches!(effect, Effect::Persist { path, .. } if path.ends_with("summary.json"));
        let Some(Effect::Persist { bytes, .. }) = self.asked.iter().find(is_summary) else { panic!("no summary") };
        serde_json::from_slice(bytes).expect("it is JSON")
    }
}

/// Returns a world in which the run has started.
fn started(asserts: &str) -> (World, [ConnId; 2]) {
    let mut world = World::of(controller(asserts));
    let slaves = [world.slave(1, "a", ""), world.slave(2, "b", "")];
    slaves.iter().for_each(|conn| world.say(*conn, r#"{"type":"ready","run":"r1"}"#));
    world.pass(Duration::from_secs(1));
    assert!(slaves.iter().all(|conn| world.take(*conn).contains("\"start\"")));
    (world, slaves)
}

#[test]
fn a_repeated_report_of_a_measurement_counts_once() {
    let (mut world, [a, b]) = started("{}");
    for seq in [1, 1, 2, 1] {
        world.measures(a, seq, "x", "5", "ms");
    }
    world.measures(b, 1, "x", "0.1", "s");
    let summary = world.over([a, b]);
    assert_eq!(summary["verdict"], "passed");
    let x = &summary["measurements"]["x"];
    assert_eq!(x["slaves"], json!({"a": [5, 5], "b": [100]}));
    assert_eq!((&x["unit"], &x["count"], &x["sum"]), (&json!("ms"), &json!(3), &json!(110)));
}

#[test]
fn a_broken_assertion_fails_the_run_also_after_a_restart_of_the_controller() {
    let asserts = r#"{"x": {"max": "20 ms", "count": 2}, "y": "> 0"}"#;
    let (mut world, [a, b]) = started(asserts);
    world.measures(a, 1, "x", "5", "ms");
    world.measures(b, 1, "x", "30", "ms");
    let ledger = world.recorded.lines().filter(|line| !line.starts_with("{\"t\":"));
    let ledger = ledger.fold(String::new(), |text, line| text + line + "\n");
    let past = Past::read(std::path::Path::new(LEDGER), ledger.into_bytes()).expect("it was just written");
    let again = controller(asserts).resumed(&past, &mut Vec::new()).expect("it was just written");
    let mut world = World::of(again);
    let slaves = ["a", "b"].map(|name| world.slave(if name == "a" { 11 } else { 12 }, name, r#","run":"r1""#));
    world.measures(slaves[1], 1, "x", "30", "ms");
    let summary = world.over(slaves);
    let texts: Vec<&Value> = summary["failures"].as_array().expect("it failed").iter().map(|it| &it["text"]).collect();
    let maximum = "x: the maximum of 2 values is 30 ms, asserted <= 20 ms";
    assert_eq!(texts, [maximum, "no slave recorded y, asserted > 0"]);
    assert_eq!((&summary["verdict"], &summary["failures"][0]["kind"]), (&json!("failed"), &json!("assertion")));
    assert_eq!(summary["why"], format!("{maximum} (and 1 more failure)"));
    let past = Past::read(std::path::Path::new(LEDGER), world.recorded.clone().into_bytes());
    assert!(past.is_err() || world.recorded.contains("\"kind\":\"assertion\""), "{}", world.recorded);
}

#[test]
fn units_that_differ_between_slaves_fail_the_run_and_both_are_named() {
    let (mut world, [a, b]) = started("{}");
    world.measures(a, 1, "x", "5", "ms");
    world.measures(b, 1, "x", "5", "MiB");
    let summary = world.over([a, b]);
    assert_eq!(summary["why"], "x: a recorded it in ms, and b in MiB: use one unit");
    assert_eq!(summary["failures"][0]["kind"], "measurement");
    assert_eq!(summary["measurements"]["x"]["slaves"], json!({"a": [5]}));
}

#[test]
fn a_measurement_that_no_command_can_record_ends_its_connection() {
    for (name, value, unit) in [("a b", "5", "ms"), ("x", "1e101", "ms"), ("x", "5", "m s"), ("x", "5", "5")] {
        let (mut world, [a, _]) = started("{}");
        let heard = world.measures(a, 1, name, value, unit);
        assert!(heard.contains("has a name, a value or a unit that is not valid"), "{heard}");
        assert_eq!(world.closed, [a]);
    }
}

#[test]
fn nothing_is_asserted_about_a_run_that_was_interrupted() {
    let (mut world, slaves) = started(r#"{"x": "> 0"}"#);
    world.signal(crate::machine::Signal::INT);
    let summary = world.over(slaves);
    assert_eq!((&summary["verdict"], &summary["failures"]), (&json!("interrupted"), &Value::Null));
}
