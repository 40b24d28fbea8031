//! A long queue, and many messages at once: the work is bounded by the news, and each turn does a part.

use super::*;

/// How many runs wait without hope, each for machines with other roles.
const RUNS_THERE: usize = 300;
const PLACES: usize = 30;

fn work(lab: &Lab) -> usize {
    lab.machine.host.as_ref().expect("it stays").queue_work()
}

/// Returns a controller with idle slaves and a queue that none of them can serve.
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
fn asking_what_runs_wait_for_costs_no_search() {
    let (mut lab, operator) = waiting();
    let before = work(&lab);
    for _ in 0..20 {
        let runs = lab.ask(operator, &AskRuns { after: "".into(), over: false });
        let runs = runs["runs"].as_array().expect("a list");
        assert_eq!(runs.len(), RUNS_THERE);
        let why = runs[7]["why"].as_str().expect("a reason");
        assert!(why.contains("1 more free slave with role=r7-"), "{why}");
    }
    lab.pass(SECOND * 5);
    assert_eq!(work(&lab), before, "nothing has changed");
    lab.submit(operator, "more", &test_for("y:none"));
    assert!(work(&lab) - before < 200, "the runs before it are as they were");
    let one = lab.submit(operator, "last", &test_for("idle3"));
    assert_eq!(lab.state(operator, &one), "gathering", "a later run is found nevertheless");
}

#[test]
fn a_long_queue_is_searched_in_several_turns() {
    let (mut lab, operator) = waiting();
    let one = lab.submit(operator, "last", &test_for("new:r5-5"));
    let conn = lab.connect();
    let hello = format!(
        r#"{{"type":"hello","protocol":{PROTOCOL},"version":"x","name":"new","incarnation":"i","run":null,"labels":{{"role":"r5-5"}}}}"#
    );
    let (mut turns, mut longest) = (0, 0);
    lab.prompt = false;
    lab.say(conn, &hello);
    while lab.machine.next_deadline().is_some_and(|at| at <= lab.now) {
        let before = work(&lab);
        lab.jump();
        longest = longest.max(work(&lab) - before);
        turns += 1;
        assert!(turns < 100, "the search ends");
    }
    assert!(turns >= 3 && longest < 10_000 + PLACES + 60, "{turns} turns, {longest}");
    let why = lab.progress(operator, &one)["why"].clone();
    assert_eq!(why, "waits for the runs before it", "the sixth run holds the machine back");
}
