//! Scenarios: the last lines of failed commands.

use serde_json::json;

use super::world::{World, shell};
use crate::machine::Exit;

/// A world in which these entries run, and what they have written.
fn wrote(entries: &[&str], files: &[(&str, &str)]) -> World {
    let all: Vec<_> = entries.iter().map(|name| shell(name, json!({"at": 0}), json!({}))).collect();
    let mut world = World::running(json!(all));
    for (file, text) in files {
        world.files.insert(format!("/d/r1/output/{file}").into(), text.as_bytes().to_vec());
    }
    world
}

/// The texts of the tails that were reported.
fn tails(world: &mut World) -> Vec<String> {
    let reports = world.take_said("report");
    let tails = reports.iter().filter(|report| report["event"] == "tail");
    tails.map(|tail| format!("{} {}: {}", tail["entry"], tail["nr"], tail["text"])).collect()
}

#[test]
fn the_tail_is_of_standard_error_or_of_standard_output_if_that_is_empty() {
    let files = [("x.err", "no disk\n"), ("x.out", "begun\n"), ("y.err", "\n"), ("y.out", "only this\n")];
    let mut world = wrote(&["x", "y", "z", "good"], &[&files[..], &[("good.err", "a warning\n")]].concat());
    for name in ["x", "y", "z"] {
        world.exits(name, Exit::Code(1));
    }
    world.exits("good", Exit::Code(0));
    assert_eq!(tails(&mut world), [r#""x" 1: "no disk""#, r#""y" 1: "only this""#]);
}

#[test]
fn a_tail_follows_the_exit_and_is_repeated_until_it_is_recorded() {
    let mut world = wrote(&["x"], &[("x.err", "why\n")]);
    world.exits("x", Exit::Code(1));
    let reports = world.take_said("report");
    let what: Vec<_> = reports.iter().map(|report| report["event"].clone()).collect();
    let (exited, tail) = (json!("exited"), json!("tail"));
    let place = |wanted| what.iter().position(|what| *what == wanted).expect("it is reported");
    assert!(place(exited) < place(tail.clone()), "{what:?}");
    world.reconnect(Some("r1"), 0);
    assert_eq!(tails(&mut world), [r#""x" 1: "why""#]);
    world.tell(json!({"type": "stop", "run": "r1", "reason": "over"}));
    assert!(world.take_said("stopped").is_empty(), "the controller does not have it yet");
}
