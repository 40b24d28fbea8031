//! One machine, one command: the results of a run that starts its slaves itself.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::process::Command;

use common::{Needed, Place, Running, SOON, have, repository, skip, strays, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// A test file with one slave for each of `entries`, a list of entries without its brackets.
fn test_file(end: &str, triggers: &str, entries: &[&str]) -> String {
    let part = |(nr, _): (usize, _)| format!("\"s{nr}\": [\"s{nr}\"]");
    let slaves: Vec<_> = entries.iter().enumerate().map(part).collect();
    let schedules: Vec<_> = entries.iter().enumerate().map(|(nr, list)| format!("\"s{nr}\": [{list}]")).collect();
    format!(
        "{{\"name\": \"t\", \"end\": {end}, \"triggers\": {{{triggers}}}, \"schedules\": {{{}}}, \"slaves\": {{{}}}}}",
        schedules.join(", "),
        slaves.join(", ")
    )
}

const IDLE: &str = r#"{"idle": true, "limit": "30s"}"#;

fn start<'a>(place: &'a Place, text: &str) -> Running<'a> {
    place.write("t.json", text);
    place.arete(["run", "t.json", "--results", "results"]).start()
}

fn wait_for_events(place: &Place, event: &str, times: usize) {
    wait_for(SOON, &format!("{times} events {event}"), || place.count("results", event) >= times);
}

/// Conditions that hold after every run, whatever its verdict.
fn assert_all_is_clean(place: &Place) {
    place.assert_nothing_left();
    place.assert_no_temporary_files();
}

#[test]
fn the_relay_of_the_readme_passes() {
    let place = Place::new("relay");
    let file = repository().join("examples/relay.json");
    let ended = place.arete(["run".as_ref(), file.as_os_str()]).run().exits_with(0);
    assert!(ended.stdout.contains("relay passed"), "{}", ended.stdout);
    assert_eq!(place.summary("results/latest")["verdict"], "passed");
    assert_eq!(place.read("results/latest/test.json"), fs::read_to_string(file).unwrap());
    let medals = place.read("results/latest/judge/medals.out");
    assert_eq!(medals, "gold for all three\n");
    assert!(place.read("results/latest/judge/sweep.out").contains("swept"));
    for runner in ["runner1", "runner2", "runner3"] {
        let said = place.read(format!("results/latest/{runner}/run.out"));
        assert_eq!(said, format!("{runner} has the baton\n{runner} hands over\n"));
        let log = place.read(format!("results/latest/{runner}/run.files/leg.log"));
        assert_eq!(log.lines().count(), 4);
    }
    assert_eq!(place.count("results/latest", "triggered"), 5);
    assert_all_is_clean(&place);
}

#[test]
fn ctrl_c_stops_everything_and_writes_the_results() {
    let place = Place::new("int");
    let sleep = r#"{"name": "sleep", "at": 0, "shell": "echo here; sleep 300"},
                   {"name": "last", "finally": true, "shell": "echo tidy"}"#;
    let run = start(&place, &test_file(IDLE, "", &[sleep, sleep]));
    wait_for_events(&place, "spawned", 2);
    run.signal(Signal::INT);
    let ended = run.wait().exits_with(130);
    assert!(ended.took < SOON, "{:?}", ended.took);
    let summary = place.summary("results");
    assert_eq!(summary["verdict"], "interrupted");
    assert_eq!(summary["slaves"]["s0"]["entries"]["sleep"][0]["outcome"], "stopped");
    assert_eq!(place.read("results/s1/sleep.out"), "here\n");
    assert_eq!(place.read("results/s1/last.out"), "tidy\n");
    assert_all_is_clean(&place);
}

#[test]
fn a_second_ctrl_c_gives_up_at_once_and_leaves_no_process() {
    let place = Place::new("int2");
    let stubborn = r#"{"name": "stubborn", "at": 0, "shell": "trap '' TERM; while :; do sleep 1; done"}"#;
    let text = test_file(IDLE, "", &[stubborn, stubborn]).replacen('{', "{\"grace\": \"5min\", ", 1);
    let run = start(&place, &text);
    wait_for_events(&place, "spawned", 2);
    run.signal(Signal::INT);
    wait_for_events(&place, "ending", 1);
    run.signal(Signal::INT);
    let ended = run.wait().exits_with(130);
    assert!(ended.took < SOON, "{:?}", ended.took);
    assert_all_is_clean(&place);
}

#[test]
fn a_controller_killed_by_sigkill_leaves_its_own_slaves_and_their_commands_no_chance() {
    let place = Place::new("kill9");
    let run = start(&place, &test_file(IDLE, "", &[r#"{"name": "sleep", "at": 0, "shell": "sleep 300"}"#]));
    wait_for_events(&place, "spawned", 1);
    run.signal(Signal::KILL);
    drop(run);
    place.assert_nothing_left();
}

#[test]
fn commands_poke_notify_and_wait() {
    let place = Place::new("words");
    let asks = r#"{"name": "pokes", "at": 0, "shell": "arete poke hit && arete poke hit && arete poke && arete notify go"},
                  {"name": "hit", "poke": true, "notify": "hits"},
                  {"name": "nothing", "at": 0, "shell": "arete wait never --timeout 200ms", "expect": [3]},
                  {"name": "unknown", "at": 0, "shell": "arete notify goo", "expect": [1]},
                  {"name": "no-entry", "at": 0, "shell": "arete poke hot", "expect": [1]}"#;
    let waits = r#"{"name": "waits", "at": 0, "shell": "arete wait go && arete wait hits && echo heard"}"#;
    let run = start(&place, &test_file(IDLE, "\"hits\": 3, \"go\": 1, \"never\": 1", &[asks, waits]));
    run.wait().exits_with(0);
    assert_eq!(place.read("results/s1/waits.out"), "heard\n");
    assert_eq!(place.summary("results")["triggers"]["hits"]["notified"], 3);
    for entry in ["nothing", "unknown", "no-entry"] {
        let said = place.read(format!("results/s0/{entry}.err"));
        assert!(said.starts_with("arete: "), "{entry} prints {said:?}");
    }
    assert_all_is_clean(&place);
}

#[test]
fn a_failed_entry_fails_the_test_and_is_named() {
    let place = Place::new("failed");
    let entries = r#"{"name": "bad", "at": 0, "shell": "echo no >&2; exit 7"}, {"name": "good", "after": "bad", "shell": "true"}"#;
    let ended = start(&place, &test_file(IDLE, "", &[entries])).wait().exits_with(1);
    assert!(ended.stdout.contains("bad") && ended.stdout.contains('7'), "{}", ended.stdout);
    assert_eq!(place.summary("results")["slaves"]["s0"]["entries"]["good"][0]["outcome"], "passed");
    assert_all_is_clean(&place);
}

#[test]
fn a_command_that_became_a_daemon_has_ended_after_the_run() {
    let place = Place::new("daemon");
    let daemon = r#"{"name": "daemon", "at": 0, "shell": "setsid sh -c 'trap \"\" TERM HUP; touch up; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 & while [ ! -e up ]; do sleep 0.05; done"}"#;
    let text = test_file(IDLE, "", &[daemon]).replacen('{', "{\"grace\": \"500ms\", ", 1);
    start(&place, &text).wait().exits_with(0);
    assert_all_is_clean(&place);
}

#[test]
fn a_slave_killed_by_sigkill_is_named_and_leaves_nothing() {
    let place = Place::new("lost");
    let sleep = r#"{"name": "sleep", "at": 0, "shell": "sleep 300"}"#;
    let run = start(&place, &test_file(IDLE, "", &[sleep, r#"{"name": "idle", "poke": true, "shell": "true"}"#]));
    wait_for_events(&place, "spawned", 1);
    let slaves = strays::of(place.mark(), place.dir());
    let slave = slaves.iter().find(|stray| stray.command.contains(" slave ") && stray.command.contains("s0"));
    let pid = Pid::from_raw(slave.expect("the slave s0 runs").pid).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let ended = run.wait().exits_with(7);
    assert!(ended.stdout.contains("s0"), "{}", ended.stdout);
    assert_all_is_clean(&place);
}

#[test]
fn a_full_disk_for_the_results_fails_the_run_with_a_clear_message() {
    let test = "a_full_disk_for_the_results_fails_the_run_with_a_clear_message";
    let possible = || Command::new("unshare").args(["-Urm", "true"]).status().is_ok_and(|status| status.success());
    if !have("unshare") || !possible() {
        return skip(test, "it needs user namespaces for a small disk", Needed::InCi);
    }
    let place = Place::new("full");
    let loud = r#"{"name": "loud", "at": 0, "shell": "yes | head -c 1000000"}"#;
    place.write("t.json", test_file(IDLE, "", &[loud]));
    fs::create_dir(place.path("small")).unwrap();
    let script = "mount -t tmpfs run /run && mount -t tmpfs -o size=64k small small && \"$0\" run t.json --results small/results; code=$?; \
                  cp -r small/results kept; exit $code";
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", script, env!("CARGO_BIN_EXE_arete")]);
    let ended = place.program(command).run().exits_with(7).complains(&["cannot write", "no space left"]);
    assert!(ended.took < SOON);
    assert!(!place.events("kept").is_empty(), "what was written before is kept");
    assert_all_is_clean(&place);
}
