//! The script `examples/lab`, one test for each verb or more.

#![forbid(unsafe_code)]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{Needed, Place, Program, SOON, is_root, missing, repository, skip, wait_for};
use serde_json::{Value, json};

/// The programs that the script needs in addition to bash.
const PROGRAMS: [&str; 6] = ["ip", "ss", "unshare", "nsenter", "mount", "hostname"];

/// The script in a test's own directory.
struct Script {
    place: Place,
}

impl Script {
    /// `None` if the test was skipped.
    fn new(name: &str, test: &str) -> Option<Script> {
        let why = missing(&PROGRAMS).or_else(|| {
            let namespaces =
                Command::new("unshare").args(["-Urnm", "--pid", "--fork", "--mount-proc", "true"]).output();
            let possible = is_root() || namespaces.is_ok_and(|output| output.status.success());
            (!possible).then(|| "it needs root or user namespaces".to_owned())
        });
        if let Some(why) = why {
            skip(test, &why, Needed::InCi);
            return None;
        }
        Some(Script { place: Place::new(name) })
    }

    fn verb(&self, words: &[&str]) -> Program<'_> {
        let mut command = Command::new(repository().join("examples/lab"));
        command.args(words);
        let program = self.place.program(command).env("XDG_RUNTIME_DIR", self.place.path("run"));
        program.env("ARETE", env!("CARGO_BIN_EXE_arete"))
    }

    /// Runs a verb that succeeds. Returns its output.
    #[track_caller]
    fn says(&self, words: &[&str]) -> String {
        self.verb(words).run().exits_with(0).stdout
    }

    /// The state of a machine in the output of `status`.
    #[track_caller]
    fn state(&self, machine: &str) -> String {
        let status = self.says(&["status"]);
        let line = status.lines().find(|line| line.split_whitespace().next() == Some(machine));
        line.unwrap_or_else(|| panic!("{machine} is not in {status}")).to_owned()
    }

    #[track_caller]
    fn wait_for_state(&self, machine: &str, part: &str) {
        wait_for(SOON, &format!("{machine} to be {part}"), || self.state(machine).contains(part));
    }

    /// Runs a command for the lab's controller, outside of the lab.
    #[track_caller]
    fn asks(&self, words: &[&str]) -> String {
        let socket = self.lab().join("controller.sock");
        self.place.arete(words).arg("--controller").arg(socket).arg("--timeout").arg("20s").run().exits_with(0).stdout
    }

    /// Waits until the controller has `count` slaves.
    #[track_caller]
    fn wait_for_slaves(&self, count: usize) {
        wait_for(SOON, &format!("{count} slaves"), || {
            let status: Value = serde_json::from_str(&self.asks(&["status", "--json"])).expect("the status is JSON");
            let slaves = status["slaves"].as_array().expect("the slaves are a list");
            slaves.iter().filter(|slave| slave["connected"].is_number()).count() == count
        });
    }

    /// The directory of the lab's files.
    fn lab(&self) -> PathBuf {
        let uid = rustix::process::geteuid().as_raw();
        self.place.path("run").join(format!("arete-lab-{uid}"))
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        assert!(!self.lab().exists(), "the lab's files are left");
        self.place.assert_nothing_left();
        self.place.assert_no_temporary_files();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let mut down = Command::new(repository().join("examples/lab"));
        let _ = down.arg("down").env("XDG_RUNTIME_DIR", self.place.path("run")).output();
    }
}

#[test]
fn a_lab_starts_runs_tests_loses_a_slave_and_is_removed_completely() {
    let test = "a_lab_starts_runs_tests_loses_a_slave_and_is_removed_completely";
    let Some(lab) = Script::new("lab-script", test) else { return };
    assert!(lab.says(&["up", "2"]).contains("node2        10.88.0.12"));
    lab.wait_for_slaves(2);
    let status = lab.says(&["status"]);
    assert!(status.contains("up, its controller runs") && status.contains("runs: none"), "{status}");
    let names = "echo \"I am $(hostname)\"; ip -o -4 address show dev eth0";
    lab.place.write(
        "t.json",
        json!({
            "name": "t", "end": {"idle": true, "limit": "20s"},
            "schedules": {"s": [{"name": "who", "at": 0, "shell": names}]}, "slaves": {"node[1-2]": ["s"]}
        })
        .to_string(),
    );
    lab.verb(&["run", "t.json", "--results", "r"]).run().exits_with(0);
    let said = lab.place.read("r/node2/who.out");
    assert!(said.contains("I am node2") && said.contains("10.88.0.12/24"), "{said}");
    assert_eq!(lab.says(&["enter", "node1", "hostname"]).trim(), "node1");

    lab.says(&["enter", "node1", "pkill", "-KILL", "-x", "arete"]);
    lab.wait_for_state("node1", "its slave has ended with status 137");
    lab.wait_for_slaves(1);
    lab.says(&["reload", "node1"]);
    lab.wait_for_state("node1", "its slave is connected");
    lab.verb(&["run", "t.json", "--results", "again"]).run().exits_with(0);
    let mut follows = lab.verb(&["logs", "controller", "-f"]).start();
    follows.wait_for_output("listening on 10.88.0.1:7373");
    lab.says(&["enter", "controller", "pkill", "-KILL", "-x", "arete"]);
    lab.wait_for_state("controller", "its controller has ended with status 137");
    lab.wait_for_state("node2", "its slave waits for a controller");
    lab.verb(&["run", "t.json"]).run().exits_with(1).complains(&["the controller does not run", "reload controller"]);
    lab.says(&["reload", "controller"]);
    wait_for(SOON, "a second beginning", || follows.stdout().matches("listening on").count() == 2);
    drop(follows);
    // The state that it had stored is restored.
    lab.wait_for_slaves(2);
    let logs = lab.says(&["logs", "node1"]);
    assert!(logs.contains("controller 10.88.0.1:7373: connected"), "{logs}");
    let runs = lab.asks(&["runs"]);
    assert_eq!(runs.matches(" passed ").count(), 2, "{runs}");

    // Existing machines are not changed, and missing ones are added.
    lab.says(&["up"]);
    assert!(lab.says(&["up", "3"]).contains("node3"));
    lab.says(&["down"]);
    lab.says(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn a_user_without_privileges_has_a_lab_too() {
    let test = "a_user_without_privileges_has_a_lab_too";
    let Some(lab) = Script::new("lab-user", test) else { return };
    if !is_root() {
        return skip(test, "the other tests were run by such a user", Needed::Nowhere);
    }
    if let Some(why) = missing(&["setpriv"]) {
        return skip(test, &why, Needed::InCi);
    }
    lab.place.make_writable_for_all();
    let copy = |from: PathBuf, to: &str| std::fs::copy(from, lab.place.path(to)).expect("files can be copied");
    copy(repository().join("examples/lab"), "lab");
    copy(env!("CARGO_BIN_EXE_arete").into(), "arete");
    let as_nobody = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).args(words);
        let program = lab.place.program(command).env("XDG_RUNTIME_DIR", lab.place.path("run"));
        program.env("ARETE", lab.place.path("arete")).env("HOME", lab.place.dir())
    };
    if !as_nobody(&["unshare", "-Urnm", "--pid", "--fork", "--mount-proc", "true"]).run().status.success() {
        return skip(test, "only root may make namespaces here", Needed::Nowhere);
    }
    let run = json!({
        "name": "t", "end": {"idle": true, "limit": "20s"},
        "schedules": {"s": [{"name": "who", "at": 0, "shell": "hostname"}]}, "slaves": {"node[1-2]": ["s"]}
    });
    lab.place.write("t.json", run.to_string());
    as_nobody(&["./lab", "up", "2"]).run().exits_with(0);
    as_nobody(&["./lab", "run", "t.json", "--results", "r"]).run().exits_with(0);
    assert_eq!(lab.place.read("r/node2/who.out").trim(), "node2");
    as_nobody(&["./lab", "down"]).run().exits_with(0);
    assert!(!lab.place.path("run/arete-lab-65534").exists());
    lab.assert_nothing_left();
}

#[test]
fn a_ring_passes_its_token_round() {
    let Some(lab) = Script::new("lab-ring", "a_ring_passes_its_token_round") else { return };
    lab.says(&["up", "--ring", "3"]);
    wait_for(SOON, "the token to come to node1", || lab.says(&["logs", "node1"]).contains(" -> owner"));
    assert!(lab.state("node1").contains("its node runs: "));
    lab.says(&["enter", "node2", "pkill", "-KILL", "-x", "arete"]);
    lab.wait_for_state("node2", "its node has ended with status 137");
    lab.verb(&["run", "t.json"]).run().exits_with(1).complains(&["this lab is a ring"]);
    lab.verb(&["up", "--ring", "5"])
        .run()
        .exits_with(1)
        .complains(&["a ring has as many nodes as it was made with, 3"]);
    lab.says(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn a_verb_that_fails_prints_what_to_do() {
    let Some(lab) = Script::new("lab-vain", "a_verb_that_fails_prints_what_to_do") else { return };
    lab.verb(&["status"]).run().exits_with(1).complains(&["no lab is up: ", " up makes one"]);
    lab.verb(&[]).run().exits_with(2).complains(&["examples/lab up [N]", "examples/lab down"]);
    lab.verb(&["upp"]).run().exits_with(2).complains(&["there is no verb upp", "examples/lab up [N]"]);
    lab.verb(&["up", "0"]).run().exits_with(1).complains(&["1 to 200 machines"]);
    lab.verb(&["up"]).env("ARETE", "/none").run().exits_with(1).complains(&["there is no arete", "ARETE"]);
    std::fs::create_dir(lab.lab()).expect("it can be made");
    lab.verb(&["up"]).run().exits_with(1).complains(&["is in the way"]);
    lab.verb(&["down"]).run().exits_with(1).complains(&["not of a lab"]);
    std::fs::remove_dir(lab.lab()).expect("it is left alone");
    lab.says(&["up", "1"]);
    lab.verb(&["enter", "node7"])
        .run()
        .exits_with(1)
        .complains(&["there is no machine node7: there are controller node1"]);
    lab.verb(&["up", "--ring"]).run().exits_with(1).complains(&["a lab of another kind is up"]);
    lab.says(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn the_scripts_are_free_of_the_checkers_warnings() {
    let test = "the_scripts_are_free_of_the_checkers_warnings";
    if let Some(why) = missing(&["shellcheck"]) {
        return skip(test, &why, Needed::InCi);
    }
    let checked = Command::new("shellcheck").arg(repository().join("examples/lab")).output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
