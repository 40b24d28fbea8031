//! Faults that entries inject: their records, their processes, and their undo.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::world::{World, entry, shell};
use crate::machine::{ErrorKind, Exit, Input, Signal, SystemError};
use crate::slave::FaultRecord;

const RECORD: &str = "/d/.faults/r1-1.json";

fn fill(name: &str, when: Value, lasts: Option<u64>) -> Value {
    entry(name, when, json!({"fault": {"what": {"fill": {"path": "x", "leave": 10}}, "lasts": lasts}}))
}

/// The words of the processes of faults that were started.
fn faults(world: &World) -> Vec<String> {
    let words = world.spawned.iter().filter(|(_, command)| command.argv.first().is_some_and(|word| word == "arete"));
    words.map(|(_, command)| command.argv[2..].join(" ")).collect()
}

/// A slave that runs these entries, whose needs were checked.
fn running(entries: Value) -> World {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"entries": entries, "addresses": {"node1": "10.0.0.1", "b": "10.0.0.2"}}));
    assert!(world.take_said("ready").is_empty(), "the needs are not checked yet");
    world.exits("rm", Exit::Code(0));
    assert_eq!(world.take_said("ready").len(), 1, "{:?}", world.said);
    world.start();
    world.jump();
    world
}

#[test]
fn a_fault_is_injected_when_its_record_is_on_the_disk_and_is_undone_after_its_time() {
    let mut world = running(json!([fill("full", json!({"at": 0}), Some(2_000_000))]));
    assert_eq!(faults(&world), ["check fill", &format!("inject {RECORD}")]);
    let record: FaultRecord = serde_json::from_slice(&world.files[&PathBuf::from(RECORD)]).expect("a record");
    assert_eq!((record.run.as_str(), record.entry.as_str()), ("r1", "full"));
    world.exits("rm", Exit::Code(0));
    world.pass(std::time::Duration::from_secs(1));
    assert_eq!(world.reports(), ["begun", "spawned full#1", "fault"]);
    world.pass(std::time::Duration::from_secs(2));
    assert_eq!(faults(&world).last(), Some(&format!("undo {RECORD}")));
    world.exits("rm", Exit::Code(0));
    assert_eq!(world.reports(), ["fault", "exited full#1 passed", "idle 0"]);
}

#[test]
fn a_fault_without_a_time_stays_until_a_kill_which_ends_when_it_is_undone() {
    let kill = entry("mend", json!("poke"), json!({"kill": {"entry": "full", "signal": "SIGTERM"}}));
    let mut world = running(json!([fill("full", json!({"at": 0}), None), kill]));
    world.exits("rm", Exit::Code(0));
    assert_eq!(world.reports(), ["begun", "spawned full#1", "fault", "exited full#1 passed", "idle 0"]);
    world.signal(Signal::USR1);
    assert_eq!(world.reports(), ["poked  by signal", "spawned mend#1"]);
    world.exits("rm", Exit::Code(0));
    assert_eq!(world.reports(), ["fault", "exited mend#1 passed", "idle 0"]);
}

#[test]
fn a_fault_whose_record_cannot_be_written_is_not_injected() {
    let mut world = running(json!([fill("full", json!("poke"), None)]));
    world.full = true;
    world.signal(Signal::USR1);
    assert_eq!(faults(&world), ["check fill"], "{:?}", world.files.keys());
    assert!(world.reports().contains(&"exited full#1 failed".to_owned()));
}

#[test]
fn the_end_of_a_run_undoes_its_faults_before_the_slave_says_that_it_has_stopped() {
    let mut world = running(json!([fill("full", json!({"at": 0}), None)]));
    world.exits("rm", Exit::Code(0));
    world.record_all();
    world.tell(json!({"type": "stop", "run": "r1", "how": "finish", "reason": "x"}));
    world.tell(json!({"type": "stop", "run": "r1", "how": "stop", "reason": "x"}));
    world.record_all();
    assert_eq!(faults(&world).last(), Some(&format!("undo {RECORD}")));
    assert!(world.take_said("stopped").is_empty(), "the fault is in effect");
    world.exits("rm", Exit::Code(0));
    world.record_all();
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn a_fault_that_cannot_be_undone_is_tried_again_and_then_fails_the_run() {
    let mut world = running(json!([fill("full", json!({"at": 0}), Some(1_000_000))]));
    world.exits("rm", Exit::Code(0));
    world.pass(std::time::Duration::from_secs(2));
    for _ in 0..3 {
        world.files.insert(PathBuf::from("/d/r1/faults/1.log"), b"arete: nft: no\n".to_vec());
        world.exits("rm", Exit::Code(1));
        world.pass(std::time::Duration::from_secs(1));
    }
    assert_eq!(faults(&world).iter().filter(|words| words.starts_with("undo")).count(), 3);
    let reports = world.reports();
    let trouble = reports.iter().find(|report| report.starts_with("trouble: ")).expect("trouble");
    assert!(trouble.contains("full could not be undone: nft: no"), "{trouble}");
    assert!(reports.contains(&"exited full#1 failed".to_owned()), "{reports:?}");
}

#[test]
fn two_pauses_of_an_entry_stop_it_until_both_are_over() {
    let pause = |name: &str, lasts: u64| {
        entry(name, json!({"at": 100_000}), json!({"fault": {"what": {"pause": {"entry": "db"}}, "lasts": lasts}}))
    };
    let entries = json!([shell("db", json!({"at": 0}), json!({})), pause("one", 1_000_000), pause("two", 2_000_000)]);
    let mut world = World::running(entries);
    world.pass(std::time::Duration::from_millis(1_500));
    assert_eq!(world.kills, [("db".to_owned(), Signal::STOP), ("db".to_owned(), Signal::STOP)]);
    world.pass(std::time::Duration::from_secs(1));
    assert_eq!(world.kills.last(), Some(&("db".to_owned(), Signal::CONT)));
    assert_eq!(world.kills.len(), 3);
}

#[test]
fn what_is_missing_for_the_faults_of_a_run_is_said_before_its_start() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"entries": [fill("full", json!({"at": 0}), None)]}));
    world.files.insert(PathBuf::from("/d/r1/faults/check.log"), b"arete: no room\n".to_vec());
    world.exits("rm", Exit::Code(1));
    assert_eq!(world.take_said("unready")[0]["reason"], "no room");
}

#[test]
fn a_crash_and_a_partition_of_one_address_are_refused() {
    let refused = |what: Value, addresses: Value| {
        let mut world = World::new();
        world.connect(None, 0);
        let fault = entry("x", json!({"at": 0}), json!({"fault": {"what": what}}));
        world.prepare(json!({"entries": [fault], "addresses": addresses}));
        let said = world.take_said("unready");
        said.first().map(|said| said["reason"].as_str().expect("a reason").to_owned()).unwrap_or_default()
    };
    assert!(refused(json!("crash"), json!({})).contains("start the slave with --allow crash"));
    let cut = json!({"partition": {"sides": [["node1"], ["b"]]}});
    let same = refused(cut.clone(), json!({"node1": "10.0.0.1", "b": "10.0.0.1"}));
    assert!(same.contains("both sides of a partition have the address 10.0.0.1"), "{same}");
    let local = refused(cut, json!({"node1": "10.0.0.1", "b": "127.0.0.1"}));
    assert!(local.contains("knows slave \"b\" only by the address 127.0.0.1"), "{local}");
}

#[test]
fn a_process_that_cannot_be_started_is_told_with_its_reason() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"entries": [fill("full", json!({"at": 0}), None)]}));
    let child = world.spawned.last().expect("the check").0;
    let error = SystemError::new(ErrorKind::NotFound, "no such file");
    world.input(Input::SpawnFailed { child, error });
    let reason = world.take_said("unready")[0]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("could not be started: no such file"), "{reason}");
}
