//! Scenarios: a connection that is lost, and made again.

use std::time::Duration;

use serde_json::json;

use super::world::{World, decoded, shell};
use crate::machine::{ChildId, Exit, Input, removed};
use crate::slave::ORPHAN_AFTER;

fn one() -> World {
    World::running(json!([shell("a", json!({"at": 0}), json!({})), shell("t", json!({"trigger": "go"}), json!({}))]))
}

#[test]
fn a_slave_without_a_controller_tries_again_within_two_seconds() {
    let mut world = World::new();
    for _ in 0..20 {
        let conn = world.conn.take().expect("it tries again");
        world.input(Input::Closed { conn, reason: "connection refused".into() });
        world.pass(Duration::from_secs(2));
    }
}

#[test]
fn a_slave_that_is_welcomed_and_then_refused_tries_less_and_less_often() {
    let mut world = World::new();
    let mut tries = 0;
    for _ in 0..600 {
        if world.conn.is_some() {
            world.connect(None, 0);
            world.tell(json!({"type": "bye", "reason": "the run is over", "fatal": false}));
            tries += 1;
        }
        world.pass(Duration::from_millis(100));
    }
    assert!((30..100).contains(&tries), "{tries} tries in a minute");
}

#[test]
fn commands_outlive_the_connection_and_unrecorded_reports_are_sent_again() {
    let mut world = one();
    world.request(r#"{"type":"notify","trigger":"go"}"#);
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "end"}));
    let seq = world.take_said("report").len() as u64;
    world.lose();
    world.exits("a", Exit::Code(0));
    world.request(r#"{"type":"notify","trigger":"go"}"#);
    world.said.clear();
    world.await_dial();
    let hello = world.connect(Some("r1"), seq);
    assert_eq!(hello["run"], "r1");
    let first = &world.said[0];
    assert_eq!(
        (&first["type"], &first["notified"], &first["triggered"]),
        (&json!("state"), &json!({"go": 2}), &json!(["end"]))
    );
    assert_eq!(world.take_said("notify")[0]["count"], 2);
    assert_eq!(world.reports(), ["exited a#1 passed", "idle 1", "cleared"]);
    assert_eq!(world.kills, []);
}

#[test]
fn a_notify_waits_until_the_controller_is_back() {
    let mut world = one();
    let conn = world.request(r#"{"type":"notify","trigger":"go"}"#);
    world.reconnect(Some("r1"), 0);
    assert_eq!(world.answer(conn), None);
    world.tell(json!({"type": "noted", "room": "r1", "trigger": "go", "count": 1, "left": 0}));
    assert_eq!(world.answer(conn).unwrap()["type"], "done");
}

#[test]
fn a_trigger_that_is_sent_again_after_a_reconnect_changes_nothing() {
    let mut world = one();
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go"}));
    world.reconnect(Some("r1"), 100);
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go"}));
    world.start();
    assert_eq!(world.started(), ["a", "t"]);
}

#[test]
fn output_continues_where_the_controller_has_it() {
    let mut world = one();
    let text: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    world.files.insert("/d/r1/output/a.out".into(), text.clone());
    world.pass(Duration::from_millis(100));
    let sent: usize = world.take_said("output").iter().map(|output| decoded(output).len()).sum();
    assert_eq!(sent, 256 * 1024, "at most the window");
    world.tell(json!({"type": "kept", "run": "r1", "file": "a.out", "length": 1_000}));
    world.said.clear();
    world.reconnect(Some("r1"), 100);
    let mut have = text[..1_000].to_vec();
    while have.len() < text.len() {
        let outputs = world.take_said("output");
        assert!(!outputs.is_empty(), "stuck at {}", have.len());
        for output in outputs {
            assert_eq!(output["offset"], have.len());
            have.extend(decoded(&output));
            world.tell(json!({"type": "kept", "run": "r1", "file": "a.out", "length": have.len()}));
        }
    }
    assert!(have == text);
}

#[test]
fn ready_and_stopped_are_sent_again_after_a_reconnect() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({}));
    world.take_said("ready");
    world.reconnect(Some("r1"), 0);
    assert_eq!(world.take_said("ready").len(), 1);
    world.start();
    world.tell(json!({"type": "stop", "run": "r1", "reason": "x", "how": "stop"}));
    world.record_all();
    assert_eq!(world.take_said("stopped").len(), 1);
    world.reconnect(Some("r1"), 100);
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn lost_pieces_are_requested_again() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"resources": [{"name": "r", "file": "x", "size": 5, "sha256": ""}]}));
    assert_eq!(world.take_said("fetch").len(), 1);
    world.reconnect(Some("r1"), 0);
    assert_eq!(world.take_said("fetch").len(), 1);
}

#[test]
fn a_run_that_the_controller_does_not_have_is_killed_and_forgotten() {
    for run in [None, Some("r2")] {
        let mut world = one();
        world.said.clear();
        world.reconnect(run, 0);
        assert_eq!(world.kills.len(), 1);
        world.exits("a", Exit::Signal(crate::machine::Signal::KILL));
        assert_eq!(world.take_said("stopped").len(), 0);
        assert!(removed(&world.spawned.last().unwrap().1.argv).is_some());
    }
}

#[test]
fn a_slave_without_controller_for_too_long_ends_the_run() {
    let mut world = one();
    world.lose();
    for _ in 0..ORPHAN_AFTER.as_secs() {
        world.pass(Duration::from_secs(1));
        if let Some(conn) = world.conn.take() {
            world.input(Input::Closed { conn, reason: "refused".into() });
        }
    }
    assert_eq!(world.sweeps.last(), Some(&crate::machine::Signal::TERM), "in order, not with SIGKILL");
    world.exits("a", Exit::Signal(crate::machine::Signal::TERM));
    assert!(removed(&world.spawned.last().unwrap().1.argv).is_some());
    assert_eq!((world.exit, world.take_said("stopped").len()), (None, 0));
}

#[test]
fn a_slave_that_must_stop_before_the_start_repeats_that_until_it_is_dismissed() {
    let mut world = World::with(|config| config.once = true);
    world.connect(None, 0);
    world.prepare(json!({"entries": [shell("a", json!({"at": 0}), json!({}))]}));
    world.tell(json!({"type": "stop", "run": "r1", "reason": "interrupted", "how": "stop"}));
    assert_eq!(world.take_said("stopped").len(), 1);
    world.reconnect(Some("r1"), 0);
    assert_eq!((world.take_said("stopped").len(), world.exit), (1, None), "the controller has not confirmed it");
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "t"}));
    assert_eq!(world.take_said("report").len(), 0, "it has stopped");
    world.tell(json!({"type": "dismissed", "run": "r1", "verdict": "failed"}));
    world.pass(Duration::from_secs(1));
    assert!(removed(&world.spawned.last().unwrap().1.argv).is_some());
}

#[test]
fn a_silent_controller_is_left_and_tried_again() {
    let mut world = one();
    world.pongs = None;
    let conn = world.conn.unwrap();
    world.pass(Duration::from_secs(30));
    assert!(world.closed.contains(&conn));
    assert!(world.conn.is_some_and(|new| new != conn));
}

#[test]
fn a_controller_with_unread_messages_is_not_silent() {
    let mut world = one();
    world.pongs = None;
    let conn = world.conn.unwrap();
    let since = world.now;
    world.now = world.now + Duration::from_secs(30);
    world.input(Input::Exited { child: ChildId(999), exit: Exit::Code(0) });
    world.input(Input::Behind { since });
    world.input(Input::Deadline);
    assert_eq!(world.closed, []);
    world.pass(Duration::from_secs(1));
    assert!(world.closed.contains(&conn), "all was read");
}

#[test]
fn a_slave_that_pings_is_not_silent() {
    let mut world = one();
    world.pass(Duration::from_secs(300));
    assert_eq!(world.closed, []);
}

#[test]
fn a_fatal_bye_ends_a_slave_for_one_run_and_no_other() {
    for once in [true, false] {
        let mut world = World::with(|config| config.once = once);
        let conn = world.conn.unwrap();
        world.input(Input::Connected { conn, peer: crate::machine::stage::LOCAL, local: None });
        world.tell(json!({"type": "bye", "reason": "the name node1 is taken", "fatal": true}));
        world.pass(Duration::from_secs(2));
        if once {
            assert_eq!(world.exit, Some(1));
            assert!(
                world.complained.starts_with("arete: ") && world.complained.contains("is taken"),
                "{}",
                world.complained
            );
        } else {
            assert_eq!((world.exit, world.conn.is_some_and(|new| new != conn)), (None, true));
        }
    }
}

#[test]
fn an_address_that_changes_before_the_start_is_taken_over_and_confirmed() {
    let mut world = World::new();
    world.connect(None, 0);
    let entries = json!([shell("a", json!({"at": 0}), json!({"command": ["echo @{b.address}"]}))]);
    world.prepare(json!({"entries": entries, "addresses": {"b": "10.0.0.1"}}));
    assert_eq!(world.take_said("ready").len(), 1);
    world.prepare(json!({"entries": entries, "addresses": {"b": "10.0.0.2"}}));
    assert_eq!(world.take_said("ready").len(), 1);
    world.start();
    assert_eq!(world.spawned[0].1.argv[2], "echo 10.0.0.2");
}
