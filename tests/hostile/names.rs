//! No bytes of a peer reach a terminal, a log or a path without escapes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::common::Place;
use crate::common::place::files_below;
use crate::flood::nasty_lines;
use crate::{assert_harmless, connect, half_close, join, listening};

/// Text that clears a screen, in two ways, sets a title, ends a line, and deletes. In JSON with escapes, and with the
/// bytes that JSON allows.
const RUDE: &str = "\\u001b[2J\\u009b2J\u{9b}2J\\u001b]0;x\\u0007\\r\\n\u{7f}";

fn say(stream: &mut TcpStream, line: &str) {
    stream.write_all(line.as_bytes()).and_then(|()| stream.write_all(b"\n")).expect("the controller reads");
}

#[test]
fn rude_clients_are_quoted_harmlessly_to_others_and_in_the_log() {
    let place = Place::new("rude");
    let program = place.arete(["controller", "--listen", "127.0.0.1:0"]).env("RUST_LOG", "trace");
    let mut controller = program.start();
    let address = listening(&mut controller);
    for line in nasty_lines() {
        for first in [String::new(), join("r", "m", "i")] {
            let mut stream = connect(&address);
            let _ = stream.write_all(first.as_bytes());
            let _ = stream.write_all(&line);
            let _ = stream.write_all(b"\n");
            half_close(&stream);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    let with = |words: &[&str]| {
        let program = place.arete(words.iter().copied().chain(["--controller", &address, "--room", "r"]));
        program.env("RUST_LOG", "trace").start()
    };
    // They wait for a member that aborts, gives a value, or notifies, each with that text.
    let barrier = with(&["barrier", "b", "--as", "good", "--count", "2", "--timeout", "20"]);
    let sync = with(&["sync", "s", "--as", "good", "--count", "2", "--data", "1", "--timeout", "20"]);
    with(&["trigger", "create", "t", "1"]).wait().exits_with(0);
    let wait = with(&["wait", "t", "--timeout", "20"]);
    let mut rude = connect(&address);
    say(&mut rude, join("r", "rude", "rude").trim_end());
    let who = r#""room":"r","member":"rude","party":{"count":2}"#;
    say(&mut rude, &format!(r#"{{"type":"give","session":"s","id":1,{who},"value":"{RUDE}"}}"#));
    say(&mut rude, &format!(r#"{{"type":"notify","room":"r","trigger":"t","count":1,"data":"{RUDE}"}}"#));
    let released = sync.wait().exits_with(0);
    let notified = wait.wait().exits_with(0);
    say(&mut rude, &format!(r#"{{"type":"arrive","barrier":"b","id":2,{who},"abort":"{RUDE}"}}"#));
    let aborted = barrier.wait().exits_with(4);
    let listed = with(&["trigger", "list"]).wait().exits_with(0);
    for (what, ended) in [("sync", released), ("wait", notified), ("barrier", aborted), ("trigger list", listed)] {
        assert_harmless(what, &ended.stdout);
        assert_harmless(what, &ended.stderr);
        assert!(
            what == "trigger list" || format!("{}{}", ended.stdout, ended.stderr).contains("2J"),
            "{what}: it is told"
        );
    }
    controller.signal(rustix::process::Signal::TERM);
    let ended = controller.wait().exits_with(0);
    assert!(ended.stderr.contains("closing connection"), "it logs what it does");
    assert_harmless("the log", &ended.stderr);
    place.assert_nothing_left();
}

/// A run of one slave, which the test plays.
const TEST: &str = r#"{
  "name": "rude", "on_fail": "continue", "end": { "trigger": "done", "limit": "60s" }, "triggers": { "done": 1 },
  "schedules": { "s": [{ "name": "x", "at": 0, "shell": "true", "collect": ["*"] }, { "name": "d", "trigger": "done", "end": "passed" }] },
  "slaves": { "a": ["s"] }
}"#;

#[test]
fn a_rude_slave_reaches_no_terminal_no_event_no_summary_and_no_path() {
    let place = Place::new("rude-slave");
    place.write("t.json", TEST);
    let words = ["run", "t.json", "--listen", "127.0.0.1:0", "--results", "results"];
    let mut controller = place.arete(words).env("RUST_LOG", "trace").start();
    let address = listening(&mut controller);
    for line in nasty_lines() {
        let mut stream = connect(&address);
        let _ = stream.write_all(&line);
        let _ = stream.write_all(b"\n");
        half_close(&stream);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let mut slave = connect(&address);
    let mut heard = BufReader::new(slave.try_clone().unwrap());
    let mut hear = |kind: &str| {
        let mut line = String::new();
        while !line.starts_with(&format!("{{\"type\":\"{kind}\"")) {
            line.clear();
            assert!(heard.read_line(&mut line).expect("the controller says something") > 0, "waiting for {kind}");
        }
        line
    };
    say(&mut slave, r#"{"type":"hello","protocol":1,"version":"x","name":"a","incarnation":"i"}"#);
    let prepare = hear("prepare");
    let run = prepare.split("\"run\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    say(&mut slave, &format!(r#"{{"type":"ready","run":"{run}"}}"#));
    hear("start");
    std::thread::sleep(Duration::from_millis(150));
    let mut seq = 0;
    let mut report = |slave: &mut TcpStream, what: &str| {
        seq += 1;
        say(slave, &format!(r#"{{"type":"report","run":"{run}","seq":{seq},"time":1,{what}}}"#));
    };
    report(&mut slave, r#""event":"begun","late":0,"uncertain":0"#);
    report(&mut slave, r#""event":"spawned","entry":"x","nr":1,"pid":7"#);
    report(&mut slave, &format!(r#""event":"warning","text":"w{RUDE}""#));
    report(&mut slave, &format!(r#""event":"trouble","text":"t{RUDE}""#));
    let why = format!(r#""outcome":"failed","why":"y{RUDE}""#);
    report(&mut slave, &format!(r#""event":"exited","entry":"x","nr":1,"exit":{{"code":1}},{why}"#));
    for file in [
        format!("x.files/{RUDE}"),
        "x.files/../../../escaped".to_owned(),
        "x.files/a\\nb".to_owned(),
        "/escaped".to_owned(),
        format!("{RUDE}.out"),
    ] {
        say(&mut slave, &format!(r#"{{"type":"output","run":"{run}","file":"{file}","offset":0,"data":"aGk="}}"#));
        assert!(hear("kept").contains("\"refused\""), "{file}");
    }
    say(&mut slave, &format!(r#"{{"type":"output","run":"{run}","file":"x.files/fine","offset":0,"data":"aGk="}}"#));
    assert!(!hear("kept").contains("refused"));
    report(&mut slave, r#""event":"end","entry":"d","verdict":"passed""#);
    hear("stop");
    say(&mut slave, &format!(r#"{{"type":"stopped","run":"{run}"}}"#));
    hear("dismissed");
    let ended = controller.wait().exits_with(7);
    assert!(ended.stdout.contains("w?[2J") && ended.stdout.contains("x failed: y?[2J"), "{}", ended.stdout);
    for (what, text) in [
        ("standard output", &ended.stdout),
        ("standard error", &ended.stderr),
        ("events.jsonl", &place.read("results/events.jsonl")),
        ("summary.json", &place.read("results/summary.json")),
    ] {
        assert_harmless(what, text);
    }
    for file in files_below(place.dir()) {
        assert_harmless("a path", &file.display().to_string());
        assert!(file.file_name().is_some_and(|name| name != "escaped"), "{}", file.display());
    }
    assert_eq!(place.read("results/a/x.files/fine"), "hi");
    place.assert_nothing_left();
}
