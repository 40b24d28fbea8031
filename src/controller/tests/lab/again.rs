//! A permanent controller is killed and continues. One with a full disk accepts nothing that it could not keep.

use super::*;

#[test]
fn a_killed_controller_continues_all_submitted_runs() {
    // The run is queued, gathering, running, ending and over.
    for phase in 0..5 {
        let mut lab = Lab::new();
        let operator = lab.operator();
        let run = lab.submit(operator, "one", &test_for("a x:client"));
        let behind = lab.submit(operator, "two", &test_for("a"));
        let mut slaves = Vec::new();
        if phase > 0 {
            slaves = vec![lab.slave("a", "i", None), lab.slave("c:client", "i", None)];
        }
        if phase > 1 {
            slaves.iter().for_each(|slave| lab.of_run(*slave, "ready", &run));
        }
        if phase > 2 {
            lab.pass(SECOND * 3 / 2);
            lab.of_run(slaves[0], "stopped", &run);
        }
        if phase > 3 {
            lab.of_run(slaves[1], "stopped", &run);
        }
        let expected = ["queued", "gathering", "running", "ending", "over"][phase];
        assert_eq!(lab.state(operator, &run), expected);
        let mut lab = lab.restarted();
        let operator = lab.operator();
        assert_eq!(lab.state(operator, &run), expected);
        let of = [None, Some(&*run), Some(&*run), Some(&*run), None][phase];
        let a = lab.slave("a", "i", of);
        let c = lab.slave("c:client", "i", of);
        let heard = [lab.words(a), lab.words(c)];
        match phase {
            0 => assert_eq!(heard, ["welcome prepare", "welcome prepare"]),
            1 => assert!(heard.iter().all(|words| words.starts_with("welcome")), "{heard:?}"),
            2 => assert_eq!(heard, ["welcome start", "welcome start"]),
            3 => assert_eq!(heard, ["welcome start stop", "welcome start stop"]),
            _ => assert_eq!(heard, ["welcome prepare", "welcome"]),
        }
        if phase < 4 {
            lab.serve(&run, &[a, c]);
        }
        assert_eq!(lab.progress(operator, &run)["verdict"], "passed", "phase {phase}");
        lab.serve(&behind, &[a]);
        let mut lab = lab.restarted();
        let operator = lab.operator();
        let answer = lab.ask(operator, &AskRuns { after: "".into(), over: true });
        let runs: Vec<&str> =
            answer["runs"].as_array().into_iter().flatten().filter_map(|run| run["run"].as_str()).collect();
        assert_eq!(runs, [&*behind, &*run]);
        lab.is_bare();
    }
}

#[test]
fn runs_that_were_submitted_at_one_instant_keep_their_order() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let runs: Vec<String> = (0..12).map(|nr| lab.submit(operator, &format!("{}", 90 - nr), &test_for("a"))).collect();
    let mut lab = lab.restarted();
    let operator = lab.operator();
    let answer = lab.ask(operator, &AskRuns { after: "".into(), over: false });
    let known: Vec<&str> =
        answer["runs"].as_array().into_iter().flatten().filter_map(|run| run["run"].as_str()).collect();
    assert_eq!(known, runs);
}

#[test]
fn a_test_is_refused_if_the_disk_is_full() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let test = test_for("a");
    lab.full = true;
    let answer = lab.ask(operator, &submit("one", &test, BTreeMap::new()));
    assert_eq!(answer["type"], "unfit");
    assert!(answer["problems"][0].to_string().contains("cannot write"), "{answer}");
    assert_eq!(lab.machine.runs.len(), 0);
    lab.full = false;
    lab.slave("a", "i", None);
    assert_eq!(lab.ask(operator, &submit("one", &test, BTreeMap::new()))["type"], "seen");
    assert_eq!(lab.machine.runs.len(), 1);
}

#[test]
fn slaves_with_many_labels_fit_their_pages() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let labels: BTreeMap<String, String> = (0..64).map(|nr| (format!("label{nr}"), "\"".repeat(256))).collect();
    let said = serde_json::to_string(&labels).expect("labels are JSON");
    for nr in 0..40 {
        let conn = lab.connect();
        let who = format!(r#""protocol":{PROTOCOL},"version":"x","name":"s{nr:02}","incarnation":"i{nr}""#);
        lab.say(conn, &format!(r#"{{"type":"hello",{who},"labels":{said}}}"#));
    }
    let (mut after, mut seen, mut pages) = (String::new(), 0, 0);
    loop {
        let page = lab.ask(operator, &AskSlaves { after: after.as_str().into() });
        let slaves = page["slaves"].as_array().expect("a page").clone();
        (seen, pages) = (seen + slaves.len(), pages + 1);
        after = slaves.last().and_then(|last| last["slave"].as_str()).unwrap_or_default().to_owned();
        if page["more"] == false {
            break;
        }
    }
    assert!(seen == 40 && pages > 1, "{seen} slaves on {pages} pages");
}
