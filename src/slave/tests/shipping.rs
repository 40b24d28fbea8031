//! Scenarios: files that are not shipped, because they are refused, unfit or too many.

use serde_json::{Value, json};

use super::world::{World, shell};
use crate::machine::{Exit, removed};

fn stop(world: &mut World) {
    world.tell(json!({"type": "stop", "run": "r1", "reason": "it is over", "how": "stop"}));
}

fn refuses(world: &mut World, file: &str, length: usize) {
    let why = "as much as they may";
    world.tell(json!({"type": "kept", "run": "r1", "file": file, "length": length, "refused": why}));
}

fn warnings(world: &mut World) -> Vec<String> {
    let reports = world.take_said("report");
    for report in &reports {
        world.tell(json!({"type": "recorded", "run": "r1", "seq": report["seq"]}));
    }
    let texts = reports.iter().filter(|report| report["event"] == "warning").map(|report| report["text"].as_str());
    texts.flatten().map(str::to_owned).collect()
}

/// A slave that stops after its command has written this many bytes.
fn stops_with(bytes: usize) -> World {
    let mut world = World::running(json!([shell("a", json!({"at": 0}), json!({}))]));
    world.files.insert("/d/r1/output/a.out".into(), vec![b'x'; bytes]);
    world.exits("a", Exit::Code(0));
    stop(&mut world);
    world
}

#[test]
fn a_file_refused_during_a_read_ends_there_and_the_run_can_end() {
    let mut world = stops_with(1_000_000);
    let pieces: Vec<Value> = world.take_said("output");
    let first = super::world::decoded(&pieces[0]).len();
    assert!(pieces.len() > 2, "{} pieces are on their way", pieces.len());
    world.tell(json!({"type": "kept", "run": "r1", "file": "a.out", "length": first}));
    let on_their_way = pieces.len() - 1 + world.take_said("output").len();
    (0..on_their_way).for_each(|_| refuses(&mut world, "a.out", first));
    assert_eq!(world.take_said("output"), Vec::<Value>::new(), "nothing more of the file is sent");
    let warnings = warnings(&mut world);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in [&format!("keeps {first} bytes of a.out"), "as much as they may", "in /d/r1/output/a.out"] {
        assert!(warnings[0].contains(part), "{warnings:?}");
    }
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn files_that_a_limit_cut_stay_until_another_such_run() {
    let mut world = stops_with(10);
    refuses(&mut world, "a.out", 0);
    warnings(&mut world);
    world.tell(json!({"type": "dismissed", "run": "r1", "verdict": "passed"}));
    assert_eq!(world.spawned.len(), 1, "its directory stays");
    let mut other = json!({"type": "prepare", "run": "r2", "test": "t", "grace": 0, "triggers": [], "entries": []});
    other["entries"] = json!([shell("a", json!({"at": 0}), json!({}))]);
    world.tell(other);
    assert_eq!(world.take_said("ready")[0]["run"], "r2");
    world.tell(json!({"type": "start", "run": "r2", "at": 1}));
    world.files.insert("/d/r2/output/a.out".into(), b"more".to_vec());
    world.exits("a", Exit::Code(0));
    world.tell(json!({"type": "stop", "run": "r2", "reason": "it is over", "how": "stop"}));
    world.tell(json!({"type": "kept", "run": "r2", "file": "a.out", "length": 0, "refused": "full"}));
    for report in world.take_said("report") {
        world.tell(json!({"type": "recorded", "run": "r2", "seq": report["seq"]}));
    }
    world.tell(json!({"type": "dismissed", "run": "r2", "verdict": "passed"}));
    let removals: Vec<_> = world.spawned.iter().filter_map(|(_, command)| removed(&command.argv)).collect();
    assert_eq!(removals, [&["r1".to_owned()][..]]);
}

#[test]
fn refused_files_are_named_up_to_a_bound_and_then_counted() {
    let mut world = World::running(json!([shell("a", json!({"at": 0}), json!({"collect": ["*.log"]}))]));
    for nr in 0..50 {
        world.files.insert(format!("/d/r1/work/{nr:02}.log").into(), b"log".to_vec());
    }
    world.exits("a", Exit::Code(0));
    stop(&mut world);
    let mut told = Vec::new();
    loop {
        let outputs = world.take_said("output");
        told.extend(warnings(&mut world));
        if outputs.is_empty() {
            break;
        }
        outputs.iter().for_each(|output| refuses(&mut world, output["file"].as_str().unwrap(), 0));
    }
    assert_eq!(told.len(), 21, "{told:?}");
    assert_eq!(told[20], "30 more files were not brought, or not whole");
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn files_that_collect_cannot_bring_are_named() {
    let mut world = World::running(json!([shell("a", json!({"at": 0}), json!({"collect": ["*"]}))]));
    world.unfit = vec![("pipe".to_owned(), "a FIFO".to_owned())];
    world.exits("a", Exit::Code(0));
    stop(&mut world);
    assert_eq!(warnings(&mut world), ["entry a: collect does not copy pipe: a FIFO"]);
    assert_eq!(world.take_said("stopped").len(), 1);
}
