//! Slaves that the controller has launched: on this machine, by ssh and by Slurm. They end with the run, whatever dies
//! before.

#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
mod slurm;
mod ssh;

use std::time::Duration;

use common::{Pki, Place, Running, SOON, wait_for};
use rustix::process::Signal;
use serde_json::json;

/// Two slaves that sleep for a while.
pub fn sleepers(seconds: f64) -> String {
    let names = ["a", "b"].map(|name| (name.to_owned(), json!(["s"])));
    test_of(seconds, names.into_iter().collect())
}

/// A test of slaves that sleep for a while.
pub fn test_of(seconds: f64, slaves: serde_json::Map<String, serde_json::Value>) -> String {
    let shell = format!("echo here; sleep {seconds}");
    let schedules = json!({"s": [{"name": "nap", "at": 0, "shell": shell}]});
    json!({"name": "t", "end": {"idle": true, "limit": "50s"}, "grace": "1s", "schedules": schedules, "slaves": slaves})
        .to_string()
}

/// A run whose slaves work in the place. Its launchers find the programs in the place's `bin` first.
pub fn run<'a>(place: &'a Place, args: &[&str]) -> Running<'a> {
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    place
        .arete(["run", "t.json", "--results", "r"].iter().chain(args))
        .env("PATH", path)
        .env("XDG_STATE_HOME", place.dir())
        .start()
}

/// The sleeps that have begun.
pub fn naps(place: &Place) -> usize {
    place.count("r", "spawned")
}

/// Waits until no process of the test is left.
pub fn wait_until_all_are_gone(place: &Place) {
    wait_for(SOON, "everything to end", || common::strays::of(place.mark(), place.dir()).is_empty());
}

#[test]
fn a_command_starts_each_slave_and_they_end_with_the_run() {
    let place = Place::new("launch");
    place.write("t.json", sleepers(0.1));
    let ended =
        run(&place, &["--launch", "{arete} slave --controller {controller} --name {name}"]).wait().exits_with(0);
    assert!(ended.took < Duration::from_secs(8), "the controller dismisses its slaves: {:?}", ended.took);
    assert!(place.path("r/a/launch.log").is_file() && place.path("r/b/launch.log").is_file());
    place.assert_nothing_left();
}

#[test]
fn a_command_that_names_no_slave_starts_all() {
    let place = Place::new("launch-all");
    place.write("t.json", sleepers(0.1));
    let template =
        "for n in a b; do arete slave --controller {controller} --name $n & done; wait; echo {count} of {addresses}";
    run(&place, &["--launch", template]).wait().exits_with(0);
    assert_eq!(place.read("r/launch.log").lines().last(), Some("2 of a,b"));
    place.assert_nothing_left();
}

#[test]
fn a_launcher_that_ends_before_its_slave_has_joined_fails_the_run_at_once() {
    let place = Place::new("launch-fails");
    place.write("t.json", sleepers(30.0));
    let template = "if [ {name} = b ]; then echo 'no such door' >&2; exit 7; fi; exec arete slave --controller {controller} \
                    --name {name}";
    let ended = run(&place, &["--launch", template]).wait().exits_with(7);
    for part in ["slave b was lost: its launcher", "exit status 7: no such door; its whole output is in r/b/launch.log"]
    {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
    place.assert_nothing_left();
}

#[test]
fn launchers_that_do_not_end_are_killed() {
    let place = Place::new("launch-hangs");
    place.write("t.json", sleepers(30.0));
    let mut controller = run(&place, &["--launch", "trap '' TERM INT; while :; do sleep 1; done; : {name}"]);
    controller.wait_for_output("waiting for a, b");
    controller.signal(Signal::INT);
    controller.wait_for_output("interrupted");
    controller.signal(Signal::INT);
    controller.wait().exits_with(130);
    place.assert_nothing_left();
}

#[test]
fn nothing_is_left_when_the_controller_is_killed() {
    let place = Place::new("launch-killed");
    place.write("t.json", sleepers(30.0));
    // Launchers in a pipe do not notice the controller's death.
    let template = "true | arete slave --controller {controller} --name {name} --orphan-after 1s";
    let controller = run(&place, &["--launch", template]);
    wait_for(SOON, "both to nap", || naps(&place) == 2);
    controller.signal(Signal::KILL);
    drop(controller);
    wait_until_all_are_gone(&place);
}

#[test]
fn a_slave_that_was_launched_for_a_dead_controller_leaves() {
    let place = Place::new("launch-late");
    let late =
        ["slave", "--controller", "127.0.0.1:1", "--launched", "--orphan-after", "300ms", "--dir", "d", "--name", "a"];
    place.arete(late).run().exits_with(1).complains(&["no connection to a controller for 300ms: exiting"]);
}

#[test]
fn a_launched_run_continues_after_its_controller_was_killed() {
    let place = Place::new("launch-resumed");
    place.write("t.json", sleepers(4.0));
    // In a session of its own, so that the death of the controller does not reach it.
    let template = "setsid --wait arete slave --controller {controller} --name {name}";
    let controller = run(&place, &["--launch", template]);
    wait_for(SOON, "both to nap", || naps(&place) == 2);
    controller.signal(Signal::KILL);
    drop(controller);
    place.arete(["run", "--resume", "r"]).run().exits_with(0);
    place.assert_nothing_left();
}

#[test]
fn a_slave_that_is_launched_to_stay_does_and_a_temporary_one_leaves() {
    let place = Place::new("launch-stay");
    place.write("t.json", sleepers(0.1));
    let mut controller = run(&place, &["--launch", "sleep 300"]);
    controller.wait_for_output("waiting for a, b");
    let said = controller.stdout();
    let address =
        said.split("listening on ").nth(1).and_then(|rest| rest.split(',').next()).expect("the address is printed");
    let slave = |name: &str, more: &[&str]| {
        let args = ["slave", "--controller", address, "--name", name, "--dir", name];
        place.arete(args.iter().chain(more)).start()
    };
    let (mut stays, leaves) = (slave("a", &["--stay"]), slave("b", &[]));
    leaves.wait().exits_with(0);
    controller.wait().exits_with(0);
    stays.wait_for_output("the run is over");
    assert!(stays.is_running());
    stays.signal(Signal::TERM);
    stays.wait().exits_with(0);
    place.assert_nothing_left();
}

#[test]
fn slaves_of_this_machine_connect_to_a_controller_that_listens_for_others() {
    let place = Place::new("launch-local");
    place.write("t.json", sleepers(0.1));
    run(&place, &["--launch", "local", "--listen", "127.0.0.1:0"]).wait().exits_with(0);
    std::fs::rename(place.path("r"), place.path("plain")).expect("results can be moved");
    let pki = Pki::new(&place);
    let own = pki.controller(&["127.0.0.1"]);
    let own = own.display().to_string();
    let args = ["--launch", "local", "--listen", "127.0.0.1:0", "--tls", &own];
    run(&place, &args).wait().exits_with(2).complains(&["no certificate for the slave a in ", "arete pki issue "]);
    for name in ["a", "b"] {
        pki.machine(name);
    }
    run(&place, &args).wait().exits_with(0);
    place.assert_nothing_left();
}
