//! What happens to a run if the system runs out of something: processes, shells, directories, space on a disk.

#![forbid(unsafe_code)]

mod common;

use std::process::Command;

use common::{Needed, Place, SOON, have, is_root, skip};

/// A user without processes.
const NOBODY_ELSE: &str = "60123";

fn test_file(entries: &str, more: &str) -> String {
    format!(
        r#"{{ "name": "exhausted", "end": {{ "idle": true, "limit": "30s" }}, "on_fail": "continue", {more}
        "schedules": {{ "s": [{entries}] }}, "slaves": {{ "a": ["s"] }} }}"#
    )
}

/// Runs a script as root of a user namespace, in which it may mount. Returns `None` if the system does not allow it.
fn in_a_namespace<'a>(place: &'a Place, test: &str, script: &str) -> Option<common::Program<'a>> {
    let possible = || Command::new("unshare").args(["-Urm", "true"]).status().is_ok_and(|status| status.success());
    if !have("unshare") || !possible() {
        skip(test, "it needs user namespaces to mount something", Needed::InCi);
        return None;
    }
    let script = format!("mount -t tmpfs run /run && {script}");
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", &script, env!("CARGO_BIN_EXE_arete")]);
    Some(place.program(command))
}

#[test]
fn without_a_free_process_a_command_fails_its_entry_and_nothing_else() {
    let test = "without_a_free_process_a_command_fails_its_entry_and_nothing_else";
    if !is_root() || !have("setpriv") || !have("prlimit") {
        return skip(test, "it needs root, setpriv and prlimit to be another user with few processes", Needed::Nowhere);
    }
    let place = Place::new("no-process");
    place.make_writable_for_all();
    // The controller and the slave are two processes. Two of the three commands can still be started.
    let sleeps = [("first", 2), ("second", 1), ("third", 1)]
        .map(|(name, time)| format!(r#"{{ "name": "{name}", "at": 0, "shell": "exec sleep {time}" }}"#));
    let later = r#"{ "name": "later", "after": "first", "shell": "exec true" }"#;
    place.write("t.json", test_file(&format!("{}, {later}", sleeps.join(", ")), ""));
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY_ELSE, "--regid", NOBODY_ELSE, "--clear-groups"]);
    command.args(["prlimit", "--nproc=4", env!("CARGO_BIN_EXE_arete"), "run", "t.json", "--results", "results"]);
    let ended = place.program(command).run().exits_with(1);
    let why = "could not be started: cannot start /bin/sh: fork: resource temporarily unavailable";
    assert!(ended.stdout.to_lowercase().contains(why), "{}", ended.stdout);
    let entries = &place.summary("results")["slaves"]["a"]["entries"];
    let outcome = |name: &str| entries[name][0]["outcome"].as_str().unwrap_or("none").to_owned();
    let outcomes = ["first", "second", "third", "later"].map(outcome);
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "failed").count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "passed").count(), 3, "{outcomes:?}");
    place.assert_nothing_left();
}

#[test]
fn without_a_shell_or_its_directory_a_command_fails_its_entry_with_the_reason() {
    let test = "without_a_shell_or_its_directory_a_command_fails_its_entry_with_the_reason";
    let place = Place::new("no-shell");
    let entries = r#"{ "name": "x", "at": 0, "shell": "true" }"#;
    place.write("shell.json", test_file(entries, ""));
    let gone = r#"{ "name": "x", "at": 0, "shell": "true", "cwd": "/no/such/place" }, { "name": "y", "after": "x", "shell": "true" }"#;
    place.write("cwd.json", test_file(gone, ""));
    let ended = place.arete(["run", "cwd.json", "--results", "cwd"]).run().exits_with(1);
    assert!(
        ended.stdout.contains("x failed: could not be started: the working directory /no/such/place: no such file"),
        "{}",
        ended.stdout
    );
    assert_eq!(place.summary("cwd")["slaves"]["a"]["entries"]["y"][0]["outcome"], "passed");
    let script = "mount --bind /dev/null \"$(readlink -f /bin/sh)\" && exec \"$0\" run shell.json --results shell";
    let Some(program) = in_a_namespace(&place, test, script) else { return };
    let ended = program.run().exits_with(1);
    assert!(
        ended.stdout.contains("x failed: could not be started: cannot start /bin/sh: exec: permission denied"),
        "{}",
        ended.stdout
    );
    place.assert_nothing_left();
}

#[test]
fn a_slave_with_a_full_disk_cannot_take_part_and_reports_why() {
    let test = "a_slave_with_a_full_disk_cannot_take_part_and_reports_why";
    let place = Place::new("slave-full");
    place.write("large", vec![b'x'; 300_000]);
    let entry = r#"{ "name": "x", "at": 0, "shell": "true", "use_resources": ["r"] }"#;
    place.write("t.json", test_file(entry, r#""resources": { "r": { "file": "large" } },"#));
    std::fs::create_dir(place.path("small")).unwrap();
    let script =
        "mount -t tmpfs -o size=64k small small && TMPDIR=\"$PWD/small\" exec \"$0\" run t.json --results results";
    let Some(program) = in_a_namespace(&place, test, script) else { return };
    let ended = program.run().exits_with(7);
    assert!(ended.took < SOON);
    let why = "slave a cannot take part: ";
    assert!(ended.stdout.contains(why) && ended.stdout.contains("no space left"), "{}", ended.stdout);
    assert_eq!(place.summary("results")["verdict"], "failed");
    place.assert_nothing_left();
}
