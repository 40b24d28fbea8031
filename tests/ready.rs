//! Real commands that become ready, and the messages about those that do not.

#![forbid(unsafe_code)]

mod common;

use std::net::TcpListener;

use common::{Needed, Place, missing, skip};
use serde_json::{Value, json};

/// Runs a test with a command that becomes ready and a command that runs then. Returns the exit code and how they
/// ended.
fn run(place: &Place, command: &str, ready: Value) -> (i32, Value) {
    let entries = json!([
        { "name": "srv", "at": 0, "shell": command, "service": true, "ready": ready },
        { "name": "use", "after": { "entry": "srv", "ready": true }, "shell": "echo used" },
        { "name": "told", "after": { "entry": "use", "exit": 0 }, "notify": "done" }
    ]);
    let test = json!({
        "name": "t", "end": { "trigger": "done", "limit": "60s" }, "on_fail": "end", "triggers": { "done": 1, "up": 1 },
        "schedules": { "s": entries }, "slaves": { "a": ["s"] }
    });
    place.write("t.json", test.to_string());
    let ended = place.arete(["run", "t.json", "--results", "results"]).run();
    place.assert_nothing_left();
    (ended.code(), place.summary("results")["slaves"]["a"]["entries"].clone())
}

#[track_caller]
fn passes(place: &Place, command: &str, ready: Value) {
    let (code, entries) = run(place, command, ready);
    assert_eq!((code, &entries["use"][0]["outcome"]), (0, &json!("passed")), "{entries}");
    assert_eq!(place.count("results", "entry-ready"), 1);
}

#[track_caller]
fn fails(place: &Place, command: &str, ready: Value, why: &str) {
    let (code, entries) = run(place, command, ready);
    assert_eq!((code, &entries["srv"][0]["why"]), (1, &json!(why)), "{entries}");
    assert_eq!((place.count("results", "entry-ready"), entries["use"].get(0)), (0, None), "{entries}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn without(test: &str, programs: &[&str]) -> bool {
    let missing = missing(programs);
    missing.iter().for_each(|why| skip(test, why, Needed::InCi));
    missing.is_some()
}

#[test]
fn a_web_server_is_ready_when_its_port_answers() {
    if without("a_web_server_is_ready_when_its_port_answers", &["python3"]) {
        return;
    }
    let (place, port) = (Place::new("ready-port"), free_port());
    let command = format!("exec python3 -m http.server {port}");
    passes(&place, &command, json!({ "port": port, "host": "localhost", "trigger": "up" }));
    let up: Vec<Value> = place.events("results").into_iter().filter(|event| event["trigger"] == "up").collect();
    assert_eq!(up.iter().filter(|event| event["event"] == "notified").count(), 1, "{up:?}");
}

#[test]
fn a_port_that_refuses_is_named() {
    let (place, port) = (Place::new("ready-refused"), free_port());
    let why = format!("not ready within 500ms: port {port} refuses");
    fails(&place, "exec sleep 60", json!({ "port": port, "within": "500ms" }), &why);
}

#[test]
fn a_line_of_the_output_shows_it() {
    let place = Place::new("ready-log");
    passes(
        &place,
        "echo booting; echo 'listening on :80' >&2; exec sleep 60",
        json!({ "log": "^listening on .*:\\d+$" }),
    );
    let place = Place::new("ready-log-not");
    let why = "not ready within 500ms: no line matches \"^up$\"";
    fails(&place, "echo not up; exec sleep 60", json!({ "log": "^up$", "within": "500ms" }), why);
}

#[test]
fn another_command_shows_it() {
    let place = Place::new("ready-shell");
    passes(&place, "sleep 0.3; touch up; exec sleep 60", json!({ "shell": "test -e up", "every": "50ms" }));
    let place = Place::new("ready-shell-not");
    let why = "not ready within 500ms: \"exit 3\" exits with status 3";
    fails(&place, "exec sleep 60", json!({ "shell": "exit 3", "within": "500ms" }), why);
    let place = Place::new("ready-shell-never");
    let why = "not ready within 500ms: \"sleep 60\" has not exited";
    fails(&place, "exec sleep 60", json!({ "shell": "sleep 60", "within": "500ms" }), why);
}

#[test]
fn the_command_reports_it_with_arete_ready() {
    let place = Place::new("ready-said");
    passes(&place, "arete ready && arete ready && exec sleep 60", json!({ "notify": true }));
    let place = Place::new("ready-unsaid");
    let why = "not ready within 500ms: it has not said so (arete ready, or READY=1)";
    fails(&place, "exec sleep 60", json!({ "notify": true, "within": "500ms" }), why);
}

#[test]
fn the_command_reports_it_as_a_service_of_systemd_does() {
    if without("the_command_reports_it_as_a_service_of_systemd_does", &["systemd-notify", "python3"]) {
        return;
    }
    for (nr, how) in ["systemd-notify --ready --status=up", "systemd-notify --no-block --ready"].iter().enumerate() {
        let place = Place::new(&format!("ready-systemd-{nr}"));
        passes(&place, &format!("{how} || exit 9; exec sleep 60"), json!({ "notify": true }));
    }
    let place = Place::new("ready-python");
    let program = "import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
s.sendall(b'STATUS=up\\nREADY=1')
time.sleep(60)
";
    place.write("n.py", program);
    let command = format!("exec python3 {}", place.path("n.py").display());
    passes(&place, &command, json!({ "notify": true }));
}

#[test]
fn a_command_that_exits_before_it_is_ready_has_failed() {
    let place = Place::new("ready-exited");
    let (code, entries) = run(&place, "exit 4", json!({ "notify": true }));
    assert_eq!((code, &entries["srv"][0]["outcome"]), (1, &json!("failed")), "{entries}");
    let test = r#"{ "name": "t", "end": { "idle": true, "limit": "60s" }, "slaves": { "a": ["s"] },
        "schedules": { "s": [{ "name": "job", "at": 0, "shell": "true", "ready": { "notify": true } }] } }"#;
    place.write("job.json", test);
    place.arete(["run", "job.json", "--results", "job"]).run().exits_with(1);
    let job = &place.summary("job")["slaves"]["a"]["entries"]["job"][0];
    assert_eq!(job["why"], "exited before it was ready: exit status 0");
}
