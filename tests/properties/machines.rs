//! The properties of a whole controller and a whole slave for every input of their peers: they never panic, every answer
//! is a message, no raw byte of a peer reaches a terminal, a log or a path, all files are below their directory, deadlines
//! come to an end, and a machine that must stop does.
//!
//! The input is a script. Bytes below 0xF0 are sent on the current connection; each other byte is another event, see
//! [`operate`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use arete::controller::{self, Controller, HostConfig, Limits};
use arete::machine::stage::{LOCAL, Stage, Surroundings};
use arete::machine::{
    Address, ConnId, Effect, Exit, Input, ListenerId, Machine, NoAnswer, Page, Peer, Signal, is_obeyed,
};
use arete::slave::{self, Slave};
use arete::testfile;
use arete::wire::{ControlReply, FromController, ToController};

/// The run of the controller and the slave.
const TEST: &str = r#"{
  "name": "t", "end": { "trigger": "done", "limit": "10min" }, "grace": "1s",
  "triggers": { "done": 2, "go": 1 }, "groups": { "all": ["a", "b"] },
  "barriers": { "up": { "members": ["a", "b"], "timeout": "5s" } },
  "schedules": {
    "s": [
      { "name": "x", "at": 0, "shell": "true" },
      { "name": "p", "poke": true, "shell": "echo", "collect": ["*"] },
      { "name": "n", "after": "x", "notify": "done" },
      { "name": "m", "trigger": "go", "barrier": "up" },
      { "name": "v", "trigger": "go", "sync": "s", "data": { "k": "@{slave.name}" }, "members": ["a", "b"] }
    ]
  },
  "slaves": { "a": ["s"], "b": ["s"] }
}"#;

/// The longest time that a machine may take to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(300);

/// The peer at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum PeerKind {
    Slave,
    Controller,
    Command,
}

type World<M> = Stage<M, Script>;

/// What a script can do to a machine.
struct Script {
    /// The connections of the script, by their number in it.
    slots: BTreeMap<u8, ConnId>,
    current: u8,
    /// Commands cannot be started.
    no_spawn: bool,
    written: BTreeSet<PathBuf>,
    root: &'static Path,
    accepts: PeerKind,
}

/// Plays a script to a controller without a run.
pub fn check_rooms(script: &[u8]) {
    let limits = Limits::new(Some(2_000), Some(4_000), Some(100_000));
    play(Controller::bare(None).limited(limits), "/results", PeerKind::Slave, script);
}

/// Plays a script to a controller that stays, and takes tests of whoever operates it.
pub fn check_host(script: &[u8]) {
    let limits = Limits::new(Some(2_000), Some(4_000), Some(100_000));
    let config =
        HostConfig { runs: "/results/runs".into(), lost_after: Duration::from_secs(10), ..HostConfig::default() };
    play(Controller::bare(None).limited(limits).hosting(config), "/results", PeerKind::Slave, script);
}

/// Plays a script to a controller of a run. `live`: it shows a picture, and what the commands write.
pub fn check_run(script: &[u8], live: bool) {
    let test = testfile::parse("t.json", TEST, &mut |file| Err(format!("there is no {file}"))).expect("a test");
    let controller = Controller::new(controller::Config {
        test: Rc::new(test),
        run: "r".to_owned(),
        results: "/results".into(),
        wait: None,
        lost_after: Duration::from_secs(10),
        local: None,
        listening: None,
        follow: live,
        terminal: live.then_some((80, 24)),
        colors: false,
        wall_offset: 0,
    });
    play(controller, "/results", PeerKind::Slave, script);
}

/// Plays a script to a slave; its connection 0 is the controller, the others are commands.
pub fn check_slave(script: &[u8]) {
    let slave = Slave::new(slave::Config {
        name: "a".to_owned(),
        controller: Address::Inet("controller:7373".to_owned()),
        incarnation: "abc".to_owned(),
        seed: 1,
        pid: 4242,
        dir: "/d".into(),
        socket: "/s/sock".into(),
        control: ListenerId(0),
        uid: 0,
        allow_crash: false,
        secret: None,
        labels: Default::default(),
        orphan_after: slave::ORPHAN_AFTER,
        utc: None,
        leave: Default::default(),
        once: false,
        keep: false,
    });
    play(slave, "/d", PeerKind::Command, script);
}

fn play<M: Machine>(machine: M, root: &'static str, accepts: PeerKind, script: &[u8]) {
    let (slots, written) = (BTreeMap::new(), BTreeSet::new());
    let around = Script { slots, current: 0, no_spawn: false, written, root: Path::new(root), accepts };
    let mut world = Stage::begin(machine, around);
    for piece in script.chunk_by(|&before, &after| before < 0xF0 && after < 0xF0) {
        match piece {
            [op @ 0xF0..=0xFF] => operate(&mut world, *op),
            bytes => say(&mut world, bytes),
        }
        if world.is_over() {
            return;
        }
    }
    must_stop(&mut world);
}

fn operate<M: Machine>(world: &mut World<M>, op: u8) {
    match op {
        // Selects the connection of the next bytes, which open it if it is not open.
        0xF0..=0xF5 => world.current = op - 0xF0,
        0xF6 => {
            let current = world.current;
            if let Some(conn) = world.slots.remove(&current).filter(|conn| world.open.contains(conn)) {
                world.close(conn);
            }
        }
        0xF7 => world.pass(Duration::from_millis(100)),
        0xF8 => world.pass(Duration::from_secs(1)),
        0xF9 => world.pass(Duration::from_secs(30)),
        0xFA => world.no_spawn = !world.no_spawn,
        0xFB => exits(world, Exit::Code(0)),
        0xFC => exits(world, Exit::Signal(Signal::KILL)),
        0xFD => {
            if let Some(path) = world.written.pop_first() {
                world.input(Input::WriteFailed { path, error: "no space left on device".into() });
            }
        }
        0xFE => world.signal(Signal::USR1),
        _ => world.signal(Signal::INT),
    }
}

/// Ends the oldest command.
fn exits<M: Machine>(world: &mut World<M>, exit: Exit) {
    if let Some(child) = world.running.first().copied() {
        world.input(Input::Exited { child, exit });
    }
}

fn say<M: Machine>(world: &mut World<M>, bytes: &[u8]) {
    let current = world.current;
    let conn = match world.slots.get(&current).filter(|conn| world.open.contains(conn)) {
        Some(conn) => *conn,
        None => {
            let Some(conn) = connect(world) else { return };
            world.slots.insert(current, conn);
            conn
        }
    };
    if world.open.contains(&conn) {
        world.input(Input::Received { conn, bytes });
    }
}

fn connect<M: Machine>(world: &mut World<M>) -> Option<ConnId> {
    match (world.accepts, world.current) {
        (PeerKind::Command, 0) => {
            let conn = world.dialled.first()?.0;
            world.input(Input::Connected { conn, peer: LOCAL, local: None });
            Some(conn)
        }
        (PeerKind::Command, _) => Some(world.accept(ListenerId(0), LOCAL)),
        (_, host) => Some(world.accept(ListenerId(0), Peer::Inet(([10, 0, 0, host], 5000).into()))),
    }
}

/// Checks that the machine ends after two signals, when all its commands have exited.
fn must_stop<M: Machine>(world: &mut World<M>) {
    let all_exit = |world: &mut World<M>| {
        while !world.is_over() && !world.running.is_empty() {
            exits(world, Exit::Code(0));
        }
    };
    world.signal(Signal::INT);
    all_exit(world);
    world.signal(Signal::INT);
    let begin = world.now;
    while !world.is_over() {
        world.pass(Duration::from_secs(1));
        all_exit(world);
        assert!(world.now.since(begin) < STOPS_WITHIN, "it does not stop");
    }
}

/// Checks each effect. What a file holds is invented.
impl<M: Machine> Surroundings<M> for Script {
    fn perform(world: &mut World<M>, effect: Effect) -> Option<Effect> {
        match &effect {
            Effect::Send { conn, bytes } if world.open.contains(conn) => {
                check_sent(if world.conn == Some(*conn) { PeerKind::Controller } else { world.accepts }, bytes);
            }
            Effect::Spawn { child, command } => {
                command.stdout.iter().chain(&command.stderr).for_each(|path| world.check_path(path));
                if world.no_spawn {
                    world.input(Input::SpawnFailed { child: *child, error: "no such file or directory".into() });
                    return None;
                }
            }
            Effect::Append { path, bytes, .. } => {
                world.writes(path);
                if path.extension().is_some_and(|extension| extension == "jsonl") {
                    check_lines(bytes);
                }
            }
            Effect::Persist { path, bytes } => {
                world.writes(path);
                // The submitted test is stored unchanged.
                if path.extension().is_some_and(|extension| extension == "json") && !path.ends_with("test.json") {
                    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).expect("JSON");
                    assert_harmless(bytes);
                }
            }
            Effect::WriteAt { path, .. } | Effect::MakeDir { path } | Effect::Install { path, .. } => {
                world.writes(path)
            }
            Effect::Print { bytes, .. } => assert_harmless(&without_picture(bytes)),
            Effect::Read { path, .. } | Effect::ReadEnd { path, .. } => world.check_path(path),
            _ => {}
        }
        match effect {
            Effect::Read { read, offset, max, .. } => {
                let hello = if offset == 0 { &b"hello"[..max.min(5)] } else { b"" };
                world.input(Input::Read { read, result: Ok(hello) });
            }
            Effect::ReadEnd { read, max, .. } => world.input(Input::Read { read, result: Ok(&b"hello"[..max.min(5)]) }),
            Effect::List { read, .. } => {
                world.input(Input::Listed { read, result: Ok(vec![("f".to_owned(), 5)].into()) });
            }
            Effect::Page { read, .. } => {
                let page = Page { files: vec![("f".to_owned(), 5)], next: None };
                world.input(Input::Paged { read, result: Ok(page) });
            }
            Effect::Sweep { .. } => world.input(Input::Swept { left: world.running.len() }),
            Effect::Probe { probe, .. } => world.input(Input::Probed { probe, result: Err(NoAnswer::Refused) }),
            // No test reads these.
            Effect::Append { .. } | Effect::Persist { .. } | Effect::WriteAt { .. } | Effect::Install { .. } => {}
            Effect::Print { .. } => {}
            effect => return Some(effect),
        }
        None
    }
}

impl Script {
    fn writes(&mut self, path: &Path) {
        self.check_path(path);
        self.written.insert(path.to_owned());
    }

    /// Checks that a file is below the directory of the run, and its name is harmless.
    fn check_path(&self, path: &Path) {
        assert!(path.starts_with(self.root), "{path:?}");
        assert!(path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))), "{path:?}");
        assert!(!path.to_string_lossy().contains(is_obeyed), "{path:?}");
    }
}

/// Checks that the machine has sent messages that its peer understands. A confirmation is sent with the next message.
fn check_sent(hears: PeerKind, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = bytes.strip_suffix(b"\n").unwrap_or_else(|| panic!("no line: {text}"));
    for line in lines.split(|&byte| byte == b'\n') {
        let heard = match hears {
            PeerKind::Slave => FromController::decode(line).map(drop),
            PeerKind::Controller => ToController::decode(line).map(drop),
            PeerKind::Command => ControlReply::decode(line).map(drop),
        };
        assert_eq!(heard, Ok(()), "{text}");
    }
}

/// Checks that these are lines of JSON that a terminal may show.
fn check_lines(bytes: &[u8]) {
    assert_harmless(bytes);
    assert!(bytes.ends_with(b"\n"));
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde::de::IgnoredAny>(line).expect("JSON");
    }
}

/// Removes the codes with which the live picture moves the cursor: `ESC [ N A CR ESC [ J`.
fn without_picture(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let Some(rest) = text.strip_prefix("\x1b[") else { return text.into_bytes() };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.strip_prefix("A\r\x1b[J").unwrap_or(&text).as_bytes().to_vec()
}

/// Checks that a terminal may show these bytes: they are text without control characters except newlines and tabs.
fn assert_harmless(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(!text.contains(|c: char| is_obeyed(c) && !"\n\t".contains(c)), "{text:?}");
}
