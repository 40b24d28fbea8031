//! Work that is due by time and not by a message: the check who can still arrive, in runs as large as a test may be.

use serde_json::json;

use crate::Case;
use crate::peer::{Loop, Peer, hello};

pub const CASES: &[Case] =
    &[("look", look_at_many_entries), ("look", look_at_many_names), ("look", look_at_standstill), ("lost", lose_many)];

/// The most entries that a slave may have.
const ENTRIES: usize = 4_096;

/// The number of slaves in the largest test in which each slave has ENTRIES entries.
const SLAVES: usize = 24;

/// The slaves of a run that has started.
struct Started {
    slaves: Vec<Peer>,
    /// The number of the last report of each slave.
    seq: Vec<u64>,
    run: String,
}

impl Started {
    /// A run of `count` slaves that share `entries`. All have begun.
    fn new(it: &Loop<'_>, count: usize, entries: &[serde_json::Value]) -> Started {
        let test = json!({"name": "due", "end": {"idle": true, "limit": "1h"}, "grace": 0, "on_lost": "continue",
            "triggers": {"go": 1}, "schedules": {"s": entries}, "slaves": {format!("s[1-{count}]"): ["s"]}});
        it.place.write("due.json", test.to_string());
        it.hand_in("due.json");
        let mut slaves: Vec<Peer> = (1..=count).map(|nr| it.peer(&hello(&format!("s{nr}"), "i", ""))).collect();
        // Parts are sent in pieces, and a slave without its part cannot be ready.
        slaves.iter().for_each(|slave| slave.hears("\"prepare\""));
        let said = slaves[0].heard();
        let run = said.split("\"prepare\",\"run\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let run = run.expect("the id of the run").to_owned();
        slaves.iter_mut().for_each(|slave| slave.say(format!("{{\"type\":\"ready\",\"run\":\"{run}\"}}\n").as_bytes()));
        slaves.iter().for_each(|slave| slave.hears("\"type\":\"start\""));
        let mut started = Started { seq: vec![0; count], slaves, run };
        started.all_report(&[r#""begun","late":0,"uncertain":0"#.to_owned()]);
        started
    }

    /// Each slave reports these events.
    fn all_report(&mut self, events: &[String]) {
        for (slave, seq) in self.slaves.iter_mut().zip(&mut self.seq) {
            slave.lines(events.iter().map(|what| {
                *seq += 1;
                format!(r#"{{"type":"report","run":"{}","seq":{seq},"time":1,"event":{what}}}"#, self.run)
            }));
        }
        self.slaves.iter_mut().for_each(|slave| slave.settles());
    }

    /// The first slave arrives at barriers where it waits for others.
    fn first_waits(&mut self, barriers: usize, party: &str) {
        let run = &self.run;
        let arrive = |id: usize| {
            format!(r#"{{"type":"arrive","room":"{run}","barrier":"w{id}","id":{id},"member":"s1","party":{party}}}"#)
        };
        self.slaves[0].lines((1..=barriers).map(arrive));
        self.slaves[0].settles();
    }

    /// Lets the controller check several times.
    fn goes_on(&mut self) {
        for _ in 0..4 {
            std::thread::sleep(std::time::Duration::from_secs(1));
            self.slaves.iter_mut().for_each(|slave| slave.settles());
        }
    }
}

/// Every entry may still arrive at a barrier of its own, and has run often.
fn look_at_many_entries(it: &Loop<'_>) {
    let entry = |nr: usize| match nr % 2 {
        0 => json!({"name": format!("e{nr}"), "poke": true, "barrier": format!("b{nr}"), "count": 2}),
        _ => {
            json!({"name": format!("e{nr}"), "after": format!("e{}", nr - 1), "barrier": format!("b{nr}"), "count": 2})
        }
    };
    let entries: Vec<_> = (0..ENTRIES).map(entry).collect();
    let mut started = Started::new(it, SLAVES, &entries);
    let ran = |nr: usize| {
        let entry = nr % ENTRIES;
        let nr = nr / ENTRIES + 1;
        [
            format!(r#""spawned","entry":"e{entry}","nr":{nr}"#),
            format!(r#""exited","entry":"e{entry}","nr":{nr},"exit":{{"code":0}},"outcome":"passed""#),
        ]
    };
    started.all_report(&(0..9_000).flat_map(ran).collect::<Vec<_>>());
    started.first_waits(500, r#"{"count":3}"#);
    started.goes_on();
}

/// A slave waits for very many members, none of which is lost.
fn look_at_many_names(it: &Loop<'_>) {
    let entries = [json!({"name": "e", "poke": true, "barrier": "b", "count": 2})];
    let mut started = Started::new(it, SLAVES, &entries);
    let names: Vec<String> = (1..10_000).map(|nr| format!("\"s{}#t{nr}\"", nr % SLAVES + 1)).collect();
    started.first_waits(100, &format!(r#"{{"members":["s1",{}]}}"#, names.join(",")));
    started.goes_on();
}

/// Everything waits, except the last entry of the last slave.
fn look_at_standstill(it: &Loop<'_>) {
    let entries: Vec<_> = (0..ENTRIES).map(|nr| json!({"name": format!("e{nr}"), "at": 0, "shell": "x"})).collect();
    let mut started = Started::new(it, SLAVES, &entries);
    started
        .all_report(&(0..ENTRIES).map(|nr| format!(r#""spawned","entry":"e{nr}","nr":1,"pid":7"#)).collect::<Vec<_>>());
    let run = &started.run;
    for (ix, slave) in started.slaves.iter_mut().enumerate() {
        let from = usize::from(ix + 1 == SLAVES);
        let waits: Vec<String> = (from..1_000).map(|nr| format!(r#"{{"entry":"e{nr}","trigger":"go"}}"#)).collect();
        slave.lines([format!(r#"{{"type":"waits","run":"{run}","waits":[{}]}}"#, waits.join(","))].into_iter());
    }
    started.goes_on();
    started.goes_on();
}

/// Many are lost at once, while others wait.
fn lose_many(it: &Loop<'_>) {
    let entry = |nr: usize| json!({"name": format!("e{nr}"), "poke": true, "barrier": format!("b{nr}"), "count": 2});
    let entries: Vec<_> = (0..600).map(entry).collect();
    let mut started = Started::new(it, 160, &entries);
    started.first_waits(500, r#"{"count":3}"#);
    for slave in started.slaves.iter_mut().skip(10) {
        slave.say(b"{\"type\":\"bye\",\"reason\":\"gone\",\"fatal\":false}\n");
    }
    started.slaves.truncate(10);
    started.goes_on();
}
