//! Several runs of one command: all combinations of params, here and at a controller, and retries.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use common::{Place, Running, SOON, wait_for};
use rustix::process::Signal;

/// A test with two params. A run of two clients with the rate 100M fails.
const TEST: &str = r#"
name: t
params: {clients: 1, rate: 10M}
matrix: {clients: [1, 2], rate: [10M, 100M]}
end: {idle: true, limit: 30}
schedules:
  s: [{name: e, at: 0, shell: "echo @{param.rate}; test '@{param.clients}@{param.rate}' != 2100M"}]
slaves: {"c[1-@{param.clients}]": [s]}
"#;

/// A test that waits in each run for a file with the name of its value, and says that it runs with another one.
const GATED: &str = r#"
name: g
params: {x: a}
matrix: {x: [a, b, c, d]}
end: {idle: true, limit: 50}
grace: 1
schedules:
  s: [{name: e, at: 0, shell: "touch DIR/runs-@{param.x}; until test -e DIR/gate-@{param.x}; do sleep 0.02; done"}]
slaves: {SLAVE: [s]}
"#;

fn gated(place: &Place, slave: &str) {
    place.write("g.yaml", GATED.replace("DIR", &place.dir().display().to_string()).replace("SLAVE", slave));
}

#[track_caller]
fn wait_until_runs(place: &Place, value: &str) {
    wait_for(SOON, &format!("the run of {value}"), || place.path(format!("runs-{value}")).exists());
}

/// The verdict of each combination in a table.
fn verdicts(table: &str) -> Vec<(String, String)> {
    let lines = table.lines().skip_while(|line| !line.starts_with("combination ")).skip(1);
    let rows = lines.take_while(|line| line.contains('='));
    let cells = rows.map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>());
    cells.map(|cells| (cells[0].to_owned(), cells[1].to_owned())).collect()
}

/// The directories directly below another one.
fn directories(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).flatten();
    let mut found: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    found.sort();
    found
}

const ALL: [&str; 4] = ["clients=1,rate=100M", "clients=1,rate=10M", "clients=2,rate=100M", "clients=2,rate=10M"];

#[test]
fn all_combinations_run_one_after_another_and_the_worst_is_the_exit_status() {
    let place = Place::new("matrix");
    place.write("t.yaml", TEST);
    let ended = place.arete(["run", "t.yaml", "--junit", "j.xml"]).run().exits_with(1);
    let wanted = [ALL[1], ALL[0], ALL[3], ALL[2]].map(str::to_owned);
    let verdicts = verdicts(&ended.stdout);
    assert_eq!(verdicts.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), wanted, "{}", ended.stdout);
    assert_eq!(
        verdicts.iter().map(|(_, it)| it.as_str()).collect::<Vec<_>>(),
        ["passed", "passed", "passed", "failed"]
    );
    assert!(ended.stdout.contains("== clients=1,rate=100M (2 of 4)\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("4 combinations: 3 passed, 1 failed\n"), "{}", ended.stdout);
    let latest = fs::canonicalize(place.path("results/latest")).expect("a link to the results");
    assert!(latest.file_name().is_some_and(|name| name.to_string_lossy().starts_with("t-20")), "{latest:?}");
    assert_eq!(directories(&latest), ALL);
    assert!(
        ended.stdout.ends_with(&place.read("results/latest/report.txt")) || ended.stdout.contains("results are in")
    );
    for name in ALL {
        let test = place.read(Path::new("results/latest").join(name).join("test.json"));
        let rate = name.split_once("rate=").expect("a rate").1;
        assert!(test.contains(&format!("\"rate\": \"{rate}\"")) && !test.contains("matrix"), "{test}");
        assert_eq!(place.summary(&format!("results/latest/{name}"))["test"], "t");
    }
    let junit = place.read("j.xml");
    let suites: Vec<&str> = junit.lines().filter(|line| line.contains("<testsuite ")).collect();
    assert_eq!(suites.len(), 4, "{junit}");
    assert!(suites[3].contains("name=\"t clients=2,rate=100M\" tests=\"3\"") && suites[3].contains("failures=\"3\""));
    place.assert_nothing_left();
    place.assert_no_temporary_files();
}

#[test]
fn the_command_line_replaces_values_and_adds_params() {
    let place = Place::new("matrix-options");
    place
        .write("t.yaml", TEST.replace("matrix: {clients: [1, 2], rate: [10M, 100M]}\n", "matrix: {clients: [1, 2]}\n"));
    let args = ["run", "t.yaml", "--matrix", "rate=1M,2 /é", "--matrix", "clients=1", "--results", "r"];
    let ended = place.arete(args).run().exits_with(0);
    assert!(ended.stdout.contains("clients=1,rate=2 /é"), "{}", ended.stdout);
    assert_eq!(directories(&place.path("r")), ["clients=1,rate=1M", "clients=1,rate=2___"]);
    // A test on standard input is read once.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "\"$0\" run - --matrix clients=1,2 --results s <t.yaml", env!("CARGO_BIN_EXE_arete")]);
    place.program(shell).run().exits_with(0);
    assert_eq!(directories(&place.path("s")), ["clients=1", "clients=2"]);
    let args = ["run", "t.yaml", "--matrix", "clients=1", "--matrix", "rate=a/b,a_b", "--results", "q"];
    place.arete(args).run().exits_with(0);
    assert_eq!(directories(&place.path("q")), ["clients=1,rate=a_b", "clients=1,rate=a_b~2"]);
}

#[test]
fn a_combination_that_is_wrong_stops_all_before_anything_is_started() {
    let place = Place::new("matrix-wrong");
    place.write("t.yaml", TEST);
    place.write("full/file", "");
    let run = |more: &[&str]| {
        let ended = place.arete(["run", "t.yaml"].iter().chain(more)).run().exits_with(2);
        assert!(ended.stdout.is_empty() && !place.path("results").exists(), "{}", ended.stdout);
        ended
    };
    run(&["-p", "clients=3"]).complains(&["-p clients=3: the param is in the matrix: use --matrix clients=3"]);
    run(&["--matrix", "rat=1"]).complains(&["t.yaml:3:1: the test has no param \"rat\""]);
    run(&["--matrix", "rate"]).complains(&["write NAME=VALUE,VALUE"]);
    run(&["--matrix", "rate=1,,2"]).complains(&["a value is empty"]);
    run(&["--matrix", "rate=1", "--matrix", "rate=2"]).complains(&["--matrix rate: it is given twice"]);
    run(&["--results", "full"]).complains(&["--results full: the directory is not empty"]);
    run(&["--parallel", "2"]).complains(&["--controller"]);
    // The third of four values makes a range of slaves wrong.
    let ended = run(&["--matrix", "clients=1,2,x,3"]).complains(&["t.yaml:3:10: ", "\"x\" was given (with clients=x,"]);
    assert_eq!(ended.stderr.matches("\"x\" was given").count(), 1, "{}", ended.stderr);
    let values: Vec<String> = (0..501).map(|nr| nr.to_string()).collect();
    run(&["--matrix", &format!("rate={}", values.join(","))]).complains(&["at most 1000 combinations"]);
    place.assert_nothing_left();
}

#[test]
fn check_reads_every_combination_and_tells_each_problem_once() {
    let place = Place::new("matrix-check");
    place.write("t.yaml", TEST);
    let ended = place.arete(["check", "t.yaml"]).run().exits_with(0);
    assert_eq!(ended.stdout, "t.yaml: ok, 4 combinations, 1 to 2 slaves, 1 to 2 entries\n");
    place.write("t.yaml", TEST.replace("[1, 2]", "[1, 0, none]").replace("shell:", "sell:"));
    let ended = place.arete(["check", "t.yaml"]).run().exits_with(2);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        lines.iter().any(|it| it.ends_with("\"none\" was given (with clients=none,rate=10M and another combination)"))
    );
    let common: Vec<_> = lines.iter().filter(|line| line.contains("unknown key \"sell\"")).collect();
    assert!(common.len() == 1 && common[0].contains("(with clients=1,rate=10M and 3 other"), "{}", ended.stderr);
    place.write("t.yaml", TEST.replace("shell:", "sell:"));
    let ended = place.arete(["check", "t.yaml"]).run().exits_with(2);
    assert!(!ended.stderr.contains("(with"), "all combinations have it: {}", ended.stderr);
    place.write("t.yaml", TEST.replace("100M]}", "100M], exclude: [{clients: 3}, {rate: 10M}]}"));
    let ended = place.arete(["check", "t.yaml"]).run().exits_with(0);
    assert!(ended.stdout.contains("ok, 2 combinations"), "{}", ended.stdout);
    ended.complains(&["t.yaml:4:56: warning: this item of \"exclude\" matches no combination"]);
    place.arete(["check", "t.yaml", "-p", "rate=1M"]).run().exits_with(2).complains(&["-p rate=1M", "--matrix"]);
    let ended = place.arete(["check", "t.yaml", "--matrix", "clients=7"]).run().exits_with(0);
    assert!(ended.stdout.contains("1 combination, 7 slaves"), "{}", ended.stdout);
}

#[test]
fn a_signal_ends_the_combination_that_runs_and_no_other_begins() {
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")] {
        let place = Place::new("matrix-signal");
        gated(&place, "one");
        place.write("gate-a", "");
        let running = place.arete(["run", "g.yaml", "--results", "r", "--junit", "j.xml"]).start();
        wait_until_runs(&place, "b");
        running.signal(signal);
        let ended = running.wait().exits_with(130);
        let wanted = [("x=a", "passed"), ("x=b", "interrupted"), ("x=c", "not run"), ("x=d", "not run")];
        assert_eq!(verdicts(&ended.stdout), wanted.map(|(x, y)| (x.to_owned(), y.to_owned())), "{}", ended.stdout);
        assert!(ended.stdout.contains(&format!("interrupted by {name}")), "{}", ended.stdout);
        assert_eq!(directories(&place.path("r")), ["x=a", "x=b"]);
        assert_eq!(place.summary("r/x=b")["verdict"], "interrupted");
        let junit = place.read("j.xml");
        assert!(
            junit.matches("skipped=\"1\"").count() == 2 && junit.contains("message=\"not run: interrupted\""),
            "{junit}"
        );
        place.assert_nothing_left();
        place.assert_no_temporary_files();
    }
}

#[test]
fn a_second_signal_kills_the_commands_at_once() {
    let place = Place::new("matrix-twice");
    let stubborn = GATED.replace("grace: 1", "grace: 50").replace("touch", "trap '' TERM; touch");
    place.write("g.yaml", stubborn.replace("DIR", &place.dir().display().to_string()).replace("SLAVE", "one"));
    let mut running = place.arete(["run", "g.yaml", "--results", "r"]).deadline(Duration::from_secs(30)).start();
    wait_until_runs(&place, "a");
    running.signal(Signal::INT);
    running.wait_for_output("interrupted: stopping everything");
    running.signal(Signal::INT);
    let ended = running.wait().exits_with(130);
    assert_eq!(verdicts(&ended.stdout)[1].1, "not run", "{}", ended.stdout);
    place.assert_nothing_left();
}

#[test]
fn a_killed_command_leaves_nothing() {
    let place = Place::new("matrix-killed");
    gated(&place, "one");
    let running = place.arete(["run", "g.yaml", "--results", "r"]).start();
    wait_until_runs(&place, "a");
    running.signal(Signal::KILL);
    drop(running);
    place.assert_nothing_left();
    place.arete(["run", "--resume", "r/x=a"]).run().exits_with(7);
}

/// A controller that stays, with two slaves whose label is their rack.
struct Lab<'a> {
    place: &'a Place,
    address: String,
    services: Vec<Running<'a>>,
}

impl<'a> Lab<'a> {
    fn new(place: &'a Place) -> Lab<'a> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let address = format!("127.0.0.1:{port}");
        let lives = Duration::from_secs(120);
        let mut services =
            vec![place.arete(["controller", "--listen", &address, "--state-dir", "state"]).deadline(lives).start()];
        for name in ["s1", "s2"] {
            let args = ["slave", "--controller", &address, "--name", name, "--dir", name, "--labels", "rack=1"];
            services.push(place.arete(args).deadline(lives).start());
        }
        let lab = Lab { place, address, services };
        wait_for(SOON, "both slaves", || {
            lab.asks(&["status", "--json", "--timeout", "20s"]).matches("\"slave\"").count() == 2
        });
        lab
    }

    fn asks(&self, args: &[&str]) -> String {
        self.place.arete(args).arg("--controller").arg(&self.address).run().exits_with(0).stdout
    }

    /// Starts a matrix of runs.
    fn start(&self, args: &[&str]) -> Running<'a> {
        self.place
            .arete(["run", "g.yaml", "--results", "r"].iter().chain(args))
            .arg("--controller")
            .arg(&self.address)
            .start()
    }

    fn end(mut self) {
        while let Some(service) = self.services.pop() {
            service.signal(Signal::TERM);
            service.wait().exits_with(0);
        }
        self.place.assert_nothing_left();
    }
}

/// A machine with the label, whatever its name.
const ANY: &str = "any: {schedules: [s], with: {rack: \"1\"}}";

fn gated_anywhere(place: &Place) {
    let text = GATED
        .replace("DIR", &place.dir().display().to_string())
        .replace("slaves: {SLAVE: [s]}", &format!("slaves: {{{ANY}}}"));
    place.write("g.yaml", text);
}

#[test]
fn two_combinations_run_at_the_same_time_at_a_controller_with_two_slaves() {
    let place = Place::new("matrix-parallel");
    gated_anywhere(&place);
    let lab = Lab::new(&place);
    let running = lab.start(&["--parallel", "2", "--junit", "j.xml"]);
    wait_until_runs(&place, "a");
    wait_until_runs(&place, "b");
    assert!(!place.path("runs-c").exists());
    // The second is over before the first, and the third takes its place.
    place.write("gate-b", "");
    wait_until_runs(&place, "c");
    assert!(!place.path("runs-d").exists());
    for gate in ["a", "c", "d"] {
        place.write(&format!("gate-{gate}"), "");
    }
    let ended = running.wait().exits_with(0);
    let (a, b) = (ended.stdout.find("== x=a (1 of 4)\n"), ended.stdout.find("== x=b (2 of 4)\n"));
    assert!(b < a && b.is_some(), "what is over first is printed first: {}", ended.stdout);
    assert_eq!(ended.stdout.matches("g passed after").count(), 4, "{}", ended.stdout);
    assert!(ended.stdout.contains("4 combinations: 4 passed\n"), "{}", ended.stdout);
    let order: Vec<String> = verdicts(&ended.stdout).into_iter().map(|(name, _)| name).collect();
    assert_eq!(order, ["x=a", "x=b", "x=c", "x=d"]);
    assert_eq!(directories(&place.path("r")), ["x=a", "x=b", "x=c", "x=d"]);
    assert_eq!(place.read("j.xml").matches("<testsuite ").count(), 4);
    assert!(place.read("r/x=c/test.json").contains("\"x\": \"c\""));
    lab.end();
}

#[test]
fn a_signal_ends_all_combinations_that_run_at_a_controller() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new("matrix-stopped");
        gated_anywhere(&place);
        let lab = Lab::new(&place);
        let running = lab.start(&["--parallel", "2"]);
        wait_until_runs(&place, "a");
        wait_until_runs(&place, "b");
        running.signal(signal);
        let ended = running.wait().exits_with(130);
        let wanted = [("x=a", "interrupted"), ("x=b", "interrupted"), ("x=c", "not run"), ("x=d", "not run")];
        assert_eq!(verdicts(&ended.stdout), wanted.map(|(x, y)| (x.to_owned(), y.to_owned())), "{}", ended.stdout);
        let runs = lab.asks(&["runs", "--json"]);
        assert_eq!((runs.matches("\"over\"").count(), runs.matches("\"running\"").count()), (2, 0), "{runs}");
        lab.end();
    }
}

#[test]
fn combinations_follow_each_other_at_a_controller_too_and_one_that_fails_stops_no_other() {
    let place = Place::new("matrix-remote");
    let text = TEST.replace("\"c[1-@{param.clients}]\"", "\"s[1-@{param.clients}]\"");
    place.write("g.yaml", text);
    let lab = Lab::new(&place);
    let ended = lab.start(&["--quiet"]).wait().exits_with(1);
    assert_eq!(
        verdicts(&ended.stdout).iter().filter(|(_, verdict)| verdict == "passed").count(),
        3,
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("  s1 e failed: exit status 1, expected 0\n      | 100M\n"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("joined") && !ended.stdout.contains("run t-"), "{}", ended.stdout);
    let ids = lab.asks(&["run", "g.yaml", "--detach"]);
    assert_eq!(ids.lines().filter(|line| line.starts_with("t-20")).count(), 4, "{ids}");
    assert_eq!(ids.lines().count(), 4, "{ids}");
    let together = ["run", "g.yaml", "--results", "p", "--parallel", "4", "--quiet", "--retries", "1"];
    let ended = place.arete(together).arg("--controller").arg(&lab.address).run().exits_with(1);
    assert!(ended.stdout.contains("clients=2,rate=100M (4 of 4), attempt 2 of at most 2\n"), "{}", ended.stdout);
    let passed = "== clients=1,rate=10M (1 of 4)\nt passed after ";
    assert!(ended.stdout.contains(passed), "the verdict is below its heading: {}", ended.stdout);
    assert_eq!(directories(&place.path("p/clients=2,rate=100M")), ["attempt-1", "attempt-2"]);
    lab.end();
}

/// A test whose first runs fail, and how many of them.
fn fails_at_first(place: &Place, times: usize) {
    let count = place.path("count").display().to_string();
    let shell = format!("echo x >>{count}; test $(wc -l <{count}) -gt {times} || {{ echo attempt >&2; exit 3; }}");
    place.write(
        "f.yaml",
        format!(
            "name: f\nend: {{idle: true, limit: 20}}\nslaves: {{a: [s]}}\nschedules:\n  s:\n    - {{name: e, at: 0, \
             shell: \"{shell}\"}}\n    - {{name: ok, at: 0, shell: \"true\"}}\n"
        ),
    );
}

#[test]
fn a_test_that_passes_at_last_is_flaky() {
    let place = Place::new("retries");
    fails_at_first(&place, 2);
    let args = ["run", "f.yaml", "--retries", "3", "--results", "r", "--junit", "j.xml"];
    let ended = place.arete(args).run().exits_with(0);
    assert!(ended.stdout.ends_with("f is flaky: it passed in attempt 3\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("== f, attempt 2 of at most 4\n"), "{}", ended.stdout);
    assert_eq!(directories(&place.path("r")), ["attempt-1", "attempt-2", "attempt-3"]);
    assert_eq!(place.summary("r/attempt-1")["verdict"], "failed");
    assert_eq!(place.summary("r/attempt-3")["verdict"], "passed");
    let junit = place.read("j.xml");
    assert!(junit.contains("failures=\"0\"") && junit.contains("name=\"attempts\" value=\"3\""), "{junit}");
    assert_eq!(junit.matches("<flakyFailure ").count(), 4, "the run and the entry, twice: {junit}");
    assert!(junit.contains("type=\"entry\">attempt"), "{junit}");
    place.arete(["run", "f.yaml", "--retries", "3", "--results", "s"]).run().exits_with(0);
    assert_eq!(directories(&place.path("s")), ["attempt-1"], "it passes at once now");
}

#[test]
fn retries_end_and_the_last_attempt_decides() {
    let place = Place::new("retries-end");
    fails_at_first(&place, 9);
    let args = ["run", "f.yaml", "--retries", "2", "--results", "r", "--junit", "j.xml"];
    let ended = place.arete(args).run().exits_with(1);
    assert!(!ended.stdout.contains("flaky"), "{}", ended.stdout);
    assert_eq!(directories(&place.path("r")).len(), 3);
    let junit = place.read("j.xml");
    assert!(junit.contains("failures=\"2\"") && junit.matches("<rerunFailure ").count() == 4, "{junit}");
    place.arete(["run", "f.yaml", "--retries", "1", "--matrix", "x=1"]).run().exits_with(2).complains(&["no param"]);
    // An interrupted run is not run again.
    gated(&place, "one");
    let running = place.arete(["run", "g.yaml", "--matrix", "x=a", "--retries", "5", "--results", "i"]).start();
    wait_until_runs(&place, "a");
    running.signal(Signal::TERM);
    running.wait().exits_with(130);
    assert_eq!(directories(&place.path("i/x=a")), ["attempt-1"]);
    place.assert_nothing_left();
}

#[test]
fn a_matrix_has_retries_of_each_combination() {
    let place = Place::new("retries-matrix");
    place.write("t.yaml", TEST);
    let ended = place.arete(["run", "t.yaml", "--retries", "1", "--results", "r", "--quiet"]).run().exits_with(1);
    assert_eq!(directories(&place.path("r/clients=1,rate=10M")), ["attempt-1"]);
    assert_eq!(directories(&place.path("r/clients=2,rate=100M")), ["attempt-1", "attempt-2"]);
    assert!(ended.stdout.contains("4 combinations: 3 passed, 1 failed\n"), "{}", ended.stdout);
}

#[test]
fn quiet_prints_failures_and_the_verdict_only() {
    let place = Place::new("quiet");
    fails_at_first(&place, 1);
    let ended = place.arete(["run", "f.yaml", "--quiet", "--results", "r"]).run().exits_with(1);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(&lines[..2], ["  a e failed: exit status 3, expected 0", "      | attempt"]);
    assert!(lines[2].starts_with("f failed after 0.") && lines.len() == 3, "{}", ended.stdout);
    let ended = place.arete(["run", "f.yaml", "--quiet", "--results", "s"]).run().exits_with(0);
    assert!(ended.stdout.starts_with("f passed after 0.") && ended.stdout.lines().count() == 1, "{}", ended.stdout);
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
    let ended = place.arete(["run", "--resume", "s", "--quiet"]).run().exits_with(0);
    assert!(ended.stdout.starts_with("f passed after 0.") && ended.stdout.lines().count() == 1, "{}", ended.stdout);
    place.arete(["run", "f.yaml", "--quiet", "--follow"]).run().exits_with(2).complains(&["--follow"]);
}

#[test]
fn a_limit_of_the_command_line_replaces_the_one_of_the_test() {
    let place = Place::new("limit");
    gated(&place, "one");
    let args = ["run", "g.yaml", "--matrix", "x=a", "--limit", "500ms", "--results", "r"];
    let ended = place.arete(args).run().exits_with(1);
    assert!(ended.stdout.contains("its limit of 500ms passed"), "{}", ended.stdout);
    assert!(place.read("r/x=a/test.json").contains("\"limit\": 0.5"), "{}", place.read("r/x=a/test.json"));
    place.write("d.yaml", "name: d\nend: {duration: 1}\nschedules: {s: []}\nslaves: {a: [s]}\n");
    let ended = place.arete(["run", "d.yaml", "--limit", "5"]).run().exits_with(2);
    ended.complains(&["d.yaml:2:1: --limit: this test ends after its \"duration\" and has no limit"]);
    place.arete(["run", "d.yaml", "--limit", "0"]).run().exits_with(2).complains(&["longer than 0"]);
}

#[test]
fn a_combination_runs_with_the_resources_that_there_are_then() {
    let place = Place::new("matrix-resources");
    let file = place.write("r.sh", "echo one");
    let shell =
        format!("sh @{{r.path}} >@{{param.x}}.out2; echo echo @{{param.x}} >{}; cat @{{param.x}}.out2", file.display());
    place.write(
        "t.yaml",
        format!(
            "name: t\nparams: {{x: a}}\nmatrix: {{x: [a, b]}}\nend: {{idle: true, limit: 20}}\nslaves: {{s: [s]}}\n\
             resources: {{r: {{file: r.sh}}}}\nschedules:\n  s: [{{name: e, at: 0, shell: \"{shell}\", use_resources: [r]}}]\n"
        ),
    );
    place.arete(["run", "t.yaml", "--results", "r"]).run().exits_with(0);
    assert_eq!((place.read("r/x=a/s/e.out"), place.read("r/x=b/s/e.out")), ("one\n".to_owned(), "a\n".to_owned()));
}
