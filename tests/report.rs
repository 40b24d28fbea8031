//! The output of a failed run: its first failure, the last lines of failed commands, and the entries that never began.

#![forbid(unsafe_code)]

mod common;

use common::{Ended, Needed, Place, missing, python, skip};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Runs a test on this machine, and checks its exit code.
fn run(place: &Place, test: &Value, code: i32, more: &[&str]) -> Ended {
    place.write("t.json", test.to_string());
    let args = ["run", "t.json", "--results", "results"];
    place.arete(args.iter().chain(more)).run().exits_with(code)
}

/// The last line with the verdict, and the line below it.
fn headline(ended: &Ended) -> (String, Option<String>) {
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let at = lines.iter().rposition(|line| line.contains(" failed after ")).expect("the verdict is printed");
    let then = lines.get(at + 1).filter(|line| line.starts_with("  ")).map(|line| line.trim().to_owned());
    (lines[at].to_owned(), then)
}

#[test]
fn the_first_failure_is_the_headline_and_the_limit_follows_it() {
    let place = Place::new("headline");
    let mut client = vec![
        json!({"name": "wait", "at": 0, "shell": "sleep 1000"}),
        json!({"name": "client", "trigger": "up", "shell": "arete notify done"}),
        json!({"name": "fetch", "after": "client", "shell": "true"}),
        json!({"name": "nudge", "poke": true, "shell": "arete notify up"}),
        json!({"name": "link1", "after": "client", "shell": "true"}),
    ];
    client.extend(
        (2..=12).map(|nr| json!({"name": format!("link{nr}"), "after": format!("link{}", nr - 1), "shell": "true"})),
    );
    let test = json!({
        "name": "late", "end": {"trigger": "done", "limit": 2}, "triggers": {"done": 1, "up": 1},
        "schedules": {
            "s": [{"name": "httpd", "at": 0, "shell": "echo starting; echo no such file: httpd >&2; exit 127"}],
            "c": client,
        },
        "slaves": {"server": ["s"], "b": ["c"]},
    });
    let ended = run(&place, &test, 1, &[]);
    let (headline, then) = headline(&ended);
    assert!(headline.contains(" s, server httpd failed: exit status 127, expected 0"), "{headline}");
    assert!(headline.contains(": at 0."), "{headline}");
    assert!(then.is_some_and(|then| then.starts_with("then: its limit of 2s passed")), "{}", ended.stdout);
    let report = place.read("results/report.txt");
    for text in [&ended.stdout, &report] {
        assert!(text.contains("      | no such file: httpd\n") && !text.contains("| starting"), "{text}");
        assert!(text.contains("never began: b client (waits for trigger up: 1 of 1 left)"), "{text}");
        assert!(
            text.contains("never began: b fetch (waits until client exits; waits for trigger up: 1 of 1 left)"),
            "{text}"
        );
        let links: String = (2..=11).rev().map(|nr| format!("waits until link{nr} exits; ")).collect();
        let chain = format!("b link12 ({links}and so on; waits for trigger up: 1 of 1 left)");
        assert!(text.contains(&chain), "a long chain is shortened, and has its cause: {text}");
        assert!(!text.contains("never began: b nudge"), "a poke comes from outside: {text}");
    }
    let summary = place.summary("results");
    let first = &summary["failures"][0];
    assert_eq!(
        (&first["kind"], &first["slave"], &first["entry"], &first["nr"], &first["exit"]["code"], &first["tail"]),
        (&json!("entry"), &json!("server"), &json!("httpd"), &json!(1), &json!(127), &json!("no such file: httpd"))
    );
    assert!(first["time"].as_f64().is_some_and(|time| time < 2.0), "{first}");
    assert_eq!(first["text"], "server httpd failed: exit status 127, expected 0");
    assert_eq!(summary["failures"][1]["kind"], "limit");
    assert!(summary["then"].as_str().is_some_and(|then| then.contains("its limit of 2s")), "{summary}");
    place.assert_nothing_left();
}

#[test]
fn standard_output_is_quoted_if_standard_error_is_empty_and_cannot_move_the_cursor() {
    let place = Place::new("quoted");
    let loud = r"i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); done; printf '\033[2Jred\033[0m\007\n'; exit 3";
    let test = json!({
        "name": "quoted", "end": {"idle": true, "limit": 20},
        "schedules": {"s": [{"name": "x", "at": 0, "shell": loud}]}, "slaves": {"a": ["s"]},
    });
    // The shipped output is limited. The last lines are sent in addition.
    let ended = run(&place, &test, 1, &["--output-max", "20"]);
    for text in [ended.stdout.clone(), place.read("results/report.txt")] {
        assert!(text.contains("      | line 29\n      | red?\n"), "{text}");
        assert!(text.contains("| line 21\n") && !text.contains("| line 20\n"), "10 lines: {text}");
        assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
    }
    let tails: Vec<Value> = place.events("results").into_iter().filter(|event| event["event"] == "tail").collect();
    assert_eq!((tails.len(), &tails[0]["entry"]), (1, &json!("x")), "{tails:?}");
}

#[test]
fn a_controller_that_was_killed_still_knows_what_failed_and_what_it_wrote() {
    let place = Place::new("killed");
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", place.path("go").display());
    let test = json!({
        "name": "killed", "end": {"idle": true, "limit": 60},
        "schedules": {"s": [
            {"name": "x", "at": 0, "shell": "echo no disk >&2; exit 4"},
            {"name": "y", "at": 0, "shell": wait},
        ]},
        "slaves": {"a": ["s"]},
    });
    place.write("t.json", test.to_string());
    let mut first = place.arete(["run", "t.json", "--listen", "127.0.0.1:0", "--results", "results"]).start();
    first.wait_for_output("listening on ");
    let said = first.stdout();
    let address = said.split("listening on ").nth(1).and_then(|rest| rest.split(',').next()).expect("an address");
    let args = ["slave", "--controller", address, "--name", "a", "--once", "--dir", "work"];
    let slave = place.arete(args).start();
    first.wait_for_output("| no disk");
    first.signal(Signal::KILL);
    let _ = first.wait();
    let second = place.arete(["run", "--resume", "results"]).start();
    place.write("go", "");
    let ended = second.wait().exits_with(1);
    slave.wait().exits_with(0);
    assert!(ended.stdout.contains("      | no disk\n"), "{}", ended.stdout);
    let first = &place.summary("results")["failures"][0];
    assert_eq!((&first["tail"], &first["exit"]["code"]), (&json!("no disk"), &json!(4)), "{first}");
}

#[test]
fn equal_failures_of_many_slaves_are_reported_once() {
    let place = Place::new("many");
    let shell = "echo $ARETE_SLAVE has no disk >&2; exit 1";
    let test = json!({
        "name": "many", "end": {"idle": true, "limit": 60},
        "schedules": {"s": [{"name": "check", "at": 0, "shell": shell}], "g": [{"name": "good", "at": 0, "shell": "true"}]},
        "slaves": {"node[01-19]": ["s"], "node20": ["g"]},
    });
    let ended = run(&place, &test, 1, &[]);
    let report = place.read("results/report.txt");
    assert!(report.contains("  node[01-19] check failed: exit status 1, expected 0; see node"), "{report}");
    assert!(report.contains(" wrote this, others wrote something else)"), "{report}");
    assert!(report.lines().count() < 12, "{report}");
    assert!(ended.stdout.lines().count() < 100, "{} lines:\n{}", ended.stdout.lines().count(), ended.stdout);
    assert_eq!(place.summary("results")["failures"].as_array().map(Vec::len), Some(19));
}

#[test]
fn a_run_that_passes_names_what_never_began_but_for_branches() {
    let place = Place::new("passes");
    let test = json!({
        "name": "passes", "end": {"idle": true, "limit": 20}, "triggers": {"bad": 1},
        "schedules": {"s": [
            {"name": "x", "at": 0, "shell": "true || arete notify bad"},
            {"name": "help", "trigger": "bad", "shell": "true"},
            {"name": "branch", "after": {"entry": "x", "exit": 3}, "shell": "true"},
        ]},
        "slaves": {"a": ["s"]},
    });
    let ended = run(&place, &test, 0, &[]);
    assert!(ended.stdout.contains("never began: a help (waits for trigger bad: 1 of 1 left)"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("branch"), "{}", ended.stdout);
    let summary = place.summary("results");
    assert!(summary.get("failures").is_none() && summary.get("then").is_none(), "{summary}");
}

#[test]
fn a_warning_names_its_place_and_refuses_nothing() {
    let place = Place::new("warned");
    let text = r#"{ "name": "warned", "end": {"idle": true, "limit": 20}, "triggers": {"ready": 1},
"schedules": { "s": [
  { "name": "x", "at": 0, "shell": "arete notify raedy || true" },
  { "name": "late", "at": 30, "shell": "true" }
] }, "slaves": { "a": ["s"] } }"#;
    place.write("t.json", text);
    let ended = place.arete(["check", "t.json"]).run().exits_with(0);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let wanted = [
        "arete: t.json:3:50: warning: \"arete notify raedy\": the test declares no such trigger, did you mean \"ready\"?",
        "arete: t.json:4:27: warning: the entry \"late\" can never start: the run is over after 20s",
    ];
    assert_eq!(lines, wanted);
    assert!(ended.stdout.contains("t.json: ok, "), "{}", ended.stdout);
    let run = place.arete(["run", "t.json", "--results", "results"]).run();
    assert!(run.stderr.starts_with(wanted[0]), "{}", run.stderr);
}

/// Reads a JUnit file with a library: each case as `CLASS NAME STATUS MESSAGE: TEXT`, and the counts of the suite.
const JUNIT: &str = r#"
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == "testsuites", root.tag
suite, = root
print(suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped"))
print(*(f"{p.get('name')}={p.get('value')}" for p in suite.find("properties") if p.get("name") != "run"), sep="; ")
for case in suite.iter("testcase"):
    assert float(case.get("time")) >= 0
    marks = [f"{mark.tag} {mark.get('message')}: {(mark.text or '').strip()}" for mark in case]
    print(case.get("classname"), case.get("name"), *(marks or ["passed"]))
"#;

#[test]
fn a_ci_server_reads_the_outcome_of_each_entry() {
    if let Some(why) = missing(&["python3"]) {
        return skip("a JUnit file read by Python", &why, Needed::InCi);
    }
    let place = Place::new("junit");
    place.write("read.py", JUNIT);
    let read = |file: &str| {
        let mut command = python();
        command.args(["read.py", file]);
        place.program(command).run().exits_with(0).stdout
    };
    let test = json!({
        "name": "ci", "end": {"idle": true, "limit": 20},
        "schedules": {"s": [
            {"name": "good", "at": 0, "shell": "true"},
            {"name": "bad", "at": 0, "shell": "printf 'a <b> & \\033[31mred]]>\\001\n' >&2; exit 3"},
            {"name": "poked", "poke": true, "shell": "true"},
            {"name": "poke", "at": 0, "shell": "arete poke poked; arete poke poked"},
            {"name": "after", "after": {"entry": "bad", "exit": 0}, "shell": "true"},
        ]},
        "slaves": {"a": ["s"]},
    });
    run(&place, &test, 1, &["--junit", "ci.xml"]);
    let lines = read("ci.xml");
    let failed = "ci.a bad failure exit status 3, expected 0: a <b> & red]]>?";
    for line in
        ["ci 6 2 0 0", failed, "ci.a good passed", "ci.a poke passed", "ci.a poked #1 passed", "ci.a poked #2 passed"]
    {
        assert!(lines.lines().any(|it| it == line), "{line:?} is missing: {lines}");
    }
    assert!(lines.contains("verdict=failed") && lines.contains("ci run failure "), "{lines}");
    place.write("t.json", test.to_string().replace("exit 3", "exit 0"));
    place.arete(["run", "t.json", "--results", "passed", "--junit", "ci.xml"]).run().exits_with(0);
    assert!(read("ci.xml").contains("ci 7 0 0 0\n") && read("ci.xml").contains("ci run passed"), "{}", read("ci.xml"));
    let nowhere = ["run", "t.json", "--results", "again", "--junit", "nowhere/ci.xml"];
    place.arete(nowhere).run().exits_with(1).complains(&["cannot write nowhere/ci.xml", "no such file"]);
}

#[test]
fn a_job_that_passes_at_a_later_attempt_is_flaky_in_every_report() {
    let place = Place::new("flaky");
    std::fs::create_dir(place.path("tools")).unwrap();
    place.write("tools/count.sh", "#!/bin/sh\necho try >> \"$1\"\ntest \"$(wc -l < \"$1\")\" -ge 3\n");
    let test = json!({
        "name": "flaky", "end": {"idle": true, "limit": 60},
        "defaults": {"env": {"COUNTER": "tries"}, "timeout": 20},
        "schedules": {
            "base": [{"name": "job", "at": 0, "file": ["tools/count.sh", "@{slave.workdir}/tries"],
                      "retries": {"times": 3, "delay": "10ms"}}],
            "s": {"extends": "base", "entries": [
                {"name": "never", "after": {"entry": "job", "exit": "failed"}, "shell": "true"},
                {"name": "lines", "after": ["job", "bash"], "shell": ["wc -l", "< $COUNTER"]},
                {"name": "bash", "at": 0, "script": "[[ a == a ]]\necho reached", "interpreter": ["bash", "-euc"]},
                {"name": "exec", "after": {"any": ["lines", "never"], "delay": "20ms"}, "exec": ["echo", "a  b", "$HOME"]},
            ]},
        },
        "slaves": {"a": ["s"]},
    });
    let ended = run(&place, &test, 0, &["--junit", "ci.xml"]);
    let report = place.read("results/report.txt");
    assert!(report.contains("job    1 flaky (passed at a later attempt), 2 tried again\n"), "{report}");
    assert!(ended.stdout.contains("job.3 passed at last (flaky)"), "{}", ended.stdout);
    assert_eq!(place.read("results/a/exec.out"), "a  b $HOME\n");
    assert_eq!(place.read("results/a/bash.out"), "reached\n");
    let xml = place.read("ci.xml");
    assert_eq!(xml.matches("<flakyFailure").count(), 2, "{xml}");
    assert!(xml.contains("tests=\"5\" failures=\"0\" errors=\"0\""), "{xml}");
    let summary: serde_json::Value = serde_json::from_str(&place.read("results/summary.json")).unwrap();
    let outcomes: Vec<_> = summary["slaves"]["a"]["entries"]["job"].as_array().unwrap().iter().collect();
    let outcomes: Vec<_> = outcomes.iter().map(|run| (&run["outcome"], &run["attempt"])).collect();
    let (retried, passed, none) = (json!("retried"), json!("passed"), json!(null));
    assert_eq!(outcomes, [(&retried, &none), (&retried, &json!(2)), (&passed, &json!(3))]);
    place.write("t.json", test.to_string().replace("\"times\":3", "\"times\":1"));
    let failed = place.arete(["run", "t.json", "--results", "again"]).run().exits_with(1);
    assert!(failed.stdout.contains("a job.2 failed: exit status 1"), "{}", failed.stdout);
}
