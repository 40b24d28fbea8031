//! What peers can make grow, and what happens at the limits.

use std::time::Duration;

use super::{Controller, LOCAL, World};
use crate::controller::room::room::Room;
use crate::controller::room::sync::Limits;
use crate::machine::{ConnId, Input, ListenerId};
use crate::wire::LINE_AROUND_VALUES;

const SECOND: Duration = Duration::from_secs(1);

/// Longer than an unconfirmed outcome is kept for a disconnected process.
pub const FORGOTTEN: Duration = Duration::from_secs(700);

fn world(value: usize, memory: usize) -> World {
    World::of(Controller::bare(None).limited(Limits::new(Some(value), None, Some(memory))))
}

impl World {
    pub(super) fn joins(&mut self, number: u64, room: &str, member: &str, incarnation: &str) -> ConnId {
        let conn = self.accept_nr(number);
        let who = format!(r#""incarnation":"{incarnation}","room":"{room}","member":"{member}""#);
        self.say(conn, &format!(r#"{{"type":"join","protocol":1,"version":"x",{who}}}"#));
        conn
    }

    pub(super) fn gives(
        &mut self,
        conn: ConnId,
        (room, member): (&str, &str),
        session: &str,
        id: u64,
        count: u32,
        value: &str,
    ) {
        let party = format!(r#""party":{{"count":{count}}},"timeout":30000000"#);
        let who = format!(r#""room":"{room}","session":"{session}","id":{id},"member":"{member}""#);
        self.say(conn, &format!(r#"{{"type":"give",{who},{party},"value":{value}}}"#));
    }

    pub(super) fn held(&self) -> usize {
        self.machine.budget.held()
    }

    /// Recounts what is held, in bytes.
    pub(super) fn recount(&self) -> usize {
        self.machine.sessions.partial() + self.machine.rooms.by_name().values().map(Room::recount).sum::<usize>()
    }
}

pub fn text(length: usize) -> String {
    format!("{:?}", "x".repeat(length - 2))
}

#[test]
fn a_client_that_fills_the_memory_is_refused_and_others_meet_in_another_room() {
    let mut world = world(100_000, 1_000_000);
    let greedy = world.joins(1, "r", "g", "g");
    let full = (1..).find(|&id| {
        world.gives(greedy, ("r", "g"), &format!("s{id}"), id, 2, &text(100_000));
        !world.take(greedy).lines().all(|line| line.contains("welcome"))
    });
    assert_eq!(full, Some(2), "a value takes its length twice, and that is the share of a client");
    for number in 10.. {
        let another = world.joins(number, "r", "h", &format!("h{number}"));
        world.take(another);
        world.gives(another, ("r", "h"), &format!("t{number}"), 1, 2, &text(100_000));
        let refused = world.take(another);
        if refused.contains("\"refused\"") {
            assert!(number == 13 && refused.contains("are left"), "a sixteenth is for small things: {refused}");
            break;
        }
    }
    world.gives(greedy, ("r", "g"), "s", 100, 2, &text(100_000));
    let refused = world.take(greedy);
    assert!(refused.contains("\"refused\"") && refused.contains("(--memory-max)"), "{refused}");
    for (number, member) in [(2, "a"), (3, "b")] {
        let conn = world.joins(number, "other", member, member);
        world.gives(conn, ("other", member), "s", 1, 2, &text(10_000));
    }
    for conn in [ConnId(2), ConnId(3)] {
        let heard = world.take(conn);
        assert!(heard.contains("\"map\"") && heard.contains("\"released\""), "{}", &heard[..200.min(heard.len())]);
    }
    assert!(world.closed.is_empty());
    for conn in [greedy, ConnId(10), ConnId(11), ConnId(12), ConnId(13)] {
        world.input(Input::Closed { conn, reason: "gone".into() });
    }
    for conn in [ConnId(2), ConnId(3)] {
        world.say(conn, r#"{"type":"heard","room":"other","ids":[1]}"#);
        world.say(conn, r#"{"type":"bye","reason":"done"}"#);
    }
    world.pass(FORGOTTEN);
    assert_eq!((world.held(), world.machine.rooms.by_name().len()), (0, 0));
}

#[test]
fn a_map_is_held_until_all_members_have_confirmed_it_or_are_forgotten() {
    let mut world = world(100_000, 1_000_000);
    let (a, b) = (world.joins(1, "r", "a", "a"), world.joins(2, "r", "b", "b"));
    for (conn, member) in [(a, "a"), (b, "b")] {
        world.gives(conn, ("r", member), "s", 1, 2, &text(50_000));
    }
    let map = world.held();
    assert!((100_000..102_000).contains(&map), "{map}");
    world.say(a, r#"{"type":"heard","room":"r","ids":[1]}"#);
    let map = map - 384;
    assert_eq!(world.held(), map, "a confirmed outcome frees its entry");
    world.input(Input::Closed { conn: b, reason: "gone".into() });
    world.pass(FORGOTTEN / 2);
    assert_eq!(world.held(), map);
    world.pass(FORGOTTEN / 2);
    assert_eq!(world.held(), 0);
}

#[test]
fn a_connected_member_that_never_confirms_does_not_hold_a_map_for_ever() {
    let mut world = world(100_000, 1_000_000);
    let a = world.joins(1, "r", "a", "a");
    world.gives(a, ("r", "a"), "s", 1, 1, &text(50_000));
    for _ in 0..65 {
        assert!(world.closed.is_empty());
        world.pass(SECOND * 10);
        world.say(a, r#"{"type":"ping","time":1}"#);
    }
    assert_eq!(world.held(), 0);
}

#[test]
fn a_member_that_never_confirms_an_earlier_failure_or_a_refusal_holds_nothing_for_ever() {
    let mut world = world(100_000, 1_000_000);
    let (a, b) = (world.joins(1, "r", "a", "a"), world.joins(2, "r", "b", "b"));
    let arrive = |member: &str, id: u64, party: &str, more: &str| {
        let who = format!(r#""room":"r","barrier":"up","id":{id},"member":"{member}""#);
        format!(r#"{{"type":"arrive",{who},"party":{{"members":{party}}},"timeout":5000000{more}}}"#)
    };
    world.say(a, &arrive("a", 1, r#"["a","b","c"]"#, r#","abort":"no""#));
    world.say(b, &arrive("b", 1, r#"["a","b","c"]"#, ""));
    world.say(b, &arrive("b", 2, r#"["a","c"]"#, ""));
    let heard = world.take(b);
    assert!(heard.contains("an earlier round failed: a aborted: no") && heard.contains("refused"), "{heard}");
    assert!(world.held() > 0);
    for _ in 0..65 {
        world.pass(SECOND * 10);
        [a, b].iter().for_each(|conn| world.say(*conn, r#"{"type":"ping","time":1}"#));
    }
    assert_eq!((world.held(), world.closed.len()), (0, 0));
}

#[test]
fn a_value_longer_than_any_line_is_refused_and_its_connection_continues() {
    let mut world = world(1_000, 64 * 1024 * 1024);
    let a = world.joins(1, "r", "a", "a");
    world.take(a);
    let head = r#"{"type":"give","room":"r","session":"s","id":1,"member":"a","party":{"count":1},"value":""#;
    world.input(Input::Received { conn: a, bytes: head.as_bytes() });
    let piece = vec![b'x'; 65_536];
    for _ in 0..=LINE_AROUND_VALUES / piece.len() {
        world.input(Input::Received { conn: a, bytes: &piece });
    }
    let refused = world.take(a);
    assert!(refused.contains(r#"a value has at most 1000 bytes (--value-max of the controller)"#), "{refused}");
    assert!(refused.contains(r#""verdict":"refused""#) && refused.ends_with("\"ids\":[1]}\n"), "{refused}");
    for _ in 0..1_000 {
        world.input(Input::Received { conn: a, bytes: &piece });
    }
    assert!(world.held() < 10_000, "{}", world.held());
    world.say(a, "\"}");
    world.gives(a, ("r", "a"), "s", 2, 1, &text(1_000));
    assert!(world.take(a).contains("released"));
    world.gives(a, ("r", "a"), "s", 3, 1, &text(1_001));
    assert!(world.take(a).contains("at most 1000 bytes (--value-max of the controller), this one has 1001"));
    let other = world.joins(2, "r", "b", "b");
    world.input(Input::Received { conn: other, bytes: &piece });
    for _ in 0..=LINE_AROUND_VALUES / piece.len() {
        world.input(Input::Received { conn: other, bytes: &piece });
    }
    assert_eq!(world.closed, [other], "only a value is read to its end");
    assert!(world.take(other).contains("a line is longer than 4195304 bytes"));
}

#[test]
fn incomplete_lines_use_half_of_the_memory_and_further_values_are_refused() {
    let mut world = world(1 << 20, 8 << 20);
    let piece = vec![b'x'; 1 << 16];
    let head = |member: &str| {
        format!(
            r#"{{"type":"give","room":"r","session":"s","id":1,"member":"{member}","party":{{"count":1}},"value":""#
        )
    };
    for number in 1..=5 {
        let member = format!("m{number}");
        let conn = world.joins(number, "r", &member, &member);
        world.input(Input::Received { conn, bytes: head(&member).as_bytes() });
        for _ in 0..17 {
            world.input(Input::Received { conn, bytes: &piece });
        }
    }
    let refused = world.take(ConnId(5));
    assert!(refused.contains("(--memory-max)") && refused.contains("refused"), "{refused}");
    assert!(world.closed.is_empty() && world.held() <= 4 << 20);
    for number in 1..=5 {
        world.input(Input::Closed { conn: ConnId(number), reason: "gone".into() });
    }
    world.pass(FORGOTTEN);
    assert_eq!(world.held(), 0);
}

const ROOMS: [&str; 2] = ["r", "q"];

/// A connection with the room and the member of its client.
type Connected = (ConnId, &'static str, String);

/// Lets a random client do something random.
fn random_step(world: &mut World, random: &mut fastrand::Rng, connected: &mut Vec<Connected>, step: u64) {
    let pick = (!connected.is_empty()).then(|| connected[random.usize(..connected.len())].clone());
    let id = random.u64(step.saturating_sub(20)..=step);
    match (random.u8(0..14), pick) {
        (0..=2, _) | (_, None) => {
            let (room, member) = (ROOMS[random.usize(..2)], format!("m{}", random.u8(0..4)));
            let incarnation = format!("{member}-{}", random.u8(0..3));
            let conn = world.joins(step, room, &member, &incarnation);
            connected.push((conn, room, member));
        }
        (3..=5, Some((conn, room, member))) => {
            let session = format!("s{}", random.u8(0..3));
            world.gives(conn, (room, &member), &session, id, 3, &text(random.usize(2..6_000)));
        }
        (6, Some((conn, room, member))) => {
            let party = ["{\"count\":2}", "{\"members\":[\"m0\",\"m1\"]}"][random.usize(..2)];
            let abort = if random.u8(0..4) == 0 { ",\"abort\":\"no\"" } else { "" };
            let who = format!(r#""room":"{room}","barrier":"b","id":{id},"member":"{member}""#);
            world.say(conn, &format!(r#"{{"type":"arrive",{who},"party":{party},"timeout":9000000{abort}}}"#));
        }
        (7, Some((conn, room, _))) => {
            let what = ["gone", "heard"][random.usize(..2)];
            world.say(conn, &format!(r#"{{"type":"{what}","room":"{room}","ids":[{id},{}]}}"#, id + 1));
        }
        (8, Some((conn, _, _))) => {
            connected.retain(|(other, ..)| *other != conn);
            world.input(Input::Closed { conn, reason: "cut".into() });
        }
        (9, Some((conn, _, _))) => {
            let piece = vec![b' '; random.usize(1..3_000)];
            world.input(Input::Received { conn, bytes: &piece });
        }
        (10, Some((conn, room, _))) => {
            let trigger = format!(r#""room":"{room}","trigger":"t{}""#, random.u8(0..2));
            let what = match random.u8(0..5) {
                0 => format!(r#""create",{trigger},"count":3"#),
                1 => format!(r#""delete",{trigger}"#),
                2 => format!(r#""watch",{trigger}"#),
                _ => format!(r#""notify",{trigger},"count":{},"data":{}"#, random.u8(1..4), text(300)),
            };
            world.say(conn, &format!(r#"{{"type":{what}}}"#));
        }
        (11, _) => world.pass(Duration::from_millis(random.u64(1..20_000))),
        (12, _) if random.u8(0..10) == 0 => world.pass(FORGOTTEN),
        _ => {}
    }
}

#[test]
fn the_budget_equals_the_sum_of_all_holders_in_random_histories() {
    let mut rare = [0; 3];
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = world(5_000, 40_000);
        let mut connected = Vec::new();
        let mut refused = 0;
        for step in 1..400_u64 {
            random_step(&mut world, &mut random, &mut connected, step);
            let closed = std::mem::take(&mut world.closed);
            connected.retain(|(conn, ..)| !closed.contains(conn));
            assert_eq!(world.held(), world.recount(), "seed {seed}, step {step}");
            for room in world.machine.rooms.by_name().values() {
                rare.iter_mut().zip(room.has_rare()).for_each(|(count, is)| *count += usize::from(is));
            }
            let conns: Vec<ConnId> = world.sent.keys().copied().collect();
            refused += conns.iter().filter(|conn| world.take(**conn).contains("--memory-max")).count();
        }
        assert!(refused > 0, "seed {seed}: the memory was never full");
        for (number, room) in ROOMS.into_iter().enumerate() {
            let conn = world.joins(1_000 + number as u64, room, "m9", "m9");
            for trigger in ["t0", "t1"] {
                world.say(conn, &format!(r#"{{"type":"delete","room":"{room}","trigger":"{trigger}"}}"#));
            }
        }
        let all: Vec<ConnId> = world.machine.sessions.conns();
        for conn in all {
            world.input(Input::Closed { conn, reason: "over".into() });
        }
        world.pass(FORGOTTEN);
        world.pass(SECOND);
        assert_eq!((world.held(), world.machine.rooms.by_name().len()), (0, 0), "seed {seed}");
    }
    assert!(rare.iter().all(|count| *count > 0), "{rare:?}");
}

/// Returns a run that has started, with the connection of its slave.
fn running(limits: Limits) -> (World, ConnId) {
    let mut world = World::new();
    let controller = std::mem::replace(&mut world.machine, Controller::bare(None));
    world.machine = controller.limited(limits);
    let conn = world.says_hello(1, "i");
    world.say(conn, r#"{"type":"ready","run":"r1"}"#);
    world.pass(SECOND / 5);
    assert!(world.take(conn).contains("\"start\""));
    (world, conn)
}

impl World {
    fn says_hello(&mut self, number: u64, incarnation: &str) -> ConnId {
        let conn = self.accept_nr(number);
        let who = format!(r#""name":"a","incarnation":"{incarnation}""#);
        self.say(conn, &format!(r#"{{"type":"hello","protocol":1,"version":"x",{who}}}"#));
        conn
    }

    fn reports(&mut self, conn: ConnId, seq: u64, what: &str) {
        self.say(conn, &format!(r#"{{"type":"report","run":"r1","seq":{seq},"time":1,{what}}}"#));
    }

    fn ships(&mut self, conn: ConnId, file: &str, offset: u64, data: &str) -> String {
        let what = format!(r#""file":"{file}","offset":{offset},"data":"{data}""#);
        self.say(conn, &format!(r#"{{"type":"output","run":"r1",{what}}}"#));
        self.take(conn)
    }
}

#[test]
fn a_report_with_an_unknown_name_ends_its_connection() {
    for what in [
        r#""event":"spawned","entry":"other","nr":1"#,
        r#""event":"exited","entry":"other","nr":1,"outcome":"passed""#,
        r#""event":"end","entry":"","verdict":"passed""#,
        r#""event":"poked","entry":"../x","by":"command""#,
        r#""event":"heard","trigger":"other""#,
        r#""event":"settled","trigger":"other""#,
    ] {
        let (mut world, conn) = running(Limits::default());
        world.reports(conn, 1, what);
        assert!(world.closed.contains(&conn) && world.take(conn).contains("is not the name of"), "{what}");
    }
    let (mut world, conn) = running(Limits::default());
    world.reports(conn, 1, r#""event":"spawned","entry":"x","nr":1"#);
    assert!(world.closed.is_empty());
}

#[test]
fn a_run_with_too_many_events_fails_and_its_end_is_recorded() {
    let (mut world, conn) = running(Limits::default().of_a_run(None, Some(80), None));
    for seq in 1..=1_000 {
        world.reports(conn, seq, r#""event":"warning","text":"again""#);
    }
    assert!(world.take(conn).contains("more than 80 events: --events-max of the controller allows more"));
    let lines = world.recorded.lines().count();
    assert!((80..=92).contains(&lines), "{lines}");
    world.say(conn, r#"{"type":"stopped","run":"r1"}"#);
    assert!(world.recorded.contains("\"ending\"") && world.recorded.lines().last().unwrap().contains("\"ended\""));
}

#[test]
fn shipped_files_are_bounded_and_the_rest_is_refused() {
    let test = r#"{ "name": "t", "end": { "duration": 9 }, "slaves": { "a": ["s"] },
        "schedules": { "s": [{ "name": "x", "poke": true, "shell": "true", "collect": ["*"] }] } }"#;
    let mut world = World::running(test);
    let controller = std::mem::replace(&mut world.machine, Controller::bare(None));
    world.machine = controller.limited(Limits::default().of_a_run(Some(5), None, None));
    let conn = world.says_hello(1, "i");
    world.say(conn, r#"{"type":"ready","run":"r1"}"#);
    world.pass(SECOND / 5);
    world.take(conn);
    assert!(world.ships(conn, "x.out", 0, "YWJj").ends_with("\"length\":3}\n"));
    let refused = world.ships(conn, "x.files/f", 0, "YWJj");
    assert!(refused.contains("\"length\":0,\"refused\":") && refused.contains("--output-max"), "{refused}");
    // Bytes that were shipped twice count once.
    assert!(world.ships(conn, "x.out", 1, "YmNkZQ==").ends_with("\"length\":5}\n"));
    assert!(world.ships(conn, "x.out", 5, "YQ==").contains("--output-max"));
    assert!(world.closed.is_empty());
}

#[test]
fn repeated_requests_for_the_list_in_one_turn_are_answered_once() {
    let mut world = world(100_000, 1_000_000);
    let conn = world.joins(1, "r", "a", "a");
    world.take(conn);
    let list = r#"{"type":"list","room":"r"}"#;
    world.say(conn, &[list; 1_000].join("\n"));
    world.say(conn, list);
    assert_eq!(world.take(conn).lines().count(), 2);
}

#[test]
fn the_line_of_a_trigger_is_encoded_once_for_all_clients() {
    let mut world = world(100_000, 1_000_000);
    let conn = world.joins(1, "r", "a", "a");
    world.say(conn, r#"{"type":"create","room":"r","trigger":"t","count":1}"#);
    world.say(conn, r#"{"type":"notify","room":"r","trigger":"t","count":1,"data":"long"}"#);
    let held = world.held();
    let watch = b"{\"type\":\"watch\",\"room\":\"r\",\"trigger\":\"t\"}\n".repeat(100);
    world.sent.clear();
    world.input(Input::Received { conn, bytes: &watch });
    let told = world.sent.remove(&conn).unwrap_or_default();
    assert!(told.len() == 100 && told.iter().all(|line| std::rc::Rc::ptr_eq(line, &told[0])));
    assert_eq!((world.held() - held, world.held()), (told[0].len(), world.recount()));
}

#[test]
fn only_the_last_process_of_a_restarting_slave_is_remembered() {
    let mut world = World::new();
    for number in 1..=50 {
        let conn = world.says_hello(number, &format!("i{number}"));
        world.input(Input::Closed { conn, reason: "gone".into() });
    }
    assert_eq!(world.machine.processes.len(), 50);
    world.pass(FORGOTTEN);
    assert_eq!(world.machine.processes.len(), 1);
    let conn = ConnId(100);
    world.input(Input::Accepted { conn, listener: ListenerId(0), peer: LOCAL });
    world.say(conn, r#"{"type":"hello","protocol":1,"version":"x","name":"a","incarnation":"i50"}"#);
    assert!(world.take(conn).contains("\"welcome\""));
}

#[test]
fn a_silent_crowd_is_disconnected_in_parts() {
    let mut world = world(100_000, 1_000_000);
    for number in 1..=1_600 {
        world.accept_nr(number);
    }
    let mut most = 0;
    while world.closed.len() < 1_600 {
        let before = world.closed.len();
        world.jump();
        most = most.max(world.closed.len() - before);
    }
    assert!(most == 500 && world.now.as_micros() < 13_000_000, "{most} at once, the last at {:?}", world.now);
}
