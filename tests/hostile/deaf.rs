//! The controller closes the connection of a slave that does not read for a while. The slave returns, and has missed
//! no message.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use rustix::process::Signal;

use crate::common::{Place, SOON, wait_for};
use crate::{connect, join, listening};

/// The number of triggers that fire while the slave does not read, each with nearly the most data: more than its queue
/// and the system can hold.
const TRIGGERS: usize = 30;

/// The number of notifies for each trigger, and the length of their data.
const NOTES: usize = 14;
const NOTE: usize = 60 * 1024;

#[test]
fn a_slave_that_stops_reading_is_dropped_with_a_reason_and_gets_everything_after_its_return() {
    let place = Place::new("deaf");
    let names: Vec<String> = (0..TRIGGERS).map(|nr| format!("t{nr}")).collect();
    let triggers = names.iter().map(|name| format!("\"{name}\": {NOTES}")).collect::<Vec<_>>().join(", ");
    let entries = names.iter().map(|name| format!(r#"{{ "name": "{name}", "trigger": "{name}", "shell": "true" }}"#));
    let entries = entries.collect::<Vec<_>>().join(", ");
    place.write(
        "t.json",
        format!(
            r#"{{ "name": "deaf", "end": {{ "idle": true, "limit": "60s" }}, "triggers": {{ {triggers} }},
            "schedules": {{ "s": [{{ "name": "b", "at": 0, "shell": "sleep 3" }}, {entries}] }}, "slaves": {{ "a": ["s"] }}, "guests": ["c"] }}"#
        ),
    );
    let words = ["run", "t.json", "--listen", "127.0.0.1:0", "--results", "results"];
    let mut controller = place.arete(words).deadline(Duration::from_secs(120)).start();
    let address = listening(&mut controller);
    let slave = place.arete(["slave", "--controller", &address, "--name", "a", "--once", "--dir", "work"]).start();
    wait_for(SOON, "the run to begin", || place.count("results", "begun") == 1);
    slave.signal(Signal::STOP);
    let id = run_id(&place);
    let mut client = BufReader::new(connect(&address));
    let mut say = |line: &str| client.get_mut().write_all(line.as_bytes()).expect("the controller reads");
    say(&join(&id, "c", "c"));
    let data = "x".repeat(NOTE);
    for name in &names {
        for count in 1..=NOTES {
            let note = format!(r#""room":"{id}","trigger":"{name}","count":{count},"data":"{data}""#);
            say(&format!("{{\"type\":\"notify\",{note}}}\n"));
        }
    }
    let mut answers = String::new();
    while answers.lines().count() < 1 + TRIGGERS * NOTES {
        assert!(client.read_line(&mut answers).expect("the controller answers") > 0);
    }
    wait_for(SOON, "the slave to be dropped", || place.count("results", "disconnected") == 1);
    slave.signal(Signal::CONT);
    let ended = controller.wait().exits_with(0);
    slave.wait().exits_with(0);
    let events = place.events("results");
    let reason = events.iter().find(|event| event["event"] == "disconnected").unwrap()["reason"].to_string();
    assert!(reason.contains("it does not read: ") && reason.contains(" bytes are queued"), "{reason}");
    assert_eq!(place.count("results", "rejoined"), 1, "{}", ended.stdout);
    for name in &names {
        let heard = events.iter().filter(|event| event["event"] == "heard" && event["trigger"] == name.as_str());
        assert_eq!(heard.count(), 1, "{name}");
    }
    place.assert_nothing_left();
}

/// The run's id, from the directory that its slave has made.
fn run_id(place: &Place) -> String {
    let mut runs = std::fs::read_dir(place.path("work")).expect("the slave works").flatten();
    let run = runs.find(|entry| entry.file_name().to_string_lossy().starts_with("deaf-")).expect("a run");
    run.file_name().to_string_lossy().into_owned()
}
