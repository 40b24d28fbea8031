//! Operators.

use serde_json::json;

use crate::Case;
use crate::expensive;
use crate::peer::{Loop, Peer};

pub const CASES: &[Case] = &[
    ("operate", operate),
    ("submit", submit),
    ("upload", upload),
    ("look", look),
    ("cancel", cancel),
    ("slaves", slaves),
    ("runs", runs),
    ("files", files),
    ("get", get),
];

/// The number of runs that wait for slaves that never connect.
const QUEUED: usize = 300;

fn operate(it: &Loop<'_>) {
    let line = "{\"type\":\"operate\",\"protocol\":1,\"version\":\"x\"}\n";
    for _ in 0..500 {
        it.peer(line);
    }
    let mut last = it.operates();
    last.say(line.repeat(1_000).as_bytes());
    last.settles();
}

fn handed_in(nr: usize, test: &str, more: &str) -> String {
    let test = serde_json::Value::from(test);
    format!(r#"{{"type":"submit","submission":"s{nr}","file":"t.json","test":{test}{more}}}"#)
}

/// A test for slaves with labels.
fn small(nr: usize) -> String {
    let with = json!({"schedules": ["s"], "with": {"rack": format!("r{}", nr % 7), "arch": "none"}});
    let test = json!({"name": format!("test{nr}"), "end": {"idle": true, "limit": "1h"},
        "schedules": {"s": [{"name": "x", "at": 0, "shell": "x"}]}, "slaves": {"any[1-4]": with}});
    test.to_string()
}

/// An operator, when the queue is full of runs.
fn queue(it: &Loop<'_>) -> Peer {
    let mut peer = it.operates();
    for nr in (0..QUEUED).step_by(4) {
        peer.lines((nr..nr + 4).map(|nr| handed_in(nr, &small(nr), "")));
        peer.settles();
    }
    peer
}

/// The same, with the id of one of the runs.
fn queue_and_run(it: &Loop<'_>) -> (Peer, String) {
    let mut peer = queue(it);
    peer.lines([r#"{"type":"look","run":"test1-"}"#.to_owned()].into_iter());
    peer.settles();
    let said = peer.heard();
    let (_, last) = said.rsplit_once("{\"type\":\"seen\",").expect("it was looked at");
    let run = last.split("\"run\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
    assert!(run.starts_with("test1-"), "{run}");
    (peer, run.to_owned())
}

/// Tests of the greatest length and cost, and texts that are not valid tests.
fn submit(it: &Loop<'_>) {
    let mut peer = queue(it);
    let nested = format!("{{\"name\":{}", "[".repeat(500_000));
    let long = format!("{{\"name\":\"t\",{}", "\"x\":1,".repeat(100_000));
    let tests = expensive::tests().into_iter().map(|(_, test, _)| test).chain([nested, long]);
    for (nr, test) in tests.enumerate() {
        peer.lines([handed_in(10_000 + nr, &test, "")].into_iter());
        peer.settles();
    }
}

fn upload(it: &Loop<'_>) {
    let mut peer = it.operates();
    let sha = "0".repeat(64);
    let test = json!({"name": "t", "end": {"idle": true, "limit": "1h"}, "resources": {"r": {"file": "r"}},
        "schedules": {"s": [{"name": "x", "at": 0, "shell": "x", "use_resources": ["r"]}]}, "slaves": {"a": ["s"]}});
    let files = format!(r#","files":{{"r":{{"size":100000000,"sha256":"{sha}","executable":false}}}}"#);
    peer.lines([handed_in(1, &test.to_string(), &files)].into_iter());
    let piece = "eHh4".repeat(64 * 1024 / 3);
    peer.lines((0..500).map(|nr| {
        let offset = nr * (64 * 1024 / 3) * 3;
        format!(r#"{{"type":"upload","submission":"s1","sha256":"{sha}","offset":{offset},"data":"{piece}"}}"#)
    }));
    peer.settles();
}

fn asks(it: &Loop<'_>, times: usize, line: &str) {
    let mut peer = queue(it);
    peer.lines((0..times).map(|_| line.to_owned()));
    peer.settles();
}

fn look(it: &Loop<'_>) {
    asks(it, 2_000, r#"{"type":"look","run":"test"}"#);
}

fn cancel(it: &Loop<'_>) {
    asks(it, 2_000, r#"{"type":"cancel","run":"test1-"}"#);
}

fn slaves(it: &Loop<'_>) {
    let labels: Vec<String> = (0..64).map(|nr| format!("\"l{nr}\":\"{}\"", "v".repeat(200))).collect();
    let labels = format!(",\"labels\":{{{}}}", labels.join(","));
    let peers: Vec<_> = (0..300).map(|nr| it.peer(&crate::peer::hello(&format!("s{nr}"), "i", &labels))).collect();
    peers.iter().for_each(|peer| peer.hears("welcome"));
    asks(it, 300, r#"{"type":"slaves"}"#);
}

fn runs(it: &Loop<'_>) {
    asks(it, 500, r#"{"type":"runs"}"#);
}

fn files(it: &Loop<'_>) {
    let (mut peer, run) = queue_and_run(it);
    let line = format!(r#"{{"type":"files","run":"{run}"}}"#);
    peer.lines((0..500).map(|_| line.clone()));
    peer.settles();
}

fn get(it: &Loop<'_>) {
    let (mut peer, run) = queue_and_run(it);
    peer.lines((0..5_000).map(|nr| {
        format!(r#"{{"type":"get","run":"{run}","file":"test.json","offset":{},"wait":{}}}"#, nr % 9, nr % 2 == 0)
    }));
    peer.settles();
}
