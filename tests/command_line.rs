//! What the program prints for wrong input, and how it exits.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::{Ended, Place, Running, SOON, holds_within, wait_for};

/// A test of one slave called `a`, which runs one entry.
const GOOD: &str = r#"{
  "name": "good",
  "end": { "idle": true, "limit": "20s" },
  "triggers": { "go": 1 },
  "schedules": { "s": [
    { "name": "one", "at": 0, "shell": "true" }
  ] },
  "slaves": { "a": ["s"] }
}
"#;

/// Checks `GOOD` with `from` replaced by `to`. The first problem must be at `at` and contain all of `parts`.
#[track_caller]
fn wrong(from: &str, to: &str, at: &str, parts: &[&str]) {
    let place = Place::new("check");
    assert!(GOOD.contains(from), "{from}");
    place.write("t.json", GOOD.replacen(from, to, 1));
    let ended = place.arete(["check", "t.json"]).run().exits_with(2).complains(parts);
    let begin = format!("arete: t.json:{at}: ");
    assert!(ended.stderr.lines().any(|line| line.starts_with(&begin)), "no line begins {begin:?}:\n{}", ended.stderr);
    let ended = place.arete(["run", "t.json", "--results", "results"]).run().exits_with(2).complains(parts);
    assert!(ended.stdout.is_empty() && !place.path("results").exists(), "nothing was started");
}

#[test]
fn a_valid_test_file_passes_the_check() {
    let place = Place::new("good");
    place.write("t.json", GOOD);
    let ended = place.arete(["check", "t.json"]).run().exits_with(0);
    assert!(ended.stdout.contains("ok") && ended.stderr.is_empty());
}

#[test]
fn a_run_on_this_machine_starts_its_slaves_and_ignores_their_labels() {
    let place = Place::new("labels");
    let asks = r#""b": ["s"], "any[1-2]": { "schedules": ["s"], "with": { "arch": "no such" } }"#;
    place.write(
        "t.json",
        GOOD.replace(r#""a": ["s"]"#, asks).replace("\"true\"", r#""echo $ARETE_SLAVE @{slave.name}""#),
    );
    let ended = place.arete(["check", "t.json"]).run().exits_with(0);
    assert_eq!(ended.stdout, "t.json: ok, 3 slaves (2 by their labels), 3 entries\n");
    place.arete(["run", "t.json", "--results", "results"]).run().exits_with(0);
    for slave in ["any1", "any2", "b"] {
        let said = fs::read_to_string(place.path(format!("results/{slave}/one.out"))).expect("the entry has run");
        assert_eq!(said, format!("{slave} {slave}\n"));
    }
}

#[test]
fn broken_json_is_shown_where_it_breaks() {
    wrong("\"end\":", "\"end\"", "3:9", &["\":\""]);
    wrong("[\"s\"] }\n}", "[\"s\"] }\n", "10:1", &["the file ends here"]);
    wrong("\"at\": 0,", "\"at\": 0,, ", "6:30", &["found ','"]);
}

#[test]
fn unknown_keys_and_names_come_with_a_suggestion() {
    wrong("\"triggers\"", "\"tiggers\"", "4:3", &["unknown key \"tiggers\", did you mean \"triggers\"?"]);
    wrong("\"at\": 0", "\"trigger\": \"og\"", "6:33", &["unknown trigger \"og\"", "\"go\""]);
    wrong("[\"s\"] }\n}", "[\"t\"] }\n}", "8:21", &["unknown schedule \"t\""]);
}

#[test]
fn an_entry_has_one_policy_and_one_action() {
    wrong("\"at\": 0", "\"at\": 0, \"poke\": true", "6:31", &["\"at\"", "\"poke\"", "only one of"]);
    wrong("\"at\": 0, ", "", "6:5", &["needs"]);
    wrong(", \"shell\": \"true\"", "", "6:5", &["needs an action"]);
    wrong("\"shell\": \"true\"", "\"shell\": \"true\", \"notify\": \"go\"", "6:48", &["\"shell\"", "\"notify\""]);
}

#[test]
fn a_trigger_begins_at_one_at_least() {
    wrong("\"go\": 1", "\"go\": 0", "4:23", &["trigger", "from 1"]);
}

#[test]
fn entries_do_not_wait_for_each_other_in_a_circle() {
    let circle =
        r#"{ "name": "one", "after": "two", "shell": "true" }, { "name": "two", "after": "one", "shell": "true" }"#;
    let from = r#"{ "name": "one", "at": 0, "shell": "true" }"#;
    wrong(from, circle, "6:31", &["wait for each other for ever", "\"one\"", "\"two\""]);
}

#[test]
fn a_missing_resource_is_an_error_before_anything_starts() {
    let to = "\"resources\": { \"r\": { \"file\": \"gone.bin\" } },\n  \"schedules\"";
    wrong("\"schedules\"", to, "5:33", &["\"r\"", "gone.bin", "cannot be shipped"]);
}

#[test]
fn an_unknown_variable_is_an_error() {
    wrong("\"true\"", "\"echo @{two.pid}\"", "6:46", &["\"two\"", "\"one\""]);
}

#[test]
fn wrong_usage_exits_with_2_and_names_the_remedy() {
    let place = Place::new("usage");
    place.write("t.json", GOOD);
    place.write("full/something", "");
    let complains = |args: &[&str], parts: &[&str]| drop(place.arete(args).run().exits_with(2).complains(parts));
    complains(&[], &["Usage"]);
    complains(&["rum"], &["'rum'", "'run'"]);
    complains(&["run", "t.json", "--lisen", "x"], &["--lisen", "--listen"]);
    complains(&["run", "gone.json"], &["arete: gone.json: "]);
    complains(&["run", "t.json", "--wait", "soon"], &["soon"]);
    complains(&["run", "t.json", "--results", "full"], &["arete: --results full", "not empty"]);
    complains(&["slave"], &["--controller"]);
    complains(&["wait", "go"], &["ARETE_SOCKET is not set", "--controller ADDRESS"]);
    complains(&["stop", ""], &["<RUN>", "write the id of a run"]);
    complains(&["status", "--controller", "lab"], &["the host lab at port 7373", "./lab"]);
    complains(&["pki", "issue", "lab", "a", "--days", "5000"], &["--days", "a number of days from 1 to 3650"]);
    complains(&["trigger", "create", "go", "-1"], &["<COUNT>", "a number of notifies from 1 to"]);
    complains(&["ring", "watch", "--udp-port", "0"], &["--udp-port", "a port number from 1 to 65535"]);
    complains(&["ring", "demo", "-n", "51"], &["--nodes", "a number of nodes from 1 to 50"]);
    complains(&["slave", "--orphan-after", "-5s"], &["--orphan-after", "a time is not negative"]);
    complains(&["slave", "--controller", "localhost", "--name=-x/y"], &["arete: --name", "letters"]);
    let ended = place.arete(["poke"]).run().exits_with(2).complains(&["arete: ARETE_SOCKET is not set"]);
    assert!(ended.stdout.is_empty());
}

#[test]
fn a_port_in_use_is_named() {
    let place = Place::new("port");
    place.write("t.json", GOOD);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["run", "t.json", "--results", "results", "--listen", &address];
    place.arete(args).run().exits_with(7).complains(&["arete: --listen", &address, "in use"]);
    assert!(!place.path("results").exists());
}

/// An address of a listener that sends `greeting` to every connection.
fn something_else(greeting: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.write_all(greeting).and_then(|()| stream.read(&mut [0; 512]));
        }
    });
    address
}

#[test]
fn the_message_about_a_wrong_address_names_the_listener_and_the_remedy() {
    let place = Place::new("wrong-address");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ssh = something_else(b"SSH-2.0-OpenSSH_9.2p1\r\n");
    let http = something_else(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let silent = something_else(b"");
    for (address, why, step) in [
        (&nobody, "connection refused", "no controller listens there: start it, or name the port"),
        (&ssh, "no controller of arete", "name the port of a controller as HOST:PORT"),
        (&http, "no controller of arete", "name the port of a controller as HOST:PORT"),
        (&silent, "closed the connection", "--connections-max allows, or be no controller of arete"),
    ] {
        let check = ["slave", "--check", "--name", "a", "--dir", "w", "--controller", address];
        let found: &[&str] = if why == "connection refused" { &["nothing listens at"] } else { &[why, step] };
        place.arete(check).run().exits_with(1).complains(found);
        let slave = slave(&place, address, "a");
        wait_for(SOON, "a word about the next step", || slave.stderr().contains(step));
        assert!(slave.stderr().contains(why), "{}", slave.stderr());
        let barrier = ["barrier", "up", "--as", "a", "--count", "2", "--timeout", "300ms", "--controller", address];
        let ended = place.arete(barrier).run().exits_with(6).complains(&[step]);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("the controller is out of reach (") && last.contains(why), "{last}");
        let notify = ["notify", "go", "--timeout", "300ms", "--controller", address];
        place.arete(notify).run().exits_with(3).complains(&["is out of reach (", why]);
    }
}

#[test]
fn a_connection_beyond_the_limit_is_refused_with_the_name_of_the_limit() {
    let place = Place::new("crowded");
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--connections-max", "1"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    let _first = TcpStream::connect(&address).unwrap();
    let args = ["barrier", "up", "--as", "a", "--count", "2", "--timeout", "2s", "--controller", &address];
    place.arete(args).run().exits_with(6).complains(&["--connections-max", "its log says which"]);
    assert!(controller.stderr().contains("turned away: ") && controller.stderr().contains("--connections-max"));
}

#[test]
fn a_check_finds_a_controller_that_takes_slaves_alone_right() {
    let place = Place::new("looked-at");
    for (more, code, part) in [(&[][..], 1, "serves rooms alone"), (&["--state-dir", "state"], 0, "")] {
        let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0"].iter().chain(more)).start();
        controller.wait_for_output("listening on 127.0.0.1:");
        let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
        let check = ["slave", "--check", "--name", "a", "--dir", "w", "--controller", &address];
        place.arete(check).run().exits_with(code).complains(&[part]);
    }
}

#[test]
fn a_controller_in_the_environment_is_used_or_a_run_warns() {
    let place = Place::new("environment");
    place.write("t.json", GOOD);
    let named = |args: &[&str], named: &str| place.arete(args).env("ARETE_CONTROLLER", named).run();
    let run = ["run", "t.json", "--results", "results"];
    named(&run, "c:1")
        .exits_with(0)
        .complains(&["ARETE_CONTROLLER is set", "use --controller c:1 to hand the test to it"]);
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    named(&["trigger", "create", "go", "1"], &address).exits_with(0);
    named(&["notify", "go"], &address).exits_with(0);
    named(&["wait", "go", "--room", "default"], &address).exits_with(0);
    named(&["barrier", "up", "--as", "a", "--count", "1"], &address).exits_with(0);
    assert_eq!(
        named(&["sync", "s", "--as", "a", "--count", "1", "--data", "1"], &address).exits_with(0).stdout.trim(),
        "{\"a\":1}"
    );
    named(&["notify", "go"], "/run/c.sock").exits_with(2).complains(&["ARETE_CONTROLLER", "HOST:PORT"]);
    place.arete(["wait", "go", "--room", "r"]).run().exits_with(2).complains(&["--controller ADDRESS"]);
}

#[test]
fn a_socket_without_a_server_is_reported_with_advice_for_sockets() {
    let place = Place::new("socket");
    let status = ["status", "--timeout", "300ms", "--controller"];
    place.arete(status).arg("./c.sock").run().exits_with(3).complains(&["no such file", "controller --socket PATH"]);
    place.arete(status).arg("c.sock").run().exits_with(2).complains(&["write ./c.sock"]);
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_the_only_thing_that_is_wrong() {
    let place = Place::new("broken-file");
    place.write("slave.json", "{\"controller\": \"c\"\n \"once\": true}");
    let ended = place.arete(["slave", "--check", "--config", "slave.json"]).run().exits_with(2);
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1), "{}", ended.stderr);
    place.write("controller.json", r#"{"listen": "127.0.0.1:0", "fsync": true}"#);
    let args = ["controller", "--config", "controller.json"];
    place.arete(args).run().exits_with(2).complains(&["arete: controller.json: ", "--state-dir"]);
}

#[test]
fn a_run_that_ends_before_its_slaves_have_joined_does_not_wait_for_them() {
    let place = Place::new("at-once");
    place.write("t.json", GOOD);
    let ended = place.arete(["run", "t.json", "--results", "results", "--wait", "1ms"]).run().exits_with(7);
    assert!(ended.took < Duration::from_secs(8), "{:?}", ended.took);
    place.assert_nothing_left();
}

/// A controller that waits for slaves on a free port.
fn listening<'a>(place: &'a Place, text: &str, more: &[&str]) -> (Running<'a>, String) {
    place.write("t.json", text);
    let args = ["run", "t.json", "--listen", "127.0.0.1:0", "--results", "results"];
    let mut controller = place.arete(args.iter().chain(more)).start();
    controller.wait_for_output("listening on ");
    let said = controller.stdout() + &controller.stderr();
    let address = said.split("listening on ").nth(1).and_then(|rest| rest.split([',', '\n']).next());
    let address = address.expect("it says where it listens").to_owned();
    (controller, address)
}

fn slave<'a>(place: &'a Place, address: &str, name: &str) -> Running<'a> {
    let dir = place.path("work").join(format!("{name}-{}", place.serial()));
    place.arete(["slave", "--controller", address, "--name", name, "--once", "--dir"]).arg(dir).start()
}

#[test]
fn slaves_that_do_not_connect_are_named_when_the_wait_ends() {
    let place = Place::new("wait");
    let text = GOOD.replace("\"a\": [\"s\"]", "\"a\": [\"s\"], \"b\": [\"s\"]");
    let (controller, address) = listening(&place, &text, &["--wait", "4s"]);
    let _there = slave(&place, &address, "a");
    let ended = controller.wait().exits_with(7);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("missing: b"), "{said}");
    assert!(ended.took >= Duration::from_secs(4) && ended.took < SOON);
}

#[test]
fn a_slave_that_is_not_in_the_test_is_refused_and_the_run_continues() {
    let place = Place::new("stranger");
    let (controller, address) = listening(&place, GOOD, &[]);
    let ended = slave(&place, &address, "b").wait();
    assert_ne!(ended.code(), 0);
    ended.complains(&["\"b\"", "not in the test", "its slaves are a: ", "--name"]);
    slave(&place, &address, "a").wait().exits_with(0);
    controller.wait().exits_with(0);
    assert_eq!(place.count("results", "refused"), 1);
    place.assert_nothing_left();
}

#[test]
fn slaves_of_any_name_serve_a_test_that_selects_by_labels() {
    let place = Place::new("any");
    let arch = std::env::consts::ARCH;
    let asks = format!(r#""a": ["s"], "any[1-2]": {{ "schedules": ["s"], "with": {{ "arch": "{arch}" }} }}"#);
    let command = r#""arete barrier there --members any1#x,any2#x,a#x --as $ARETE_SLAVE#x && echo @{slave.name}""#;
    let text = GOOD.replace(r#""a": ["s"]"#, &asks).replace("\"true\"", command);
    let (mut controller, address) = listening(&place, &text, &[]);
    let mut slaves = vec![slave(&place, &address, "here"), slave(&place, &address, "there")];
    ["machine here", "machine there"].iter().for_each(|joined| controller.wait_for_output(joined));
    slave(&place, &address, "more").wait().exits_with(1).complains(&["\"good\"", "\"more\"", "no place left"]);
    slaves.push(slave(&place, &address, "a"));
    slaves.into_iter().for_each(|slave| drop(slave.wait().exits_with(0)));
    controller.wait().exits_with(0);
    for slave in ["a", "any1", "any2"] {
        let said = fs::read_to_string(place.path(format!("results/{slave}/one.out"))).expect("the entry has run");
        assert_eq!(said.lines().last(), Some(slave));
    }
    place.assert_nothing_left();
}

#[test]
fn one_of_two_slaves_with_one_name_is_refused_and_the_run_continues() {
    let place = Place::new("twins");
    let text = GOOD.replace("\"a\": [\"s\"]", "\"a\": [\"s\"], \"b\": [\"s\"]");
    let (controller, address) = listening(&place, &text, &[]);
    let mut twins = vec![slave(&place, &address, "a"), slave(&place, &address, "a")];
    let refused = |twin: &Running| twin.stderr().contains("another slave called a is connected");
    wait_for(SOON, "one of the two to be refused", || twins.iter().any(refused));
    let loser = twins.remove(twins.iter().position(refused).expect("it was just found"));
    loser.signal(rustix::process::Signal::TERM);
    loser.wait().exits_with(0).complains(&["--name"]);
    slave(&place, &address, "b").wait().exits_with(0);
    twins.remove(0).wait().exits_with(0);
    controller.wait().exits_with(0);
    place.assert_nothing_left();
}

#[test]
fn a_slave_of_another_version_is_refused_and_the_run_continues() {
    let place = Place::new("version");
    let (controller, address) = listening(&place, GOOD, &[]);
    let mut old = TcpStream::connect(&address).unwrap();
    old.set_read_timeout(Some(SOON)).unwrap();
    let hello = r#"{"type":"hello","protocol":99,"version":"arete 99.0.0","name":"a","incarnation":"x"}"#;
    writeln!(old, "{hello}").unwrap();
    let mut answer = String::new();
    BufReader::new(&old).read_line(&mut answer).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["type"], "bye");
    assert_eq!(answer["fatal"], true);
    assert!(answer["reason"].as_str().unwrap().contains("99"), "{answer}");
    slave(&place, &address, "a").wait().exits_with(0);
    controller.wait().exits_with(0);
}

#[test]
fn a_resource_that_vanishes_before_it_is_shipped_fails_the_run_and_is_named() {
    let place = Place::new("vanished");
    place.write("data.bin", vec![7; 1_000_000]);
    let text = GOOD.replace("\"schedules\"", "\"resources\": { \"r\": { \"file\": \"data.bin\" } },\n  \"schedules\"");
    let text = text.replace("\"true\"", "\"cat @{r.path}\", \"use_resources\": [\"r\"]");
    let (controller, address) = listening(&place, &text, &[]);
    fs::remove_file(place.path("data.bin")).unwrap();
    let slave = slave(&place, &address, "a");
    let ended: Ended = controller.wait().exits_with(7);
    assert!(ended.stdout.contains("data.bin"), "{}", ended.stdout);
    drop(slave.wait());
    place.assert_nothing_left();
}

#[test]
fn a_slave_without_a_controller_reports_it_once_and_keeps_trying() {
    let place = Place::new("early");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let early = slave(&place, &port.to_string(), "a");
    wait_for(SOON, "a word about the controller", || early.stderr().contains("trying again"));
    let more = || early.stderr().matches("trying again").count() > 1;
    assert!(!holds_within(Duration::from_secs(1), more), "it says so more than once: {}", early.stderr());
    place.write("t.json", GOOD);
    let args = ["run", "t.json", "--results", "results", "--listen", &port.to_string()];
    let controller = place.arete(args).start();
    controller.wait().exits_with(0);
    early.wait().exits_with(0);
    place.assert_nothing_left();
}

#[test]
fn an_endless_file_is_refused_by_name() {
    let place = Place::new("endless");
    let pipe = place.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let test = |file: &str| {
        format!(
            r#"{{"name": "t", "end": {{"duration": 1}}, "resources": {{"data": {{"file": "{file}"}}}},
                "schedules": {{"s": []}}, "slaves": {{"a": ["s"]}}}}"#
        )
    };
    // No name contains a line break.
    place.write("a\nb", "");
    for (file, why) in [
        ("pipe", "it is a pipe, not a regular file"),
        ("/dev/zero", "it is a device, not a regular file"),
        ("/proc/self/status", "it holds more than the 0 bytes"),
        ("/proc/kmsg", "cannot be shipped"),
        ("a\\nb", "no control characters on a slave: rename the file"),
    ] {
        place.write("t.json", test(file));
        for subcommand in ["check", "run"] {
            place.arete([subcommand, "t.json"]).run().exits_with(2).complains(&["the resource \"data\"", why]);
        }
    }
    for path in ["/dev/zero", "/dev/tty0/no"] {
        place.arete(["check", path]).run().exits_with(2).complains(&[path]);
    }
    place.arete(["controller", "--config", "/dev/zero"]).run().exits_with(2).complains(&["/dev/zero: it is a device"]);
    place.arete(["controller", "--config", "pipe"]).run().exits_with(2).complains(&["pipe: it is a pipe"]);
    let ring = ["ring", "--interface", "lo", "--work", "true", "--id", "x", "--key-file", "pipe"];
    place.arete(ring).run().exits_with(1).complains(&["--key-file pipe: it is a pipe"]);
}
