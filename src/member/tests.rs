//! Scenarios of a client: its controller is played by hand.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Config, Member, Task};
use crate::machine::stage::{Stage, Surroundings};
use crate::machine::{Address, Effect, Input, Signal};
use crate::wire::rendezvous::Party;
use serde_json::value::RawValue;

/// How far the controller's clock is ahead, in microseconds.
const AHEAD: u64 = 7_000_000;

type World = Stage<Member, Alone>;

/// A client has a connection and a terminal, and nothing else.
struct Alone;

impl Surroundings<Member> for Alone {
    fn perform(_: &mut World, effect: Effect) -> Option<Effect> {
        use Effect::{Close, Connect, Exit, Print, Send};
        let fits = matches!(effect, Connect { .. } | Close { .. } | Send { .. } | Print { .. } | Exit { .. });
        assert!(fits, "a client does not {effect:?}");
        Some(effect)
    }
}

impl World {
    fn new(task: Task, timeout: Option<Duration>) -> World {
        let member = Member::new(Config {
            controller: Address::Inet("c:1".to_owned()),
            room: "lab".to_owned(),
            member: Some("a#1".to_owned()),
            incarnation: "i".to_owned(),
            seed: 3,
            task,
            begun: None,
            timeout,
        });
        let mut world = Stage::begin(member, Alone);
        world.pongs = Some(AHEAD);
        world
    }

    fn connect(&mut self) {
        self.establish();
        self.tell(json!({"type": "welcome", "protocol": 1, "version": "x"}));
    }

    fn verdict(&mut self, kind: &str, more: Value) {
        let mut verdict =
            json!({"type": "verdict", "room": "lab", "round": 2, "verdict": kind, "reason": "missing: b", "ids": [1]});
        verdict.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.tell(verdict);
    }
}

fn barrier() -> Task {
    let party = Some(Party::Members(vec!["a#1".to_owned(), "b".to_owned()]));
    Task::Barrier { barrier: "up".to_owned(), party, fresh: None, abort: None, harmonize: true }
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn it_joins_arrives_hears_and_leaves() {
    let mut world = World::new(barrier(), seconds(5));
    world.connect();
    let join = world.take_said("join").remove(0);
    assert_eq!((&join["room"], &join["member"], &join["protocol"]), (&json!("lab"), &json!("a#1"), &json!(1)));
    let arrive = world.take_said("arrive").remove(0);
    let said = json!({"type": "arrive", "room": "lab", "barrier": "up", "id": 1, "member": "a#1",
        "party": {"members": ["a#1", "b"]}, "timeout": 5_000_000, "harmonize": true});
    assert_eq!(arrive, said);
    world.verdict("released", json!({}));
    assert_eq!((world.take_said("heard").len(), world.take_said("bye").len()), (1, 1));
    assert_eq!((world.exit, world.complained.as_str(), world.machine.output()), (Some(0), "", &b""[..]));
}

#[test]
fn who_waits_where_a_run_has_the_same_barrier_is_told_so_once_and_waits_on() {
    let mut world = World::new(barrier(), None);
    world.connect();
    for _ in 0..2 {
        world.tell(json!({"type": "elsewhere", "room": "lab", "run": "x\u{202e}-1", "name": "up"}));
    }
    let said = "arete: barrier up: run \"x\\u{202e}-1\" has a barrier \"up\": use --room x?-1\n";
    assert_eq!((world.complained.as_str(), world.exit), (said, None));
    world.verdict("released", json!({}));
    assert_eq!((world.exit, world.complained.as_str()), (Some(0), said));
}

#[test]
fn every_verdict_has_its_status_and_says_why() {
    for (kind, status) in
        [("timed-out", 3), ("aborted", 4), ("lost", 5), ("disagreed", 1), ("refused", 1), ("released", 0)]
    {
        let mut world = World::new(barrier(), None);
        world.connect();
        world.verdict(kind, json!({}));
        assert_eq!(world.exit, Some(status), "{kind}");
        let printed = if status == 0 { "" } else { "arete: barrier up: missing: b\n" };
        assert_eq!(world.complained, printed);
    }
}

#[test]
fn who_is_early_waits_for_the_controller_until_its_time_is_up() {
    let mut world = World::new(barrier(), seconds(60));
    for _ in 0..20 {
        world.lose();
        world.await_dial();
    }
    let waited = world.now.as_micros() - 1_000_000;
    world.connect();
    assert_eq!(world.take_said("arrive")[0]["timeout"], 60_000_000 - waited);
    world.lose();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.exit, Some(6));
    assert!(world.complained.contains("no verdict was heard within 1min"), "{}", world.complained);
}

#[test]
fn it_asks_again_after_a_reconnect_and_when_its_controller_says_nothing() {
    let mut world = World::new(barrier(), None);
    world.connect();
    world.lose();
    world.connect();
    assert_eq!(world.take_said("arrive").len(), 2);
    assert_eq!(world.exit, None);
}

#[test]
fn the_controllers_verdict_wins_for_a_moment_after_the_time_is_up() {
    let mut world = World::new(barrier(), seconds(2));
    world.connect();
    world.pass(Duration::from_millis(2_200));
    assert_eq!(world.exit, None);
    world.verdict("timed-out", json!({}));
    assert_eq!(world.exit, Some(3));
    let mut mute = World::new(barrier(), seconds(2));
    mute.connect();
    mute.pass(Duration::from_millis(2_250));
    assert_eq!((mute.exit, mute.take_said("gone").len()), (Some(6), 1));
}

#[test]
fn a_release_at_an_instant_is_waited_for_on_our_own_clock() {
    let mut world = World::new(barrier(), seconds(2));
    world.connect();
    world.verdict("released", json!({"at": world.now.as_micros() + AHEAD + 50_000}));
    world.pass(Duration::from_micros(49_999));
    assert_eq!((world.take_said("heard").len(), world.exit), (1, None));
    world.lose();
    world.pass(Duration::from_micros(1));
    assert_eq!(world.exit, Some(0));
}

#[test]
fn a_sync_gives_its_value_and_shows_the_map_as_it_came() {
    let value = RawValue::from_string("{\"x\": 1.50}".to_owned()).unwrap();
    let task =
        Task::Sync { session: "s".to_owned(), party: Some(Party::Count(2)), all_alive: true, value: value.into() };
    let mut world = World::new(task, seconds(60));
    world.connect();
    let give = world.take_said("give").remove(0);
    assert_eq!(
        (&give["value"]["x"], &give["party"], &give["all_alive"]),
        (&json!(1.5), &json!({"count": 2}), &json!(true))
    );
    let conn = world.conn.unwrap();
    let map =
        b"{\"type\":\"map\",\"room\":\"lab\",\"session\":\"s\",\"round\":2,\"map\":{\"b\":  [1.50], \"a#1\":0}}\n";
    world.input(Input::Received { conn, bytes: map });
    assert_eq!(world.exit, None);
    world.verdict("released", json!({}));
    assert_eq!((world.exit, world.machine.output()), (Some(0), &b"{\"b\":  [1.50], \"a#1\":0}\n"[..]));
}

#[test]
fn a_wait_shows_who_notified_with_what() {
    let mut world = World::new(Task::Wait { trigger: "go".to_owned() }, None);
    world.connect();
    assert_eq!(world.take_said("watch")[0]["trigger"], "go");
    world.tell(json!({"type": "triggered", "room": "lab", "trigger": "other"}));
    assert_eq!(world.exit, None);
    let notes = json!([{"from": "b", "data": {"x": 1}}, {"from": "a#1", "data": "s"}]);
    world.tell(json!({"type": "triggered", "room": "lab", "trigger": "go", "notes": notes}));
    assert_eq!((world.exit, world.machine.output()), (Some(0), &b"b {\"x\":1}\na#1 \"s\"\n"[..]));
}

#[test]
fn data_that_comes_when_the_trigger_has_fired_is_said_to_reach_nobody() {
    let data = || Some(Rc::from(RawValue::from_string("7".to_owned()).unwrap()));
    for (data, in_time, says) in
        [(data(), Some(0), true), (data(), Some(1), false), (data(), None, false), (None, Some(0), false)]
    {
        let mut world = World::new(Task::Notify { trigger: "go".to_owned(), data }, None);
        world.connect();
        world.tell(json!({"type": "noted", "room": "lab", "trigger": "go", "count": 1, "left": 0, "in_time": in_time}));
        assert_eq!((world.exit, world.complained.contains("data is dropped")), (Some(0), says), "{}", world.complained);
    }
}

#[test]
fn triggers_are_made_listed_removed_and_notified() {
    let go = || "go".to_owned();
    let data = RawValue::from_string("7".to_owned()).unwrap();
    for (task, kind, answer) in [
        (
            Task::Create { trigger: go(), count: 3 },
            "create",
            json!({"type": "created", "room": "lab", "trigger": "go"}),
        ),
        (Task::Delete { trigger: go() }, "delete", json!({"type": "created", "room": "lab", "trigger": "go"})),
        (
            Task::Notify { trigger: go(), data: Some(data.into()) },
            "notify",
            json!({"type": "noted", "room": "lab", "trigger": "go", "count": 1, "left": 2}),
        ),
    ] {
        let mut world = World::new(task.clone(), None);
        world.connect();
        assert_eq!(world.take_said(kind)[0]["trigger"], "go");
        world.tell(answer);
        assert_eq!(world.exit, Some(0), "{kind}");
        let mut refused = World::new(task, None);
        refused.connect();
        refused.tell(
            json!({"type": "refused", "room": "lab", "trigger": "go", "code": "trigger", "reason": "there is none"}),
        );
        assert_eq!(refused.exit, Some(1));
        assert!(refused.complained.ends_with("go: there is none\n"), "{}", refused.complained);
    }
    let mut world = World::new(Task::List, None);
    world.connect();
    world.tell(json!({"type": "listing", "room": "lab", "triggers": [{"trigger": "go", "initial": 3, "left": 0, "fired": true}]}),
    );
    assert_eq!(world.machine.output(), b"go 0 of 3 fired\n");
}

#[test]
fn a_time_that_is_up_is_no_verdict_and_not_done_otherwise() {
    let mut world = World::new(Task::Wait { trigger: "go".to_owned() }, seconds(1));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.exit, Some(3));
    assert_eq!(world.complained, "arete: wait go: not done within 1s: the controller c:1 is out of reach\n");
}

#[test]
fn who_is_interrupted_says_that_it_is_gone() {
    let mut world = World::new(barrier(), None);
    world.connect();
    world.input(Input::Signal(Signal::INT));
    assert_eq!((world.take_said("gone").len(), world.take_said("bye").len(), world.exit), (1, 1, Some(130)));
}

#[test]
fn a_fatal_bye_ends_it_and_another_does_not() {
    let mut world = World::new(barrier(), None);
    world.connect();
    world.tell(json!({"type": "bye", "reason": "busy"}));
    assert_eq!(world.exit, None);
    world.connect();
    world.tell(json!({"type": "bye", "reason": "the name is taken", "fatal": true}));
    assert_eq!(world.exit, Some(1));
    assert!(world.complained.contains("the name is taken"), "{}", world.complained);
}

#[test]
fn a_check_is_answered_and_garbage_makes_it_try_again() {
    let mut world = World::new(barrier(), None);
    world.connect();
    world.tell(json!({"type": "check"}));
    assert_eq!(world.take_said("alive").len(), 1);
    world.tell(json!({"type": "nonsense"}));
    assert_eq!((world.conn, world.exit), (None, None));
    world.connect();
    assert_eq!(world.take_said("arrive").len(), 2);
}
