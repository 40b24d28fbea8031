//! Slaves that the test selects by labels.

use super::*;

const TEST: &str = r#"{ "name": "t", "end": { "duration": 1 },
    "slaves": { "s": ["s"], "any[1-2]": { "schedules": ["s"], "with": { "role": "client" } } },
    "schedules": { "s": [{ "name": "x", "at": 0, "shell": "echo @{any1.address}" }] } }"#;

impl World {
    /// Connects a machine, which says hello. Returns what it receives.
    fn say_hello(&mut self, number: u64, name: &str, incarnation: &str, role: &str) -> String {
        let conn = ConnId(number);
        let peer = Peer::Inet(([10, 0, 0, number as u8], 5).into());
        self.input(Input::Accepted { conn, listener: ListenerId(0), peer });
        let labels = format!(r#""labels":{{"os":"linux","role":"{role}"}}"#);
        let who = format!(r#""name":"{name}","incarnation":"{incarnation}",{labels}"#);
        self.say(conn, &format!(r#"{{"type":"hello","protocol":1,"version":"x",{who}}}"#));
        self.take(conn)
    }

    fn report_ready(&mut self, number: u64) {
        self.say(ConnId(number), r#"{"type":"ready","run":"r1"}"#);
    }
}

#[test]
fn machines_get_the_places_that_select_their_labels() {
    let mut world = World::running(TEST);
    let said = world.say_hello(1, "m1", "i1", "client");
    assert!(said.contains("welcome") && said.contains(r#""serve_as":"any1""#), "{said}");
    // The machine has the name of a place, and the labels that the place selects.
    let said = world.say_hello(2, "any2", "i2", "client");
    assert!(said.contains("prepare") && !said.contains("serve_as"), "{said}");
    let said = world.say_hello(3, "m3", "i3", "client");
    assert!(said.contains("no place left for slave") && said.contains(r#""fatal":true"#), "{said}");
    let said = world.say_hello(4, "m4", "i4", "server");
    let expected = "which has os=linux, role=server: it asks for role=client; by name for s";
    assert!(said.contains(expected) && world.closed.contains(&ConnId(4)), "{said}");
    let said = world.say_hello(5, "s", "i5", "server");
    assert!(said.contains("prepare") && !said.contains("serve_as"), "{said}");
    // The address of a slave is the address of the machine that serves as it.
    assert!(said.contains(r#""addresses":{"any1":"10.0.0.1"}"#), "{said}");
    [1, 2, 5].iter().for_each(|number| world.report_ready(*number));
    assert!([1, 2, 5].iter().all(|number| world.take(ConnId(*number)).contains(r#""type":"start""#)));
    let joined = r#""slave":"any1","event":"joined","address":"10.0.0.1:5","machine":"m1""#;
    assert!(world.recorded.contains(joined), "{}", world.recorded);
    assert_eq!(world.recorded.matches(r#""machine":"#).count(), 1, "{}", world.recorded);
}

#[test]
fn a_machine_keeps_its_place() {
    let mut world = World::running(TEST);
    assert!(world.say_hello(1, "m1", "i1", "client").contains(r#""serve_as":"any1""#));
    // The machine with that name comes too late for the place, and serves as the other slave.
    assert!(world.say_hello(2, "any1", "i2", "client").contains(r#""serve_as":"any2""#));
    world.input(Input::Closed { conn: ConnId(1), reason: "reset".into() });
    assert!(world.say_hello(3, "m3", "i3", "client").contains("no place left"));
    let said = world.say_hello(4, "m2", "i4", "client");
    assert!(said.contains("no place left"), "{said}");
    // Another process of the same machine keeps the place, even with other labels.
    assert!(world.say_hello(5, "m1", "i5", "server").contains(r#""serve_as":"any1""#));
    let said = world.say_hello(6, "m1", "i6", "client");
    assert!(said.contains("another slave called m1 is connected from 10.0.0.5"), "{said}");
}

#[test]
fn an_invalid_name_gets_no_place() {
    let mut world = World::running(TEST);
    let said = world.say_hello(1, "../m1", "i1", "client");
    assert!(said.contains("cannot name a slave") && !said.contains("prepare"), "{said}");
    assert!(world.say_hello(2, "m2", "i2", "client").contains(r#""serve_as":"any1""#));
}

#[test]
fn members_of_a_machine_have_the_name_of_the_slave_that_it_serves_as() {
    let mut world = World::running(TEST);
    let conn = ConnId(1);
    world.say_hello(1, "m1", "i1", "client");
    let arrives = |id: u64, member: &str| {
        let what = format!(r#""room":"r1","barrier":"b","id":{id},"member":"{member}","party":{{"count":1}}"#);
        format!(r#"{{"type":"arrive",{what}}}"#)
    };
    world.say(conn, &arrives(1, "m1"));
    assert!(world.take(conn).contains("any1 cannot act as"));
    world.say(conn, &arrives(2, "any1#x"));
    assert!(world.take(conn).contains("released"));
}

#[test]
fn the_places_of_machines_survive_a_restart_of_the_controller() {
    let test = || testfile::parse("t.json", TEST, &mut |file| Err(format!("no such file: {file}"))).expect("a test");
    let keep = || ledger::Keep { path: "/results/state.jsonl".into(), boot: "boot".to_owned(), ..Default::default() };
    let mut world = World::of(Controller::new(config(test())).keeping(keep()));
    assert!(world.say_hello(1, "m1", "i1", "client").contains(r#""serve_as":"any1""#));
    let past = ledger::Past::read(&keep().path, world.recorded.clone().into_bytes()).expect("it was just written");
    let again = Controller::new(config(test())).keeping(keep()).resumed(&past, &mut ()).expect("it was just written");
    let mut world = World::of(again);
    assert!(world.say_hello(2, "m2", "i2", "client").contains(r#""serve_as":"any2""#));
    let said = world.say_hello(1, "m1", "i1", "client");
    assert!(said.contains("welcome") && said.contains(r#""serve_as":"any1""#), "{said}");
}
