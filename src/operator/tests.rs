//! Scenarios of an operator: its controller is played.

mod several;
mod world;

use std::time::Duration;

use serde_json::json;

use self::world::{RUN, TEST, TOOL, World, submission};
use super::{OverviewOptions, Show, Task};
use crate::machine::{Input, Signal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const STARTED: &str = "{\"t\":-0.200000,\"slave\":\"a\",\"event\":\"joined\",\"address\":\"10.0.0.1:5\"}\n\
                       {\"t\":-0.100000,\"slave\":\"a\",\"event\":\"ready\"}\n\
                       {\"t\":0.000000,\"event\":\"started\",\"slaves\":2,\"wall_clock\":\"2026-01-31T12:00:01.000Z\"}\n";
const SPAWNED: &str = "{\"t\":0.010000,\"slave\":\"a\",\"event\":\"spawned\",\"entry\":\"x\",\"nr\":1,\"pid\":42}\n";
const EXITED: &str = "{\"t\":0.500000,\"slave\":\"a\",\"event\":\"exited\",\"entry\":\"x\",\"nr\":1,\"exit\":{\"code\":0},\"outcome\":\"passed\"}\n";
const ENDED: &str = "{\"t\":1.000000,\"event\":\"ended\",\"verdict\":\"passed\",\"why\":\"its 1s are over\"}\n";

fn running(world: &mut World) {
    world.theirs.insert("test.json".to_owned(), TEST.as_bytes().to_vec());
    world.grow("events.jsonl", STARTED);
    world.becomes(json!({"state": "running", "why": "", "started": "2026-01-31T12:00:01.000Z", "seconds": 0.1}));
}

fn over(world: &mut World) {
    world.grow("events.jsonl", ENDED);
    for (file, text) in [("summary.json", "{}\n"), ("a/x.err", ""), ("report.txt", "\n  x  2 passed\nt passed: fine\n")]
    {
        world.grow(file, text);
    }
    world.becomes(json!({"state": "over", "verdict": "passed", "code": 0, "why": "its 1s are over"}));
}

#[test]
fn a_test_is_submitted_its_run_followed_and_its_results_fetched() {
    let task = Task::Run { submission: Box::new(submission()), results: Some("/r".into()) };
    let mut world = World::new(task);
    world.connect();
    let said = world.take_said("submit");
    assert_eq!(
        (&said[0]["submission"], &said[0]["test"], &said[0]["wait"]),
        (&json!("s1"), &json!(TEST), &json!(60_000_000))
    );
    assert_eq!(said[0]["files"]["tool.sh"], json!({"size": TOOL.len(), "sha256": "ab".repeat(32), "executable": true}));
    world.tell(json!({"type": "wanted", "submission": "s1", "files": {"ab".repeat(32): 3}}));
    let uploads = world.take_said("upload");
    assert_eq!(uploads[0]["offset"], 3);
    let data: Vec<u8> =
        uploads.iter().flat_map(|upload| STANDARD.decode(upload["data"].as_str().unwrap()).unwrap()).collect();
    assert_eq!(data, TOOL[3..]);
    world.accept_run();
    assert!(
        world.printed.contains(&format!("run {RUN} at c:1\nwaiting for slaves a (not connected)\n")),
        "{}",
        world.printed
    );
    running(&mut world);
    world.grow("a/x.out", &"a line of output\n".repeat(10));
    world.grow("events.jsonl", SPAWNED);
    world.grow("events.jsonl", EXITED);
    assert!(
        world.printed.contains("        -  a  joined from 10.0.0.1:5\n    0.000  *  started 2 slaves\n"),
        "{}",
        world.printed
    );
    assert!(world.printed.contains("    0.500  a  x passed: exit status 0\n"), "{}", world.printed);
    assert_eq!(world.exit, None);
    over(&mut world);
    assert_eq!((world.exit, &*world.complained), (Some(0), ""));
    assert!(world.printed.ends_with("\n\n  x  2 passed\nt passed: fine\nresults are in /r\n"), "{}", world.printed);
    world.assert_all_is_here();
}

#[test]
fn reading_continues_after_a_reconnect_where_it_was() {
    let mut world = World::submitted(Show::default());
    running(&mut world);
    let half = SPAWNED.split_at(30);
    world.grow("events.jsonl", half.0);
    world.grow("a/x.out", "0123456789");
    world.pass(Duration::from_secs(6));
    world.lose();
    world.grow("events.jsonl", half.1);
    world.grow("a/x.out", "abc");
    world.connect();
    assert_eq!(world.take_said("submit").len(), 1, "the first one alone: the run is known");
    assert!(world.printed.contains("connected to the controller again\n"), "{}", world.printed);
    over(&mut world);
    assert_eq!(world.exit, Some(0));
    assert_eq!(world.printed.matches("x started (pid 42)").count(), 1, "{}", world.printed);
    world.assert_all_is_here();
}

#[test]
fn an_unanswered_submission_is_sent_again_and_its_files_continue() {
    let mut world = World::new(Task::Run { submission: Box::new(submission()), results: None });
    world.connect();
    world.tell(json!({"type": "wanted", "submission": "s1", "files": {"ab".repeat(32): 0}}));
    world.lose();
    world.said.clear();
    world.connect();
    assert_eq!(world.take_said("submit")[0]["submission"], "s1");
    world.tell(json!({"type": "wanted", "submission": "s1", "files": {"ab".repeat(32): 16}}));
    assert_eq!(world.take_said("upload")[0]["offset"], 16);
    world.accept_run();
    assert_eq!((world.printed, world.exit), (format!("{RUN}\n"), Some(0)), "its id alone");
}

#[test]
fn problems_of_a_test_are_shown_as_by_a_local_run() {
    let mut world = World::new(Task::Run { submission: Box::new(submission()), results: None });
    world.connect();
    world.tell(json!({"type": "unfit", "submission": "s1", "problems": ["t.json:1:2: no", "t.json:3:4: \u{1b}[2Jno"]}));
    assert_eq!(
        (world.complained, world.exit),
        ("arete: t.json:1:2: no\narete: t.json:3:4: ?[2Jno\n".to_owned(), Some(2))
    );
}

#[test]
fn ctrl_c_ends_the_run_then_at_once_then_leaves_it_alone() {
    let mut world = World::submitted(Show::default());
    running(&mut world);
    world.signal(Signal::INT);
    assert_eq!(world.take_said("cancel"), [json!({"type": "cancel", "run": RUN, "now": false})]);
    world.lose();
    world.connect();
    assert_eq!(world.take_said("cancel").len(), 1, "it was not answered");
    world.tell(json!({"type": "seen", "run": world.state}));
    world.lose();
    world.connect();
    assert_eq!(world.take_said("cancel").len(), 0);
    world.signal(Signal::INT);
    assert_eq!(world.take_said("cancel")[0]["now"], true);
    world.signal(Signal::INT);
    assert_eq!(world.exit, Some(130));
    assert!(world.complained.contains(&format!("run {RUN} goes on ending: arete attach {RUN} --controller c:1")));
}

#[test]
fn sighup_leaves_the_run_alone() {
    let mut world = World::submitted(Show::default());
    running(&mut world);
    world.signal(Signal::HUP);
    assert_eq!((world.take_said("cancel").len(), world.exit), (0, Some(130)));
    assert!(world.complained.contains("goes on"), "{}", world.complained);
}

#[test]
fn attach_shows_the_whole_run_and_leaves_it_alone() {
    let attach = || Task::Attach { run: "t-2026".to_owned() };
    let show = || Show { follow: true, ..Show::default() };
    let mut world = World::with(attach(), show(), None);
    running(&mut world);
    world.connect();
    world.grow("a/x.out", "hello\n\x1b[2Jwor");
    world.pass(Duration::from_secs(1));
    assert!(
        world.printed.contains("started 2 slaves\n") && world.printed.contains("a x | hello\n"),
        "{}",
        world.printed
    );
    over(&mut world);
    assert!(world.printed.ends_with("\nt passed: fine\n"), "{}", world.printed);
    assert_eq!((world.exit, world.files.len()), (Some(0), 0));
    let mut world = World::with(attach(), show(), None);
    world.connect();
    world.signal(Signal::INT);
    assert_eq!((world.take_said("cancel").len(), world.exit), (0, Some(130)));
    assert!(world.complained.contains("goes on"), "{}", world.complained);
}

#[test]
fn a_terminal_shows_the_picture_that_the_events_make() {
    let show = Show { terminal: Some((80, 24)), ..Show::default() };
    let mut world = World::submitted(show);
    running(&mut world);
    world.grow("events.jsonl", SPAWNED);
    world.grow("events.jsonl", "{\"t\":0.1,\"event\":\"notified\",\"trigger\":\"go\",\"count\":1,\"left\":1}\n");
    world.pass(Duration::from_secs(3));
    assert!(
        world.printed.contains(
            "of 2 slaves connected, 1 running\n  waits for  the end of its time\n  go         1 of 2 left\n  \
             a          x\n  b          not connected\n"
        ),
        "{}",
        world.printed
    );
    world.printed.clear();
    world.lose();
    assert!(world.printed.ends_with("\x1b[5A\r\x1b[J"), "{:?}", world.printed);
}

#[test]
fn nothing_is_written_outside_the_results_whatever_the_controller_calls_it() {
    let mut world = World::submitted(Show::default());
    running(&mut world);
    for name in ["../evil", "/etc/evil", "a/../../evil", ".run", "a/\u{1b}[2J"] {
        world.theirs.insert(name.to_owned(), b"evil".to_vec());
    }
    over(&mut world);
    assert_eq!(world.exit, Some(7), "the results are incomplete");
    assert!(world.complained.contains("a file that no results have"), "{}", world.complained);
    assert!(!world.complained.contains('\u{1b}'));
    world.theirs.retain(|_, bytes| bytes != b"evil");
    world.assert_all_is_here();
}

#[test]
fn results_that_cannot_be_written_are_reported_and_the_run_is_still_followed() {
    let mut world = World::submitted(Show::default());
    world.full = true;
    running(&mut world);
    over(&mut world);
    assert_eq!(world.exit, Some(7));
    assert!(world.complained.contains("cannot write /r/events.jsonl: no space left"), "{}", world.complained);
    assert!(world.printed.contains("started 2 slaves"), "{}", world.printed);
}

#[test]
fn a_run_that_never_began_says_why() {
    let mut world = World::submitted(Show::default());
    world.becomes(json!({"state": "over", "verdict": "interrupted", "code": 130, "why": "taken out of the queue"}));
    assert_eq!(world.exit, Some(130));
    assert!(world.printed.contains("t was interrupted: taken out of the queue\n"), "{}", world.printed);
}

#[test]
fn stop_waits_until_the_run_is_over() {
    let stop = |waits| Task::Stop { run: "latest".to_owned(), now: true, waits };
    for waits in [true, false] {
        let mut world = World::new(stop(waits));
        running(&mut world);
        world.connect();
        assert_eq!(world.take_said("runs"), [json!({"type": "runs", "after": "", "over": true})]);
        let mut earlier = world.state.clone();
        earlier["run"] = json!("t-20250131T120000Z-0000");
        earlier["submitted"] = json!("2025-01-31T12:00:00.000Z");
        world.tell(json!({"type": "runs", "runs": [world.state, earlier], "more": false}));
        assert_eq!(world.take_said("cancel"), [json!({"type": "cancel", "run": RUN, "now": true})]);
        world.state["state"] = json!("ending");
        world.tell(json!({"type": "seen", "run": world.state}));
        assert_eq!(world.exit, if waits { None } else { Some(0) });
        world.becomes(json!({"state": "over", "why": "cancelled"}));
        assert_eq!(world.exit, Some(0));
        let said = if waits { "is over: cancelled" } else { "is being stopped" };
        assert_eq!(world.printed, format!("run {RUN} {said}\n"));
    }
}

#[test]
fn an_unknown_run_is_an_error() {
    let mut world = World::new(Task::Attach { run: "x".to_owned() });
    world.connect();
    assert_eq!((world.exit, &*world.complained), (Some(1), "arete: attach x: no such run: x\n"));
}

#[test]
fn partial_results_are_fetched_while_the_run_goes_on() {
    let mut world = World::new(Task::Find { run: RUN[..9].to_owned() });
    running(&mut world);
    world.connect();
    assert_eq!(world.exit, Some(0));
    let state = serde_json::from_value(world.state.clone()).unwrap();
    let mut world = World::new(Task::Results { run: Box::new(state), into: "/r".into() });
    running(&mut world);
    world.grow("a/x.out", &"0123456789".repeat(20));
    world.grow("a/x.err", "");
    world.connect();
    assert_eq!((world.exit, &*world.printed), (Some(0), "the run goes on: its partial results are in /r\n"));
    world.assert_all_is_here();
}

#[test]
fn status_is_one_object_a_second_until_ctrl_c() {
    let wanted = OverviewOptions { slaves: true, json: true, watch: true };
    let mut world = World::new(Task::Overview(wanted));
    world.connect();
    for nr in 1..=2 {
        let slave = |name: &str| json!({"slave": name, "address": "10.0.0.1:5", "version": "arete 0.1.0", "connected": 61.5, "labels": {}});
        assert_eq!(world.take_said("slaves")[0]["after"], "");
        world.tell(json!({"type": "slaves", "slaves": [slave("a")], "more": true}));
        assert_eq!(world.take_said("slaves")[0]["after"], "a");
        world.tell(json!({"type": "slaves", "slaves": [slave("b")], "more": false}));
        assert_eq!(world.take_said("runs")[0]["over"], false);
        world.tell(json!({"type": "runs", "runs": [world.state], "more": false}));
        assert_eq!(world.printed.lines().count(), nr);
        world.pass(Duration::from_secs(1));
    }
    let line: serde_json::Value = serde_json::from_str(world.printed.lines().next().unwrap()).unwrap();
    assert_eq!((&line["controller"], line["slaves"].as_array().unwrap().len()), (&json!("c:1"), 2));
    assert_eq!((&line["queue"][0]["run"], &line["runs"]), (&json!(RUN), &json!([])));
    world.signal(Signal::INT);
    assert_eq!(world.exit, Some(0));
}

#[test]
fn an_operator_without_a_controller_gives_up_in_time() {
    let wanted = OverviewOptions { slaves: false, json: false, watch: false };
    let mut world = World::with(Task::Overview(wanted), Show::default(), Some(Duration::from_secs(5)));
    world.pass(Duration::from_secs(6));
    assert_eq!(world.exit, Some(3));
    assert!(
        world.complained.contains("runs: not done within 5s: the controller c:1 is out of reach"),
        "{}",
        world.complained
    );
}

#[test]
fn arbitrary_messages_of_a_controller_do_no_harm() {
    let mut random = fastrand::Rng::with_seed(7);
    let state = json!({"run": RUN, "test": "t", "state": "over", "submitted": "", "slaves": 1, "connected": 1});
    let lines = [
        json!({"type": "seen", "run": state}),
        json!({"type": "seen", "submission": "s1", "run": state}),
        json!({"type": "piece", "run": RUN, "file": "events.jsonl", "offset": 0, "data": "AAAA"}),
        json!({"type": "piece", "run": RUN, "file": "events.jsonl", "offset": 3, "data": ""}),
        json!({"type": "piece", "run": RUN, "file": "a/x.out", "offset": u64::MAX, "data": "AAAA"}),
        json!({"type": "files", "run": RUN, "files": [["a/x.out", u64::MAX], ["a/x.out", 0]], "next": "a/x.out"}),
        json!({"type": "wanted", "submission": "s1", "files": {"ab".repeat(32): u64::MAX}}),
        json!({"type": "wanted", "submission": "s1", "files": {"cd".repeat(32): 0}}),
        json!({"type": "denied", "run": RUN, "code": "no-such-file", "reason": "no"}),
        json!({"type": "runs", "runs": [state], "more": true}),
        json!({"type": "slaves", "slaves": [], "more": true}),
        json!({"type": "unfit", "submission": "s2", "problems": []}),
        json!({"type": "bye", "reason": "no", "fatal": false}),
    ];
    for round in 0..300 {
        let task = match round % 3 {
            0 => Task::Run { submission: Box::new(submission()), results: Some("/r".into()) },
            1 => Task::Attach { run: "latest".to_owned() },
            _ => Task::Overview(OverviewOptions { slaves: true, json: false, watch: true }),
        };
        let mut world = World::new(task);
        for _ in 0..60 {
            if world.exit.is_some() {
                break;
            }
            if world.conn.is_none() {
                world.connect();
            }
            let line = format!("{}\n", random.choice(&lines).unwrap());
            if let Some(conn) = world.conn {
                world.input(Input::Received { conn, bytes: line.as_bytes() });
            }
            world.pass(Duration::from_millis(random.u64(0..500)));
        }
        assert!(world.files.keys().all(|path| path.starts_with("/r")));
    }
}
