//! A controller that dies while it appends to the log of its run, and the next one, which continues from its ledger.

use std::cell::Cell;
use std::rc::Rc;

use arete::testfile::{self, Test};

use crate::checks::Checks;
use crate::lab::{self, CONTROLLER, RESULTS};
use crate::world::{SECOND, World};

const TEST: &str = r#"{
    "name": "torn", "grace": 1, "end": { "trigger": "done", "limit": 60 },
    "triggers": { "done": 1 },
    "schedules": { "all": [
        { "name": "say", "at": 0.1, "notify": "done" },
        { "name": "act", "trigger": "done", "shell": "mark act" }
    ] },
    "slaves": { "s0": ["all"] }
}"#;

#[test]
fn a_notify_without_its_trigger_at_the_end_of_a_torn_log_is_followed_by_it_after_the_restart() {
    let mut nothing = |_: &str| Err("no such file".to_owned());
    let test: Rc<Test> = Rc::new(testfile::parse("t.json", TEST, &mut nothing).expect("the test is right"));
    let mut world = World::new(1, 3);
    lab::add_lasting_controller(
        &mut world,
        lab::controller_config(test.clone()),
        None,
        arete::controller::Limits::default(),
        Rc::new(Cell::new(1)),
    );
    lab::add_slave(&mut world, 1, "s0", false);
    world.nodes[CONTROLLER].tears = Some(b"\"triggered\"");
    (0..2).for_each(|node| world.start(node));
    let mut checks = Checks::new(&test, "run1", RESULTS);
    let (end, mut died) = (world.now + 100 * SECOND, None);
    while world.nodes[CONTROLLER].exit.is_none() && world.now < end && world.step() {
        checks.after_step(&mut world).unwrap_or_else(|why| panic!("{why}"));
        if world.nodes[CONTROLLER].machine.is_none() && died.is_none() && world.nodes[CONTROLLER].exit.is_none() {
            died = checks.events.last().cloned();
            world.start(CONTROLLER);
        }
    }
    let last = died.expect("the controller dies while it writes");
    assert_eq!((last["event"].as_str(), last["left"].as_u64()), (Some("notified"), Some(0)), "{last}");
    assert_eq!(world.nodes[CONTROLLER].exit, Some(0));
    checks.after_run(&test, &world).unwrap_or_else(|why| panic!("{why}"));
    let triggered = checks.events.iter().filter(|event| event["event"] == "triggered").count();
    assert_eq!(triggered, 1);
}
