//! Scenarios: the status line of a slave, and new settings while it runs.

use std::time::Duration;

use serde_json::json;

use super::world::{World, shell};
use crate::machine::{Input, Signal};
use crate::slave::ORPHAN_AFTER;

#[test]
fn the_status_names_the_connection_and_the_run() {
    let mut world = World::new();
    assert_eq!(world.status, "connecting to controller:7777");
    world.lose();
    assert_eq!(world.status, "no controller at controller:7777: reset");
    world.await_dial();
    assert_eq!(world.status, "no controller at controller:7777: reset", "an attempt changes nothing");
    world.run(json!({"entries": [shell("a", json!({"at": 0}), json!({}))]}));
    assert_eq!(world.status, "connected to controller:7777, run r1");
    world.lose();
    assert_eq!(world.status, "no controller at controller:7777: reset, run r1");
    world.signal(Signal::TERM);
    assert!(world.status.starts_with("stopping, "), "{}", world.status);
}

#[test]
fn the_status_says_why_a_controller_refuses_the_slave() {
    let mut world = World::new();
    world.connect(None, 0);
    assert_eq!(world.status, "connected to controller:7777");
    world.tell(json!({"type": "bye", "reason": "no slave is called node1", "fatal": true}));
    assert_eq!(world.status, "refused by controller:7777: no slave is called node1");
    world.await_dial();
    world.lose();
    assert_eq!(world.status, "no controller at controller:7777: reset", "the refusal is no longer the reason");
}

#[test]
fn new_labels_apply_to_the_next_hello_and_a_new_time_limit_to_the_next_absence() {
    let mut world = World::with(|config| config.labels = [("role".to_owned(), "client".to_owned())].into());
    let conn = world.conn;
    world.input(Input::Reloaded { settings: br#"{"labels":{"role":"server"},"orphan_after":1000000}"# });
    assert_eq!(world.conn, conn, "the connection is kept");
    assert_eq!(world.connect(None, 0)["labels"], json!({"role": "server"}));
    world.prepare(json!({"entries": [shell("a", json!({"at": 0}), json!({}))]}));
    world.start();
    world.pass(Duration::from_secs(1));
    world.lose();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.sweeps.last(), Some(&Signal::TERM), "the controller was gone for longer than a second");
    const { assert!(ORPHAN_AFTER.as_secs() > 2, "and the old patience was longer") };
}

#[test]
fn invalid_settings_change_nothing() {
    let mut world = World::with(|config| config.labels = [("role".to_owned(), "client".to_owned())].into());
    for settings in [&b"garbage"[..], b"{}", b"\xff", br#"{"labels":[],"orphan_after":1}"#] {
        world.input(Input::Reloaded { settings });
    }
    assert_eq!(world.connect(None, 0)["labels"], json!({"role": "client"}));
}
