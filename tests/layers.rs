//! The sources follow the rules of the design: which part may import which, no circles, methods next to their type,
//! and no access to the world in machines.

#![forbid(unsafe_code)]

#[path = "layers/graph.rs"]
mod graph;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The parts of the library, each with the parts that it may name.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("machine", &[]),
    ("wire", &["machine"]),
    ("exit_code", &[]),
    ("text", &["machine"]),
    ("variables", &[]),
    ("graph", &[]),
    ("measure", &[]),
    ("session", &["text", "wire", "machine"]),
    ("verdict", &["exit_code", "text", "wire", "machine"]),
    ("link", &["session", "wire", "machine"]),
    ("testfile", &["measure", "variables", "graph", "exit_code", "text", "session", "wire", "machine"]),
    ("timeline", &["verdict", "measure", "text", "wire", "machine"]),
    (
        "controller",
        &["testfile", "timeline", "measure", "variables", "exit_code", "text", "session", "wire", "machine"],
    ),
    ("slave", &["verdict", "link", "measure", "variables", "graph", "exit_code", "text", "session", "wire", "machine"]),
    ("client", &["verdict", "link", "exit_code", "text", "session", "wire", "machine"]),
    ("member", &["verdict", "link", "exit_code", "text", "session", "wire", "machine"]),
    ("operator", &["timeline", "testfile", "verdict", "link", "exit_code", "text", "session", "wire", "machine"]),
    ("serve", &["controller", "member", "exit_code", "text", "machine"]),
    ("ring", &["exit_code", "text", "session", "wire", "machine"]),
    ("reactor", &["machine"]),
    (
        "cli",
        &[
            "controller",
            "slave",
            "operator",
            "client",
            "member",
            "serve",
            "link",
            "ring",
            "reactor",
            "testfile",
            "measure",
            "variables",
            "exit_code",
            "text",
            "session",
            "wire",
            "machine",
        ],
    ),
    ("main", &["cli", "exit_code"]),
];

/// The pure parts: they get all knowledge of the world as input.
const MACHINES: &[&str] = &[
    "machine",
    "wire",
    "session",
    "testfile",
    "measure",
    "variables",
    "text",
    "timeline",
    "controller",
    "slave",
    "operator",
    "client",
    "ring",
    "member",
    "serve",
    "link",
    "verdict",
];

/// The handlers, one for each concern. They know neither their controller nor each other.
const HANDLERS: &[&str] = &["controller/room/trigger.rs", "controller/room/barrier.rs", "controller/room/sync.rs"];

/// The parts that a handler may name.
const HANDLERS_MAY_KNOW: &[&str] = &["wire", "machine"];

/// Modules that several handlers share and may name: (module, handlers).
const SHARED: &[(&str, &[&str])] = &[
    ("crate::controller::session::budget::", HANDLERS),
    ("crate::controller::room::rendezvous::", &["controller/room/barrier.rs", "controller/room/sync.rs"]),
];

/// The text without the shared modules that this file may name.
fn without_shared(path: &str, text: &str) -> String {
    let own = SHARED.iter().filter(|(_, users)| users.contains(&path));
    own.fold(text.to_owned(), |text, (shared, _)| text.replace(shared, ""))
}

/// The words that a machine must not contain.
const WORLD: &[&str] = &[
    "std::fs",
    "std::env",
    "std::io",
    "std::thread",
    "std::process",
    "std::os::fd",
    "std::os::linux",
    "std::os::unix::fs",
    "std::os::unix::net",
    "std::os::unix::process",
    "Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "mio",
    "signal_hook",
    "signal_hook_mio",
    "rustix",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "ToSocketAddrs",
];

/// The exceptions for machines: (file, word, reason).
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("machine/system_error.rs", "std::io", "a machine decides by the kind of an error, which is a value and no access"),
    ("machine/stage.rs", "std::thread", "the stage of a failed test prints what has happened on it"),
    ("machine/ids.rs", "HashMap", "the hash is fixed, so that its order replays"),
];

/// A source file, without its comments, strings and unit tests.
struct Source {
    /// The path below `src`.
    path: String,
    /// The part of the library to which the file belongs: `wire` for `wire.rs` and `wire/frame.rs`.
    part: String,
    text: String,
}

impl Source {
    fn path_and_text(&self) -> (&str, &str) {
        (&self.path, &self.text)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file is text");
        let path = path.strip_prefix(&root).expect("it lies below src").to_string_lossy().into_owned();
        let part = path.split(['/', '.']).next().expect("a path has a first part").to_owned();
        Source { path, part, text: strip(&text) }
    };
    files.into_iter().map(read).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The code alone: up to the unit tests, without line comments and without the contents of strings.
fn strip(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    code.lines().map(strip_line).collect::<Vec<_>>().join("\n")
}

/// The visibility of an item does not import a module, so `pub(in crate::a)` is read as `pub`.
fn strip_line(line: &str) -> String {
    if let Some((before, rest)) = line.split_once("pub(in ")
        && let Some((_, after)) = rest.split_once(')')
    {
        return strip_line(&format!("{before}pub{after}"));
    }
    let mut kept = String::new();
    let (mut in_string, mut before) = (false, ' ');
    for now in line.chars() {
        match now {
            '"' if before != '\\' && before != '\'' => in_string = !in_string,
            '/' if before == '/' && !in_string => {
                kept.pop();
                return kept;
            }
            _ if in_string => {}
            _ => kept.push(now),
        }
        before = now;
    }
    kept
}

/// Returns whether `text` contains `word` as a word or a path of its own.
fn names(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

/// The parts of the library that a source names, each with the form in which it does: `crate::x`, `arete::x`, or a
/// member of `use crate::{...}`.
fn known_parts(text: &str) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for root in ["crate::", "arete::"] {
        for (at, _) in text.match_indices(root) {
            let rest = &text[at + root.len()..];
            let firsts = if rest.starts_with('{') { firsts_of_group(rest) } else { vec![first_word(rest)] };
            for first in firsts {
                known.insert(first.clone(), format!("{root}{first}"));
            }
        }
    }
    known
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first words of the members of `{a::{b, c}, d}`.
fn firsts_of_group(text: &str) -> Vec<String> {
    let (mut depth, mut firsts, mut member) = (0, Vec::new(), String::new());
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            firsts.push(first_word(&member));
            member.clear();
        } else if !(depth == 1 && c == '{') {
            member.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    firsts.retain(|first| !first.is_empty());
    firsts
}

fn fail_if_any(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn each_part_knows_only_what_lies_below_it() {
    let allowed: BTreeMap<_, _> = MAY_KNOW.iter().copied().collect();
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.part != "lib") {
        let Some(allowed) = allowed.get(source.part.as_str()) else {
            complaints
                .push(format!("src/{}: tests/layers.rs does not say whom `{}` may know", source.path, source.part));
            continue;
        };
        let parts =
            known_parts(&source.text).into_iter().filter(|(part, _)| MAY_KNOW.iter().any(|(name, _)| name == part));
        for (part, how) in parts.filter(|(part, _)| *part != source.part && !allowed.contains(&part.as_str())) {
            complaints.push(format!("src/{}: `{}` may not know `{part}` ({how})", source.path, source.part));
        }
    }
    fail_if_any(&complaints);
}

#[test]
fn handlers_know_the_wire_and_the_machine_alone() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| HANDLERS.contains(&source.path.as_str())) {
        for (part, how) in known_parts(&without_shared(&source.path, &source.text)) {
            if !HANDLERS_MAY_KNOW.contains(&part.as_str()) {
                complaints.push(format!("src/{}: a handler may not know `{part}` ({how})", source.path));
            }
        }
        if names(&source.text, "super") {
            complaints.push(format!("src/{}: a handler may not reach for `super`", source.path));
        }
    }
    fail_if_any(&complaints);
}

#[test]
fn machines_do_not_touch_the_world() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| MACHINES.contains(&source.part.as_str())) {
        for word in WORLD {
            let excepted = EXCEPTIONS.iter().any(|(path, exception, _)| *path == source.path && exception == word);
            if !excepted && names(&source.text, word) {
                complaints.push(format!("src/{}: a machine may not name `{word}`", source.path));
            }
        }
    }
    fail_if_any(&complaints);
}

#[test]
fn the_sources_have_no_import_circle() {
    let sources = sources();
    let graph = graph::Graph::of(sources.iter().map(Source::path_and_text));
    fail_if_any(&graph.circles().iter().map(|circle| circle.join(" ")).collect::<Vec<_>>());
}

#[test]
fn methods_are_in_the_file_or_folder_of_their_type() {
    let sources = sources();
    let foreign = graph::foreign_impls(sources.iter().map(Source::path_and_text));
    fail_if_any(&foreign.iter().map(|(file, on)| format!("src/{file}.rs: impl {on}")).collect::<Vec<_>>());
}

#[test]
fn these_tests_can_fail() {
    let shared = "use crate::controller::room::rendezvous::Act; use crate::controller::room::sync::Syncs;";
    let left = known_parts(&without_shared("controller/room/barrier.rs", shared));
    assert_eq!(left.into_values().collect::<Vec<_>>(), ["crate::controller"]);
    assert!(
        known_parts(&without_shared("controller/room/trigger.rs", "crate::controller::room::rendezvous::Act")).len()
            == 1
    );
    let text = strip(
        "use crate::{wire::{Hello, Bye}, controller};\nlet x = crate::slave::Slave; // crate::ring\n\"crate::cli\"",
    );
    let known: Vec<_> = known_parts(&text).into_keys().collect();
    assert_eq!(known, ["controller", "slave", "wire"]);
    assert!(names(&text, "slave") && !names(&text, "ring") && !names("mionet", "mio"));
    assert!(names("use std::collections::HashMap;", "HashMap") && names("std::fs::read(x)", "std::fs"));
}
