//! Records that slaves and clients cause, and what happens to those that exceed their share.

use super::*;
use crate::controller::ledger::{Keep, Past};
use crate::controller::room::sync::Limits;

const LEDGER: &str = "/results/state.jsonl";

/// Returns a controller for these slaves, some of which may be lost.
fn controller(slaves: &[&str], record: u64) -> Controller {
    let slaves: Vec<String> = slaves.iter().map(|slave| format!(r#""{slave}": ["s"]"#)).collect();
    let text = format!(
        r#"{{ "name": "t", "end": {{ "duration": 60 }}, "on_lost": "continue", "triggers": {{ "go": 3 }}, "guests": ["m"],
            "slaves": {{ {} }},
            "schedules": {{ "s": [{{ "name": "x", "poke": true, "shell": "true", "collect": ["**"] }}] }} }}"#,
        slaves.join(", ")
    );
    let test = testfile::parse("t.json", &text, &mut |file| Err(format!("no such file: {file}"))).expect("a test");
    let keep = Keep { path: LEDGER.into(), boot: "boot".to_owned(), ..Keep::default() };
    Controller::new(config(test)).limited(Limits::default().of_a_run(None, None, Some(record))).keeping(keep)
}

impl World {
    fn connect_as(&mut self, number: u64, name: &str, incarnation: &str) -> ConnId {
        let conn = self.accept_nr(number);
        let who = format!(r#""name":"{name}","incarnation":"{incarnation}""#);
        self.say(conn, &format!(r#"{{"type":"hello","protocol":1,"version":"x",{who}}}"#));
        conn
    }

    fn warns(&mut self, conn: ConnId, seq: u64, text: &str) {
        let what = format!(r#""event":"warning","text":"{text}""#);
        self.say(conn, &format!(r#"{{"type":"report","run":"r1","seq":{seq},"time":1,{what}}}"#));
    }

    fn ships_a(&mut self, conn: ConnId, file: &str) -> String {
        self.say(conn, &format!(r#"{{"type":"output","run":"r1","file":"{file}","offset":0,"data":"YQ=="}}"#));
        self.take(conn)
    }

    fn files(&self) -> usize {
        self.asked.iter().filter(|effect| matches!(effect, Effect::WriteAt { .. })).count()
    }
}

/// Returns a world in which these slaves have started.
fn started<const N: usize>(slaves: [&str; N], record: u64) -> (World, [ConnId; N]) {
    let (mut world, mut number) = (World::of(controller(&slaves, record)), 0);
    let all = slaves.map(|name| {
        number += 1;
        world.connect_as(number, name, name)
    });
    all.iter().for_each(|conn| world.say(*conn, r#"{"type":"ready","run":"r1"}"#));
    world.pass(Duration::from_secs(1));
    assert!(all.iter().all(|conn| world.take(*conn).contains("\"start\"")));
    (world, all)
}

fn running(record: u64) -> (World, [ConnId; 2]) {
    started(["a", "b"], record)
}

/// Returns the longest text of a report, with characters that become longer when they are encoded.
fn long() -> String {
    "\u{202e}".repeat(2_000)
}

#[test]
fn a_slave_with_too_many_reports_is_lost_and_the_other_is_not_affected() {
    let (mut world, [a, b]) = running(1_000_000);
    let before = world.recorded.len();
    for seq in 1..=100 {
        world.warns(a, seq, &long());
        world.warns(b, seq, "short");
    }
    assert_eq!(world.closed, [a]);
    let heard = world.take(a);
    assert!(heard.contains("a quarter of --record-max of the controller"), "{heard}");
    assert!(world.recorded.contains(r#""lost":{"slave":0,"reason":"it has made it record more than 250000 bytes"#));
    assert!(world.take(b).contains(r#""seq":100"#), "its reports are recorded");
    let a_line = 2 * 12 * 2_000 + 500;
    let grown = world.recorded.len() - before;
    assert!(grown < 250_000 + a_line + 100 * 400, "{grown} bytes");
    world.connect_as(3, "a", "again");
    assert!(world.take(ConnId(3)).contains("slave a is lost to run r1"));
}

#[test]
fn a_run_with_too_many_records_of_all_slaves_fails_and_its_end_is_recorded() {
    let (mut world, all) = started(["a", "b", "c", "d", "e", "f"], 60_000);
    let ending = (1..1_000).find(|seq| {
        all.iter().for_each(|conn| world.warns(*conn, *seq, &"x".repeat(100)));
        world.recorded.contains("\"ending\"")
    });
    assert!(ending.is_some() && world.closed.is_empty(), "{ending:?} {:?}", world.closed);
    assert!(world.take(all[0]).contains("more than 60000 bytes recorded: --record-max of the controller allows more"));
    // A slave that continues as if the run had not ended is lost.
    (1..20).for_each(|more| world.warns(all[0], ending.unwrap_or(0) + more, &long()));
    assert_eq!(world.closed, [all[0]]);
    all[1..].iter().for_each(|conn| world.say(*conn, r#"{"type":"stopped","run":"r1"}"#));
    assert!(world.recorded.contains("\"ended\""));
}

#[test]
fn all_clients_of_a_run_have_one_share_together() {
    let (mut world, [a, _]) = running(100_000);
    let client = world.accept_nr(9);
    world.say(client, r#"{"type":"join","protocol":1,"version":"x","room":"r1","member":"m","incarnation":"m"}"#);
    let note = "x".repeat(20_000);
    for count in 1..=2 {
        let what = format!(r#""room":"r1","trigger":"go","count":{count},"data":"{note}""#);
        world.say(client, &format!(r#"{{"type":"notify",{what}}}"#));
    }
    assert_eq!(world.closed, [client]);
    let later = world.accept_nr(10);
    world.say(later, r#"{"type":"join","protocol":1,"version":"x","room":"r1","incarnation":"n"}"#);
    assert!(world.take(later).contains("no more clients may join"));
    world.warns(a, 1, "x");
    assert!(world.take(a).contains(r#""seq":1"#) && !world.recorded.contains("\"ending\""));
}

#[test]
fn the_records_charged_to_a_slave_survive_a_restart() {
    let (mut world, [a, _]) = running(320_000);
    for seq in 1..=9 {
        world.warns(a, seq, &"\u{1f600}".repeat(1_000));
    }
    assert!(world.closed.is_empty());
    let ledger: String = world
        .recorded
        .lines()
        .filter(|line| !line.starts_with("{\"t\":"))
        .fold(String::new(), |text, line| text + line + "\n");
    let time_line = world.recorded.lines().filter(|line| line.starts_with("{\"t\":"));
    let time_line: String = time_line.fold(String::new(), |text, line| text + line + "\n");
    let past = Past::read(std::path::Path::new(LEDGER), ledger.into_bytes()).expect("it was just written");
    let mut rebuilt = Vec::new();
    let again = controller(&["a", "b"], 320_000).resumed(&past, &mut rebuilt).expect("it was just written");
    assert_eq!(String::from_utf8(rebuilt).expect("a text"), time_line, "the same events, in pieces");
    let mut world = World::of(again);
    let a = world.accept_nr(11);
    let who = r#""name":"a","incarnation":"a","run":"r1""#;
    world.say(a, &format!(r#"{{"type":"hello","protocol":1,"version":"x",{who}}}"#));
    assert!(world.take(a).contains(r#""recorded":9"#));
    for seq in 10..=11 {
        world.warns(a, seq, &"\u{1f600}".repeat(1_000));
    }
    assert_eq!(world.closed, [a]);
}

#[test]
fn files_shipped_before_the_start_are_refused() {
    let mut world = World::of(controller(&["a", "b"], 1_000_000));
    for number in 1..=20 {
        let conn = world.connect_as(number, "a", &format!("i{number}"));
        for file in ["x.out", "x.files/a", "x.files/a/b"] {
            let kept = world.ships_a(conn, file);
            assert!(kept.contains(r#""length":0,"refused":"the run has not started""#), "{kept}");
        }
        let what = r#""event":"spawned","entry":"x","nr":1,"pid":7"#;
        world.say(conn, &format!(r#"{{"type":"report","run":"r1","seq":1,"time":1,{what}}}"#));
        world.input(Input::Closed { conn, reason: "gone".into() });
    }
    assert_eq!(world.files(), 0);
}

#[test]
fn a_file_that_is_a_directory_too_is_refused_and_other_slaves_are_not_affected() {
    let (mut world, [a, b]) = running(1_000_000);
    assert!(world.ships_a(a, "x.files/a").contains(r#""length":1"#));
    for file in ["x.files/a/b", "x.files/a/b/c"] {
        let kept = world.ships_a(a, file);
        assert!(kept.contains("is a file and a directory"), "{kept}");
    }
    assert!(world.ships_a(a, "x.files/d/e").contains(r#""length":1"#));
    assert!(world.ships_a(a, "x.files/d").contains("is a file and a directory"));
    assert!(world.ships_a(b, "x.files/a/b").contains(r#""length":1"#));
    assert_eq!((world.files(), world.closed.len()), (3, 0));
}

#[test]
fn repeated_connects_before_the_start_are_recorded_within_a_share() {
    let mut world = World::of(controller(&["a", "b"], 100_000));
    for number in 1..=2_000 {
        let conn = world.connect_as(number, "a", &format!("i{number}"));
        world.input(Input::Closed { conn, reason: "gone".into() });
    }
    assert!(world.recorded.len() < 60_000, "{}", world.recorded.len());
    assert!(world.recorded.contains("a quarter of --record-max"));
}
