//! Unusual paths, files and sockets: names that are not UTF-8, occupied places, directories that cannot be written,
//! and limits that are reached while files are shipped.

#![forbid(unsafe_code)]

mod common;

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::{Ended, Needed, Place, Running, SOON, have, is_root, must, skip, wait_for};
use rustix::process::Signal;

/// Another user, who owns none of the files.
const OTHER: &str = "65534";

/// The bytes of a name in Latin-1.
const LATIN: &[u8] = b"caf\xe9";

/// A test of one slave `a`, with these keys of its entry `one` in addition to its name.
fn test_of(entry: &str, more: &str) -> String {
    format!(
        r#"{{"name": "t", "end": {{"idle": true, "limit": "60s"}}, {more}
            "schedules": {{"s": [{{"name": "one", "at": 0, {entry}}}]}}, "slaves": {{"a": ["s"]}}}}"#
    )
}

/// A directory below the place with a name that is not UTF-8.
fn latin(place: &Place) -> PathBuf {
    let directory = place.path(OsStr::from_bytes(LATIN));
    fs::create_dir_all(&directory).expect("any bytes are a name");
    directory
}

fn warnings(place: &Place, results: &str) -> Vec<String> {
    let events = place.events(results);
    let texts = events.iter().filter(|event| event["event"] == "warning").filter_map(|event| event["text"].as_str());
    texts.map(str::to_owned).collect()
}

/// The program as another user, with this environment.
fn as_other<'a>(place: &'a Place, args: &[&str]) -> common::Program<'a> {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={OTHER}"), &format!("--regid={OTHER}"), "--clear-groups"]);
    command.arg(env!("CARGO_BIN_EXE_arete")).args(args);
    place.program(command)
}

#[test]
fn a_run_that_writes_more_than_it_may_ship_passes_at_once_and_names_the_place_of_the_rest() {
    let place = Place::new("output-max");
    place.write("t.json", test_of(r#""shell": "seq 1 300000""#, ""));
    let words = ["run", "t.json", "--results", "results", "--output-max", "100000"];
    let ended = place.arete(words).deadline(Duration::from_secs(20)).run().exits_with(0);
    let warnings = warnings(&place, "results");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("--output-max") && warnings[0].contains("one.out"), "{warnings:?}");
    let rest = PathBuf::from(warnings[0].rsplit_once(" in ").expect("it says where").1);
    assert_eq!(fs::read_to_string(&rest).expect("it stays there").lines().count(), 300_000);
    assert!(ended.stdout.contains(&warnings[0]), "the summary says it: {}", ended.stdout);
    ended.complains(&["output that was not shipped stays in "]);
}

#[test]
fn collected_files_beyond_a_limit_are_named_and_the_run_passes_at_a_controller_that_stays_too() {
    let place = Place::new("collect-max");
    let make = "for nr in $(seq 1 40); do head -c 10000 /dev/zero > $nr.log; done";
    place.write("t.json", test_of(&format!(r#""shell": "{make}", "collect": ["*.log"]"#), ""));
    let listen = ["controller", "--listen", "127.0.0.1:0", "--state-dir", "state", "--output-max", "95000"];
    let mut controller = place.arete(listen).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    let _slave = place.arete(["slave", "--controller", &address, "--name", "a", "--dir", "w"]).start();
    let words = ["run", "t.json", "--controller", &address, "--results", "results"];
    place.arete(words).deadline(Duration::from_secs(25)).run().exits_with(0);
    let warnings = warnings(&place, "results");
    assert_eq!(warnings.len(), 21, "{warnings:#?}");
    assert_eq!(warnings[20], "11 more files were not brought, or not whole");
    assert!(warnings[0].contains("stays on this slave in"), "{warnings:#?}");
}

#[test]
fn more_files_than_a_list_once_had_are_brought_up_to_the_limit() {
    let place = Place::new("collect-many");
    let make = "seq 1 10010 | sed 's/$/.log/' | xargs touch";
    place.write("t.json", test_of(&format!(r#""shell": "{make}", "collect": ["*.log"]"#), ""));
    place.arete(["run", "t.json", "--results", "results"]).deadline(Duration::from_secs(50)).run().exits_with(0);
    assert_eq!(fs::read_dir(place.path("results/a/one.files")).expect("they are there").count(), 10_000);
    let warnings = warnings(&place, "results");
    assert!(warnings[0].contains("10010 files, and brings 10000"), "{warnings:?}");
}

#[test]
fn files_that_collect_cannot_fetch_are_named() {
    let place = Place::new("collect-unfit");
    let make = "mkfifo a.log; ln -s /etc/hostname b.log; ln -s nowhere c.log; echo d > d.log; ln -s d.log e.log; \
                touch $(printf 'f\\\\351.log')";
    place.write("t.json", test_of(&format!(r#""shell": "{make}", "collect": ["*.log"]"#), ""));
    place.arete(["run", "t.json", "--results", "results"]).run().exits_with(0);
    let warnings = warnings(&place, "results").join("\n");
    for part in ["a.log: a FIFO", "b.log: a symbolic link out of", "c.log: a symbolic link: no such", "its name is not"]
    {
        assert!(warnings.contains(part), "{warnings}");
    }
    assert_eq!(place.read("results/a/one.files/e.log"), "d\n", "a link to a file in the same directory is fetched");
}

#[test]
fn a_test_with_a_resource_runs_where_no_name_is_text() {
    let place = Place::new("latin-here");
    let here = latin(&place);
    let shell = r#""shell": "cat @{it.path}; echo @{slave.workdir}", "use_resources": ["it"]"#;
    fs::write(here.join("t.json"), test_of(shell, r#""resources": {"it": {"file": "it.txt"}},"#))
        .expect("it is written");
    fs::write(here.join("it.txt"), "shipped\n").expect("it is written");
    place.arete(["run", "t.json", "--results", "results"]).current_dir(&here).run().exits_with(0);
    let out = fs::read_to_string(here.join("results/a/one.out")).expect("the output");
    assert!(out.starts_with("shipped\n/"), "{out}");
    // The results directory may have a name of any bytes, too.
    let mut args: Vec<OsString> = ["run", "t.json", "--results"].map(OsString::from).to_vec();
    args.push(OsStr::from_bytes(b"r\xff").to_owned());
    place.arete(args).current_dir(&here).run().exits_with(0);
    assert!(here.join(OsStr::from_bytes(b"r\xff/summary.json")).is_file());
}

#[test]
fn directories_in_variables_of_commands_must_be_text_and_the_message_names_them() {
    let place = Place::new("latin-told");
    let here = latin(&place);
    place.write("t.json", test_of(r#""shell": "true""#, ""));
    let named = |ended: Ended, parts: &[&str]| {
        let ended = ended.exits_with(2).complains(parts);
        assert!(ended.stderr.contains("caf\\xE9") && !ended.stderr.contains("panicked"), "{}", ended.stderr);
    };
    named(place.arete(["run", "t.json"]).env("TMPDIR", &here).run(), &["TMPDIR"]);
    let slave = ["slave", "--controller", "127.0.0.1:1"];
    named(place.arete(slave).env("XDG_STATE_HOME", &here).run(), &["UTF-8", "--dir"]);
    let mut args: Vec<OsString> = slave.map(OsString::from).to_vec();
    args.extend(["--dir".into(), here.clone().into()]);
    named(place.arete(&args).run(), &["UTF-8", "--dir"]);
    args.push("--check".into());
    assert!(place.arete(&args).run().exits_with(2).stderr.contains("caf\\xE9"));
    let variable = place.arete(["run", "t.json"]).env("ARETE_CONTROLLER", OsStr::from_bytes(LATIN)).run();
    named(variable, &["ARETE_CONTROLLER"]);
}

#[test]
fn a_controller_whose_state_is_in_any_bytes_takes_runs_and_removes_their_resources() {
    let place = Place::new("latin-state");
    let here = latin(&place);
    let shell = r#""shell": "cat @{it.path}", "use_resources": ["it"]"#;
    fs::write(here.join("t.json"), test_of(shell, r#""resources": {"it": {"file": "it.txt"}},"#))
        .expect("it is written");
    fs::write(here.join("it.txt"), "shipped\n").expect("it is written");
    let mut args: Vec<OsString> = ["controller", "--listen", "127.0.0.1:0", "--keep", "1"].map(OsString::from).to_vec();
    args.extend(["--state-dir".into(), here.join("state").into()]);
    let mut controller = place.arete(&args).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    let _slave = place.arete(["slave", "--controller", &address, "--name", "a", "--dir", "w"]).start();
    for nr in ["1", "2"] {
        let words = ["run", "t.json", "--controller", &address, "--results", nr];
        place.arete(words).current_dir(&here).run().exits_with(0);
        assert_eq!(fs::read_to_string(here.join(nr).join("a/one.out")).expect("the output"), "shipped\n");
    }
    let runs = || fs::read_dir(here.join("state/runs")).expect("the runs stay").flatten();
    wait_for(SOON, "the resources to be removed", || runs().all(|run| !run.path().join("resources").exists()));
    assert_eq!(runs().count(), 2);
    assert!(controller.is_running());
}

/// Starts a slave of another user with this `XDG_RUNTIME_DIR`.
fn slave_of_other<'a>(place: &'a Place, runtime: &OsStr) -> Running<'a> {
    as_other(
        place,
        &["slave", "--controller", "127.0.0.1:1", "--name", "s", "--dir", place.path("w").to_str().unwrap()],
    )
    .env("XDG_RUNTIME_DIR", runtime)
    .env("RUST_LOG", "info")
    .start()
}

#[test]
fn a_slave_puts_its_socket_into_the_next_place_that_it_can_use() {
    if !is_root() || !have("setpriv") {
        return skip(
            "a_slave_puts_its_socket_into_the_next_place_that_it_can_use",
            "it needs root and setpriv",
            Needed::Nowhere,
        );
    }
    let long = "x".repeat(120);
    // Too long for a socket; owned by another user, so that it cannot be written or must not be used; not UTF-8.
    for (nr, runtime) in [OsString::from(&long), "roots".into(), OsStr::from_bytes(LATIN).to_owned()].iter().enumerate()
    {
        let place = Place::new(&format!("sockets-{nr}"));
        place.make_writable_for_all();
        let runtime = place.path(runtime);
        fs::create_dir_all(&runtime).expect("it can be made");
        if nr != 1 {
            fs::set_permissions(&runtime, Permissions::from_mode(0o777)).expect("root may");
            must(Command::new("chown").arg(OTHER).arg(&runtime));
        }
        let slave = slave_of_other(&place, runtime.as_os_str());
        let socket = PathBuf::from(format!("/tmp/arete-{OTHER}/{}.sock", slave.pid()));
        wait_for(SOON, "the socket in the next place", || socket.exists());
        slave.signal(Signal::TERM);
        slave.wait().exits_with(0);
    }
}

#[test]
fn a_slave_without_a_place_for_its_socket_reports_each_problem_and_the_run_repeats_them() {
    if !is_root() || !have("unshare") {
        return skip(
            "a_slave_without_a_place_for_its_socket_reports_each_problem_and_the_run_repeats_them",
            "it needs root and unshare",
            Needed::Nowhere,
        );
    }
    let place = Place::new("no-socket");
    place.write("t.json", test_of(r#""shell": "true""#, ""));
    // Every path that may contain sockets is a file, and the directories of slaves have long names.
    let deep = place.path("y".repeat(100));
    fs::create_dir_all(&deep).expect("it can be made");
    let arete = env!("CARGO_BIN_EXE_arete");
    let script = format!(
        "mount -t tmpfs none /run && mount -t tmpfs none /var/tmp && touch /run/arete-0 /var/tmp/arete-0 && \
         mkdir -p /tmp/arete-0 && mount -t tmpfs -o ro none /tmp/arete-0 && TMPDIR={} XDG_RUNTIME_DIR=/nowhere exec {arete} run t.json --results r",
        deep.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]);
    let ended = place.program(command).run().exits_with(7);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("r/a/arete.log") || said.contains("control socket"), "{said}");
    let log = place.read("r/a/arete.log");
    for part in ["no place for the control socket: ", "/nowhere", "/run/arete-0", "/var/tmp/arete-0", "XDG_RUNTIME_DIR"]
    {
        assert!(log.contains(part), "{log}");
    }
}

#[test]
fn directories_that_may_not_be_written_are_removed_all_the_same() {
    if !is_root() || !have("setpriv") {
        return skip(
            "directories_that_may_not_be_written_are_removed_all_the_same",
            "it needs root and setpriv",
            Needed::Nowhere,
        );
    }
    let place = Place::new("read-only");
    place.make_writable_for_all();
    let lock = "mkdir -p deep/er; touch deep/er/file; chmod 555 deep/er; chmod 0 deep; chmod 555 .";
    place.write("t.json", test_of(&format!(r#""shell": "{lock}""#), ""));
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--state-dir", "state"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    let work = place.path("w");
    let words = ["slave", "--controller", &address, "--name", "a", "--dir", work.to_str().expect("it is text")];
    let _slave = as_other(&place, &words).start();
    place.arete(["run", "t.json", "--controller", &address, "--results", "results"]).run().exits_with(0);
    let runs = || fs::read_dir(&work).map_or(0, |all| all.flatten().filter(|it| it.path().is_dir()).count());
    wait_for(SOON, "the directory of the run to be gone", || runs() == 0);
    // And those of an embedded run.
    as_other(&place, &["run", "t.json", "--results", "embedded"]).run().exits_with(0);
    place.assert_no_temporary_files();
}

#[test]
fn a_byte_order_mark_is_skipped_and_utf_16_is_named() {
    let place = Place::new("mark");
    let good = test_of(r#""shell": "true""#, "");
    place.write("t.json", format!("\u{feff}{good}"));
    assert!(place.arete(["check", "t.json"]).run().exits_with(0).stdout.contains("ok"));
    place.write("bad.json", format!("\u{feff}{}", good.replacen("\"name\"", "\"nama\"", 1)));
    place.arete(["check", "bad.json"]).run().exits_with(2).complains(&["bad.json:1:2: "]);
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(good.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    place.write("wide.json", wide);
    place.arete(["check", "wide.json"]).run().exits_with(2).complains(&["UTF-16", "save it as UTF-8"]);
    place.write("c.json", "\u{feff}{\"listen\": \"127.0.0.1:0\"}");
    place.arete(["controller", "--config", "c.json", "--check"]).run().exits_with(0);
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let serve = ["sync", "s", "--serve", &free.to_string(), "--as", "a", "--members", "a", "--data", "@v.json"];
    place.write("v.json", "\u{feff}{\"x\": 1}");
    assert_eq!(place.arete(serve).run().exits_with(0).stdout, "{\"a\":{\"x\": 1}}\n");
}

#[test]
fn a_file_called_latest_is_kept_and_reported() {
    let place = Place::new("latest");
    place.write("t.json", test_of(r#""shell": "true""#, ""));
    place.write("results/latest", "mine");
    place.arete(["run", "t.json"]).run().exits_with(0).complains(&["results/latest is not a symbolic link"]);
    assert_eq!(place.read("results/latest"), "mine");
    fs::remove_file(place.path("results/latest")).expect("it exists");
    let ended = place.arete(["run", "t.json"]).run().exits_with(0);
    assert!(ended.stderr.is_empty() && place.path("results/latest/summary.json").is_file(), "{}", ended.stderr);
}

#[test]
fn a_test_is_read_from_standard_input_and_its_files_count_from_here() {
    let place = Place::new("stdin");
    let shell = r#""shell": "cat @{it.path}", "use_resources": ["it"]"#;
    place.write("t.json", test_of(shell, r#""resources": {"it": {"file": "sub/it.txt"}},"#));
    place.write("sub/it.txt", "shipped\n");
    let from = |args: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{} {args} < t.json", env!("CARGO_BIN_EXE_arete"))]);
        place.program(command).run()
    };
    let checked = from("check -").exits_with(0).stdout;
    assert!(checked.starts_with("standard input: ok"), "{checked}");
    from("run - --results results").exits_with(0);
    assert_eq!(place.read("results/a/one.out"), "shipped\n");
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--state-dir", "state"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    let _slave = place.arete(["slave", "--controller", &address, "--name", "a", "--dir", "w"]).start();
    from(&format!("run - --controller {address} --results handed")).exits_with(0);
    assert_eq!(place.read("handed/a/one.out"), "shipped\n");
    let id = from(&format!("run - --controller {address} --detach")).exits_with(0).stdout;
    place.arete(["attach", id.trim(), "--controller", &address]).run().exits_with(0);
    place.write("bad.json", "{");
    let bad = place.arete(["check", "-"]).run().exits_with(2);
    bad.complains(&["standard input:1:1: "]);
}
