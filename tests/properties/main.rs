//! Properties of every input from a peer or a file: the same checks as in the fuzz targets (`fuzz/README.md`), with the
//! seeds, damaged seeds, and random bytes.

#![forbid(unsafe_code)]

mod machines;
mod names;
mod ring;
mod testfile;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;

/// A change to a seed.
#[derive(Debug, Clone)]
enum Damage {
    Cut(Index, usize),
    Put(Index, Vec<u8>),
    Flip(Index, u8),
    /// Copies a piece to another place.
    Again(Index, Index, usize),
}

/// Returns all seeds of a target, by name.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/properties/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..8),
        "[\\[\\]{}:,\"0-9a-z@#/\\\\\n\u{1b}\u{7f}\u{9b}-]{1,8}".prop_map(String::into_bytes),
        (0xF0u8..=0xFF).prop_map(|op| vec![op]),
        Just(b"18446744073709551616".to_vec()),
        Just(b"\\u001b".to_vec()),
        Just(b"\\u202e".to_vec()),
        Just("\u{202e}\u{2066}\u{2028}\u{61c}\u{9b}".as_bytes().to_vec()),
        Just(b"\x00".to_vec()),
    ];
    let one = prop_oneof![
        (any::<Index>(), 1usize..40).prop_map(|(at, length)| Damage::Cut(at, length)),
        (any::<Index>(), bytes).prop_map(|(at, bytes)| Damage::Put(at, bytes)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        (any::<Index>(), any::<Index>(), 1usize..200).prop_map(|(from, to, length)| Damage::Again(from, to, length)),
    ];
    proptest::collection::vec(one, 0..6)
}

fn damaged(seed: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for damage in damage {
        let piece = |at: &Index, length: &usize| {
            let at = at.index(bytes.len() + 1);
            at..(at + length).min(bytes.len())
        };
        match damage {
            Damage::Cut(at, length) => drop(bytes.drain(piece(at, length))),
            Damage::Put(at, more) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Flip(at, mask) => {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] ^= mask;
                }
            }
            Damage::Again(from, to, length) => {
                let piece = bytes[piece(from, length)].to_vec();
                let at = to.index(bytes.len() + 1);
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// Checks the seeds themselves, `cases` damaged ones, and the same number of random inputs.
fn holds(target: &str, cases: u32, check: impl Fn(&[u8])) {
    let seeds = seeds(target);
    for (path, seed) in &seeds {
        eprintln!("{}", path.display());
        check(seed);
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    });
    let picked = (any::<Index>(), damage());
    let tried = runner.run(&picked, |(index, damage)| {
        check(&damaged(&seeds[index.index(seeds.len())].1, &damage));
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{target}: {error}"));
    let random = proptest::collection::vec(any::<u8>(), 0..300);
    let tried = runner.run(&random, |bytes| {
        check(&bytes);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{target}: {error}"));
}

#[test]
fn lines_do_not_depend_on_the_cuts_and_messages_read_back_as_themselves() {
    holds("wire", 20_000, wire::check);
}

#[test]
fn variables_ranges_and_names_are_valid_or_an_error() {
    holds("names", 20_000, names::check);
}

proptest! {
    #[test]
    fn names_with_numbers_are_folded_to_ranges_that_expand_to_them(
        names in proptest::collection::vec("[ab]?[0-9]{1,3}([ab][0-9]{1,2})?", 0..60),
    ) {
        names::check_folded(&names.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn a_file_is_a_valid_test_or_has_problems_at_its_places() {
    holds("testfile", 5_000, testfile::check);
}

#[test]
fn a_ring_node_survives_any_datagrams() {
    holds("ring", 5_000, ring::check);
}

#[test]
fn a_controller_of_rooms_survives_any_input() {
    holds("controller", 5_000, |script| machines::check_rooms(script.get(1..).unwrap_or_default()));
}

#[test]
fn a_controller_of_a_run_survives_any_input() {
    holds("controller", 5_000, |script| {
        let (which, script) = script.split_first().map_or((1, script), |(which, script)| (*which, script));
        machines::check_run(script, which % 3 == 1);
    });
}

#[test]
fn a_permanent_controller_survives_any_input() {
    holds("controller", 5_000, |script| machines::check_host(script.get(1..).unwrap_or_default()));
}

#[test]
fn a_slave_survives_any_input() {
    holds("slave", 5_000, machines::check_slave);
}
