//! Named cases in the world of the simulation.

#![forbid(unsafe_code)]

#[path = "scenarios/absent.rs"]
mod absent;
#[path = "simulation/lab.rs"]
mod lab;
#[path = "scenarios/late.rs"]
mod late;
#[path = "scenarios/meetings.rs"]
mod meetings;
#[path = "simulation/world.rs"]
mod world;

use std::rc::Rc;
use std::time::Duration;

use arete::machine::{Signal, Time};
use arete::session::{HELLO_WITHIN, VERSION};
use arete::slave::ORPHAN_AFTER;
use arete::testfile::{Shipped, Test};
use arete::wire::{Bye, FromController, Hello, Message, PROTOCOL, Ping};
use lab::{CONTROLLER, add_controller, add_labelled_slave, add_slave, controller_address, controller_config};
use serde_json::Value;
use sha2::{Digest, Sha256};
use world::process::{Ask, Fact};
use world::{MILLISECOND, SECOND, World};

const MINUTE: u64 = 60 * SECOND;

/// A world, and the controller and slaves of one test in it.
struct Lab {
    world: World,
}

impl Lab {
    /// Builds the test and starts nothing.
    fn prepared(json: &str) -> Lab {
        let test = Rc::new(parse(json));
        let mut world = World::new(1, test.slaves.len() + 3);
        world.hosts[CONTROLLER].disk.put(PAYLOAD_PATH, PAYLOAD.to_vec());
        world.trace.on = true;
        add_controller(&mut world, controller_config(test.clone()));
        for (index, slave) in test.slaves.iter().enumerate() {
            add_slave(&mut world, index + 1, &slave.name, false);
        }
        Lab { world }
    }

    /// The same with a controller that continues its run after a restart.
    fn lasting(json: &str) -> Lab {
        let test = Rc::new(parse(json));
        let mut world = World::new(1, test.slaves.len() + 3);
        world.trace.on = true;
        let nr = Rc::new(std::cell::Cell::new(1));
        lab::add_lasting_controller(
            &mut world,
            controller_config(test.clone()),
            None,
            arete::controller::Limits::default(),
            nr,
        );
        for (index, slave) in test.slaves.iter().enumerate() {
            add_slave(&mut world, index + 1, &slave.name, false);
        }
        (0..world.nodes.len()).for_each(|node| world.start(node));
        Lab { world }
    }

    fn started(json: &str) -> Lab {
        let mut lab = Lab::prepared(json);
        for node in 0..lab.world.nodes.len() {
            lab.world.start(node);
        }
        lab
    }

    fn events(&self) -> Vec<Value> {
        let log = self.world.file_of(CONTROLLER, "/results/events.jsonl");
        let lines = log.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("the log is made of JSON lines")).collect()
    }

    /// The number of events that contain all of these texts.
    fn count(&self, wanted: &[(&str, &str)]) -> usize {
        let holds = |event: &&Value| wanted.iter().all(|(key, value)| event[key] == *value);
        self.events().iter().filter(holds).count()
    }

    /// Waits for an event. Prints the trace if it does not happen.
    fn wait_for(&mut self, wanted: &[(&str, &str)]) {
        let end = self.world.now + 10 * MINUTE;
        while self.count(wanted) == 0 {
            let goes_on = self.world.now < end;
            self.check(goes_on, &format!("{wanted:?} does not come"));
            self.world.run_for(50 * MILLISECOND);
        }
    }

    /// Waits for the controller's end. Returns its exit code and the summary.
    fn end(&mut self) -> (u8, Value) {
        let ended = self.world.run_until(20 * MINUTE, |world| world.nodes[CONTROLLER].exit.is_some());
        self.check(ended, "the run does not end");
        let summary = self.world.hosts[CONTROLLER].disk.get("/results/summary.json").expect("a summary is written");
        let summary = serde_json::from_slice(summary).expect("the summary is JSON");
        (self.world.nodes[CONTROLLER].exit.unwrap_or_default(), summary)
    }

    fn check(&self, holds: bool, what: &str) {
        if !holds {
            let trace: Vec<&str> = self.world.trace.last_lines().collect();
            panic!("{what}\n{}", trace.join("\n"));
        }
    }

    fn running(&self) -> Vec<&str> {
        self.world.processes.values().filter(|it| !it.is_removal()).map(|it| it.mark.as_str()).collect()
    }

    fn result(&self, path: &str) -> Option<&str> {
        let bytes = self.world.hosts[CONTROLLER].disk.get(format!("/results/{path}"))?;
        Some(std::str::from_utf8(bytes).expect("text"))
    }

    /// Connects a stranger from a host without a slave.
    fn stranger(&mut self) -> usize {
        let host = self.world.hosts.len() - 1;
        self.world.connect_stranger(host, &controller_address()).expect("the controller listens")
    }

    fn says(&mut self, stranger: usize, bytes: &[u8]) {
        self.world.stranger_says(stranger, bytes);
        self.world.run_for(SECOND);
    }

    fn is_closed(&self, stranger: usize) -> bool {
        self.world.network.strangers[stranger].closed.is_some()
    }

    /// The last message to a stranger, if it is a bye.
    fn bye(&self, stranger: usize) -> Option<Bye<'static>> {
        let heard = &self.world.network.strangers[stranger].heard;
        let line = heard.split(|&byte| byte == b'\n').rfind(|line| !line.is_empty())?;
        match FromController::decode(line).expect("the controller speaks as it should") {
            FromController::Bye(bye) => {
                Some(Bye { code: bye.code, reason: bye.reason.into_owned().into(), fatal: bye.fatal })
            }
            _ => None,
        }
    }
}

/// The one resource of these tests: its content, and its path on the controller's host.
const PAYLOAD: &[u8] = b"what the test ships";
const PAYLOAD_PATH: &str = "/resources/payload";

fn parse(json: &str) -> Test {
    let mut ship = |_: &str| {
        Ok::<_, String>(Shipped {
            path: PAYLOAD_PATH.into(),
            size: PAYLOAD.len() as u64,
            sha256: Sha256::digest(PAYLOAD).iter().map(|byte| format!("{byte:02x}")).collect(),
            executable: false,
        })
    };
    arete::testfile::parse("test.json", json, &mut ship).unwrap_or_else(|wrong| panic!("{wrong:?}"))
}

fn hello(name: &str, protocol: u32) -> Vec<u8> {
    let incarnation = format!("stranger-{name}").into();
    let hello = Hello { protocol, version: VERSION.into(), name: name.into(), incarnation, ..Hello::default() };
    hello.encode().to_vec()
}

/// Two slaves. `go` fires two seconds after the start and starts an entry on both. The run ends when both have exited.
const TWO: &str = r#"{
    "name": "two", "grace": 1,
    "end": { "trigger": "go", "limit": "5min" },
    "triggers": { "go": 1 },
    "schedules": {
        "both": [{ "name": "on-go", "trigger": "go", "shell": "mark on-go; out it fired; sleep 500" }],
        "one": [{ "name": "fire", "at": 2, "shell": "mark fire; notify go" }]
    },
    "slaves": { "s0": ["both", "one"], "s1": ["both"] }
}"#;

/// Two slaves with a command that has a child, a daemon and a daemon that ignores SIGTERM. They run until the test's
/// limit of a minute.
const BUSY: &str = r#"{
    "name": "busy", "grace": 2,
    "end": { "duration": "1min" },
    "schedules": {
        "all": [{ "name": "work", "at": 0, "shell": "mark work; child; daemon; stubborn; out busy; forever" }]
    },
    "slaves": { "s[0-1]": ["all"] }
}"#;

#[test]
fn a_trigger_sets_off_its_entries_on_every_slave_and_ends_the_run() {
    let mut lab = Lab::started(TWO);
    let (code, summary) = lab.end();
    assert_eq!((code, &summary["verdict"]), (0, &Value::from("passed")), "{summary:#}");
    assert_eq!(lab.count(&[("event", "triggered")]), 1);
    for slave in ["s0", "s1"] {
        assert_eq!(lab.result(&format!("{slave}/on-go.out")), Some("it fired\n"));
    }
    lab.world.run_for(SECOND);
    assert_eq!(lab.running(), [""; 0]);
}

#[test]
fn a_slave_without_a_connection_when_the_trigger_fires_hears_it_once() {
    let mut lab = Lab::started(TWO);
    lab.wait_for(&[("event", "begun"), ("slave", "s1")]);
    lab.world.partition(CONTROLLER, 2);
    lab.wait_for(&[("event", "triggered")]);
    lab.wait_for(&[("event", "disconnected"), ("slave", "s1")]);
    assert_eq!(lab.count(&[("event", "heard"), ("slave", "s1")]), 0);
    lab.world.heal(CONTROLLER, 2);
    let (code, summary) = lab.end();
    assert_eq!(code, 0, "{summary:#}");
    assert_eq!(lab.count(&[("event", "heard"), ("slave", "s1")]), 1);
    assert_eq!(lab.count(&[("event", "spawned"), ("slave", "s1"), ("entry", "on-go")]), 1);
}

/// Two clients of any kind, which meet ten seconds after the start.
const ANY: &str = r#"{
    "name": "any", "grace": 1,
    "end": { "idle": true, "limit": "5min" },
    "schedules": {
        "meet": [
            { "name": "meet", "at": 10, "barrier": "there", "members": ["any1", "any2"] },
            { "name": "met", "after": { "entry": "meet", "exit": 0 }, "shell": "out we have met" }
        ]
    },
    "slaves": { "any[1-2]": { "schedules": ["meet"], "with": { "role": "client" } } }
}"#;

#[test]
fn machines_that_are_what_the_test_asks_for_serve_under_its_names_also_after_a_lost_connection() {
    let mut world = World::new(1, 5);
    world.trace.on = true;
    add_controller(&mut world, controller_config(Rc::new(parse(ANY))));
    for (host, name, role) in [(1, "m1", "client"), (2, "m2", "server"), (3, "m3", "client")] {
        add_labelled_slave(&mut world, host, name, &[("role", role)], false);
    }
    let mut lab = Lab { world };
    (0..4).for_each(|node| lab.world.start(node));
    lab.wait_for(&[("event", "begun"), ("slave", "any1")]);
    let is_first = |machine: &str| lab.count(&[("event", "joined"), ("slave", "any1"), ("machine", machine)]) == 1;
    let host = if is_first("m1") { 1 } else { 3 };
    lab.world.partition(CONTROLLER, host);
    lab.wait_for(&[("event", "disconnected"), ("slave", "any1")]);
    lab.world.heal(CONTROLLER, host);
    let (code, summary) = lab.end();
    assert_eq!((code, &summary["verdict"]), (0, &Value::from("passed")), "{summary:#}");
    for slave in ["any1", "any2"] {
        assert_eq!(lab.result(&format!("{slave}/met.out")), Some("we have met\n"));
    }
    assert_eq!(lab.count(&[("event", "refused"), ("name", "m2")]), 1);
}

#[test]
fn a_slave_that_restarted_empty_is_lost_to_the_run() {
    let mut lab = Lab::started(BUSY);
    lab.wait_for(&[("event", "spawned"), ("slave", "s1")]);
    lab.world.crash(2);
    lab.world.run_for(SECOND);
    lab.world.start(2);
    let (code, summary) = lab.end();
    assert_eq!(code, 7);
    assert_eq!(summary["slaves"]["s1"]["state"], "lost");
    assert_eq!(summary["slaves"]["s0"]["state"], "stopped");
    lab.check(summary["why"].as_str().is_some_and(|why| why.contains("s1")), "the reason names the slave");
}

#[test]
fn a_slave_that_does_not_return_is_lost_after_the_stated_time() {
    let mut lab = Lab::started(TWO);
    lab.wait_for(&[("event", "begun"), ("slave", "s1")]);
    lab.world.crash(2);
    let gone = lab.world.now;
    lab.wait_for(&[("event", "lost"), ("slave", "s1")]);
    let waited = lab.world.now - gone;
    assert!((60 * SECOND..65 * SECOND).contains(&waited), "{waited}");
    assert_eq!(lab.end().0, 7);
}

#[test]
fn of_two_slaves_with_one_name_the_second_is_refused_while_the_first_lives() {
    let mut lab = Lab::started(TWO);
    let twin = add_slave(&mut lab.world, 3, "s1", false);
    lab.wait_for(&[("event", "begun"), ("slave", "s1")]);
    lab.world.start(twin);
    lab.wait_for(&[("event", "refused"), ("name", "s1")]);
    let (code, summary) = lab.end();
    assert_eq!(code, 0, "{summary:#}");
    assert_eq!(lab.count(&[("event", "spawned"), ("slave", "s1")]), 1);
}

#[test]
fn a_hello_of_another_version_is_answered_with_a_fatal_bye() {
    let mut lab = Lab::started(BUSY);
    let stranger = lab.stranger();
    lab.says(stranger, &hello("s0", PROTOCOL + 1));
    let bye = lab.bye(stranger).expect("it gets the reason");
    assert!(bye.fatal && bye.reason.contains("protocol"), "{bye:?}");
    assert!(lab.is_closed(stranger));
}

#[test]
fn a_slave_that_is_not_in_the_test_is_refused_with_the_names_of_the_others() {
    let mut lab = Lab::started(BUSY);
    let stranger = lab.stranger();
    lab.says(stranger, &hello("nobody", PROTOCOL));
    let bye = lab.bye(stranger).expect("it gets the reason");
    assert!(bye.fatal && bye.reason.contains("nobody") && bye.reason.contains("s0, s1"), "{bye:?}");
}

#[test]
fn a_connection_with_garbage_is_closed_and_the_others_continue() {
    let mut lab = Lab::started(BUSY);
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: controller\r\n\r\n",
        &[0, 255, 128, 10, 7, 10],
        &[b'x'; 1 << 20],
        &Ping { time: Time::from_micros(1), measured: None, lifetime: std::marker::PhantomData }.encode(),
        b"{\"type\":\"hello\",\"protocol\":1}\n",
    ];
    for bytes in garbage {
        let stranger = lab.stranger();
        lab.says(stranger, bytes);
        assert!(lab.is_closed(stranger), "{:?}", world::show(bytes));
    }
    let (code, summary) = lab.end();
    assert_eq!(code, 0, "{summary:#}");
}

#[test]
fn silent_connections_are_closed_and_disturb_no_other() {
    let mut lab = Lab::started(BUSY);
    lab.world.run_for(SECOND);
    let silent: Vec<usize> = (0..500).map(|_| lab.stranger()).collect();
    lab.world.run_for(HELLO_WITHIN.as_micros() as u64 + 2 * SECOND);
    assert!(silent.iter().all(|stranger| lab.is_closed(*stranger)));
    assert_eq!(lab.end().0, 0);
}

#[test]
fn garbage_in_the_middle_of_a_run_ends_that_connection_only() {
    let mut lab = Lab::started(BUSY);
    lab.wait_for(&[("event", "begun"), ("slave", "s1")]);
    let stranger = lab.stranger();
    lab.says(stranger, &hello("s1", PROTOCOL));
    assert!(lab.is_closed(stranger), "a stranger cannot take the place of a slave that is connected");
    assert_eq!(lab.end().0, 0);
}

#[test]
fn a_notify_waits_out_the_absence_of_the_network_and_counts_once() {
    let mut lab = Lab::started(TWO);
    lab.wait_for(&[("event", "begun"), ("slave", "s0")]);
    lab.world.partition(CONTROLLER, 1);
    let asked = |world: &World| world.ledger.iter().any(|fact| matches!(fact, Fact::Asked { ask: Ask::Notify(_), .. }));
    assert!(lab.world.run_until(MINUTE, asked));
    lab.world.run_for(30 * SECOND);
    let answered = |world: &World| world.ledger.iter().any(|fact| matches!(fact, Fact::Answered { .. }));
    assert!(!answered(&lab.world));
    lab.world.heal(CONTROLLER, 1);
    lab.check(lab.count(&[("event", "notified")]) == 0, "it is counted only when it is heard");
    let (code, summary) = lab.end();
    assert_eq!(code, 0, "{summary:#}");
    assert!(answered(&lab.world));
    assert_eq!(summary["triggers"]["go"]["notified"], 1);
}

#[test]
fn processes_of_a_command_end_with_the_run_even_if_they_ignore_sigterm_in_another_session() {
    let mut lab = Lab::started(BUSY);
    lab.wait_for(&[("event", "spawned"), ("slave", "s0")]);
    lab.world.run_for(SECOND);
    assert_eq!(lab.running().len(), 8);
    let (code, summary) = lab.end();
    assert_eq!(code, 0, "{summary:#}");
    assert_eq!(summary["slaves"]["s0"]["entries"]["work"][0]["outcome"], "stopped");
    assert_eq!(lab.running(), [""; 0]);
}

#[test]
fn slaves_of_a_dead_controller_stop_everything_after_a_while() {
    let mut lab = Lab::started(BUSY);
    lab.wait_for(&[("event", "spawned"), ("slave", "s1")]);
    lab.world.crash(CONTROLLER);
    lab.world.run_for(ORPHAN_AFTER.as_micros() as u64 - 5 * SECOND);
    assert_eq!(lab.running().len(), 8);
    lab.world.run_for(30 * SECOND);
    assert_eq!(lab.running(), [""; 0]);
    assert!(lab.world.nodes[1].machine.is_some(), "the slaves themselves wait for another run");
}

#[test]
fn a_run_that_continues_without_lost_slaves_passes_and_names_them() {
    let goes_on = BUSY.replace("\"grace\": 2", "\"grace\": 2, \"on_lost\": \"continue\"");
    assert_ne!(goes_on, BUSY);
    for (text, code) in [(goes_on.as_str(), 0), (BUSY, 7)] {
        let mut lab = Lab::started(text);
        lab.wait_for(&[("event", "spawned"), ("slave", "s1")]);
        lab.world.crash(2);
        lab.world.start(2);
        let (exit, summary) = lab.end();
        assert_eq!(exit, code, "{summary:#}");
        assert_eq!(
            (&summary["slaves"]["s0"]["state"], &summary["slaves"]["s1"]["state"]),
            (&"stopped".into(), &"lost".into())
        );
        assert_eq!(lab.running(), [""; 0]);
    }
}

#[test]
fn a_run_that_continues_without_lost_slaves_fails_when_no_slave_is_left() {
    let mut lab = Lab::started(&BUSY.replace("\"grace\": 2", "\"grace\": 2, \"on_lost\": \"continue\""));
    lab.wait_for(&[("event", "spawned"), ("slave", "s1")]);
    for node in 1..lab.world.nodes.len() {
        lab.world.crash(node);
        lab.world.start(node);
    }
    let (code, summary) = lab.end();
    assert_eq!(code, 7, "{summary:#}");
    assert!(summary["why"].as_str().unwrap().contains(" was lost: "), "{summary:#}");
}

#[test]
fn an_interrupt_stops_everything_everywhere_and_writes_the_results() {
    let mut lab = Lab::started(BUSY);
    lab.wait_for(&[("event", "spawned"), ("slave", "s1")]);
    lab.world.signal(CONTROLLER, Signal::INT);
    let (code, summary) = lab.end();
    assert_eq!((code, &summary["verdict"]), (130, &Value::from("interrupted")));
    assert_eq!(lab.running(), [""; 0]);
    assert_eq!(lab.result("s0/work.out"), Some("busy\n"));
}

#[test]
fn a_second_interrupt_gives_up_at_once_and_still_leaves_no_process_behind() {
    let mut lab = Lab::started(&BUSY.replace("\"grace\": 2", "\"grace\": \"2min\""));
    lab.wait_for(&[("event", "spawned"), ("slave", "s1")]);
    lab.world.signal(CONTROLLER, Signal::INT);
    lab.world.run_for(SECOND);
    let begun = lab.world.now;
    lab.world.signal(CONTROLLER, Signal::INT);
    assert_eq!(lab.end().0, 130);
    assert!(lab.world.now - begun < 5 * SECOND);
    lab.world.run_for(SECOND);
    assert_eq!(lab.running(), [""; 0]);
}

#[test]
fn a_slave_that_is_asked_to_quit_leaves_nothing_and_is_lost_to_the_run() {
    let mut lab = Lab::started(BUSY);
    lab.wait_for(&[("event", "spawned"), ("slave", "s1")]);
    lab.world.signal(2, Signal::TERM);
    assert!(lab.world.run_until(MINUTE, |world| world.nodes[2].exit.is_some()));
    assert!(lab.world.processes.values().all(|process| process.life.node != 2));
    let (code, summary) = lab.end();
    assert_eq!((code, &summary["slaves"]["s1"]["state"]), (7, &Value::from("lost")));
}

#[test]
fn slaves_that_are_started_before_the_controller_join_within_two_seconds() {
    let mut lab = Lab::prepared(TWO);
    lab.world.start(1);
    lab.world.start(2);
    lab.world.run_for(50 * SECOND);
    lab.world.start(CONTROLLER);
    lab.world.run_for(5 * SECOND / 2);
    assert_eq!(lab.count(&[("event", "joined")]), 2);
    assert_eq!(lab.end().0, 0);
}

#[test]
fn the_wait_for_slaves_ends_with_the_names_of_the_missing() {
    let mut lab = Lab::prepared(TWO);
    lab.world.start(CONTROLLER);
    lab.world.start(1);
    let (code, summary) = lab.end();
    assert_eq!(code, 7);
    let why = summary["why"].as_str().unwrap_or_default();
    assert!(why.contains("missing: s1") && !why.contains("s0"), "{why}");
}

/// A long command. Another entry kills it by its process id after a poke of the slave with SIGUSR1.
const TORRENT: &str = r#"{
    "name": "torrent", "grace": 1,
    "end": { "trigger": "stop", "limit": "1min" },
    "triggers": { "stop": 3 },
    "resources": { "demo": { "file": "payload" } },
    "schedules": {
        "leech": [
            { "name": "peer", "at": 0, "use_resources": ["demo"],
              "shell": "mark peer; cat @{demo.path}; sleep 1000; @{arete-slave-poke}; forever" },
            { "name": "poke", "poke": true, "notify": "stop" },
            { "name": "stop", "trigger": "stop", "shell": "mark stop; kill @{peer.pid}" }
        ]
    },
    "slaves": { "client[1-3]": ["leech"] }
}"#;

#[test]
fn the_torrent_example_pokes_notifies_and_stops_all_slaves() {
    let mut lab = Lab::started(TORRENT);
    let (code, summary) = lab.end();
    assert_eq!(code, 0, "{summary:#}");
    for slave in ["client1", "client2", "client3"] {
        let peer = &summary["slaves"][slave]["entries"]["peer"][0];
        assert_eq!(peer["outcome"], "stopped", "{summary:#}");
        assert_eq!(lab.result(&format!("{slave}/peer.out")).map(str::as_bytes), Some(PAYLOAD));
    }
    assert_eq!(lab.count(&[("event", "poked"), ("by", "signal")]), 3);
}

#[test]
fn a_resource_that_changed_since_the_test_was_read_fails_the_run_before_its_start() {
    let mut lab = Lab::prepared(TORRENT);
    lab.world.hosts[CONTROLLER].disk.put(PAYLOAD_PATH, b"what nobody reads!!".to_vec());
    for node in 0..lab.world.nodes.len() {
        lab.world.start(node);
    }
    let (code, summary) = lab.end();
    assert_eq!(code, 7);
    assert!(summary["why"].as_str().is_some_and(|why| why.contains("demo")), "{summary:#}");
    assert_eq!(lab.count(&[("event", "spawned")]), 0);
}

#[test]
fn a_resource_that_vanished_fails_the_run_before_its_start() {
    let mut lab = Lab::prepared(TORRENT);
    lab.world.hosts[CONTROLLER].disk.remove_all(PAYLOAD_PATH.as_ref());
    for node in 0..lab.world.nodes.len() {
        lab.world.start(node);
    }
    let (code, summary) = lab.end();
    assert_eq!(code, 7);
    assert!(summary["why"].as_str().is_some_and(|why| why.contains("demo")), "{summary:#}");
}

#[test]
fn a_slave_serves_run_after_run() {
    let mut lab = Lab::started(TWO);
    assert_eq!(lab.end().0, 0);
    let mut config = controller_config(Rc::new(parse(BUSY)));
    config.run = "run2".to_owned();
    config.results = "/second".into();
    config.lost_after = Duration::from_secs(10);
    let second = add_controller(&mut lab.world, config);
    lab.world.start(second);
    let ended = lab.world.run_until(5 * MINUTE, |world| world.nodes[second].exit.is_some());
    lab.check(ended, "the second run does not end");
    assert_eq!(lab.world.nodes[second].exit, Some(0));
    assert_eq!(lab.world.hosts[CONTROLLER].disk.get("/second/s1/work.out"), Some(&b"busy\n"[..]));
    lab.world.run_for(SECOND);
    for (host, name) in [(1, "s0"), (2, "s1")] {
        let left: Vec<_> = lab.world.hosts[host].disk.paths_below(format!("/var/{name}").as_ref()).collect();
        assert!(left.is_empty(), "a run's directory is removed after it: {left:?}");
    }
}

#[test]
fn a_full_disk_fails_the_run_with_that_reason() {
    let mut lab = Lab::started(BUSY);
    lab.wait_for(&[("event", "spawned"), ("slave", "s1")]);
    lab.world.hosts[CONTROLLER].disk.full = true;
    let ended = lab.world.run_until(5 * MINUTE, |world| world.nodes[CONTROLLER].exit.is_some());
    lab.check(ended, "the run does not end");
    assert_eq!(lab.world.nodes[CONTROLLER].exit, Some(7));
    let said = String::from_utf8_lossy(&lab.world.nodes[CONTROLLER].printed).into_owned();
    assert!(said.contains("No space left"), "{said}");
    assert_eq!(lab.running(), [""; 0]);
}

#[test]
fn a_slave_that_dies_while_the_others_get_ready_may_return() {
    let mut lab = Lab::prepared(TWO);
    lab.world.start(CONTROLLER);
    lab.world.start(1);
    lab.world.run_for(3 * SECOND);
    lab.world.crash(1);
    lab.world.run_for(3 * SECOND);
    lab.world.start(1);
    lab.world.start(2);
    let (code, summary) = lab.end();
    assert_eq!(code, 0, "{summary:#}");
}
