//! Other users of this machine: arete does not rely on files that they could change, and makes none that they may
//! change.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::common::{Needed, Pki, Place, Program, SOON, is_root, skip, wait_for};

const TEST: &str = r#"{"name": "t", "end": {"idle": true, "limit": "30s"},
    "schedules": {"s": [{"name": "x", "at": 0, "shell": "umask > umask.txt", "collect": ["umask.txt"]}]},
    "slaves": {"s": ["s"]}}"#;

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

/// Commands that work in a directory or rely on a file, and which one.
const COMMANDS: [(&str, &str); 16] = [
    ("slave --controller 127.0.0.1:1 --name s --dir d", "d"),
    ("slave --controller 127.0.0.1:1 --name s --dir d --check", "d"),
    ("controller --listen 127.0.0.1:0 --state-dir d", "d"),
    ("controller --listen 127.0.0.1:0 --state-dir d --check", "d"),
    ("controller --listen 127.0.0.1:0 --socket d/arete.sock", "d"),
    ("run t.json --results d", "d"),
    ("run --resume r", "r"),
    ("run --resume r", "r/state.jsonl"),
    ("slave --config c/slave.json", "c/slave.json"),
    ("slave --config c/slave.json --check", "c/slave.json"),
    ("slave --controller 127.0.0.1:1 --name s --dir w --tls lab/s", "lab/s"),
    ("slave --controller 127.0.0.1:1 --name s --dir w --tls lab/s", "lab/s/ca.pem"),
    ("slave --controller 127.0.0.1:1 --name s --dir w --tls lab/s", "lab/s/cert.pem"),
    ("slave --controller 127.0.0.1:1 --name s --dir w --tls lab/s", "lab/s/crl.pem"),
    ("pki list lab", "lab"),
    ("ring --interface lo --address 127.0.79.1 --work cat --state-dir d", "d"),
];

/// The exit code if they refuse to begin.
fn code(words: &str) -> i32 {
    if words.starts_with("run ") { 7 } else { 1 }
}

fn command<'a>(place: &'a Place, words: &str) -> Program<'a> {
    place.arete(words.split(' '))
}

/// A place with everything that [`COMMANDS`] name.
fn made(name: &str) -> Place {
    let place = Place::new(name);
    Pki::new(&place).machine("s");
    place.write("t.json", TEST);
    place.write("c/slave.json", r#"{"controller": "127.0.0.1:1"}"#);
    fs::create_dir(place.path("d")).expect("it is new");
    place.arete(["run", "t.json", "--results", "r"]).run().exits_with(0);
    place
}

#[test]
fn files_that_other_users_may_write_are_refused_with_a_remedy() {
    let place = made("writable");
    for (words, path) in COMMANDS {
        let whole = place.path(path);
        let before = mode(&whole);
        for others in [0o020, 0o002] {
            set(&whole, before | others);
            let ended = command(&place, words).run().exits_with(code(words));
            ended.complains(&[
                path,
                "users other than its owner can write it: if you trust the content, run \"chmod go-w ",
            ]);
        }
        set(&whole, before);
    }
}

#[test]
fn a_directory_that_every_user_could_replace_is_refused_and_one_in_a_sticky_directory_is_not() {
    let place = made("movable");
    let (open, within) = (place.path("open"), place.path("open/mine"));
    fs::create_dir_all(within.join("d")).expect("it is new");
    place.arete(["run", "t.json", "--results", "open/mine/r"]).run().exits_with(0);
    set(&within.join("d"), 0o700);
    set(&open, 0o777);
    let movable = [
        "slave --controller 127.0.0.1:1 --name s --dir open/mine/d",
        "slave --controller 127.0.0.1:1 --name s --dir open/new",
        "controller --listen 127.0.0.1:0 --state-dir open/mine/d",
        "controller --listen 127.0.0.1:0 --state-dir open/mine/d --check",
        "run t.json --results open/mine/new",
        "run --resume open/mine/r",
        "ring --interface lo --address 127.0.79.1 --work cat --state-dir open/mine/d",
    ];
    for words in movable {
        let ended = command(&place, words).run().exits_with(code(words));
        let advice = format!("run \"chmod o-w {}\"", open.display());
        ended.complains(&["everybody can write ", "could replace the directory: ", &advice]);
    }
    // The group is its owner's choice.
    for mode in [0o775, 0o1777] {
        set(&open, mode);
        command(&place, "controller --listen 127.0.0.1:0 --state-dir open/mine/d --check").run().exits_with(0);
        command(&place, &format!("run t.json --results open/{mode}")).run().exits_with(0);
    }
    set(&open, 0o700);
}

#[test]
fn files_of_another_user_are_refused() {
    let test = "files_of_another_user_are_refused";
    if !is_root() {
        return skip(test, "it needs root, to give files away", Needed::Nowhere);
    }
    let place = made("others");
    for (words, path) in COMMANDS {
        let whole = place.path(path);
        std::os::unix::fs::chown(&whole, Some(65534), None).expect("root may");
        command(&place, words).run().exits_with(code(words)).complains(&[path, "it belongs to user 65534"]);
        std::os::unix::fs::chown(&whole, Some(0), None).expect("root may");
    }
    // The user who became root by sudo has chosen the files.
    for file in ["lab/s", "lab/s/ca.pem", "lab/s/cert.pem", "lab/s/key.pem", "lab/s/crl.pem"] {
        std::os::unix::fs::chown(place.path(file), Some(65534), None).expect("root may");
    }
    let check = ["slave", "--controller", "127.0.0.1:1", "--name", "s", "--dir", "w", "--check", "--tls", "lab/s"];
    let ended = place.arete(check).env("SUDO_UID", "65534").run();
    assert!(ended.stdout.contains("certificate: ") && !ended.stderr.contains("belongs to"), "{}", ended.stderr);
    place.arete(check).env("SUDO_UID", "65533").run().complains(&["it belongs to user 65534"]);
}

#[test]
fn without_a_umask_no_other_user_may_write_files_of_arete_and_commands_keep_the_umask() {
    let place = Place::new("umask");
    place.write("t.json", TEST);
    let script = |words: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask 000; exec '{}' {words}", env!("CARGO_BIN_EXE_arete"))]);
        place.program(shell)
    };
    script("run t.json").run().exits_with(0);
    assert_eq!(mode(&place.path("results")), 0o700);
    let run = fs::canonicalize(place.path("results/latest")).expect("a link");
    assert_eq!(mode(&run), 0o700);
    script("run t.json --results own/r").run().exits_with(0);
    assert_eq!((mode(&place.path("own")), mode(&place.path("own/r"))), (0o700, 0o700));
    for file in ["state.jsonl", "events.jsonl", "summary.json", "test.json"] {
        assert_eq!(mode(&place.path("own/r").join(file)) & 0o022, 0, "{file}");
    }
    assert_eq!(place.read("own/r/s/x.files/umask.txt").trim(), "0000");
    let mut controller = script("controller --listen 127.0.0.1:0 --state-dir var/state").start();
    controller.wait_for_output("listening on ");
    let slave = script("slave --controller 127.0.0.1:1 --name s --dir var/s/w").start();
    wait_for(SOON, "the slave's directory", || place.path("var/s/w/lock").exists());
    let expected =
        [("var", 0o755), ("var/state", 0o700), ("var/state/runs", 0o700), ("var/s", 0o755), ("var/s/w", 0o700)];
    for (path, right) in expected {
        assert_eq!(mode(&place.path(path)), right, "{path}");
    }
    assert_eq!(mode(&place.path("var/state/state.jsonl")) & 0o022, 0);
    drop(slave);
}
