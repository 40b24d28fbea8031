//! Long work of a run in pieces: the parts of its slaves, and its summary.

use super::*;
use crate::controller::room::sync::Limits;
use crate::machine::Bytes;

/// A run of these slaves, with a command that is this long, or that names the address of the slave `a`.
fn test(slaves: &str, command: usize) -> Test {
    let command = if command == 0 { "echo @{a.address}".to_owned() } else { "x".repeat(command) };
    let text = format!(
        r#"{{ "name": "t", "end": {{ "duration": 2 }}, "slaves": {{ {slaves} }},
            "schedules": {{ "s": [{{ "name": "x", "poke": true, "shell": "{command}" }}], "none": [] }} }}"#
    );
    testfile::parse("t.json", &text, &mut |file| Err(format!("there is no {file}"))).expect("a test")
}

impl World {
    fn connects_from(&mut self, number: u64, host: u8, who: &str) -> ConnId {
        let conn = ConnId(number);
        let peer = Peer::Inet(([10, 0, 0, host], 5).into());
        self.input(Input::Accepted { conn, listener: ListenerId(0), peer });
        self.say(conn, &format!(r#"{{"type":"hello","protocol":1,"version":"x",{who}}}"#));
        conn
    }

    /// A slave that has no part yet.
    fn new_slave(&mut self, number: u64, name: &str) -> ConnId {
        self.connects_from(number, number as u8, &format!(r#""name":"{name}","incarnation":"i-{name}""#))
    }

    /// A slave says hello. Returns the lines with parts that the controller sends, as the queues of peers hold them.
    fn parts_after_hello(&mut self, number: u64, who: &str) -> Vec<Bytes> {
        let conn = self.accept_nr(number);
        self.say(conn, &format!(r#"{{"type":"hello","protocol":1,"version":"x",{who}}}"#));
        self.parts()
    }

    /// Takes what was sent to all peers, and returns the lines with parts.
    fn parts(&mut self) -> Vec<Bytes> {
        let sent = std::mem::take(&mut self.sent).into_values().flatten();
        sent.filter(|bytes| bytes.starts_with(b"{\"type\":\"prepare\"")).collect()
    }

    fn ready(&mut self, conn: ConnId) {
        self.say(conn, r#"{"type":"ready","run":"r1"}"#);
    }
}

#[test]
fn slaves_get_their_parts_one_after_another_and_none_is_left_out() {
    let slaves = r#""a": ["s"], "b": ["s"], "c": ["s"]"#;
    let mut world = World::of(Controller::new(config(test(slaves, 1))).in_pieces(1));
    let a = world.new_slave(1, "a");
    assert!(world.take(a).contains("prepare"));
    let (b, c) = (world.new_slave(2, "b"), world.new_slave(3, "c"));
    assert!(!world.take(b).contains("prepare") && !world.take(c).contains("prepare"));
    // One that waits for its part comes back on another connection.
    world.input(Input::Closed { conn: b, reason: "reset".into() });
    let b = world.new_slave(4, "b");
    world.pass(Duration::from_millis(10));
    assert!(world.take(b).contains("prepare") && world.take(c).contains("prepare"));
    [a, b, c].iter().for_each(|conn| world.ready(*conn));
    assert!([a, b, c].iter().all(|conn| world.take(*conn).contains("\"start\"")));
}

#[test]
fn a_slave_that_still_gets_another_part_is_not_ready() {
    let mut world = World::of(Controller::new(config(test(r#""a": ["none"], "b": ["s"]"#, 0))).in_pieces(1));
    let (a, b) = (world.new_slave(1, "a"), world.new_slave(2, "b"));
    world.pass(Duration::from_millis(10));
    assert!(world.take(a).contains("prepare") && world.take(b).contains(r#""a":"10.0.0.1""#));
    // The other one comes back from elsewhere, and the turn has no time left for more.
    world.input(Input::Closed { conn: a, reason: "reset".into() });
    let a = world.connects_from(3, 9, r#""name":"a","incarnation":"i-a","run":"r1""#);
    [a, b].iter().for_each(|conn| world.ready(*conn));
    assert!(!world.take(b).contains("\"start\""), "it would start with the old address");
    world.pass(Duration::from_millis(10));
    assert!(world.take(b).contains(r#""a":"10.0.0.9""#));
    world.ready(b);
    assert!(world.take(b).contains("\"start\""));
}

#[test]
fn slaves_with_the_same_entries_share_one_line() {
    let mut world = World::of(Controller::new(config(test(r#""a[1-50]": ["s"]"#, 50_000))));
    let budget = world.machine.budget.clone();
    let mut lines: Vec<Bytes> = Vec::new();
    for nr in 1..=50 {
        lines.extend(world.parts_after_hello(nr, &format!(r#""name":"a{nr}","incarnation":"i""#)));
    }
    assert_eq!(lines.len(), 50);
    assert!(lines.iter().all(|line| std::rc::Rc::ptr_eq(line, &lines[0])));
    assert!((50_000..60_000).contains(&budget.held()), "{}", budget.held());
}

#[test]
fn lines_that_nobody_reads_have_a_bound_and_count_against_the_memory() {
    let slaves = r#""any[1-60]": { "schedules": ["s"], "with": { "role": "any" } }"#;
    let memory = Limits::new(None, None, Some(2 << 30));
    let mut world = World::of(Controller::new(config(test(slaves, 99_000))).limited(memory).in_pieces(1 << 30));
    let (budget, mut read, mut queued) = (world.machine.budget.clone(), 0, Vec::new());
    // Their queues are read by nobody.
    for nr in 1..=60 {
        let who = format!(r#""name":"m{nr}","incarnation":"i","labels":{{"role":"any"}}"#);
        queued.extend(world.parts_after_hello(nr, &who));
        if nr == 20 {
            // From now on there is no memory left.
            world.machine.budget.set_max(1, 1);
        }
    }
    assert_eq!(queued.len(), 20, "there is no room for more");
    assert!(budget.held() >= 20 * 99_000, "{}", budget.held());
    for _ in 0..60 {
        read += queued.len();
        queued.clear();
        world.now = world.now + Duration::from_millis(10);
        world.input(Input::Deadline);
        queued.extend(world.parts());
    }
    assert_eq!(read + queued.len(), 60, "one at a time, as they are read");
}

/// The summary of a run with this pace.
fn summary(at_once: usize) -> String {
    let mut world = World::of(Controller::new(config(test(r#""a[1-3]": ["s"]"#, 1))).in_pieces(at_once));
    let conns = [1, 2, 3].map(|nr| world.new_slave(nr, &format!("a{nr}")));
    world.pass(Duration::from_millis(100));
    conns.iter().for_each(|conn| world.ready(*conn));
    world.pass(Duration::from_secs(1));
    let exited = r#""event":"exited","entry":"x","nr":1,"outcome":"failed","why":"\u202e""#;
    world.say(conns[1], &format!(r#"{{"type":"report","run":"r1","seq":1,"time":1,{exited}}}"#));
    world.pass(Duration::from_secs(3));
    conns.iter().for_each(|conn| world.say(*conn, r#"{"type":"stopped","run":"r1"}"#));
    world.asked.clear();
    world.pass(Duration::from_secs(1));
    assert!(conns.iter().all(|conn| world.take(*conn).contains("\"dismissed\"")), "it is over");
    std::mem::take(&mut world.recorded)
}

#[test]
fn a_summary_in_pieces_is_the_same() {
    let slow = summary(1);
    let summary: serde_json::Value = serde_json::from_str(&slow).expect("it has taken the place of all");
    assert_eq!(summary["slaves"]["a2"]["entries"]["x"][0]["why"], "\u{202e}");
    assert_eq!(summary["slaves"].as_object().expect("slaves").len(), 3);
    assert!(!slow.contains('\u{202e}') && slow.ends_with("}\n"), "{slow}");
    let whole = serde_json::to_string_pretty(&summary).expect("it encodes");
    assert_eq!(slow.lines().count(), whole.lines().count(), "it is laid out like any other JSON");
}
