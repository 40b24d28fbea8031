//! Typed mistakes, and the streams on which messages are printed: standard output that is full, terminals without
//! control sequences, unreachable addresses, values that are almost JSON.

#![forbid(unsafe_code)]

mod common;

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use common::{Needed, Place, Running, SOON, missing, python, repository, skip, wait_for};

/// A test of one slave, with output.
const TEST: &str = r#"{
  "name": "small",
  "end": { "idle": true, "limit": "20 s" },
  "schedules": { "s": [ { "name": "one", "at": 0, "shell": "echo done" } ] },
  "slaves": { "a": ["s"] }
}
"#;

/// A controller that takes tests, and its address.
fn controller(place: &Place) -> (Running<'_>, String) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let address = format!("127.0.0.1:{port}");
    let args = ["controller", "--listen", &address, "--state-dir", "state"];
    let controller = place.arete(args).deadline(Duration::from_secs(120)).start();
    let asks = || place.arete(["status", "--controller", &address, "--timeout", "1s"]).run().code() == 0;
    wait_for(SOON, "a controller that answers", asks);
    (controller, address)
}

/// Runs `arete WORDS` in a shell, followed by `redirect`.
fn by_shell<'a>(place: &'a Place, words: &str, redirect: &str) -> common::Program<'a> {
    let mut command = Command::new("bash");
    let arete = env!("CARGO_BIN_EXE_arete");
    command.arg("-c").arg(format!("set -o pipefail; '{arete}' {words} {redirect}"));
    place.program(command)
}

/// Every command that prints, with an existing controller, test file, directory of certificates, and results.
fn that_print(address: &str) -> Vec<String> {
    let there = format!("--controller {address}");
    let own = [
        "--version",
        "--help",
        "-h",
        "run --help",
        "ring demo --help",
        "help",
        "help --source run",
        "completions bash",
        "completions zsh",
        "completions fish",
        "check t.json",
        "run t.json --results r1",
        "run t.json --results r2 --follow",
        "run --resume done",
        "pki init new-lab",
        "pki issue lab ann",
        "pki list lab",
        "pki list lab --json",
        "pki revoke lab bob",
        "controller --check --listen 127.0.0.1:0",
        "lookup 127.0.0.1:5",
        "ring demo -n 2 --hold 50ms",
    ];
    let at_controller = [
        "run t.json --results r3",
        "run t.json --detach",
        "runs",
        "runs --json",
        "status",
        "status --json",
        "status --watch",
        "attach latest",
        "results latest --output r4",
        "stop latest --detach",
        "slave --check",
        "trigger list",
        "sync s --members a --as a --data 1",
        "wait fired",
    ];
    let at_controller = at_controller.iter().map(|words| format!("{words} {there}"));
    own.iter().map(|words| (*words).to_owned()).chain(at_controller).collect()
}

/// Makes everything that the commands of [`that_print`] need.
fn prepare(place: &Place, address: &str) {
    place.write("t.json", TEST);
    place.arete(["pki", "init", "lab"]).run().exits_with(0);
    place.arete(["pki", "issue", "lab", "bob"]).run().exits_with(0);
    place.arete(["run", "t.json", "--results", "done"]).run().exits_with(0);
    let at = ["--controller", address];
    place.arete(["trigger", "create", "fired", "1"].iter().chain(&at)).run().exits_with(0);
    place.arete(["notify", "fired", "--data", "1"].iter().chain(&at)).run().exits_with(0);
}

#[test]
fn every_command_fails_if_it_cannot_print() {
    let place = Place::new("full-output");
    let (_controller, address) = controller(&place);
    let slave = ["slave", "--controller", &address, "--name", "a", "--dir", "slave"];
    let _slave = place.arete(slave).deadline(Duration::from_secs(120)).start();
    prepare(&place, &address);
    for words in that_print(&address) {
        let ended = by_shell(&place, &words, ">/dev/full").run();
        let said = "arete: cannot write to standard output: no space left on device";
        assert!(ended.stderr.lines().any(|line| line == said), "{words}: {}", ended.stderr);
        assert_eq!(ended.code(), 1, "{words}");
    }
}

#[test]
fn no_command_fails_because_its_reader_has_left() {
    let place = Place::new("left");
    let (_controller, address) = controller(&place);
    let slave = ["slave", "--controller", &address, "--name", "a", "--dir", "slave"];
    let _slave = place.arete(slave).deadline(Duration::from_secs(120)).start();
    prepare(&place, &address);
    for words in that_print(&address) {
        let ended = by_shell(&place, &words, "| true").run();
        assert!(!ended.stderr.contains("standard output"), "{words}: {}", ended.stderr);
        assert_eq!(ended.code(), 0, "{words}: {}", ended.stderr);
    }
}

#[test]
fn a_page_of_the_manual_that_cannot_be_printed_is_a_failure_of_every_pager() {
    let place = Place::new("page");
    let ended = by_shell(&place, "help run", ">/dev/full").run().exits_with(1);
    assert!(ended.stderr.contains("cannot write to standard output"), "{}", ended.stderr);
}

#[test]
fn a_terminal_that_may_not_obey_gets_plain_lines() {
    if let Some(why) = missing(&["python3"]) {
        return skip("a_terminal_that_may_not_obey_gets_plain_lines", &why, Needed::InCi);
    }
    let place = Place::new("dumb");
    place.write("t.json", TEST);
    let shown = |term: Option<&str>, words: &[&str]| {
        let mut command = python();
        command.arg(repository().join("tests/common/pty.py")).args(["80x24", "watch", env!("CARGO_BIN_EXE_arete")]);
        command.args(words).env_remove("NO_COLOR").env_remove("TERM");
        command.envs(term.map(|term| ("TERM", term)));
        place.program(command).run().exits_with(0).stdout
    };
    for (nr, term) in [None, Some(""), Some("dumb"), Some("unknown"), Some("a-strange-one")].into_iter().enumerate() {
        let plain = shown(term, &["run", "t.json", "--results", &format!("r{nr}")]);
        assert!(!plain.contains('\x1b') && plain.contains("small passed after"), "{term:?}: {plain:?}");
        let help = shown(term, &["--help"]);
        assert!(!help.contains('\x1b') && help.contains("Usage"), "{term:?}: {help:?}");
    }
    assert!(shown(Some("xterm-256color"), &["run", "t.json", "--results", "drawn"]).contains('\x1b'));
}

#[test]
fn an_unreachable_address_is_wrong_usage_in_every_option() {
    let place = Place::new("never");
    place.write("t.json", TEST);
    let hopeless = [
        ("", "the host is missing"),
        (":7373", "the host is missing"),
        ("lab:99999", "a port is a number"),
        ("lab:0", "port 0"),
        ("http://lab:7373", "without \"http://\""),
        ("a lab", "a host name cannot contain ' '"),
        ("fe80::1", "link-local"),
        ("10.0.0.256", "not a valid IPv4 address"),
        ("224.0.0.1", "many machines"),
    ];
    for (address, why) in hopeless {
        let wrong = |args: &[&str]| {
            place.arete(args).deadline(SOON).run().exits_with(2).complains(&[why]);
        };
        wrong(&["slave", "--controller", address, "--name", "a", "--dir", "d", "--insecure"]);
        wrong(&["slave", "--check", "--controller", address, "--insecure"]);
        place.write("slave.json", format!("{{\"controller\": {address:?}, \"insecure\": true}}"));
        wrong(&["slave", "--config", "slave.json", "--name", "a", "--dir", "d"]);
        // A path is a socket for operators.
        if !address.contains('/') {
            wrong(&["status", "--controller", address, "--insecure"]);
            wrong(&["run", "t.json", "--controller", address, "--insecure"]);
        }
        wrong(&["barrier", "b", "--as", "a", "--count", "1", "--controller", address, "--insecure"]);
        wrong(&["trigger", "list", "--controller", address, "--insecure"]);
        if !address.is_empty() {
            let named = place.arete(["notify", "t", "--as", "a"]).env("ARETE_CONTROLLER", address).deadline(SOON);
            named
                .run()
                .exits_with(2)
                .complains(&["ARETE_CONTROLLER", if address.contains('/') { "socket" } else { why }]);
        }
        if !["lab:0", "a lab"].contains(&address) {
            wrong(&["run", "t.json", "--listen", address, "--insecure"]);
            wrong(&["controller", "--listen", address, "--insecure"]);
            wrong(&["controller", "--check", "--listen", address, "--insecure"]);
        }
    }
}

#[test]
fn an_address_with_a_zone_is_dialled_and_listened_at() {
    let place = Place::new("zone");
    let ended = place.arete(["lookup", "[fe80::1%lo]:7373"]).run().exits_with(0);
    assert_eq!(ended.stdout, "[fe80::1%1]:7373\n");
    let zone = ["status", "--controller", "[fe80::1%nowhere]:7373", "--insecure", "--timeout", "2s"];
    place.arete(zone).run().exits_with(3).complains(&["this machine has no interface \"nowhere\""]);
}

#[test]
fn a_run_that_listens_prints_its_id_and_its_slave_prints_no_retry_after_it() {
    let place = Place::new("id");
    let test = TEST.replace("echo done", "arete barrier b --count 2");
    place.write("t.json", test.replace("\"slaves\"", "\"guests\": [\"outside\"], \"slaves\""));
    let mut run = place.arete(["run", "t.json", "--listen", "127.0.0.1:0", "--results", "r"]).start();
    run.wait_for_output("waiting for a");
    let said = run.stdout();
    let mut parts = said.lines().next().expect("a first line").split(", ");
    let address =
        parts.next().and_then(|part| part.strip_prefix("listening on ")).expect("where it listens").to_owned();
    let id = parts.next().and_then(|part| part.strip_prefix("run ")).expect("which run it is").to_owned();
    let slave = ["slave", "--once", "--controller", &address, "--name", "a", "--dir", "d"];
    let slave = place.arete(slave).start();
    let member = ["barrier", "b", "--count", "2", "--as", "outside", "--room", &id, "--controller", &address];
    wait_for(SOON, "the entry to begin", || place.path("r/events.jsonl").exists() && place.count("r", "spawned") == 1);
    place.arete(member).run().exits_with(0);
    run.wait().exits_with(0);
    let slave = slave.wait().exits_with(0);
    assert!(!slave.stderr.contains("trying again"), "{}", slave.stderr);
    assert_eq!(place.summary("r")["run"], id.as_str());
}

#[test]
fn a_value_that_is_almost_json_is_sent_as_text_with_a_warning_that_names_the_place() {
    let place = Place::new("almost");
    let (_controller, address) = controller(&place);
    place.write("value.json", "{\n  \"x\": 1,\n}\n");
    for (data, subject, at) in [
        ("{\"x\": NaN}", "--data: ", "line 1, column 7"),
        ("{\"x\": 1,}", "--data: ", "line 1, column 8"),
        ("@value.json", "--data @value.json: ", "line 2, column 9"),
    ] {
        let sync = ["sync", "s", "--members", "a", "--as", "a", "--controller", &address, "--data", data];
        let ended = place.arete(sync).run().exits_with(0);
        let begin = format!("arete: {subject}{at}: ");
        assert!(ended.stderr.starts_with(&begin) && ended.stderr.contains("as a string"), "{}", ended.stderr);
        let map: serde_json::Value = serde_json::from_str(&ended.stdout).expect("a map");
        assert!(map["a"].is_string(), "{map}");
    }
    place.arete(["trigger", "create", "t", "1", "--controller", &address]).run().exits_with(0);
    let notify = place.arete(["notify", "t", "--data", "[1,]", "--controller", &address]).run().exits_with(0);
    assert!(notify.stderr.contains("--data: line 1, column 3: "), "{}", notify.stderr);
    let plain = ["sync", "s", "--members", "a", "--as", "a", "--controller", &address, "--data", "10.0.0.1"];
    assert_eq!(place.arete(plain).run().exits_with(0).stderr, "");
}

#[test]
fn a_test_in_yaml_runs_from_a_file_from_standard_input_and_at_a_controller() {
    let place = Place::new("formats");
    let yaml = "# one slave\nname: small\nend: {idle: true, limit: 20 s}\nschedules:\n  s:\n  - name: one\n    at: 0\n    \
        shell: |\n      echo first\n      echo second\nslaves: {a: [s]}\n";
    place.write("t.yaml", yaml);
    place.arete(["run", "t.yaml", "--results", "r1"]).run().exits_with(0);
    by_shell(&place, "run - --results r2", "<t.yaml").run().exits_with(0);
    let (_controller, address) = controller(&place);
    let slave = ["slave", "--controller", &address, "--name", "a", "--dir", "work"];
    let _slave = place.arete(slave).deadline(Duration::from_secs(120)).start();
    place.arete(["run", "t.yaml", "--controller", &address, "--results", "r3"]).run().exits_with(0);
    for results in ["r1", "r2", "r3"] {
        assert_eq!(place.read(format!("{results}/a/one.out")), "first\nsecond\n", "{results}");
        let kept: serde_json::Value = serde_json::from_str(&place.read(format!("{results}/test.json"))).expect("JSON");
        assert_eq!(kept["schedules"]["s"][0]["shell"], "echo first\necho second\n", "{results}");
    }
    place.write("wrong.yaml", yaml.replace("at: 0", "at: soon"));
    place.arete(["check", "wrong.yaml"]).run().exits_with(2).complains(&["wrong.yaml:7:9: ", "soon"]);
    place.write("wrong.yaml", yaml.replace("    at: 0", "\tat: 0"));
    place.arete(["check", "wrong.yaml"]).run().exits_with(2).complains(&["wrong.yaml:6:11: ", "not with tabs"]);
}

#[test]
fn params_are_chosen_on_the_command_line_and_reach_commands_of_every_kind_of_run() {
    let place = Place::new("params");
    place.write(
        "t.yaml",
        "name: p\nparams: {n: 1, the-rate: {default: 10M, help: how fast}, to: {help: where}}\nend: {idle: true, limit: 20s}\n\
         schedules:\n  s:\n  - {name: one, at: 0, shell: 'echo @{param.n} @{param.the-rate} \"$ARETE_PARAM_TO\" $ARETE_PARAM_THE_RATE'}\n\
         slaves: {a: [s]}\n",
    );
    place.write("values.yaml", "n: 3\nto: nowhere\n");
    place.arete(["run", "t.yaml"]).run().exits_with(2).complains(&["t.yaml:2:", "(where)", "-p to=VALUE"]);
    place.arete(["check", "t.yaml", "-p", "to=x", "-p", "m=1"]).run().exits_with(2).complains(&["no param \"m\""]);
    place.arete(["check", "t.yaml", "-p", "nothing.json"]).run().exits_with(2).complains(&["write NAME=VALUE"]);
    place.arete(["run", "t.yaml", "-p", "to=a b", "--results", "r1"]).run().exits_with(0);
    assert_eq!(place.read("r1/a/one.out"), "1 10M a b 10M\n");
    place.arete(["run", "--resume", "r1", "-p", "to=x"]).run().exits_with(2).complains(&["--param", "cannot be used"]);
    let (_controller, address) = controller(&place);
    let slave = ["slave", "--controller", &address, "--name", "a", "--dir", "work"];
    let _slave = place.arete(slave).deadline(Duration::from_secs(120)).start();
    let run =
        ["run", "t.yaml", "--param", "values.yaml", "-p", "the-rate=9", "--controller", &address, "--results", "r2"];
    place.arete(run).run().exits_with(0);
    assert_eq!(place.read("r2/a/one.out"), "3 9 nowhere 9\n");
}

#[test]
fn the_test_that_init_writes_runs_as_it_is() {
    let place = Place::new("init");
    let ended = place.arete(["init"]).run().exits_with(0);
    assert_eq!(ended.stdout, "first.yaml is written: run it with \"arete run first.yaml\"\n");
    assert_eq!(place.arete(["check", "first.yaml"]).run().exits_with(0).stderr, "", "it has no warning");
    place.arete(["run", "first.yaml", "-p", "clients=3", "--results", "results"]).run().exits_with(0);
    assert!(place.read("results/client3/greet.out").starts_with("client3 greets the server at "));
    place.arete(["init"]).run().exits_with(2).complains(&["first.yaml exists", "arete init NAME"]);
    place.arete(["init", "other"]).run().exits_with(0);
    assert!(place.read("other.yaml").contains("\nname: other\n"));
    place.arete(["init", "../x"]).run().exits_with(2).complains(&["a test", "letters"]);
}

#[test]
fn a_configuration_that_is_yaml_is_called_so() {
    let place = Place::new("yaml");
    for text in ["name: t\nend: {idle: true}\n", "# a comment\n\n$schema: x\n", "---\nname: t\n", "- name: t\n"] {
        place.write("slave.json", text);
        place.arete(["slave", "--config", "slave.json"]).run().exits_with(2).complains(&["looks like YAML"]);
    }
}

#[test]
fn times_may_have_a_space_before_their_units() {
    let place = Place::new("times");
    place.write("t.json", TEST.replace("\"20 s\"", "\"1 min 30 s\""));
    place.arete(["check", "t.json"]).run().exits_with(0);
    let never = ["status", "--controller", "127.0.0.1:1", "--timeout", "200 ms"];
    place.arete(never).run().exits_with(3).complains(&["within 200ms"]);
    let positive = ["status", "--controller", "127.0.0.1:1", "--timeout"];
    for negative in ["-5", "-5s", "0"] {
        let ended = place.arete(positive.iter().chain(&[negative])).run().exits_with(2);
        ended.complains(&["--timeout", "longer than 0, such as 30s"]);
    }
    let wrong = ["status", "--controller", "127.0.0.1:1", "--timeout", "2 m"];
    place.arete(wrong).run().exits_with(2).complains(&["the unknown unit \"m\""]);
}

#[test]
fn an_option_that_follows_another_is_not_its_value() {
    let place = Place::new("no-value");
    let there = ["--controller", "127.0.0.1:1"];
    for (words, option) in [
        (vec!["barrier", "b", "--as", "a", "--timeout"], "--timeout <TIME>"),
        (vec!["barrier", "b", "--as", "a", "--count"], "--count <N>"),
        (vec!["controller", "--lost-after"], "--lost-after <TIME>"),
    ] {
        let ended = place.arete(words.iter().copied().chain(there)).run().exits_with(2);
        ended.complains(&[&format!("a value is required for '{option}' but none was supplied")]);
    }
}
