//! Results with many files, and files with unusual names: every shipped file can be fetched.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::place::Place;
use common::program::Running;

/// A permanent controller, and its address.
fn controller(place: &Place) -> (Running<'_>, String) {
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--state-dir", "state"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    (controller, address)
}

fn count(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

#[test]
fn a_run_with_25000_files_is_fetched() {
    let place = Place::new("files-many");
    let (_controller, address) = controller(&place);
    let slave = |name: &str| place.arete(["slave", "--controller", &address, "--name", name, "--dir", name]).start();
    let _slaves = [slave("a"), slave("b")];
    let entry = |name: &str| {
        let make = format!("mkdir {name}; cd {name}; seq 1 6250 | xargs touch");
        format!(r#"{{ "name": "{name}", "at": 0, "shell": "{make}", "collect": ["{name}/*"] }}"#)
    };
    let entries = ["one", "two"].map(entry).join(", ");
    let test = format!(
        r#"{{ "name": "t", "end": {{ "idle": true, "limit": "1h" }}, "slaves": {{ "a": ["s"], "b": ["s"] }}, "schedules": {{ "s": [{entries}] }} }}"#
    );
    place.write("t.json", test);
    let words = ["run", "t.json", "--controller", &address, "--results", "mine"];
    place.arete(words).deadline(Duration::from_secs(150)).run().exits_with(0);
    let words = ["results", "latest", "--controller", &address, "--output", "again"];
    place.arete(words).deadline(Duration::from_secs(60)).run().exits_with(0);
    for results in ["mine", "again"] {
        for (slave, entry) in [("a", "one"), ("a", "two"), ("b", "one"), ("b", "two")] {
            assert_eq!(
                count(&place.path(format!("{results}/{slave}/{entry}.files"))),
                6_250,
                "{results} {slave} {entry}"
            );
        }
    }
}

#[test]
fn files_that_cannot_be_fetched_are_reported_and_not_shipped() {
    let place = Place::new("files-names");
    let (_controller, address) = controller(&place);
    let _slave = place.arete(["slave", "--controller", &address, "--name", "a", "--dir", "w"]).start();
    // In the last directories, `f` at depth 31 is as deep as a file may be. At depth 32 it is too deep.
    let make =
        "d=$(printf 'd/%.0s' $(seq 31)); mkdir -p ${d}e; touch ${d}f ${d}e/f good $(printf 'a\\\\342\\\\200\\\\217b')";
    let entry = format!(r#"{{ "name": "one", "at": 0, "shell": "{make}", "collect": ["**"] }}"#);
    let test = format!(
        r#"{{ "name": "t", "end": {{ "idle": true, "limit": "1h" }}, "slaves": {{ "a": ["s"] }}, "schedules": {{ "s": [{entry}] }} }}"#
    );
    place.write("t.json", test);
    let words = ["run", "t.json", "--controller", &address, "--results", "mine"];
    place.arete(words).deadline(Duration::from_secs(25)).run().exits_with(0);
    let words = ["results", "latest", "--controller", &address, "--output", "again"];
    place.arete(words).run().exits_with(0);
    for results in ["mine", "again"] {
        assert_eq!(count(&place.path(format!("{results}/a/one.files"))), 2, "{results}");
        let report = place.read(format!("{results}/report.txt"));
        for part in ["directories deep", "turn the direction", "\\u{200f}"] {
            assert!(report.contains(part), "{report}");
        }
    }
}
