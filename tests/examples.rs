//! Every complete test in the manual, the README and `examples/` is run. It passes, and if a program that it needs is
//! missing, it fails with the name of the program.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arete::testfile::{self, Shipped};
use common::{Needed, Place, missing, repository, skip};
use serde_json::Value;

/// The programs that each example needs. The test removes each of them once.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("upload", &["httpd", "python3", "curl"]),
    ("two-hosts", &["iperf3", "jq"]),
    ("ping", &["ping"]),
    ("download", &["python3", "curl"]),
    ("barrier", &[]),
    ("first", &[]),
    ("sharing", &[]),
    ("fetch", &["python3", "curl"]),
    ("throughput-iperf3", &["iperf3", "jq"]),
    ("rolling", &[]),
    ("hello", &[]),
    ("relay", &[]),
    ("throughput", &["wc"]),
];

/// The examples that are not run here, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("failover", "it needs three machines: tests/faults.rs runs it on them"),
    ("torrent", "it needs a tracker and a seeder: tests/swarm.rs runs it with them"),
];

/// Scripts that replace programs which are not installed everywhere.
const STAND_INS: &[(&str, &str)] = &[
    (
        "httpd",
        r#"#!/usr/bin/env python3
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        open("access.log", "a").write(self.path + "\n")
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("", int(sys.argv[2])), Handler).serve_forever()
"#,
    ),
    ("ping", "#!/bin/sh\necho 5 packets transmitted, 5 received\n"),
];

/// The directories with programs.
const BINS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// The name and the text of each test, from every page and every file.
fn examples() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let files = |dir: &str| fs::read_dir(repository().join(dir)).unwrap().map(|entry| entry.unwrap().path());
    for page in files("man").filter(|path| !path.is_symlink()) {
        let page = fs::read_to_string(page).unwrap();
        let blocks = page.split(".Bd -literal").skip(1).filter_map(|block| block.split_once('\n'));
        texts.extend(blocks.map(|(_, block)| block.split("\n.Ed").next().unwrap().replace("\\e", "\\")));
    }
    let is_test = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json" || extension == "yaml");
    for file in files("examples").filter(is_test) {
        texts.push(fs::read_to_string(file).unwrap());
    }
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    texts.extend(readme.split("\n\n").map(str::to_owned));
    let is_test = |text: &str| {
        let json = serde_json::from_str(text).is_ok_and(|value: Value| value.get("schedules").is_some());
        json || text.lines().any(|line| line.trim() == "schedules:")
    };
    let test = |text: String| {
        let mut ship = |path: &str| {
            Ok::<_, String>(Shipped { path: path.into(), size: 1, sha256: "0".repeat(64), executable: false })
        };
        let read = testfile::read_file("example", &text, &Default::default(), &mut ship);
        (read.unwrap_or_else(|problems| panic!("{problems:#?} in {text}")).test.name, text)
    };
    let mut found: Vec<_> = texts.into_iter().filter(|text| is_test(text)).map(test).collect();
    found.sort();
    found.dedup();
    found
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A directory with every program but one, and with replacements for those that are not installed.
fn programs(place: &Place, missing: Option<&str>) -> PathBuf {
    let dir = place.path("bin");
    fs::create_dir(&dir).unwrap();
    for program in BINS.iter().filter_map(|bin| fs::read_dir(bin).ok()).flatten().flatten() {
        if missing.is_none_or(|missing| program.file_name() != *missing) {
            let _ = symlink(program.path(), dir.join(program.file_name()));
        }
    }
    for (name, text) in STAND_INS.iter().filter(|(name, _)| Some(*name) != missing) {
        let _ = fs::remove_file(dir.join(name));
        write_program(&dir.join(name), text);
    }
    dir
}

/// Runs an example without one program, or with all of them. Returns its exit code and its failures.
fn run(name: &str, text: &str, missing: Option<&str>) -> (i32, String) {
    run_with(name, text, missing, &[])
}

/// The same with further options.
fn run_with(name: &str, text: &str, missing: Option<&str>, options: &[&str]) -> (i32, String) {
    let place = Place::new(&format!("example-{name}"));
    let bin = programs(&place, missing);
    if name == "relay" {
        fs::create_dir(place.path("relay")).unwrap();
        fs::copy(repository().join("examples/relay/leg.sh"), place.path("relay/leg.sh")).unwrap();
    }
    place.write("t.json", text);
    let program = place.arete(["run", "t.json", "--results", "results"].iter().chain(options)).env("PATH", &bin);
    let ended = program.deadline(Duration::from_secs(90)).run();
    let report = place.read("results/report.txt");
    place.assert_nothing_left();
    (ended.code(), report)
}

#[test]
fn every_example_passes_and_fails_without_its_programs() {
    let examples = examples();
    let names: Vec<&str> = examples.iter().map(|(name, _)| name.as_str()).collect();
    for known in PROGRAMS.iter().map(|(name, _)| name).chain(ELSEWHERE.iter().map(|(name, _)| name)) {
        assert!(names.contains(known), "the example {known} was not found: {names:?}");
    }
    for (name, text) in &examples {
        if ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == name) {
            continue;
        }
        let programs = PROGRAMS.iter().find(|(known, _)| known == name);
        let (_, programs) = programs.unwrap_or_else(|| panic!("PROGRAMS does not say which programs {name} needs"));
        let has_stand_in = |program: &str| STAND_INS.iter().any(|(name, _)| *name == program);
        let installed: Vec<&str> = programs.iter().copied().filter(|program| !has_stand_in(program)).collect();
        if let Some(why) = missing(&installed) {
            skip(&format!("the example {name}"), &why, Needed::InCi);
            continue;
        }
        let (code, report) = run(name, text, None);
        assert_eq!(code, 0, "{name}: {report}");
        for program in *programs {
            let (code, report) = run(name, text, Some(program));
            assert_ne!(code, 0, "{name} passed without {program}: {report}");
            let of_exec = format!("cannot start {program}: no such file");
            assert!(
                report.contains("exit status 127") || report.contains(&of_exec),
                "{name} does not say that {program} is missing: {report}"
            );
        }
    }
}

#[test]
fn the_throughput_example_fails_with_the_bound_that_is_out_of_reach() {
    let text = fs::read_to_string(repository().join("examples/throughput.yaml")).unwrap();
    let options = ["-p", "least=1e12", "-p", "clients=2", "-p", "mebibytes=1"];
    let (code, report) = run_with("unreachable", &text, None, &options);
    assert_eq!(code, 1, "{report}");
    for client in ["client1", "client2"] {
        let beginning = format!("  throughput: {client} recorded ");
        let line = report.lines().find(|line| line.starts_with(&beginning)).unwrap_or_else(|| panic!("{report}"));
        assert!(line.ends_with(" Mbit/s, asserted >= 1000000000000 Mbit/s"), "{line}");
    }
    assert!(report.contains("throughput failed after ") && report.ends_with("(and 1 more failure)\n"), "{report}");
}
