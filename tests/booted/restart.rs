//! Units that are restarted or killed while a run or a meeting is in progress.

use serde_json::json;

use super::common::{SOON, wait_for};
use super::{CONTROLLER, CONTROLLER_UNIT, Configured, DEADLINE, SLAVE_UNIT, drop_in, gated, open_gate, prepared};

/// The command of a run: its children leave its session and its environment. After the slave is killed, only the
/// control group knows them.
const RUNS_AWAY: &str = "env -i /usr/bin/setsid /bin/sh -c 'sleep 7001 & sleep 7002' & sleep 7003";

/// Starts a run of one slave with a long command, and waits until the command runs.
fn long_run<'a>(configured: &Configured<'a>, place: &super::Place) -> super::common::Running<'a> {
    let test = json!({
        "name": "long",
        "end": { "idle": true, "limit": "1min" },
        "schedules": { "long": [{ "name": "away", "at": 0, "shell": RUNS_AWAY }] },
        "slaves": { "slave1": ["long"] },
    });
    place.write("long.json", test.to_string());
    let run = configured.start_run("long.json");
    let slave = &configured.slaves[0];
    wait_for(SOON, "the command to run", || slave.processes_of("arete-slave").matches("sleep 700").count() >= 3);
    run
}

#[test]
fn a_slave_that_is_restarted_during_a_run_leaves_nothing_and_fails_the_run_at_once() {
    let test = "restart::a_slave_that_is_restarted_during_a_run_leaves_nothing_and_fails_the_run_at_once";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    configured.start();
    let run = long_run(&configured, &place);
    let slave = &configured.slaves[0];
    let before = slave.main_pid(SLAVE_UNIT);
    slave.systemctl(&["restart", SLAVE_UNIT]);
    assert_ne!(slave.main_pid(SLAVE_UNIT), before);
    let left = slave.processes_of("arete-slave");
    assert!(!left.contains("sleep"), "{left}");
    let ended = run.wait().exits_with(7);
    assert!(ended.stdout.contains("slave slave1 was lost"), "{}", ended.stdout);
    // The new slave serves the next run.
    slave.wait_for_property(SLAVE_UNIT, "ActiveState", "active");
    open_gate(slave, "next");
    configured.start_run_into(&gated(&place, "next", "slave1"), "next").wait().exits_with(0);
}

#[test]
fn a_slave_that_is_killed_during_a_run_is_restarted_and_its_commands_have_ended() {
    let test = "restart::a_slave_that_is_killed_during_a_run_is_restarted_and_its_commands_have_ended";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    configured.start();
    let run = long_run(&configured, &place);
    let slave = &configured.slaves[0];
    slave.signal(SLAVE_UNIT, "KILL");
    slave.wait_for_property(SLAVE_UNIT, "NRestarts", "1");
    slave.wait_for_property(SLAVE_UNIT, "ActiveState", "active");
    let left = slave.processes_of("arete-slave");
    assert!(!left.contains("sleep"), "{left}");
    run.wait().exits_with(7);
}

#[test]
fn a_run_continues_when_the_controller_is_restarted_and_when_it_is_killed() {
    let test = "restart::a_run_continues_when_the_controller_is_restarted_and_when_it_is_killed";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    drop_in(&configured.controller, CONTROLLER_UNIT, "[Service]\nRestartSec=100ms\n");
    configured.start();
    let run = configured.start_run(&gated(&place, "long", "slave1"));
    wait_for(SOON, "the command to run", || place.count("results", "spawned") == 1);
    let (controller, slave) = (&configured.controller, &configured.slaves[0]);
    let served = slave.main_pid(SLAVE_UNIT);
    for how in [&["restart"][..], &["kill", "--signal=KILL"]] {
        let before = controller.main_pid(CONTROLLER_UNIT);
        controller.systemctl(&[how, &[CONTROLLER_UNIT]].concat());
        wait_for(SOON, "another controller", || ![0, before].contains(&controller.main_pid(CONTROLLER_UNIT)));
        configured.wait_for_status("1 slave, 1 run");
    }
    open_gate(slave, "long");
    run.wait().exits_with(0);
    assert_eq!(place.summary("results")["verdict"], "passed");
    assert_eq!(place.read("results/slave1/wait.out"), "begun\ndone\n");
    assert_eq!(slave.main_pid(SLAVE_UNIT), served);
}

#[test]
fn members_at_a_barrier_do_not_notice_that_the_controller_is_restarted() {
    let test = "restart::members_at_a_barrier_do_not_notice_that_the_controller_is_restarted";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    configured.start_controller();
    configured.pki.machine("ann");
    let arrive = |who: &str| {
        let dir = format!("lab/{who}");
        let words = ["arete", "barrier", "lunch", "--members", "ann,slave1", "--as", who, "--timeout", "60s"];
        let words = [&words[..], &["--controller", &configured.address, "--tls", &dir]].concat();
        configured.slaves[0].program(&words).deadline(DEADLINE).start()
    };
    let ann = arrive("ann");
    configured.controller.wait_for_property(CONTROLLER_UNIT, "StatusText", "1 client");
    let status = configured.controller.systemctl(&["status", CONTROLLER_UNIT]);
    assert!(status.contains("Status: \"0 slaves, 0 runs, 1 client\""), "{status}");
    let before = configured.controller.main_pid(CONTROLLER_UNIT);
    configured.controller.systemctl(&["restart", CONTROLLER_UNIT]);
    assert_ne!(configured.controller.main_pid(CONTROLLER_UNIT), before);
    configured.controller.wait_for_property(CONTROLLER_UNIT, "StatusText", "1 client");
    let other = arrive("slave1");
    ann.wait().exits_with(0);
    other.wait().exits_with(0);
}
