//! Scenarios: entries that become ready, by a port, by their output, by a command or by their own report.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, entry, shell};
use crate::machine::{Exit, Input, NoAnswer, Signal};

/// A service `srv` with this check, a command that runs when it is ready, and one that runs when it has exited.
fn world_with(check: Value, more: Value) -> World {
    let mut ready = json!({"check": check, "within": 5_000_000});
    ready.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    World::running(json!([
        shell("srv", json!({"at": 0}), json!({"service": true, "expect": {"of": []}, "ready": ready})),
        shell("use", json!({"after": {"of": [{"entry": "srv", "when": "ready"}]}}), json!({})),
        shell("next", json!({"after": {"of": [{"entry": "srv"}]}}), json!({}))
    ]))
}

fn port() -> World {
    world_with(json!({"port": {"port": 80}}), json!({}))
}

fn log() -> World {
    world_with(json!({"log": "^up$"}), json!({}))
}

fn says_it() -> World {
    world_with(json!("notify"), json!({"trigger": "go"}))
}

/// The result of the oldest probe.
fn probed(world: &mut World, result: Result<(), NoAnswer>) -> String {
    let (probe, to) = world.probes.remove(0);
    world.input(Input::Probed { probe, result });
    to
}

fn hears(world: &mut World, text: &str) {
    let (ear, _) = world.ears[0];
    world.input(Input::Overheard { ear, bytes: text.as_bytes() });
}

fn writes(world: &mut World, file: &str, text: &str) {
    world.files.entry(PathBuf::from("/d/r1/output").join(file)).or_default().extend(text.as_bytes());
}

fn is_ready(world: &mut World) -> bool {
    world.reports().contains(&"ready srv#1".to_owned())
}

/// Why the last entry that exited did so.
fn why(world: &mut World) -> String {
    let exited =
        world.take_said("report").into_iter().rfind(|report| report["event"] == "exited").expect("it has exited");
    exited["why"].as_str().unwrap_or_default().to_owned()
}

/// Lets the service die of the signal that it got, and gives the reason.
fn dies(world: &mut World) -> String {
    assert_eq!(world.kills.last(), Some(&("srv".to_owned(), Signal::TERM)));
    world.exits("srv", Exit::Signal(Signal::TERM));
    why(world)
}

#[test]
fn a_port_is_tried_until_it_answers_and_then_its_followers_start() {
    let mut world = port();
    assert_eq!(probed(&mut world, Err(NoAnswer::Refused)), "127.0.0.1:80");
    world.pass(Duration::from_millis(199));
    assert_eq!((world.probes.len(), world.started()), (0, vec!["srv"]));
    world.pass(Duration::from_millis(1));
    probed(&mut world, Ok(()));
    assert!(is_ready(&mut world));
    assert_eq!(world.started(), ["srv", "use"]);
    world.pass(Duration::from_secs(60));
    assert_eq!((world.probes.len(), world.kills.len()), (0, 0), "a ready command is not checked again");
}

#[test]
fn a_command_that_is_not_ready_in_time_is_ended_and_fails_with_the_reason() {
    let reason = |answer: NoAnswer| {
        let mut world = port();
        probed(&mut world, Err(answer));
        world.pass(Duration::from_secs(5));
        let said = dies(&mut world);
        assert_eq!(world.started(), ["srv", "next"]);
        said
    };
    assert_eq!(reason(NoAnswer::Refused), "not ready within 5s: port 80 refuses");
    assert_eq!(reason(NoAnswer::Silent), "not ready within 5s: port 80 does not answer");
    assert_eq!(reason(NoAnswer::Other("no route".to_owned())), "not ready within 5s: port 80: no route");
    let mut world = log();
    world.pass(Duration::from_secs(5));
    assert_eq!(dies(&mut world), "not ready within 5s: no line matches \"^up$\"");
    let mut world = says_it();
    world.pass(Duration::from_secs(5));
    assert_eq!(dies(&mut world), "not ready within 5s: it has not said so (arete ready, or READY=1)");
}

#[test]
fn a_host_may_hold_variables_and_an_ipv6_address_gets_brackets() {
    let mut world = World::new();
    world.connect(None, 0);
    let check = json!({"check": {"port": {"port": 80, "host": "@{b.address}"}}, "within": 1_000_000});
    let entries = json!([shell("srv", json!({"at": 0}), json!({"ready": check}))]);
    world.prepare(json!({"entries": entries, "addresses": {"b": "fe80::1"}}));
    world.start();
    assert_eq!(probed(&mut world, Err(NoAnswer::Refused)), "[fe80::1]:80");
    world.pass(Duration::from_secs(1));
    assert_eq!(dies(&mut world), "not ready within 1s: port 80 of fe80::1 refuses");
}

#[test]
fn a_line_of_either_output_is_found_soon() {
    for file in ["srv.out", "srv.err"] {
        let mut world = log();
        writes(&mut world, file, "not up\n");
        world.pass(Duration::from_millis(20));
        assert!(!is_ready(&mut world));
        writes(&mut world, file, "up\n");
        world.pass(Duration::from_millis(20));
        assert!(is_ready(&mut world), "{file}");
        assert_eq!(world.started(), ["srv", "use"]);
    }
}

#[test]
fn output_before_the_exit_counts() {
    let mut world = log();
    writes(&mut world, "srv.out", "up");
    world.exits("srv", Exit::Code(0));
    let reports = world.reports();
    let order: Vec<&str> = reports.iter().map(String::as_str).filter(|report| report.contains("srv")).collect();
    assert_eq!(order, ["spawned srv#1", "ready srv#1", "exited srv#1 failed"]);
    assert_eq!(world.started(), ["srv", "use", "next"]);
}

#[test]
fn a_checking_command_runs_once_at_a_time_and_ends_with_the_command_it_checks() {
    let check = json!({"shell": {"command": "test -e up", "every": 300_000}});
    let mut world = world_with(check.clone(), json!({}));
    assert_eq!(world.spawned[1].1.argv[2], "test -e up");
    assert_eq!((&world.spawned[1].1.cwd, &world.spawned[1].1.stdout), (&world.spawned[0].1.cwd, &None));
    let tests = |world: &World| world.spawned.iter().filter(|(_, command)| command.argv[2] == "test -e up").count();
    let test_exits = |world: &mut World, exit| {
        let child = world.spawned.last().unwrap().0;
        world.running.remove(&child);
        world.input(Input::Exited { child, exit });
    };
    world.pass(Duration::from_secs(1));
    assert_eq!(tests(&world), 1);
    test_exits(&mut world, Exit::Code(1));
    world.pass(Duration::from_millis(299));
    assert_eq!(tests(&world), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(tests(&world), 2);
    test_exits(&mut world, Exit::Code(0));
    assert!(is_ready(&mut world));
    assert_eq!(world.started(), ["srv", "srv", "srv", "use"]);

    let mut world = world_with(check.clone(), json!({}));
    test_exits(&mut world, Exit::Code(1));
    world.pass(Duration::from_millis(200));
    world.exits("srv", Exit::Code(3));
    world.pass(Duration::from_secs(5));
    assert_eq!(tests(&world), 1, "a command that has exited is not checked");

    let mut world = world_with(check, json!({}));
    world.pass(Duration::from_secs(5));
    assert!(world.kills.contains(&("srv".to_owned(), Signal::KILL)), "the checking command is killed");
    assert_eq!(dies(&mut world), "not ready within 5s: \"test -e up\" has not exited");
}

#[test]
fn a_command_reports_readiness_to_its_slave_or_as_to_systemd() {
    let mut world = says_it();
    let path = world.ears[0].1.display().to_string();
    let env = &world.spawned[0].1.env;
    assert!(env.contains(&("NOTIFY_SOCKET".to_owned(), path)), "{env:?}");
    hears(&mut world, "STATUS=booting\nNOTREADY=1");
    assert!(!is_ready(&mut world));
    hears(&mut world, "READY=1\nSTATUS=up");
    assert!(is_ready(&mut world));
    assert_eq!(world.started(), ["srv", "use"]);
    assert_eq!(world.take_said("notify").len(), 1);
    hears(&mut world, "READY=1");
    let conn = world.request(r#"{"type":"ready","entry":"srv","nr":1}"#);
    assert_eq!(world.answer(conn).unwrap()["type"], "done");
    assert_eq!((world.take_said("notify").len(), world.started().len()), (0, 2), "once a run");
    assert_eq!(world.ears.len(), 1, "a service also sends other messages, so it keeps its socket");
    world.exits("srv", Exit::Code(0));
    assert_eq!(world.ears.len(), 0);

    let mut world = says_it();
    let conn = world.request(r#"{"type":"ready","entry":"srv","nr":1}"#);
    assert_eq!(world.answer(conn).unwrap()["type"], "done");
    assert!(is_ready(&mut world));
}

#[test]
fn a_readiness_report_that_does_not_count_is_refused_with_the_reason() {
    let mut world = says_it();
    let reason = |world: &mut World, entry: &str, nr: u32| {
        let conn = world.request(&format!(r#"{{"type":"ready","entry":"{entry}","nr":{nr}}}"#));
        world.answer(conn).unwrap()["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(reason(&mut world, "x", 1), "this slave has no entry \"x\"");
    assert_eq!(reason(&mut world, "use", 1), "entry \"use\" has no \"ready\": {\"notify\": true}");
    assert_eq!(reason(&mut world, "srv", 2), "run 2 of entry \"srv\" is not running");
    world.pass(Duration::from_secs(5));
    assert_eq!(reason(&mut world, "srv", 1), "entry \"srv\" was not ready in time");
    let mut world = says_it();
    let (ear, _) = world.ears[0];
    world.input(Input::Deaf { ear, error: "no space".into() });
    assert_eq!(dies(&mut world), "it cannot report that it is ready: no space");
}

#[test]
fn a_job_that_exits_as_expected_before_it_is_ready_has_failed() {
    let ready = json!({"check": {"port": {"port": 80}}, "within": 5_000_000});
    let mut world = World::running(json!([
        shell("job", json!({"at": 0}), json!({"ready": ready})),
        entry("kill", json!("poke"), json!({"kill": {"entry": "job", "signal": "SIGTERM"}}))
    ]));
    world.exits("job", Exit::Code(0));
    assert_eq!(why(&mut world), "exited before it was ready: exit status 0");
    let mut world = port();
    world.exits("srv", Exit::Code(1));
    assert!(!why(&mut world).starts_with("exited before"), "its own exit is the failure");
}

#[test]
fn the_trigger_is_notified_once_whatever_the_connection_does() {
    let mut world = world_with(json!({"port": {"port": 80}}), json!({"trigger": "go"}));
    world.lose();
    probed(&mut world, Ok(()));
    world.await_dial();
    world.connect(Some("r1"), 0);
    assert_eq!(world.take_said("state")[0]["notified"], json!({"go": 1}));
    world.reconnect(Some("r1"), 0);
    assert_eq!(world.take_said("state")[0]["notified"], json!({"go": 1}));
}

#[test]
fn the_end_of_the_run_does_not_wait_for_readiness() {
    let mut world = log();
    world.tell(json!({"type": "stop", "run": "r1", "reason": "x", "how": "stop"}));
    world.exits("srv", Exit::Signal(Signal::TERM));
    assert!(world.reports().contains(&"exited srv#1 stopped".to_owned()));
    world.pass(Duration::from_secs(60));
    assert!(!is_ready(&mut world));
}

#[test]
fn while_jobs_finish_readiness_starts_nothing_and_its_failure_still_counts() {
    let finishing = || {
        let ready = json!({"check": {"port": {"port": 80}}, "within": 5_000_000});
        let mut world = World::running(json!([
            shell("srv", json!({"at": 0}), json!({"ready": ready})),
            shell("use", json!({"after": {"of": [{"entry": "srv", "when": "ready"}]}}), json!({})),
            shell("next", json!({"after": {"of": [{"entry": "srv"}]}}), json!({}))
        ]));
        world.tell(json!({"type": "stop", "run": "r1", "reason": "x", "how": "finish"}));
        world
    };
    let mut world = finishing();
    probed(&mut world, Ok(()));
    assert!(is_ready(&mut world));
    world.exits("srv", Exit::Code(0));
    assert_eq!(world.reports(), ["exited srv#1 passed", "idle 0"]);
    assert_eq!(world.started(), ["srv"]);

    let mut world = finishing();
    probed(&mut world, Err(NoAnswer::Refused));
    world.pass(Duration::from_secs(5));
    assert!(!world.reports().iter().any(|report| report.starts_with("idle")), "srv still runs");
    assert_eq!(dies(&mut world), "not ready within 5s: port 80 refuses");
    assert_eq!(world.started(), ["srv"]);

    let mut world = finishing();
    world.exits("srv", Exit::Code(0));
    assert_eq!(why(&mut world), "exited before it was ready: exit status 0");
    assert_eq!(world.started(), ["srv"]);
}
