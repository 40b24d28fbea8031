//! Members do not wait for others that cannot arrive. This is tested with the real program: one of six slaves is
//! restarted, a member's preparation fails, a count cannot be reached, and every command of a run waits.

#![forbid(unsafe_code)]

mod common;

use std::time::{Duration, Instant};

use common::{Place, Running, SOON, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The number of barriers that wait for the restarted slave.
const BARRIERS: usize = 13;

/// The limit on the time of a run without a useless wait: far below the run's own limit, with a margin for a busy
/// machine.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Runs a test on this machine, and returns its events.
fn run(place: &Place, test: &Value, code: i32) -> (Vec<Value>, String) {
    place.write("t.json", test.to_string());
    let ended = place.arete(["run", "t.json", "--results", "r"]).run().exits_with(code);
    (place.events("r"), ended.stdout)
}

fn of<'a>(events: &'a [Value], what: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == *what)
}

fn exit_of(events: &[Value], entry: &str) -> u64 {
    let exited = of(events, "exited").find(|event| event["entry"] == *entry);
    exited.and_then(|event| event["exit"]["code"].as_u64()).unwrap_or_else(|| panic!("{entry} exits: {events:?}"))
}

#[test]
fn five_slaves_do_not_wait_at_thirteen_barriers_for_a_restarted_one() {
    let place = Place::new("restarted");
    let names: Vec<String> = (1..=6).map(|nr| format!("s{nr}")).collect();
    let barrier =
        |nr: usize| json!({ "name": format!("b{nr}"), "at": 0, "barrier": format!("b{nr}"), "members": names });
    let waits: Vec<Value> = (0..BARRIERS).map(barrier).collect();
    let mut slaves: serde_json::Map<String, Value> =
        names.iter().map(|name| (name.clone(), json!(["waits"]))).collect();
    slaves.insert("s6".to_owned(), json!(["busy"]));
    let test = json!({
        "name": "restarted", "end": { "idle": true, "limit": "2min" }, "on_lost": "continue",
        "schedules": { "waits": waits, "busy": [{ "name": "busy", "at": 0, "shell": "exec sleep 100" }] },
        "slaves": slaves,
    });
    place.write("t.json", test.to_string());
    let mut controller = place.arete(["run", "t.json", "--listen", "127.0.0.1:0", "--results", "r"]).start();
    controller.wait_for_output("listening on ");
    let said = controller.stdout();
    let listen = said.trim_start_matches("listening on ").split(',').next().expect("it says where").to_owned();
    let slave = |name: &str| -> Running<'_> {
        let dir = place.path(name).display().to_string();
        place.arete(["slave", "--controller", &listen, "--name", name, "--dir", &dir, "--once"]).start()
    };
    let mut running: Vec<Running<'_>> = names.iter().map(|name| slave(name)).collect();
    wait_for(SOON, "all to wait", || place.count("r", "arrived") == 5 * BARRIERS);
    let begin = Instant::now();
    let victim = running.pop().expect("there are six");
    victim.signal(Signal::KILL);
    drop(victim);
    let again = slave("s6");
    controller.wait().exits_with(1);
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    drop(again);
    running.into_iter().for_each(|slave| drop(slave.wait()));
    let events = place.events("r");
    assert_eq!(of(&events, "met").count(), BARRIERS);
    let lost = of(&events, "lost").next().expect("it is lost");
    for met in of(&events, "met") {
        let reason = met["reason"].as_str().unwrap_or_default();
        assert!(met["verdict"] == "lost" && reason.starts_with("s6 was lost: it was restarted"), "{met}");
        let apart = met["t"].as_f64().unwrap_or_default() - lost["t"].as_f64().unwrap_or_default();
        assert!(apart < 0.1, "in the same turn: {apart}");
    }
    let exits = of(&events, "exited").filter(|event| event["slave"] != "s6");
    let codes: Vec<_> = exits.map(|event| event["exit"]["code"].as_u64()).collect();
    assert_eq!(codes, vec![Some(5); 5 * BARRIERS]);
}

#[test]
fn entries_and_commands_do_not_wait_for_a_member_with_a_failed_preparation() {
    let place = Place::new("prepare");
    let test = json!({
        "name": "prepare", "end": { "idle": true, "limit": "2min" },
        "schedules": {
            "a": [
                { "name": "entry", "at": 0, "barrier": "up", "members": ["a", "b"] },
                { "name": "command", "at": 0, "shell": "exec arete barrier by-hand --members a,b" },
                { "name": "sync", "at": 0, "shell": "exec arete sync s --members a,b --data 1 --timeout 100s" },
            ],
            "b": [
                { "name": "prepare", "at": 0, "shell": "echo no disk >&2; exit 1" },
                { "name": "up", "after": { "entry": "prepare", "exit": 0 }, "barrier": "up", "members": ["a", "b"] },
            ],
        },
        "slaves": { "a": ["a"], "b": ["b"] },
    });
    let begin = Instant::now();
    let (events, _) = run(&place, &test, 1);
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    for entry in ["entry", "command", "sync"] {
        assert_eq!(exit_of(&events, entry), 5, "{entry}");
    }
    let why = "b cannot come any more: its entry prepare failed (exit status 1)";
    assert!(of(&events, "met").all(|met| met["reason"] == why && met["who"] == json!(["b"])), "{events:?}");
    let said = place.read("r/a/command.err");
    assert!(said.contains(&format!("arete: barrier by-hand: {why}")), "{said}");
}

#[test]
fn a_count_fails_when_too_few_members_are_left() {
    let place = Place::new("too-few");
    let any = json!({ "name": "any", "at": 0, "barrier": "any", "count": 3 });
    let prepare = json!([
        { "name": "prepare", "at": 0, "shell": "exit 1" },
        { "name": "any", "after": { "entry": "prepare", "exit": 0 }, "barrier": "any", "count": 3 },
    ]);
    let test = json!({
        "name": "too-few", "end": { "idle": true, "limit": "2min" },
        "schedules": { "any": [any], "prepare": prepare },
        "slaves": { "a": ["any"], "b": ["any"], "c": ["prepare"] },
    });
    let begin = Instant::now();
    let (events, _) = run(&place, &test, 1);
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    let met = of(&events, "met").next().expect("it is over");
    assert_eq!((&met["verdict"], &met["reason"]), (&json!("lost"), &json!("only 2 of the 3 members can still arrive")));
}

#[test]
fn the_report_names_waiting_members_when_every_command_waits_and_at_the_limit() {
    let place = Place::new("stalled");
    let test = json!({
        "name": "stalled", "end": { "trigger": "done", "limit": "8s" }, "triggers": { "done": 1, "go": 2 },
        "schedules": {
            "a": [{ "name": "meet", "at": 0, "shell": "arete barrier up --members a,b; arete notify done" }],
            "c": [{ "name": "wait", "at": 0, "shell": "arete notify go; arete wait go; arete barrier up --members a,b" }],
        },
        "slaves": { "a": ["a"], "b": ["c"] },
    });
    let (events, said) = run(&place, &test, 1);
    let stalled: Vec<&Value> = of(&events, "stalled").collect();
    let waits = json!([
        { "barrier": "up", "who": ["a"], "missing": ["b"] },
        { "trigger": "go", "who": ["b"], "left": 1 },
    ]);
    assert_eq!(stalled.len(), 1, "{stalled:?}");
    assert_eq!(stalled[0]["waits"], waits);
    let words = "a waits at barrier up for b; b waits for trigger go, 1 left";
    assert!(said.contains(&format!("stalled: {words}")), "{said}");
    let summary = place.summary("r");
    let why = summary["why"].as_str().unwrap_or_default();
    assert!(why.starts_with("its limit of 8s passed") && why.ends_with(&format!("; {words}")), "{why}");
}
