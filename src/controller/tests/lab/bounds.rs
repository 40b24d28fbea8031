//! What peers of a permanent controller can make grow, and which peers are disconnected.

use super::*;
use crate::controller::Settings;
use crate::session::files::DEPTH_MAX;
use crate::wire::Output;

fn proven(name: &str) -> Peer {
    Peer::proven(([10, 0, 0, 1], 5_000).into(), [Box::from(name)])
}

/// Loads a configuration that names these operators.
fn reload(lab: &mut Lab, operators: &[&str]) {
    let settings = Settings {
        rejoin: 1_000_000,
        limits: Default::default(),
        operators: operators.iter().map(|name| (*name).to_owned()).collect(),
        lost_after: 1_000_000,
        keeping: Keeping::All,
        keep_max: None,
    };
    let settings = serde_json::to_vec(&settings).expect("they are plain");
    lab.input(Input::Reloaded { settings: &settings });
}

#[test]
fn an_operator_that_loses_its_permission_is_disconnected_at_once() {
    let mut lab = Lab::new();
    let operate = Operate { protocol: PROTOCOL, version: "x".into() };
    reload(&mut lab, &["ada", "bob"]);
    let operators = ["ada", "bob"].map(|name| {
        let conn = lab.accept(TCP, proven(name));
        assert_eq!(lab.ask(conn, &operate)["type"], "welcome");
        conn
    });
    let [ada, bob] = operators;
    let local = lab.accept(SOCKET, Peer::Local { uid: 1_000, pid: None });
    assert_eq!(lab.ask(local, &operate)["type"], "welcome");
    let handed_in = lab.ask(bob, &submit("s1", SHIPS, offers(&[("one.bin", b"1"), ("none.bin", b"2")])));
    assert_eq!(handed_in["type"], "wanted");
    reload(&mut lab, &["ada"]);
    assert_eq!((lab.open.contains(&ada), lab.open.contains(&bob), lab.open.contains(&local)), (true, false, true));
    let bye = lab.messages(bob).pop().expect("a bye");
    assert_eq!((&bye["type"], &bye["code"], &bye["fatal"]), (&"bye".into(), &"stranger".into(), &true.into()), "{bye}");
    assert!(bye["reason"].as_str().is_some_and(|why| why.contains("bob") && why.contains("--operators")), "{bye}");
    assert_eq!(
        lab.files.keys().filter(|path| path.starts_with(RUNS)).count(),
        0,
        "its incomplete submission is removed"
    );
    lab.submit(ada, "s2", &test_for("a"));
}

#[test]
fn a_peer_that_must_prove_itself_again_is_disconnected_and_may_reconnect() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let run = lab.submit(operator, "s", &test_for("a"));
    assert_eq!(lab.state(operator, &run), "gathering");
    lab.sent.clear();
    lab.input(Input::Disproved { conn: a, why: "its certificate was revoked".to_owned() });
    assert!(!lab.open.contains(&a));
    let bye = lab.messages(a).pop().expect("a bye");
    assert_eq!((&bye["reason"], bye["fatal"].as_bool()), (&"its certificate was revoked".into(), Some(false)), "{bye}");
    assert_eq!(lab.progress(operator, &run)["connected"], 0);
    let a = lab.slave("a", "i", Some(&run));
    assert_eq!(lab.progress(operator, &run)["connected"], 1);
    lab.serve(&run, &[a]);
    assert_eq!(lab.state(operator, &run), "over");
}

/// Returns the refusal of a piece of a file, if any.
fn ships(lab: &mut Lab, slave: ConnId, run: &str, file: &str) -> Option<String> {
    let kept = lab.ask(slave, &Output { run: run.into(), file: file.into(), offset: 0, data: Vec::new() });
    assert_eq!(kept["type"], "kept", "{kept}");
    kept["refused"].as_str().map(str::to_owned)
}

#[test]
fn the_directories_of_a_slave_s_files_are_bounded_in_number_and_depth() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let run = lab.submit(operator, "s", &test_for("a"));
    lab.of_run(a, "ready", &run);
    lab.pass(SECOND / 2);
    let deep = |depth: usize, tail: &str| format!("x.files{}/{tail}", "/d".repeat(depth - 1));
    assert_eq!(ships(&mut lab, a, &run, &deep(DEPTH_MAX, "f")), None);
    let refused = ships(&mut lab, a, &run, &deep(DEPTH_MAX + 1, "f")).expect("it is too deep");
    assert!(refused.contains("32 directories deep"), "{refused}");
    // 32 directories exist, so 4,968 are left.
    for nr in 0..(5_000 - DEPTH_MAX) / 2 {
        assert_eq!(ships(&mut lab, a, &run, &format!("x.files/{nr}/e/f")), None);
        assert_eq!(ships(&mut lab, a, &run, &format!("x.files/{nr}/e/g")), None, "no other directory");
    }
    let refused = ships(&mut lab, a, &run, "x.files/more/f").expect("it is one directory too many");
    assert!(refused.contains("5000 directories"), "{refused}");
    assert_eq!(ships(&mut lab, a, &run, "x.files/0/h"), None, "what needs no other directory goes on");
    assert_eq!(ships(&mut lab, a, &run, "x.out"), None);
    assert_eq!(lab.state(operator, &run), "running");
    let mut lab = lab.restarted();
    let operator = lab.operator();
    let a = lab.slave("a", "i", Some(&run));
    assert!(ships(&mut lab, a, &run, "x.files/more/f").is_some(), "they are counted again");
    lab.pass(SECOND);
    lab.of_run(a, "stopped", &run);
    assert_eq!(lab.state(operator, &run), "over");
}

#[test]
fn any_number_of_files_is_listed_page_by_page() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let run = lab.submit(operator, "s", &test_for("a"));
    for nr in 0..25_000 {
        let slave = nr % 3;
        lab.files.insert(format!("{RUNS}/{run}/s{slave}/x.files/\"{nr:05}\"").into(), Vec::new());
    }
    let wide = "\"".repeat(250);
    for nr in 0..PAGE_MAX {
        let path = format!("{RUNS}/{run}/t/x.files/{wide}/{wide}/{wide}/{wide}/{nr}");
        lab.files.insert(path.into(), Vec::new());
    }
    let (mut files, mut after, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let page = lab.ask(operator, &AskFiles { run: run.clone().into(), after: after.clone().into() });
        assert!(page.to_string().len() < crate::wire::LINE_MAX, "it fits a line");
        pages += 1;
        for file in page["files"].as_array().expect("a list") {
            assert!(files.insert(file[0].as_str().expect("a name").to_owned()), "each once: {file}");
        }
        let Some(next) = page["next"].as_str() else { break };
        assert!(next > &*after);
        after = next.to_owned();
    }
    let shipped = files.iter().filter(|file| file.contains("x.files")).count();
    assert_eq!(shipped, 25_000 + PAGE_MAX, "in {pages} pages");
    assert!(pages > 50);
}

#[test]
fn the_runs_in_the_queue_ask_for_a_bounded_number_of_slaves() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let crowd = test_for("never[1-10000]");
    let runs: Vec<String> = (0..10).map(|nr| lab.submit(operator, &format!("s{nr}"), &crowd)).collect();
    let refused = lab.ask(operator, &submit("more", &test_for("a"), BTreeMap::new()));
    let problem = "the test has 1 slaves, and the queue has room for 0: try again later";
    assert_eq!((&refused["type"], &refused["problems"]), (&"unfit".into(), &serde_json::json!([problem])), "{refused}");
    lab.ask(operator, &Cancel { run: runs[0].clone().into(), now: false });
    lab.submit(operator, "again", &crowd);
}

#[test]
fn the_oldest_results_are_removed_when_all_take_more_than_keep_max() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let runs = |lab: &mut Lab, names: &[&str]| -> Vec<String> {
        let serve = |name: &&str| {
            let run = lab.submit(operator, name, &test_for("a"));
            lab.of_run(a, "ready", &run);
            lab.pass(SECOND);
            for nr in 0..3 {
                let data = vec![7; 100_000];
                let output = Output { run: (&*run).into(), file: "x.out".into(), offset: nr * 100_000, data };
                assert_eq!(lab.ask(a, &output)["type"], "kept");
            }
            lab.pass(SECOND / 2);
            lab.of_run(a, "stopped", &run);
            run
        };
        names.iter().map(serve).collect()
    };
    let standing = |lab: &mut Lab, runs: &[String]| -> Vec<String> {
        let operator = lab.operator();
        runs.iter().map(|run| lab.state(operator, run)).collect()
    };
    let kept = runs(&mut lab, &["one", "two", "three"]);
    lab.pass(SECOND * 70);
    assert_eq!(standing(&mut lab, &kept), ["over", "over", "over"], "there is no limit");
    lab.pass(SECOND * 70);
    lab.config.keep_max = Some(700_000);
    let mut lab = lab.restarted();
    lab.pass(SECOND * 2);
    assert_eq!(standing(&mut lab, &kept), ["none", "over", "over"], "three take 900,000 bytes");
    assert!(!lab.files.keys().any(|path| path.starts_with(Path::new(RUNS).join(&kept[0]))));
}

#[test]
fn a_run_counts_with_every_file_of_its_directory() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let run = lab.submit(operator, "one", &test_for("a"));
    lab.serve(&run, &[a]);
    assert_eq!(lab.state(operator, &run), "over");
    let directory = Path::new(RUNS).join(&run);
    let archived: Archived = serde_json::from_slice(&lab.files[&directory.join(OVER)]).expect("it was just written");
    let files = lab.files_below(&directory);
    let expected: u64 = files.iter().map(|(_, length)| length + 4_096).sum();
    let counted = archived.bytes;
    // Only the head of the ledger is not counted.
    assert!(counted.abs_diff(expected) < 256, "{counted} counted, {expected} there: {files:?}");
}

/// Returns the reason of the last goodbye to a peer, or what it has heard.
fn goodbye(lab: &mut Lab, conn: ConnId) -> String {
    let said = lab.messages(conn);
    match said.last().filter(|said| said["type"] == "bye") {
        Some(bye) => format!("{} {}", bye["code"], bye["reason"]),
        None => format!("{said:?}"),
    }
}

#[test]
fn a_report_before_the_start_does_not_end_the_run() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let test = test_for("a").replace(r#""shell": "true""#, r#""end": "passed""#);
    let run = lab.submit(operator, "one", &test);
    let report = |seq: u64, what: &str| format!(r#"{{"type":"report","run":"{run}","seq":{seq},"time":1,{what}}}"#);
    for what in [
        r#""event":"end","entry":"x","verdict":"passed""#,
        r#""event":"spawned","entry":"x","nr":1"#,
        r#""event":"idle","heard":0,"services":false"#,
    ] {
        let a = lab.slave("a", "i", None);
        assert_eq!(lab.words(a), "welcome prepare");
        lab.say(a, &report(1, what));
        assert_eq!(goodbye(&mut lab, a), r#""malformed" "a report of a run that has not started""#);
        assert_eq!(lab.state(operator, &run), "gathering", "{what}");
        lab.close(a);
    }
    let a = lab.slave("a", "i", None);
    lab.say(a, &report(1, r#""event":"warning","text":"w""#));
    assert_eq!(lab.words(a), "welcome prepare recorded");
    lab.of_run(a, "ready", &run);
    lab.pass(SECOND / 2);
    lab.say(a, &report(2, r#""event":"end","entry":"x","verdict":"passed""#));
    assert!(lab.words(a).starts_with("start "), "the run has started");
    assert_eq!(lab.state(operator, &run), "ending");
}

#[test]
fn a_peer_that_sends_messages_of_others_is_disconnected() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let join = format!(r#"{{"type":"join","protocol":{PROTOCOL},"version":"x","incarnation":"j","room":"r"}}"#);
    let operate = format!(r#"{{"type":"operate","protocol":{PROTOCOL},"version":"x"}}"#);
    let of_operator = r#"{"type":"runs","after":"","over":true}"#;
    let of_slave = r#"{"type":"ready","run":"r"}"#;
    let not_of_a_slave = r#""malformed" "a slave does not send this message""#;
    for line in [&*join, &operate, of_operator, r#"{"type":"list","room":"r"}"#] {
        let a = lab.slave("a", "i", None);
        lab.say(a, line);
        assert_eq!(goodbye(&mut lab, a), not_of_a_slave, "{line}");
    }
    for line in [&*operate, of_slave, of_operator] {
        let client = lab.connect();
        lab.say(client, &join);
        lab.say(client, line);
        assert_eq!(goodbye(&mut lab, client), r#""malformed" "a client does not send this message""#, "{line}");
    }
    let a = lab.slave("a", "i", None);
    lab.say(a, of_slave);
    lab.say(a, r#"{"type":"notify","room":"r","trigger":"t","count":1}"#);
    assert_eq!(lab.words(a), "welcome", "its run may be over");
    lab.submit(operator, "one", &test_for("a"));
    lab.say(a, &join);
    assert_eq!(goodbye(&mut lab, a), not_of_a_slave, "it serves a run");
}
