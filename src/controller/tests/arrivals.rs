//! Slaves of this machine that do not connect.

use super::*;
use crate::controller::config::Local;
use crate::controller::config::LocalSecurity;
use crate::machine::{ChildId, Exit, ReadId, Signal};

const TWO: &str = r#"{ "name": "t", "end": { "duration": 1 }, "slaves": { "a": ["s"], "b": ["s"] },
    "schedules": { "s": [] } }"#;

impl World {
    /// Returns a run that starts its two slaves itself.
    fn embedded() -> World {
        let test = testfile::parse("t.json", TWO, &mut |file| Err(file.to_owned())).expect("a test");
        let local = Local {
            arete: "/bin/arete".into(),
            address: "127.0.0.1:1".to_owned(),
            dir: "/work".into(),
            keep: false,
            secret: None,
            security: LocalSecurity::Loopback,
        };
        World::of(Controller::new(Config { local: Some(local), ..config(test) }))
    }

    fn children(&self) -> Vec<ChildId> {
        let child = |effect: &Effect| match effect {
            Effect::Spawn { child, .. } => Some(*child),
            _ => None,
        };
        self.asked.iter().filter_map(child).collect()
    }

    /// Returns the reads of logs, each with the name of its slave.
    fn logs(&self) -> Vec<(ReadId, String)> {
        let log = |effect: &Effect| match effect {
            Effect::Read { read, path, .. } => Some((*read, path.display().to_string())),
            _ => None,
        };
        self.asked.iter().filter_map(log).collect()
    }

    fn arrives(&mut self, number: u64, name: &str) {
        let conn = self.accept_nr(number);
        let who = format!(r#""name":"{name}","incarnation":"i{number}""#);
        self.say(conn, &format!(r#"{{"type":"hello","protocol":1,"version":"x",{who}}}"#));
    }
}

#[test]
fn slaves_that_do_not_connect_end_the_run_with_the_last_lines_of_their_logs() {
    let mut world = World::embedded();
    world.pass(Duration::from_millis(7_999));
    assert_eq!(world.logs(), []);
    world.pass(Duration::from_millis(1));
    let logs = world.logs();
    assert_eq!(
        logs.iter().map(|(_, path)| path.as_str()).collect::<Vec<_>>(),
        ["/results/a/arete.log", "/results/b/arete.log"]
    );
    world.input(Input::Read { read: logs[0].0, result: Ok(b"zero\none\ntwo\nno way\n") });
    let said = "a was lost: it has not connected within 8s: one / two / no way; its log is /results/a/arete.log";
    assert!(world.recorded.contains(said), "{}", world.recorded);
    // The log of the other slave is read after the run has ended.
    world.input(Input::Read { read: logs[1].0, result: Err("no such file".into()) });
    let kills = world.asked.iter().filter(|effect| matches!(effect, Effect::KillGroup { signal: Signal::TERM, .. }));
    assert_eq!(kills.count(), 2, "{:?}", world.asked);
    for child in world.children() {
        world.input(Input::Exited { child, exit: Exit::Signal(Signal::TERM) });
    }
    world.input(Input::Swept { left: 0 });
    assert!(world.exit.is_some_and(|code| code != 0));
}

#[test]
fn each_slave_that_connects_extends_the_wait_for_the_others_and_the_last_ends_it() {
    let mut world = World::embedded();
    world.pass(Duration::from_secs(7));
    world.arrives(1, "a");
    world.pass(Duration::from_secs(8));
    assert_eq!(world.logs(), []);
    world.arrives(2, "b");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.logs(), []);
}

#[test]
fn a_slave_that_exits_at_once_is_lost_with_the_last_lines_of_its_log() {
    let mut world = World::embedded();
    let child = world.children()[1];
    world.input(Input::Exited { child, exit: Exit::Code(1) });
    let [(read, _)] = world.logs()[..] else { panic!("{:?}", world.asked) };
    world.input(Input::Read { read, result: Ok(b"arete: cannot listen\n") });
    let said = "b was lost: its process ended: exit status 1: arete: cannot listen; its log is /results/b/arete.log";
    assert!(world.recorded.contains(said), "{}", world.recorded);
}

#[test]
fn a_slave_that_exits_without_output_is_lost_at_once_too() {
    let mut world = World::embedded();
    let child = world.children()[0];
    world.input(Input::Exited { child, exit: Exit::Signal(Signal::KILL) });
    let [(read, _)] = world.logs()[..] else { panic!("{:?}", world.asked) };
    world.input(Input::Read { read, result: Ok(b"") });
    assert!(
        world.recorded.contains("a was lost: its process ended: died of SIGKILL, with no output"),
        "{}",
        world.recorded
    );
}
