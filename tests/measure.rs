//! Measurements: what commands record is in the results, tests assert something about it, and runs are compared by it.

#![forbid(unsafe_code)]

mod common;

use common::{Ended, Place, SOON, wait_for};
use serde_json::{Value, json};

/// A test of some slaves that run one command each.
fn test(slaves: &[(&str, &str)], asserts: Value) -> Value {
    let schedules = slaves.iter().map(|(name, shell)| {
        (name.to_string(), json!([{"name": "measure", "at": 0, "shell": shell, "expect": "any"}]))
    });
    let schedules: serde_json::Map<String, Value> = schedules.collect();
    let named: serde_json::Map<String, Value> =
        slaves.iter().map(|(name, _)| (name.to_string(), json!([name]))).collect();
    json!({"name": "m", "end": {"idle": true, "limit": 60}, "schedules": schedules, "slaves": named, "assert": asserts})
}

fn run(place: &Place, results: &str, test: &Value, code: i32) -> Ended {
    let file = format!("{results}.json");
    place.write(&file, test.to_string());
    let junit = format!("{results}.xml");
    place.arete(["run", &file, "--results", results, "--junit", &junit]).run().exits_with(code)
}

#[test]
fn recorded_values_are_in_the_summary_the_report_the_events_and_the_junit_file() {
    let place = Place::new("recorded");
    let several =
        r#"printf '{"lost": 3, "p99": {"value": 2.5, "unit": "ms", "lower_is_better": true}}' | arete record --json -"#;
    let a = format!("arete record throughput 94.1 --unit Mbit/s; arete record throughput 0.1 --unit Gbit/s; {several}");
    let b = "arete record throughput 500 --unit Mbit/s; arete record depth -0.5";
    let asserts = json!({"throughput": {"each": ">= 94 Mbit/s", "count": 3, "max": "0.5 Gbit/s"}, "lost": "< 4"});
    let ended = run(&place, "r", &test(&[("a", &a), ("b", b)], asserts), 0);
    assert!(ended.stdout.contains("a  measure recorded throughput 94.1 Mbit/s\n"), "{}", ended.stdout);
    let measurements = &place.summary("r")["measurements"];
    let throughput = &measurements["throughput"];
    assert_eq!(throughput["slaves"], json!({"a": [94.1, 100], "b": [500]}));
    let figures = ["count", "min", "max", "median", "sum"].map(|figure| &throughput[figure]);
    assert_eq!(figures, [&json!(3), &json!(94.1), &json!(500), &json!(100), &json!(694.1)]);
    assert_eq!((&throughput["unit"], &throughput["lower_is_better"]), (&json!("Mbit/s"), &Value::Null));
    assert_eq!((&measurements["p99"]["lower_is_better"], &measurements["lost"]["unit"]), (&json!(true), &Value::Null));
    assert_eq!(measurements["depth"]["mean"], json!(-0.5));
    let report = place.read("r/report.txt");
    assert!(report.contains("  throughput   Mbit/s      3  94.1  231.367     100   500  694.1\n"), "{report}");
    let events = place.events("r");
    let measured: Vec<_> =
        events.iter().filter(|event| event["event"] == "measured" && event["slave"] == "a").collect();
    assert_eq!(measured.len(), 4);
    let first = measured[0];
    let fields = ["entry", "nr", "name", "value", "unit"].map(|key| &first[key]);
    assert_eq!(fields, [&json!("measure"), &json!(1), &json!("throughput"), &json!(94.1), &json!("Mbit/s")]);
    let junit = place.read("r.xml");
    for property in [
        r#"name="throughput.max" value="500""#,
        r#"name="throughput.unit" value="Mbit/s""#,
        r#"name="p99.mean" value="2.5""#,
    ] {
        assert!(junit.contains(property), "{property}: {junit}");
    }
    place.assert_nothing_left();
}

#[test]
fn broken_assertions_fail_the_run_the_first_is_the_reason_and_all_are_listed() {
    let place = Place::new("broken");
    let record = |value: &str| format!("arete record throughput {value} --unit Mbit/s");
    let asserts = json!({
        "throughput": {"each": ">= 0.5 Gbit/s", "of": "client*", "mean": "< 20 ms"}, "zero": 0,
        "other": {"count": 0},
    });
    let slaves = [("client1", record("94.1")), ("client2", record("600")), ("server", record("1"))];
    let slaves: Vec<(&str, &str)> = slaves.iter().map(|(name, shell)| (*name, shell.as_str())).collect();
    let ended = run(&place, "r", &test(&slaves, asserts), 1);
    let each = "throughput: client1 recorded 94.1 Mbit/s, asserted >= 0.5 Gbit/s";
    let mean = "throughput of client*: the mean of 2 values is 347.05 Mbit/s, asserted < 20 ms: the unit Mbit/s cannot be \
                compared with the unit ms";
    let zero = "no slave recorded zero, asserted == 0";
    assert!(ended.stdout.contains(&format!(": {each} (and 2 more failures)\n")), "{}", ended.stdout);
    let (report, summary) = (place.read("r/report.txt"), place.summary("r"));
    let texts: Vec<&str> = summary["failures"]
        .as_array()
        .expect("failures")
        .iter()
        .filter_map(|failure| failure["text"].as_str())
        .collect();
    assert_eq!(texts, [each, mean, zero]);
    assert!(texts.iter().all(|text| report.contains(&format!("  {text}\n"))), "{report}");
    assert_eq!((&summary["failures"][0]["slave"], &summary["failures"][1]["slave"]), (&json!("client1"), &Value::Null));
    let junit = place.read("r.xml");
    assert!(junit.contains("no slave recorded zero, asserted == 0</failure>"), "{junit}");
}

#[test]
fn a_run_that_failed_before_is_not_blamed_for_missing_measurements() {
    let place = Place::new("failed-before");
    let mut failing = test(&[("a", "arete record x 5; exit 3")], json!({"x": "< 5", "y": 0}));
    failing["schedules"]["a"][0]["expect"] = json!([0]);
    run(&place, "r", &failing, 1);
    let summary = place.summary("r");
    let kinds: Vec<&Value> = summary["failures"].as_array().expect("failures").iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["entry", "assertion"]);
    assert!(summary["why"].as_str().is_some_and(|why| why.contains("a measure failed: exit status 3")), "{summary}");
}

#[test]
fn a_wrong_measurement_is_refused_and_the_command_is_told() {
    let place = Place::new("refused");
    place.arete(["record", "x", "1"]).run().exits_with(2).complains(&["ARETE_SOCKET is not set"]);
    for (args, parts) in [
        (&["record", "x", "fast"][..], &["x: \"fast\" is not a number"][..]),
        (&["record", "x", "5ms"], &["\"5ms\" is not a number", "give its unit with --unit"]),
        (&["record", "x", "inf"], &["is not a number from -1e100 to 1e100"]),
        (&["record", "x y", "5"], &["\"x y\" cannot name a measurement"]),
        (&["record", "x", "5", "--unit", "m s"], &["--unit: \"m s\" is not a unit"]),
        (&["record", "--json", "none.json"], &["--json none.json", "no such file"]),
        (&["record", "--json", "bad.json"], &["--json bad.json: line 2, column 7: the value of x is a number"]),
        (&["record", "x"], &["VALUE"]),
        (&["record", "--json", "bad.json", "x", "5"], &["--json"]),
    ] {
        place.write("bad.json", "{\n \"x\": \"5\"}");
        let ended = place.arete(args).env("ARETE_SOCKET", "/nowhere").run();
        assert_ne!(ended.code(), 0, "{args:?}");
        let told = ended.stderr.to_lowercase();
        assert!(parts.iter().all(|part| told.contains(&part.to_lowercase())), "{args:?}: {told}");
    }
    let shell = "arete record x 5 --unit ms; arete record x 6 --unit MiB; echo $?";
    run(&place, "r", &test(&[("a", shell)], json!({"x": {"count": 1}})), 0);
    assert_eq!(place.read("r/a/measure.out"), "1\n");
    assert!(place.read("r/a/measure.err").contains("x was recorded in ms before, and now in MiB"));
}

#[test]
fn measurements_count_once_while_the_controller_is_killed_and_continues() {
    let place = Place::new("measured-on");
    let stop = place.path("stop").display().to_string();
    let shell = format!("i=0; until [ -e {stop} ]; do i=$((i+1)); arete record tick $i; sleep 0.01; done; echo $i");
    place.write("t.json", test(&[("a", &shell)], json!({"tick": {"min": 1, "count": "< 5"}})).to_string());
    let mut first = place.arete(["run", "t.json", "--listen", "127.0.0.1:0", "--results", "r"]).start();
    first.wait_for_output("listening on 127.0.0.1:");
    let said = first.stdout();
    let address = said.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).expect("an address").to_owned();
    let address = address.trim_end_matches([':', ',', ';']).to_owned();
    let dir = place.path("a").display().to_string();
    let slave = place.arete(["slave", "--controller", &address, "--name", "a", "--dir", &dir, "--once"]).start();
    let mut controller = first;
    for kill in 1..=3 {
        let known = place.count("r", "measured");
        wait_for(SOON, "more measurements", || place.count("r", "measured") >= known + 5);
        drop(controller);
        controller = place.arete(["run", "--resume", "r"]).start();
        wait_for(SOON, "the controller continues", || place.count("r", "resumed") >= kill);
    }
    place.write("stop", "");
    let ended = controller.wait().exits_with(1);
    slave.wait().exits_with(0);
    let values = &place.summary("r")["measurements"]["tick"]["slaves"]["a"];
    let last: usize = place.read("r/a/measure.out").trim().parse().expect("a number");
    assert_eq!(*values, json!((1..=last).collect::<Vec<usize>>()), "each once, in order");
    let words = format!("tick: {last} values were recorded, asserted < 5");
    assert!(ended.stdout.contains(&words), "{}", ended.stdout);
    let before = place.summary("r");
    place.arete(["run", "--resume", "r"]).run().exits_with(1);
    assert_eq!(place.summary("r"), before, "a run that is over stays as it is");
    place.assert_nothing_left();
}

#[test]
fn two_runs_are_compared_and_the_exit_status_says_whether_the_second_is_worse() {
    let place = Place::new("compare");
    let shell = |fast: u32, late: &str| {
        format!("arete record throughput {fast} --unit Mbit/s; arete record p99 {late} --unit ms --lower-is-better")
    };
    let (good, bad) = (shell(100, "10"), shell(90, "5") + "; arete record new 1; exit 3");
    run(&place, "good", &test(&[("a", &good)], json!({})), 0);
    let mut worse = test(&[("a", &bad)], json!({}));
    worse["name"] = json!("n");
    run(&place, "bad", &worse, 0);
    let compare = |args: &[&str], code| place.arete(["compare"].iter().chain(args)).run().exits_with(code).stdout;
    let text = compare(&["good", "bad"], 0);
    for part in ["throughput  100 Mbit/s", "-10.0% worse\n", "-50.0% better\n", "only in the second run\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("note: these are different tests: m and n\n"), "{text}");
    let text = compare(&["good", "bad", "--threshold", "9.5"], 1);
    assert!(text.ends_with("worse by more than 9.5%: throughput\n"), "{text}");
    compare(&["good", "bad", "--threshold", "10.5"], 0);
    let found: Value =
        serde_json::from_str(&compare(&["good", "bad", "--threshold", "9%", "--json"], 1)).expect("JSON");
    assert_eq!(found["measurements"]["throughput"]["beyond"], true);
    assert_eq!((&found["measurements"]["p99"]["how"], &found["worse"]), (&json!("better"), &json!(true)));
    // A verdict that was passed and is failed is worse in any case.
    worse["schedules"]["a"][0]["expect"] = json!([0]);
    run(&place, "failed", &worse, 1);
    let text = compare(&["good", "failed"], 1);
    assert!(text.contains("a measure: passed in the first run, failed in the second\n"), "{text}");
    assert!(text.contains("the second run failed: at 0."), "{text}");
    compare(&["failed", "good"], 0);
}

#[test]
fn what_cannot_be_compared_is_told() {
    let place = Place::new("not-compared");
    run(&place, "r", &test(&[("a", "true")], json!({})), 0);
    place.write("other/file", "");
    place.write("open/events.jsonl", "");
    place.write("torn/summary.json", "{");
    for (directory, words) in [
        ("none", "none is not a directory"),
        ("other", "other has no results of a run: it lacks summary.json"),
        ("open", "the run in open is not over"),
        ("torn", "torn/summary.json is not the summary of a run"),
    ] {
        place.arete(["compare", "r", directory]).run().exits_with(2).complains(&[words]);
        place.arete(["compare", directory, "r"]).run().exits_with(2).complains(&[words]);
    }
    place.arete(["compare", "r", "r", "--threshold", "-1"]).run().exits_with(2).complains(&["per cent"]);
}
