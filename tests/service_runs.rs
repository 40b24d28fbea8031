//! A permanent controller, three slaves, and operators that submit tests. The operators' programs and the controller
//! may die.

#![forbid(unsafe_code)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Ended, Place, Program, Running, SOON, repository, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// How long a test may take.
const LIVES: Duration = Duration::from_secs(170);

/// A controller with its slaves.
struct Service<'a> {
    place: &'a Place,
    address: String,
    controller: Option<Running<'a>>,
    slaves: Vec<Running<'a>>,
}

impl<'a> Service<'a> {
    fn new(place: &'a Place, slaves: &[&str]) -> Service<'a> {
        // Probably no other process takes the port meanwhile.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port();
        let mut service = Service { place, address: format!("127.0.0.1:{port}"), controller: None, slaves: Vec::new() };
        service.start();
        for name in slaves {
            let args = ["slave", "--controller", &service.address, "--name", name, "--dir", &format!("slave-{name}")];
            service.slaves.push(place.arete(args).deadline(LIVES).start());
        }
        let all = slaves.len();
        wait_for(SOON, "all slaves", || {
            service.status()["slaves"].as_array().is_some_and(|slaves| slaves.len() == all)
        });
        service
    }

    fn start(&mut self) {
        self.controller = Some(
            self.place.arete(["controller", "--listen", &self.address, "--state-dir", "state"]).deadline(LIVES).start(),
        );
    }

    fn kill_the_controller(&mut self) {
        // Dropping it kills it.
        self.controller = None;
    }

    fn ask(&self, args: &[&str]) -> Program<'a> {
        self.place.arete(args).arg("--controller").arg(&self.address)
    }

    fn json(&self, args: &[&str]) -> Value {
        let said = self.ask(args).arg("--json").arg("--timeout").arg("20s").run().exits_with(0).stdout;
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{args:?} is not JSON: {error}: {said}"))
    }

    fn status(&self) -> Value {
        self.json(&["status"])
    }

    /// Submits a test, and returns the id of its run.
    fn hand_in(&self, file: &str) -> String {
        let said = self.ask(&["run", file, "--detach"]).run().exits_with(0).stdout;
        assert_eq!(said.lines().count(), 1, "the id alone: {said}");
        said.trim_end().to_owned()
    }

    fn state_of(&self, run: &str) -> Value {
        let runs = self.json(&["runs"]);
        let mut runs = runs["runs"].as_array().unwrap().iter();
        runs.find(|state| state["run"] == run).unwrap_or_else(|| panic!("no run {run}")).clone()
    }

    #[track_caller]
    fn wait_until(&self, run: &str, state: &str) {
        wait_for(SOON, &format!("{run} to be {state}"), || self.state_of(run)["state"] == state);
    }

    fn end(mut self) {
        for slave in self.slaves.drain(..) {
            slave.signal(Signal::TERM);
            slave.wait().exits_with(0);
        }
        let controller = self.controller.take().expect("the controller runs");
        controller.signal(Signal::TERM);
        controller.wait().exits_with(0);
        self.place.assert_nothing_left();
    }
}

/// A test of these slaves. Each prints its name, and ends when the gate exists.
fn gated(place: &Place, name: &str, slaves: &[&str]) -> String {
    let gate = place.path(format!("gate-{name}"));
    let shell = format!("echo $ARETE_SLAVE; while [ ! -e {} ]; do sleep 0.02; done; echo done", gate.display());
    let slaves: Vec<_> = slaves.iter().map(|slave| format!("\"{slave}\": [\"s\"]")).collect();
    let file = format!("{name}.json");
    let text = format!(
        "{{\"name\": \"{name}\", \"end\": {{\"idle\": true, \"limit\": \"50s\"}}, \"slaves\": {{{}}}, \
         \"schedules\": {{\"s\": [{{\"name\": \"x\", \"at\": 0, \"shell\": \"{shell}\"}}]}}}}",
        slaves.join(", ")
    );
    place.write(&file, text);
    file
}

fn open_gate(place: &Place, name: &str) {
    place.write(&format!("gate-{name}"), "");
}

/// The files below a directory with their contents, without the parts that depend on times, processes and addresses.
fn files(directory: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![directory.to_owned()]);
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let own = ["arete.log", "state.jsonl", "report.txt", ".run"].contains(&name.as_str());
            let timeless = match name.as_str() {
                "events.jsonl" => events_without_times(&text),
                "summary.json" => String::new(),
                _ => text,
            };
            if !own {
                found.insert(path.strip_prefix(directory).unwrap().to_owned(), timeless);
            }
        }
    }
    found
}

/// The events of each slave, in any order, without those that depend on when a slave checks something.
fn events_without_times(text: &str) -> String {
    let mut events: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| !["heard", "idle", "cleared"].iter().any(|word| event["event"] == *word))
        .map(|event| format!("{} {} {} {}", event["slave"], event["event"], event["entry"], event["trigger"]))
        .collect();
    events.sort();
    events.join("\n")
}

#[test]
fn the_relay_at_a_controller_has_the_results_of_a_local_run() {
    let place = Place::new("service-relay");
    let file = repository().join("examples/relay.json");
    let file = file.to_str().unwrap();
    place.arete(["run", file, "--results", "home"]).run().exits_with(0);
    let service = Service::new(&place, &["judge", "runner1", "runner2", "runner3"]);
    let ended = service.ask(&["run", file, "--results", "away"]).run().exits_with(0);
    assert!(
        ended.stdout.contains("relay passed after") && ended.stdout.ends_with("results are in away\n"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("started 4 slaves\n"), "{}", ended.stdout);
    assert_eq!(files(&place.path("away")), files(&place.path("home")));
    let (away, home) = (place.summary("away"), place.summary("home"));
    assert_eq!((&away["verdict"], &away["why"]), (&home["verdict"], &home["why"]));
    let fetched = service.ask(&["results", "relay"]).run().exits_with(0).stdout;
    let directory = fetched.trim_end().strip_prefix("results are in ").unwrap();
    assert_eq!(files(&place.path(directory)), files(&place.path("away")));
    service.end();
}

#[test]
fn runs_with_free_slaves_start_at_once_and_others_wait_in_order() {
    let place = Place::new("service-queue");
    let service = Service::new(&place, &["a", "b", "c"]);
    let long = service.hand_in(&gated(&place, "long", &["a", "b"]));
    let other = service.hand_in(&gated(&place, "other", &["c"]));
    service.wait_until(&long, "running");
    service.wait_until(&other, "running");
    let mut waits = service.ask(&["run", &gated(&place, "waits", &["a", "c"]), "--results", "waits"]).start();
    waits.wait_for_output(&long);
    let status = service.status();
    assert_eq!(status["queue"][0]["test"], "waits");
    assert_eq!((status["queue"].as_array().unwrap().len(), status["runs"].as_array().unwrap().len()), (1, 2));
    let slave = |name: &str| status["slaves"].as_array().unwrap().iter().find(|slave| slave["slave"] == name).unwrap();
    assert_eq!((&slave("a")["run"], &slave("c")["run"]), (&Value::from(&*long), &Value::from(&*other)));
    assert!(slave("a")["version"].as_str().unwrap().starts_with("arete "));
    let table = service.ask(&["status"]).run().exits_with(0).stdout;
    assert!(table.contains("SLAVE") && table.contains("queue:\n") && table.contains(&other), "{table}");
    open_gate(&place, "other");
    service.wait_until(&other, "over");
    assert_eq!(service.json(&["runs"])["runs"][2]["run"], other, "those that are over come last");
    let said = service.ask(&["stop", &long]).run().exits_with(0).stdout;
    assert!(said.starts_with(&format!("run {long} is over")), "{said}");
    assert_eq!(service.state_of(&long)["verdict"], "interrupted");
    open_gate(&place, "waits");
    waits.wait().exits_with(0);
    assert_eq!(place.read("waits/c/x.out"), "c\ndone\n");
    service.end();
}

#[test]
fn a_late_follower_sees_a_run_from_its_beginning_and_gets_its_exit_status() {
    let place = Place::new("service-attach");
    let service = Service::new(&place, &["a"]);
    let run = service.hand_in(&gated(&place, "seen", &["a"]));
    service.wait_until(&run, "running");
    let partly = service.ask(&["results", &run, "--output", "partly"]).run().exits_with(0);
    assert!(partly.stdout.starts_with("the run goes on"), "{}", partly.stdout);
    let mut leaves = service.ask(&["attach", "latest"]).start();
    leaves.wait_for_output("started 1 slave");
    leaves.signal(Signal::INT);
    leaves.wait().exits_with(130).complains(&["goes on"]);
    let mut attached = service.ask(&["attach", &run, "--follow"]).start();
    attached.wait_for_output("a x | a\n");
    open_gate(&place, "seen");
    let ended: Ended = attached.wait().exits_with(0);
    assert!(ended.stdout.contains("a x | done\n") && ended.stdout.contains("seen passed"), "{}", ended.stdout);
    service.ask(&["results", &run, "--output", "partly"]).run().exits_with(0);
    assert_eq!(place.read("partly/a/x.out"), "a\ndone\n");
    let late = service.ask(&["attach", &run]).run().exits_with(0).stdout;
    assert!(late.contains("started 1 slave") && late.contains("seen passed"), "{late}");
    place.write("other/file", "mine");
    service
        .ask(&["results", &run, "--output", "other"])
        .run()
        .exits_with(2)
        .complains(&["is not empty and has no results"]);
    service.ask(&["attach", "nobody"]).run().exits_with(1).complains(&["nobody"]);
    service.end();
}

#[test]
fn ctrl_c_ends_the_run_at_the_controller_and_brings_its_results() {
    let place = Place::new("service-int");
    let service = Service::new(&place, &["a"]);
    let mut run = service.ask(&["run", &gated(&place, "int", &["a"]), "--results", "int"]).start();
    run.wait_for_output("x started");
    run.signal(Signal::INT);
    run.wait().exits_with(130);
    assert_eq!(place.summary("int")["verdict"], "interrupted");
    assert_eq!(place.read("int/a/x.out"), "a\n");
    service.end();
}

#[test]
fn a_run_does_not_notice_that_the_program_that_handed_it_in_was_killed() {
    let place = Place::new("service-client");
    let service = Service::new(&place, &["a"]);
    let mut client = service.ask(&["run", &gated(&place, "orphan", &["a"]), "--results", "killed"]).start();
    client.wait_for_output("x started");
    drop(client);
    open_gate(&place, "orphan");
    service.ask(&["attach", "latest"]).run().exits_with(0);
    service.ask(&["results", "latest", "--output", "fetched"]).run().exits_with(0);
    assert_eq!(place.summary("fetched")["verdict"], "passed");
    assert_eq!(place.read("fetched/a/x.out"), "a\ndone\n");
    service.end();
}

#[test]
fn a_restarted_controller_continues_its_runs_and_followers_continue_too() {
    let place = Place::new("service-controller");
    let mut service = Service::new(&place, &["a", "b"]);
    let mut client = service.ask(&["run", &gated(&place, "kept", &["a", "b"]), "--results", "kept"]).start();
    client.wait_for_output("b  x started");
    service.hand_in(&gated(&place, "next", &["a"]));
    service.kill_the_controller();
    client.wait_for_output("trying again");
    service.start();
    client.wait_for_output("connected to the controller again");
    open_gate(&place, "kept");
    open_gate(&place, "next");
    let ended = client.wait().exits_with(0);
    assert_eq!(ended.stdout.matches("x started").count(), 2, "{}", ended.stdout);
    assert_eq!((place.read("kept/a/x.out"), place.count("kept", "resumed")), ("a\ndone\n".to_owned(), 1));
    service.ask(&["attach", "next"]).run().exits_with(0);
    let fetched = service.ask(&["results", "kept", "--output", "again"]).run().exits_with(0);
    assert_eq!(fetched.stdout, "results are in again\n");
    let mut again = files(&place.path("again"));
    again.remove(Path::new(".run"));
    assert_eq!(again, files(&place.path("kept")));
    service.end();
}
