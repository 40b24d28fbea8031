//! The test file, from outside: the examples are read, everything wrong is found at its place, and the JSON Schema
//! says the same as the parser.

use std::path::Path;

use arete::testfile::{self, Problem, Shipped, Test};

/// Ships every file but `missing`.
fn ship(path: &str) -> Result<Shipped, String> {
    match path {
        "missing" => Err("missing: no such file".to_owned()),
        _ => Ok(Shipped { path: path.into(), size: 3, sha256: "ab".repeat(32), executable: false }),
    }
}

fn parse(text: &str) -> Result<Test, Vec<Problem>> {
    testfile::parse("test.json", text, &mut ship)
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn good(text: &str) -> Test {
    parse(text).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())
    })
}

#[test]
fn the_torrent_example_gives_eight_clients_the_same_entries() {
    let test = good(&example("torrent.json"));
    let names: Vec<&str> = test.slaves.iter().map(|slave| slave.name.as_str()).collect();
    assert_eq!(names, ["client1", "client2", "client3", "client4", "client5", "client6", "client7", "client8"]);
    assert_eq!(test.triggers["stop-torrent"], 8);
    let first = &test.slaves[0].entries;
    assert!(test.slaves.iter().all(|slave| std::rc::Rc::ptr_eq(&slave.entries, first)));
    assert_eq!(first.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["ctorrent", "poke", "stop"]);
}

#[test]
fn the_relay_example_shows_every_run_policy_and_most_actions() {
    let test = good(&example("relay.json"));
    assert_eq!(test.slaves.iter().map(|slave| slave.entries.len()).collect::<Vec<_>>(), [4, 4, 4, 5]);
    assert_eq!(test.resources["leg"].1.file, "leg.sh");
    assert_eq!(test.triggers["in-place"], 3);
}
