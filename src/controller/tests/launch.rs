//! Launchers, played step by step.

use super::*;
use crate::controller::Launcher;
use crate::machine::{ChildId, Exit, ReadId, Signal};

const TWO: &str = r#"{ "name": "t", "end": { "duration": 1 }, "slaves": { "a": ["s"], "b": ["s"] },
    "schedules": { "s": [] } }"#;

impl World {
    /// Returns a run of two slaves, each started by a command.
    fn launching(commands: &[(&[usize], &str)]) -> World {
        let test = testfile::parse("t.json", TWO, &mut |file| Err(file.to_owned())).expect("a test");
        let commands = commands.iter().map(|(slaves, command)| (slaves.to_vec(), (*command).to_owned())).collect();
        World::of(Controller::new(config(test)).launching(Some(Launcher { commands })))
    }

    fn each() -> World {
        World::launching(&[(&[0], "go a"), (&[1], "go b")])
    }

    /// Returns the launchers, with their commands and their logs.
    fn launchers(&self) -> Vec<(ChildId, String, String)> {
        let launcher = |effect: &Effect| match effect {
            Effect::Spawn { child, command } if command.argv[0] == "/bin/sh" => {
                let log = command.stderr.as_ref().filter(|log| Some(*log) == command.stdout.as_ref());
                Some((*child, command.argv[2].clone(), log.expect("both streams have a log").display().to_string()))
            }
            _ => None,
        };
        self.asked.iter().filter_map(launcher).collect()
    }

    fn launcher_ends(&mut self, nr: usize, code: i32) {
        let child = self.launchers()[nr].0;
        self.input(Input::Exited { child, exit: Exit::Code(code) });
    }

    /// Returns the reads of logs.
    fn reads(&self) -> Vec<ReadId> {
        let read = |effect: &Effect| match effect {
            Effect::Read { read, .. } => Some(*read),
            _ => None,
        };
        self.asked.iter().filter_map(read).collect()
    }

    fn kills(&self) -> Vec<(usize, Signal)> {
        let launchers = self.launchers();
        let kill = |effect: &Effect| match effect {
            Effect::KillGroup { child, signal } => {
                Some((launchers.iter().position(|(own, ..)| own == child).expect("it is a launcher"), *signal))
            }
            _ => None,
        };
        self.asked.iter().filter_map(kill).collect()
    }

    fn connect_slave(&mut self, number: u64, name: &str) -> ConnId {
        let conn = self.accept_nr(number);
        let who = format!(r#""name":"{name}","incarnation":"i{number}""#);
        self.say(conn, &format!(r#"{{"type":"hello","protocol":1,"version":"x",{who}}}"#));
        conn
    }
}

#[test]
fn each_launcher_starts_its_slaves_and_writes_its_log_to_the_results() {
    let told = |world: &World| -> Vec<(String, String)> {
        world.launchers().into_iter().map(|(_, command, log)| (command, log)).collect()
    };
    let pair = |command: &str, log: &str| (command.to_owned(), log.to_owned());
    let each = World::each();
    assert_eq!(told(&each), [pair("go a", "/results/a/launch.log"), pair("go b", "/results/b/launch.log")]);
    let all = World::launching(&[(&[0, 1], "go all")]);
    assert_eq!(told(&all), [pair("go all", "/results/launch.log")]);
}

#[test]
fn a_launcher_that_ends_too_early_ends_the_run_with_its_last_line() {
    let mut world = World::each();
    world.launcher_ends(1, 7);
    let [read] = world.reads()[..] else { panic!("{:?}", world.asked) };
    world.input(Input::Read { read, result: Ok(b"first\nno such host\n\n") });
    let said = "b was lost: its launcher ended before it had joined: exit status 7: no such host; its whole output is in \
                /results/b/launch.log";
    assert!(world.recorded.contains(said), "{}", world.recorded);
    // The other launcher has no slave to wait for.
    assert_eq!(world.kills(), [(0, Signal::TERM)]);
    assert_eq!(world.exit, None);
    world.launcher_ends(0, 143);
    assert_eq!(world.exit, Some(7));
}

#[test]
fn long_logs_are_read_to_their_end() {
    let mut world = World::each();
    world.launcher_ends(0, 1);
    let piece = [b'x'; 64 * 1024];
    for nr in 0..3 {
        let read = world.reads()[nr];
        world.input(Input::Read { read, result: Ok(&piece) });
    }
    let read = world.reads()[3];
    world.input(Input::Read { read, result: Ok(b"\nthe end") });
    assert!(world.recorded.contains("exit status 1: the end;"), "{}", world.recorded);
}

#[test]
fn a_launcher_that_ends_later_matters_only_if_its_slave_stays_disconnected() {
    let mut world = World::each();
    let a = world.connect_slave(1, "a");
    assert!(world.take(a).contains("\"leave\":true"));
    world.launcher_ends(0, 255);
    assert_eq!(world.reads(), []);
    world.input(Input::Closed { conn: a, reason: "reset".into() });
    world.pass(Duration::from_secs(59));
    assert!(!world.recorded.contains("was lost"), "{}", world.recorded);
    world.pass(Duration::from_secs(3));
    assert!(world.recorded.contains("slave a was lost: its connection has been gone for 1min"), "{}", world.recorded);
}

#[test]
fn launchers_are_asked_to_end_and_killed_later() {
    let mut world = World::each();
    let conns = [world.connect_slave(1, "a"), world.connect_slave(2, "b")];
    world.input(Input::Signal(Signal::INT));
    for conn in conns {
        world.say(conn, r#"{"type":"stopped","run":"r1"}"#);
    }
    assert_eq!(world.kills(), []);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.kills(), [(0, Signal::TERM), (1, Signal::TERM)]);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.kills()[2..], [(0, Signal::KILL), (1, Signal::KILL)]);
    assert_eq!(world.exit, Some(130));
}

#[test]
fn a_refused_slave_of_a_launcher_is_asked_to_exit() {
    let mut world = World::each();
    world.connect_slave(1, "a");
    for (number, name) in [(2, "a"), (3, "nobody")] {
        let conn = world.connect_slave(number, name);
        let said = world.take(conn);
        let (welcome, bye) = said.split_once('\n').expect("two lines");
        assert!(welcome.contains("\"leave\":true") && !welcome.contains("\"run\""), "{said}");
        assert!(bye.contains("\"bye\""), "{said}");
    }
}
