//! Scenarios: when a slave exits because its controller launches slaves, or stays.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::World;
use crate::machine::Input;
use crate::machine::stage::LOCAL;
use crate::slave::{Leave, ORPHAN_AFTER};

fn slave(leave: Leave) -> World {
    World::with(|config| config.leave = leave)
}

/// A controller that launches its slaves welcomes this one.
fn welcome(world: &mut World, run: Option<&str>) {
    let conn = world.conn.expect("the slave asked for a connection");
    world.input(Input::Connected { conn, peer: LOCAL, local: None });
    world.take_said("hello");
    let run = run.map_or_else(|| json!({}), |run| json!({"run": run}));
    let mut welcome = json!({"type": "welcome", "protocol": 1, "version": "x", "leave": true});
    welcome.as_object_mut().unwrap().extend(run.as_object().unwrap().clone());
    world.tell(welcome);
}

/// Serves a run from its first message to its dismissal.
fn serve(world: &mut World) {
    world.prepare(json!({}));
    world.start();
    world.tell(json!({"type": "stop", "run": "r1", "reason": "the end", "how": "stop"}));
    world.record_all();
    assert_eq!(world.take_said("stopped").len(), 1);
    world.tell(json!({"type": "dismissed", "run": "r1", "verdict": "passed"}));
    let removing: Vec<_> = world.running.iter().copied().collect();
    for child in removing {
        world.input(Input::Exited { child, exit: crate::machine::Exit::Code(0) });
    }
}

fn bye(world: &mut World) -> Value {
    json!({"type": "bye", "reason": "another slave called node1 is connected", "fatal": world.exit.is_some()})
}

#[test]
fn a_slave_that_the_controller_asks_to_leave_exits_after_the_run() {
    for leave in [Leave::WhenTold, Leave::Launched] {
        let mut world = slave(leave);
        welcome(&mut world, Some("r1"));
        serve(&mut world);
        assert_eq!(world.exit, Some(0), "{leave:?}");
    }
}

/// Its controller ends before the directory of the run is removed: the slave does not connect again.
#[test]
fn a_slave_for_one_run_does_not_reconnect_after_it() {
    for once in [true, false] {
        let mut world = World::with(|config| config.once = once);
        world.run(json!({"entries": []}));
        world.tell(json!({"type": "stop", "run": "r1", "reason": "the end", "how": "stop"}));
        world.record_all();
        world.tell(json!({"type": "dismissed", "run": "r1", "verdict": "passed"}));
        assert!(world.exit.is_none() && !world.running.is_empty(), "its directory is being removed");
        world.lose();
        world.pass(Duration::from_secs(10));
        assert_eq!(world.conn.is_none(), once, "a slave for further runs reconnects");
    }
}

#[test]
fn a_slave_that_is_configured_to_stay_stays() {
    let mut world = slave(Leave::Never);
    welcome(&mut world, Some("r1"));
    serve(&mut world);
    world.lose();
    world.pass(2 * ORPHAN_AFTER);
    assert_eq!(world.exit, None);
    let mut world = slave(Leave::Never);
    welcome(&mut world, None);
    let bye = bye(&mut world);
    world.tell(bye);
    assert_eq!(world.exit, None);
}

#[test]
fn a_slave_that_a_launching_controller_turns_away_exits_with_the_reason() {
    let mut world = slave(Leave::WhenTold);
    welcome(&mut world, None);
    let bye = bye(&mut world);
    world.tell(bye);
    assert_eq!(world.exit, Some(1));
    assert!(world.complained.contains("another slave called node1 is connected"), "{}", world.complained);
    let mut world = slave(Leave::WhenTold);
    welcome(&mut world, None);
    world.lose();
    world.pass(Duration::from_millis(1));
    assert_eq!(world.exit, Some(1), "the reason did not arrive");
}

#[test]
fn a_launched_slave_waits_for_its_first_connection_as_long_as_for_a_lost_one() {
    let mut world = slave(Leave::Launched);
    world.lose();
    world.pass(ORPHAN_AFTER - Duration::from_millis(1));
    assert_eq!(world.exit, None);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.exit, Some(1));
    let mut world = slave(Leave::WhenTold);
    welcome(&mut world, Some("r1"));
    world.lose();
    world.pass(ORPHAN_AFTER);
    assert_eq!(world.exit, Some(1), "the controller asked for its exit, and it has no run yet");
    let mut world = slave(Leave::WhenTold);
    world.lose();
    world.pass(2 * ORPHAN_AFTER);
    assert_eq!(world.exit, None, "no controller has asked for its exit");
}
