//! A long queue, and much said at once: no more work than there is news, and a part of it in each turn.

use std::time::Instant;

use super::*;

/// How many runs wait in vain, each for so many machines of other roles.
const RUNS_THERE: usize = 300;
const PLACES: usize = 30;

fn work(lab: &Lab) -> usize {
    lab.controller.lab.as_ref().expect("it stays").queue.work()
}

/// A controller with idle slaves and a queue that none of them can serve.
fn waiting() -> (Lab, ConnId) {
    let mut lab = Lab::new();
    let operator = lab.operator();
    for nr in 0..RUNS_THERE {
        let slaves: Vec<String> = (0..PLACES).map(|place| format!("x{place}:r{nr}-{place}")).collect();
        lab.submit(operator, &format!("s{nr}"), &test_for(&slaves.join(" ")));
    }
    for nr in 0..50 {
        lab.slave(&format!("idle{nr}:some"), "i", None);
    }
    (lab, operator)
}

#[test]
fn who_asks_what_runs_wait_for_makes_no_work() {
    let (mut lab, operator) = waiting();
    let before = work(&lab);
    for _ in 0..20 {
        let runs = lab.ask(operator, &AskRuns { after: "".into(), over: false });
        let runs = runs["runs"].as_array().expect("a list");
        assert_eq!(runs.len(), RUNS_THERE);
        let why = runs[7]["why"].as_str().expect("it says why");
        assert!(why.contains("1 more with role=r7-"), "{why}");
    }
    lab.pass(SECOND * 5);
    assert_eq!(work(&lab), before, "nothing has changed");
    let one = lab.submit(operator, "last", &test_for("idle3"));
    assert!(work(&lab) - before < 200, "the runs before it are as they were");
    assert_eq!(lab.standing(operator, &one), "gathering", "what comes later is found all the same");
}

#[test]
fn a_long_queue_is_looked_through_in_several_turns() {
    let (mut lab, operator) = waiting();
    let one = lab.submit(operator, "last", &test_for("new:r5-5"));
    let conn = lab.connect();
    let hello = format!(
        r#"{{"type":"hello","protocol":{PROTOCOL},"version":"x","name":"new","incarnation":"i","run":null,"labels":{{"role":"r5-5"}}}}"#
    );
    let (now, mut out, mut turns, mut longest) = (lab.now, Outbox::new(), 0, 0);
    lab.controller.handle(now, Input::Received { conn, bytes: format!("{hello}\n").as_bytes() }, &mut out);
    while lab.controller.next_deadline().is_some_and(|at| at <= now) {
        let before = work(&lab);
        lab.controller.handle(now, Input::Deadline, &mut out);
        longest = longest.max(work(&lab) - before);
        turns += 1;
        assert!(turns < 100, "it comes to an end");
    }
    assert!(turns >= 3 && longest < 10_000 + PLACES + 60, "{turns} turns, {longest}");
    let why = lab.look(operator, &one)["why"].clone();
    assert_eq!(why, "waits for the runs before it", "the sixth run holds the machine back");
}

#[test]
fn notifies_of_many_triggers_at_once_take_no_time() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let name = |nr: usize| format!("{}{nr:04}", "t".repeat(60));
    let all = |value: &str| (0..5_000).map(|nr| format!(r#""{}": {value}"#, name(nr))).collect::<Vec<_>>().join(", ");
    let test = format!(
        r#"{{ "name": "t", "end": {{ "duration": 60 }}, "slaves": {{ "a": ["s"] }}, "triggers": {{ {} }},
            "schedules": {{ "s": [{{ "name": "x", "poke": true, "shell": "true" }}] }} }}"#,
        all("10")
    );
    let run = lab.submit(operator, "s", &test);
    lab.of_run(a, "ready", &run);
    lab.pass(SECOND);
    assert_eq!(lab.standing(operator, &run), "running");
    let took = (1..=5).map(|total| {
        let state = format!(r#"{{"type":"state","run":"{run}","notified":{{ {} }}}}"#, all(&total.to_string()));
        let state = format!("{state}\n");
        let (mut out, begun) = (Outbox::new(), Instant::now());
        lab.controller.handle(lab.now, Input::Received { conn: a, bytes: state.as_bytes() }, &mut out);
        let took = begun.elapsed();
        let sent = out.drain().filter(|effect| matches!(effect, Effect::Send { conn, .. } if *conn == a)).count();
        assert_eq!(sent, 5_000);
        took
    });
    let least = took.min().expect("there are some");
    assert!(least < Duration::from_millis(60), "{least:?}");
}
