//! Members do not wait for others that cannot arrive: for lost slaves, and for slaves on which nothing is left that
//! could arrive.

use arete::wire::PROTOCOL;
use serde_json::Value;

use crate::lab::CONTROLLER;
use crate::world::{MILLISECOND, SECOND};
use crate::{Lab, MINUTE};

/// A test of the slaves `s0`, `s1`, ... with these schedules. It continues without lost slaves.
fn test(schedules: &[&str]) -> String {
    let schedule = |(nr, entries): (usize, &&str)| format!("\"{nr}\": [{entries}]");
    let schedules_of: Vec<String> = schedules.iter().enumerate().map(schedule).collect();
    let slaves: Vec<String> = (0..schedules.len()).map(|nr| format!("\"s{nr}\": [\"{nr}\"]")).collect();
    format!(
        r#"{{ "name": "absent", "grace": 1, "end": {{ "idle": true, "limit": "5min" }}, "on_lost": "continue", "guests": ["c"],
            "triggers": {{ "go": 1, "later": 1 }}, "schedules": {{ {} }}, "slaves": {{ {} }} }}"#,
        schedules_of.join(","),
        slaves.join(",")
    )
}

/// An entry that arrives at the barrier `up`.
fn barrier(name: &str, when: &str, who: &str) -> String {
    format!(r#"{{ "name": "{name}", {when}, "barrier": "up", {who} }}"#)
}

const THREE: &str = r#""members": ["s0", "s1", "s2"]"#;
const TWO: &str = r#""members": ["s0", "s1"]"#;

impl Lab {
    /// The verdicts of meetings, in order, with their reasons and the members that caused them.
    fn met(&self) -> Vec<(String, String, Value)> {
        let met = self.events().into_iter().filter(|event| event["event"] == "met");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        met.map(|event| (text(&event["verdict"]), text(&event["reason"]), event["who"].clone())).collect()
    }

    /// When an event came, in seconds.
    fn time_of(&self, wanted: &[(&str, &str)]) -> f64 {
        let holds = |event: &&Value| wanted.iter().all(|(key, value)| event[key] == *value);
        self.events().iter().find(holds).and_then(|event| event["t"].as_f64()).expect("it has come")
    }

    /// The process of a slave dies, and a new one takes its place.
    fn restart(&mut self, node: usize) {
        self.world.crash(node);
        self.world.start(node);
    }
}

#[test]
fn a_slave_that_is_lost_is_lost_to_every_barrier_and_sync_in_that_turn() {
    let sync = |when: &str| format!(r#"{{ "name": "sync", {when}, "sync": "s", "data": 1, {THREE} }}"#);
    let command = r#"{ "name": "cmd", "at": 0, "shell": "barrier tagged members=s0,s1#x,s2" }"#;
    let late = barrier("late", r#""at": 30"#, THREE).replace("\"up\"", "\"late\"");
    let waits = [barrier("up", r#""at": 0"#, THREE), sync(r#""at": 0"#), command.to_owned(), late].join(",");
    let sleeps = r#"{ "name": "busy", "at": 0, "shell": "forever" }"#;
    let mut lab = Lab::started(&test(&[&waits, sleeps, &waits]));
    lab.wait_for(&[("event", "arrived"), ("member", "s2"), ("barrier", "tagged")]);
    lab.world.run_for(SECOND);
    lab.restart(2);
    lab.wait_for(&[("event", "lost"), ("slave", "s1")]);
    let lost = lab.time_of(&[("event", "lost")]);
    let (code, summary) = lab.end();
    let met = lab.met();
    assert_eq!(met.len(), 4, "{met:?}");
    let who = ["s1#x", "s1", "s1", "s1"];
    for ((verdict, reason, by), member) in met.iter().zip(who) {
        assert_eq!(verdict, "lost", "{met:?}");
        assert_eq!(*reason, format!("{member} was lost: it was restarted in the middle of the run"));
        assert_eq!(by[0], member);
    }
    let times: Vec<f64> =
        lab.events().iter().filter(|it| it["event"] == "met").filter_map(|it| it["t"].as_f64()).collect();
    assert!(times[..3].iter().all(|at| (at - lost).abs() < 1e-6), "in the turn of {lost}: {times:?}");
    let late = lab.time_of(&[("event", "arrived"), ("barrier", "late")]);
    assert!((times[3] - late).abs() < 1e-6, "a late member gets the verdict at once: {times:?}");
    assert_eq!(code, 1, "the entries that waited have failed: {summary:#}");
}

#[test]
fn a_lost_slave_that_had_arrived_fails_the_barrier_and_its_value_stays_in_a_sync() {
    let sync = r#"{ "name": "sync", "at": WHEN, "sync": "s", "data": 1, "members": ["s0", "s1", "s2"] }"#;
    let waits = |when: &str| [barrier("up", r#""at": 0"#, THREE), sync.replace("WHEN", when)].join(",");
    let last = sync.replace("WHEN", "20");
    let mut lab = Lab::started(&test(&[&waits("0"), &waits("0"), &last]));
    lab.wait_for(&[("event", "arrived"), ("member", "s1"), ("session", "s")]);
    lab.restart(2);
    lab.end();
    let met = lab.met();
    assert_eq!(met[0].0, "lost", "{met:?}");
    assert!(met[0].1.starts_with("s1 was lost: it was restarted"), "{met:?}");
    assert_eq!((met[1].0.as_str(), met.len()), ("released", 2), "{met:?}");
    assert_eq!(lab.result("s2/sync.out"), Some("{\"s0\":1,\"s1\":1,\"s2\":1}\n"));
}

#[test]
fn after_a_restart_of_the_controller_a_lost_slave_is_not_waited_for() {
    let waits = [barrier("up", r#""at": 20"#, TWO), barrier("again", r#""at": 40"#, TWO)].join(",");
    let busy = r#"{ "name": "busy", "at": 0, "shell": "forever" }"#;
    let mut lab = Lab::lasting(&test(&[&waits, busy]));
    lab.wait_for(&[("event", "spawned"), ("slave", "s1")]);
    lab.restart(2);
    lab.wait_for(&[("event", "lost"), ("slave", "s1")]);
    lab.world.run_for(SECOND);
    lab.restart(CONTROLLER);
    lab.end();
    let met = lab.met();
    assert_eq!(met.len(), 2, "{met:?}");
    assert!(met.iter().all(|(verdict, reason, _)| verdict == "lost" && reason.starts_with("s1 was lost: ")), "{met:?}");
}

#[test]
fn a_round_ends_if_a_member_cannot_arrive_and_its_first_failure_is_the_reason() {
    let prepare = r#"{ "name": "prepare", "at": 1, "shell": "exit 3" }"#;
    let then = barrier("up", r#""after": { "entry": "prepare", "exit": 0 }"#, TWO);
    let command = r#"{ "name": "cmd", "at": 0, "shell": "barrier cmd members=s0,s1; must" }"#;
    let waits = [barrier("up", r#""at": 0"#, TWO), command.to_owned()].join(",");
    let mut lab = Lab::started(&test(&[&waits, &[prepare, &then].join(",")]));
    let (code, summary) = lab.end();
    assert_eq!(code, 1, "{summary:#}");
    let met = lab.met();
    assert_eq!(met.len(), 2, "{met:?}");
    for (verdict, reason, who) in &met {
        let why = "s1 cannot come any more: its entry prepare failed (exit status 3)";
        assert_eq!((verdict.as_str(), reason.as_str(), &who[0]), ("lost", why, &Value::from("s1")));
    }
    for entry in ["up", "cmd"] {
        let event = lab.events().into_iter().find(|it| it["event"] == "exited" && it["entry"] == *entry);
        assert_eq!(event.expect("it has exited")["exit"]["code"], 5, "{entry}");
    }
    assert!(lab.time_of(&[("event", "met")]) < 3.0, "long before the limit");
}

/// An entry that waits until a failed entry is ready does not begin, although that entry has exited.
#[test]
fn an_entry_that_waits_for_a_server_that_was_never_ready_cannot_arrive() {
    let server = r#"{ "name": "srv", "at": 0, "service": true, "shell": "exit 127", "ready": { "notify": true } }"#;
    let up = barrier("up", r#""after": { "entry": "srv", "ready": true }"#, TWO);
    // The slave is not idle, because a command without a shell runs on it.
    let other = r#"{ "name": "other", "at": 0, "barrier": "other", "members": ["s0", "s1"] }"#;
    let mut lab = Lab::started(&test(&[&barrier("up", r#""at": 0"#, TWO), &[server, &up, other].join(",")]));
    assert_eq!(lab.end().0, 1);
    let (_, reason, _) = &lab.met()[0];
    assert_eq!(reason, "s1 cannot come any more: its entry srv failed (exit status 127)");
    assert!(lab.time_of(&[("event", "met")]) < 5.0);
}

#[test]
fn a_count_that_the_slaves_that_are_left_cannot_fill_is_given_up() {
    let any = barrier("up", r#""at": 0"#, r#""count": 3"#);
    let fails = r#"{ "name": "prepare", "at": 1, "shell": "exit 1" }"#;
    let then = barrier("up", r#""after": { "entry": "prepare", "exit": 0 }"#, r#""count": 3"#);
    let mut lab = Lab::started(&test(&[&any, &any, &[fails, &then].join(",")]));
    lab.end();
    let met = lab.met();
    assert_eq!(met.len(), 1, "{met:?}");
    assert_eq!((met[0].0.as_str(), met[0].1.as_str()), ("lost", "only 2 of the 3 members can still arrive"));
}

#[test]
fn a_member_that_may_still_arrive_is_waited_for() {
    // Each begins in another way, after more than ten seconds in which everything waits.
    let late = barrier("late", r#""at": 12"#, TWO);
    let chain = [
        r#"{ "name": "one", "at": 0, "shell": "sleep 9000" }"#.to_owned(),
        r#"{ "name": "two", "after": "one", "shell": "sleep 3000" }"#.to_owned(),
        barrier("up", r#""after": "two""#, TWO),
    ];
    let by_trigger = barrier("up", r#""trigger": "go""#, TWO);
    let notifies = r#"{ "name": "fire", "at": 12, "notify": "go" }"#;
    let poked = [
        r#"{ "name": "poker", "at": 0, "shell": "sleep 12000; poke" }"#.to_owned(),
        barrier("up", r#""poke": true"#, TWO),
    ];
    for (others, comes) in [("", late), ("", chain.join(",")), (notifies, by_trigger), ("", poked.join(","))] {
        let waits = barrier("up", r#""at": 0"#, TWO);
        let waits = if others.is_empty() { waits } else { [others, &waits].join(",") };
        let mut lab = Lab::started(&test(&[&waits, &comes]));
        let (code, summary) = lab.end();
        assert_eq!(code, 0, "{comes}: {summary:#}");
        assert_eq!(lab.met().iter().filter(|met| met.0 == "released").count(), 1, "{comes}: {:?}", lab.met());
    }
}

#[test]
fn slaves_that_wait_for_each_other_at_different_barriers_get_a_verdict() {
    let crossed = |first: &str, second: &str| {
        let go = barrier("go", r#""at": 0"#, TWO).replace("\"up\"", first);
        [go, barrier("then", r#""after": { "entry": "go", "exit": 0 }"#, TWO).replace("\"up\"", second)].join(",")
    };
    // Each would arrive at the other's barrier after its own, whatever the verdict of its own. Therefore they may
    // arrive.
    let mut lab = Lab::started(&test(&[&crossed("\"x\"", "\"y\""), &crossed("\"y\"", "\"x\"")]));
    lab.wait_for(&[("event", "stalled")]);
    let events = lab.events();
    let stalled = events.iter().find(|event| event["event"] == "stalled").expect("it has come");
    let x = serde_json::json!({ "barrier": "x", "who": ["s0"], "missing": ["s1"] });
    assert_eq!(stalled["waits"][0], x, "{stalled}");
    assert!((5.0..8.0).contains(&stalled["t"].as_f64().unwrap_or_default()), "{stalled}");
    lab.world.run_for(MINUTE);
    assert_eq!(lab.count(&[("event", "stalled")]), 1, "once until something happens");
    let (_, summary) = lab.end();
    let why = summary["why"].as_str().unwrap_or_default();
    assert!(why.ends_with("; s0 waits at barrier x for s1; s1 waits at barrier y for s0"), "{why}");
    let end_at_the_limit = why.starts_with("its limit of 5min passed");
    assert!(end_at_the_limit, "{why}");
}

#[test]
fn the_verdict_names_waiting_commands_with_what_they_wait_for_and_services_do_not_count() {
    let waits = r#"{ "name": "b", "at": 0, "shell": "mark b; barrier up members=s0,s1" },
        { "name": "up", "at": 0, "shell": "forever", "service": true }"#;
    let trigger = r#"{ "name": "t", "at": 0, "shell": "mark t; wait go" }"#;
    let mut lab = Lab::started(&test(&[waits, trigger]));
    lab.wait_for(&[("event", "stalled")]);
    let events = lab.events();
    let stalled = events.iter().find(|event| event["event"] == "stalled").expect("it has come");
    let wanted = serde_json::json!([
        { "barrier": "up", "who": ["s0"], "missing": ["s1"] },
        { "trigger": "go", "who": ["s1"], "left": 1 },
    ]);
    assert_eq!(stalled["waits"], wanted, "{stalled}");
    let printed = String::from_utf8_lossy(&lab.world.nodes[CONTROLLER].printed).into_owned();
    let line = "stalled: s0 waits at barrier up for s1; s1 waits for trigger go, 1 left";
    assert!(printed.contains(line), "{printed}");
}

#[test]
fn a_command_that_computes_is_not_waiting() {
    let waits = barrier("up", r#""at": 0"#, TWO);
    let works = r#"{ "name": "w", "at": 0, "shell": "mark w; sleep 30000; barrier up members=s0,s1" }"#;
    let mut lab = Lab::started(&test(&[&waits, works]));
    let (code, summary) = lab.end();
    assert_eq!((code, lab.count(&[("event", "stalled")])), (0, 0), "{summary:#}");
}

#[test]
fn a_client_that_is_connected_to_the_run_may_bring_what_its_slaves_cannot() {
    let waits = barrier("up", r#""at": 0"#, TWO);
    let fails = r#"{ "name": "prepare", "at": 0, "shell": "exit 1" }"#;
    let then = barrier("up", r#""trigger": "go""#, TWO);
    let notified = r#"{ "name": "never", "trigger": "later", "notify": "go" }"#;
    let mut lab = Lab::prepared(&test(&[&waits, &[fails, &then, notified].join(",")]));
    lab.world.start(CONTROLLER);
    lab.world.run_for(10 * MILLISECOND);
    let client = lab.stranger();
    let join = format!(
        r#"{{"type":"join","protocol":{PROTOCOL},"version":"x","incarnation":"c","room":"run1","member":"c"}}"#
    );
    lab.says(client, format!("{join}\n").as_bytes());
    (1..lab.world.nodes.len()).for_each(|node| lab.world.start(node));
    lab.wait_for(&[("event", "exited"), ("entry", "prepare")]);
    lab.world.run_for(4 * SECOND);
    assert_eq!(lab.met(), [], "the client may notify");
    lab.says(client, b"{\"type\":\"notify\",\"room\":\"run1\",\"trigger\":\"go\",\"count\":1}\n");
    lab.wait_for(&[("event", "met"), ("verdict", "released")]);
}
