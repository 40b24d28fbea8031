//! The start and the end of a run. Each depends on all slaves, and concerns all of them.

use serde_json::json;

use crate::Case;
use crate::peer::{Loop, Peer, hello};

pub const STARTS: &[Case] = &[
    ("large", start_of_large_schedules),
    ("labels", start_of_machines_with_labels),
    ("addresses", start_with_addresses),
    ("many", start_of_many_slaves),
];

pub const ENDS: &[Case] = &[
    ("texts", end_with_long_texts),
    ("many", end_of_many_slaves),
    ("failures", end_with_many_failures),
    ("warnings", end_with_many_warnings),
];

/// The slaves of the test with the longest schedule.
const LARGE: usize = 300;

/// The slaves of a run with the most entries.
const MANY: usize = 400;

/// The entries of each of these.
const ENTRIES: usize = 250;

/// Slaves with these labels that are connected and wait.
fn connected(it: &Loop<'_>, slaves: usize, more: &str) -> Vec<Peer> {
    let peers: Vec<_> = (1..=slaves).map(|nr| it.peer(&hello(&format!("s{nr}"), "i", more))).collect();
    peers.iter().for_each(|peer| peer.hears("welcome"));
    peers
}

/// Submits a test for these slaves. Returns the id of its run when all of them have their parts.
fn prepared(it: &Loop<'_>, test: &serde_json::Value, peers: &[Peer]) -> String {
    it.place.write("t.json", test.to_string());
    it.hand_in("t.json");
    peers.iter().for_each(|peer| peer.hears("\"prepare\""));
    let said = peers[0].heard();
    let run = said.split("\"prepare\",\"run\":\"").nth(1).and_then(|rest| rest.split('"').next());
    run.expect("the id of the run").to_owned()
}

/// The same, until the run has started.
fn started(it: &Loop<'_>, test: &serde_json::Value, peers: &mut [Peer]) -> String {
    let run = prepared(it, test, peers);
    peers.iter_mut().for_each(|peer| peer.say(format!("{{\"type\":\"ready\",\"run\":\"{run}\"}}\n").as_bytes()));
    peers.iter().for_each(|peer| peer.hears("\"type\":\"start\""));
    run
}

/// Ends a run that has started, in order.
fn ended(it: &Loop<'_>, run: &str, peers: &mut [Peer]) {
    peers.iter_mut().for_each(|peer| peer.settles());
    let mut operator = it.operates();
    operator.lines([format!(r#"{{"type":"cancel","run":"{run}"}}"#)].into_iter());
    peers.iter().for_each(|peer| peer.hears("\"type\":\"stop\""));
    peers.iter_mut().for_each(|peer| peer.say(format!("{{\"type\":\"stopped\",\"run\":\"{run}\"}}\n").as_bytes()));
    peers.iter().for_each(|peer| peer.hears("\"type\":\"dismissed\""));
}

fn test(entries: &[serde_json::Value], slaves: serde_json::Value) -> serde_json::Value {
    json!({"name": "t", "end": {"idle": true, "limit": "1h"}, "schedules": {"s": entries}, "slaves": slaves})
}

/// Ten commands of the greatest length that still fit a line.
fn large() -> Vec<serde_json::Value> {
    (0..10).map(|nr| json!({"name": format!("e{nr}"), "poke": true, "shell": "x".repeat(88_000)})).collect()
}

fn start_of_large_schedules(it: &Loop<'_>) {
    let mut peers = connected(it, LARGE, "");
    started(it, &test(&large(), json!({"s[1-300]": ["s"]})), &mut peers);
}

/// Each slave learns under which name it serves, so no two receive the same line.
fn start_of_machines_with_labels(it: &Loop<'_>) {
    let mut peers = connected(it, LARGE, r#","labels":{"role":"any"}"#);
    let slaves = json!({"any[1-300]": {"schedules": ["s"], "with": {"role": "any"}}});
    started(it, &test(&large(), slaves), &mut peers);
}

/// Slaves whose commands name the addresses of all slaves, as many as a test may have.
fn start_with_addresses(it: &Loop<'_>) {
    let names: Vec<String> = (1..=LARGE).map(|nr| format!("@{{s{nr}.address}}")).collect();
    let entries = [json!({"name": "e", "poke": true, "shell": names.join(" ")})];
    let mut peers = connected(it, LARGE, "");
    started(it, &test(&entries, json!({"s[1-300]": ["s"]})), &mut peers);
}

/// The most entries of a run.
fn small() -> Vec<serde_json::Value> {
    (0..ENTRIES).map(|nr| json!({"name": format!("e{nr}"), "poke": true, "shell": "x"})).collect()
}

fn start_of_many_slaves(it: &Loop<'_>) {
    let mut peers = connected(it, MANY, "");
    started(it, &test(&small(), json!({"s[1-400]": ["s"]})), &mut peers);
}

fn report(run: &str, seq: usize, what: &str) -> String {
    format!(r#"{{"type":"report","run":"{run}","seq":{seq},"time":1,"event":{what}}}"#)
}

fn exited(run: &str, nr: usize, outcome: &str, why: &str) -> String {
    let entry = nr % ENTRIES;
    report(run, nr, &format!(r#""exited","entry":"e{entry}","nr":{nr},"outcome":"{outcome}","why":"{why}""#))
}

/// The most runs of entries that are kept of a slave, each with the longest text that is kept.
fn end_with_long_texts(it: &Loop<'_>) {
    let mut peers = connected(it, 4, "");
    let run = started(it, &test(&small(), json!({"s[1-4]": ["s"]})), &mut peers);
    let why = "x".repeat(2_000);
    peers.iter_mut().for_each(|peer| peer.lines((1..=12_000).map(|nr| exited(&run, nr, "stopped", &why))));
    ended(it, &run, &mut peers);
}

/// Every entry of every slave has run.
fn end_of_many_slaves(it: &Loop<'_>) {
    let mut peers = connected(it, MANY, "");
    let run = started(it, &test(&small(), json!({"s[1-400]": ["s"]})), &mut peers);
    peers.iter_mut().for_each(|peer| peer.lines((1..=2 * ENTRIES).map(|nr| exited(&run, nr, "passed", "x"))));
    ended(it, &run, &mut peers);
}

/// The most failures that are kept one by one, each with a long text and with last lines.
fn end_with_many_failures(it: &Loop<'_>) {
    let mut peers = connected(it, 1, "");
    let run = started(it, &test(&small(), json!({"s1": ["s"]})), &mut peers);
    let why = "\\u202e".repeat(2_000);
    let tail =
        |nr| report(&run, nr, &format!(r#""tail","entry":"e{}","nr":{},"text":"{why}""#, (nr - 1) % ENTRIES, nr - 1));
    peers[0].lines((1..=3_000).map(|nr| if nr % 2 == 1 { exited(&run, nr, "failed", &why) } else { tail(nr) }));
    ended(it, &run, &mut peers);
}

/// The most warnings that are kept of each slave.
fn end_with_many_warnings(it: &Loop<'_>) {
    let mut peers = connected(it, MANY, "");
    let run = started(it, &test(&small(), json!({"s[1-400]": ["s"]})), &mut peers);
    let text = "\\u202e".repeat(2_000);
    let warning = |nr| report(&run, nr, &format!(r#""warning","text":"{text}""#));
    peers.iter_mut().for_each(|peer| peer.lines((1..=6).map(warning)));
    ended(it, &run, &mut peers);
}
