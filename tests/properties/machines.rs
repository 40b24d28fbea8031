//! What holds of a whole controller and of a whole slave whatever their peers say: no panic, every answer is a message,
//! nothing raw of a peer reaches a terminal, a log or a path, no file lies outside of their directory, deadlines come
//! to an end, and who is told to stop stops.
//!
//! The input is a script. A byte below 0xF0 is said to the peer of the current connection; the others are what else
//! happens, see [`World::play`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Component, Path};
use std::rc::Rc;
use std::time::Duration;

use arete::controller::{self, Controller, HostConfig, Limits};
use arete::machine::{
    Address, ChildId, ConfirmId, ConnId, Effect, Exit, Input, ListenerId, Machine, NoAnswer, Outbox, Page, Peer,
    ProbeId, ReadId, Signal, Time, is_obeyed,
};
use arete::slave::{self, Slave};
use arete::testfile;
use arete::wire::{ControlReply, FromController, ToController};

/// The run that the controller and the slave are in.
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

/// How many turns the answers to one input's effects may take.
const TURNS_MAX: usize = 10_000;

/// How often deadlines may fire at one instant.
const DEADLINES_MAX: usize = 1_000;

/// How long who was told to stop may take.
const STOPS_WITHIN: Duration = Duration::from_secs(300);

/// Who hears what a machine sends on a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Hears {
    Slave,
    Controller,
    Command,
}

/// What the machine asked for and what is still to be answered.
enum Answer {
    Spawned(ChildId),
    Read(ReadId, usize),
    Listed(ReadId),
    Paged(ReadId),
    Swept,
    Written(ConfirmId),
    Probed(ProbeId),
}

struct World<M> {
    machine: M,
    out: Outbox,
    now: Time,
    /// The connections of the script, by their number in it.
    slots: BTreeMap<u8, ConnId>,
    current: u8,
    open: BTreeMap<ConnId, Hears>,
    /// What the machine wants to connect to.
    dialling: BTreeSet<ConnId>,
    children: BTreeSet<ChildId>,
    /// Commands cannot be started.
    no_spawn: bool,
    answers: VecDeque<Answer>,
    written: BTreeSet<std::path::PathBuf>,
    root: &'static Path,
    accepts: Hears,
    over: bool,
}

/// Plays a script to a controller without a run.
pub fn check_rooms(script: &[u8]) {
    let limits = Limits::new(Some(2_000), Some(4_000), Some(100_000));
    World::new(Controller::bare(None).limited(limits), "/results", Hears::Slave).play(script);
}

/// Plays a script to a controller that stays, and takes tests of whoever operates it.
pub fn check_host(script: &[u8]) {
    let limits = Limits::new(Some(2_000), Some(4_000), Some(100_000));
    let config =
        HostConfig { runs: "/results/runs".into(), lost_after: Duration::from_secs(10), ..HostConfig::default() };
    World::new(Controller::bare(None).limited(limits).hosting(config), "/results", Hears::Slave).play(script);
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
    World::new(controller, "/results", Hears::Slave).play(script);
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
        secret: None,
        labels: Default::default(),
        orphan_after: slave::ORPHAN_AFTER,
        utc: None,
        leave: Default::default(),
        once: false,
        keep: false,
    });
    World::new(slave, "/d", Hears::Command).play(script);
}

impl<M: Machine> World<M> {
    fn new(machine: M, root: &'static str, accepts: Hears) -> World<M> {
        World {
            machine,
            out: Outbox::new(),
            now: Time::from_micros(1_000_000),
            slots: BTreeMap::new(),
            current: 0,
            open: BTreeMap::new(),
            dialling: BTreeSet::new(),
            children: BTreeSet::new(),
            no_spawn: false,
            answers: VecDeque::new(),
            written: BTreeSet::new(),
            root: Path::new(root),
            accepts,
            over: false,
        }
    }

    fn play(mut self, script: &[u8]) {
        self.input(Input::Begin);
        for piece in script.chunk_by(|&before, &after| before < 0xF0 && after < 0xF0) {
            match piece {
                [op @ 0xF0..=0xFF] => self.operate(*op),
                bytes => self.say(bytes),
            }
            if self.over {
                return;
            }
        }
        self.must_stop();
    }

    fn operate(&mut self, op: u8) {
        match op {
            // The next bytes are said to this connection; it is made if it is not there.
            0xF0..=0xF5 => self.current = op - 0xF0,
            0xF6 => {
                if let Some(conn) = self.slots.remove(&self.current).filter(|conn| self.open.remove(conn).is_some()) {
                    self.input(Input::Closed { conn, reason: "reset".into() });
                }
            }
            0xF7 => self.pass(Duration::from_millis(100)),
            0xF8 => self.pass(Duration::from_secs(1)),
            0xF9 => self.pass(Duration::from_secs(30)),
            0xFA => self.no_spawn = !self.no_spawn,
            0xFB | 0xFC => {
                let exit = if op == 0xFB { Exit::Code(0) } else { Exit::Signal(Signal::KILL) };
                if let Some(child) = self.children.pop_first() {
                    self.input(Input::Exited { child, exit });
                }
            }
            0xFD => {
                if let Some(path) = self.written.pop_first() {
                    self.input(Input::WriteFailed { path, error: "no space left on device".into() });
                }
            }
            0xFE => self.input(Input::Signal(Signal::USR1)),
            _ => self.input(Input::Signal(Signal::INT)),
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        let conn = match self.slots.get(&self.current) {
            Some(conn) if self.open.contains_key(conn) => *conn,
            _ => {
                let Some(conn) = self.connect() else { return };
                self.slots.insert(self.current, conn);
                conn
            }
        };
        if self.open.contains_key(&conn) {
            self.input(Input::Received { conn, bytes });
        }
    }

    fn connect(&mut self) -> Option<ConnId> {
        if self.accepts == Hears::Command && self.current == 0 {
            let conn = self.dialling.pop_first()?;
            self.open.insert(conn, Hears::Controller);
            self.input(Input::Connected { conn, peer: Peer::Local { uid: 0, pid: None }, local: None });
            return Some(conn);
        }
        let conn = ConnId(self.out.next_serial());
        self.open.insert(conn, self.accepts);
        let peer = match self.accepts {
            Hears::Command => Peer::Local { uid: 0, pid: None },
            _ => Peer::Inet(([10, 0, 0, self.current], 5000).into()),
        };
        self.input(Input::Accepted { conn, listener: ListenerId(0), peer });
        Some(conn)
    }

    /// Gives the machine an input, does what it asks for, and gives the answers.
    fn input(&mut self, input: Input<'_>) {
        if self.over {
            return;
        }
        self.machine.handle(self.now, input, &mut self.out);
        self.perform();
        for turn in 0.. {
            assert!(turn < TURNS_MAX, "it never has enough");
            let Some(answer) = self.answers.pop_front().filter(|_| !self.over) else { break };
            let input = match answer {
                Answer::Spawned(child) if self.no_spawn => {
                    Input::SpawnFailed { child, error: "no such file or directory".into() }
                }
                Answer::Spawned(child) => {
                    self.children.insert(child);
                    Input::Spawned { child, pid: 1_000 + child.0 as u32 }
                }
                Answer::Read(read, max) => Input::Read { read, result: Ok(&b"hello"[..max.min(5)]) },
                Answer::Listed(read) => Input::Listed { read, result: Ok(vec![("f".to_owned(), 5)].into()) },
                Answer::Paged(read) => {
                    Input::Paged { read, result: Ok(Page { files: vec![("f".to_owned(), 5)], next: None }) }
                }
                Answer::Swept => Input::Swept { left: self.children.len() },
                Answer::Written(confirm) => Input::Written { confirm },
                Answer::Probed(probe) => Input::Probed { probe, result: Err(NoAnswer::Refused) },
            };
            self.machine.handle(self.now, input, &mut self.out);
            self.perform();
        }
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        for fired in 0.. {
            let Some(at) = self.machine.next_deadline().filter(|at| *at <= end && !self.over) else { break };
            let instant = at.max(self.now);
            assert!(fired < DEADLINES_MAX * 100, "deadlines without end");
            self.now = instant;
            self.input(Input::Deadline);
        }
        self.now = end;
    }

    /// Told twice to stop, with all its commands gone, it ends.
    fn must_stop(&mut self) {
        self.input(Input::Signal(Signal::INT));
        while let Some(child) = self.children.pop_first() {
            self.input(Input::Exited { child, exit: Exit::Code(0) });
        }
        self.input(Input::Signal(Signal::INT));
        let begin = self.now;
        while !self.over {
            self.pass(Duration::from_secs(1));
            while let Some(child) = self.children.pop_first() {
                self.input(Input::Exited { child, exit: Exit::Code(0) });
            }
            assert!(self.now.since(begin) < STOPS_WITHIN, "it does not stop");
        }
    }

    fn perform(&mut self) {
        for effect in self.out.drain().collect::<Vec<_>>() {
            match effect {
                Effect::Connect { conn, .. } => drop(self.dialling.insert(conn)),
                Effect::Send { conn, bytes } => {
                    if let Some(hears) = self.open.get(&conn) {
                        check_said(*hears, &bytes);
                    }
                }
                Effect::Close { conn, .. } => {
                    self.open.remove(&conn);
                    self.dialling.remove(&conn);
                }
                Effect::Spawn { child, command } => {
                    for path in command.stdout.iter().chain(&command.stderr) {
                        self.check_path(path);
                    }
                    self.answers.push_back(Answer::Spawned(child));
                }
                Effect::Sweep { .. } => self.answers.push_back(Answer::Swept),
                Effect::Confirm { confirm } => self.answers.push_back(Answer::Written(confirm)),
                Effect::Probe { probe, .. } => self.answers.push_back(Answer::Probed(probe)),
                Effect::Hear { .. } | Effect::Deafen { .. } => {}
                Effect::Append { path, bytes } => {
                    let lines = path.extension().is_some_and(|extension| extension == "jsonl");
                    self.write(path);
                    if lines {
                        check_lines(&bytes);
                    }
                }
                Effect::Persist { path, bytes } => {
                    // What was handed in is kept as it is.
                    let json = path.extension().is_some_and(|extension| extension == "json");
                    let json = json && !path.ends_with("test.json");
                    self.write(path);
                    if json {
                        serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).expect("JSON");
                        assert_harmless(&bytes);
                    }
                }
                Effect::WriteAt { path, .. } | Effect::MakeDir { path } => self.write(path),
                Effect::Install { path, .. } => self.write(path),
                Effect::Read { read, path, offset, max } => {
                    self.check_path(&path);
                    self.answers.push_back(Answer::Read(read, if offset == 0 { max } else { 0 }));
                }
                Effect::ReadEnd { read, path, max } => {
                    self.check_path(&path);
                    self.answers.push_back(Answer::Read(read, max));
                }
                Effect::List { read, .. } => self.answers.push_back(Answer::Listed(read)),
                Effect::Page { read, .. } => self.answers.push_back(Answer::Paged(read)),
                Effect::Print { bytes, .. } => assert_harmless(&without_picture(&bytes)),
                Effect::Exit { .. } | Effect::Halt { .. } => self.over = true,
                Effect::KillGroup { .. } | Effect::Datagram { .. } | Effect::Status(_) => {}
            }
        }
    }

    fn write(&mut self, path: std::path::PathBuf) {
        self.check_path(&path);
        self.written.insert(path);
    }

    /// A file is below the directory of the run, and its name is harmless.
    fn check_path(&self, path: &Path) {
        assert!(path.starts_with(self.root), "{path:?}");
        assert!(path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))), "{path:?}");
        assert!(!path.to_string_lossy().contains(is_obeyed), "{path:?}");
    }
}

/// What a machine says is one message for who hears it.
fn check_said(hears: Hears, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let line = bytes.strip_suffix(b"\n").unwrap_or_else(|| panic!("no line: {text}"));
    assert!(!line.contains(&b'\n'), "more than one line: {text}");
    let heard = match hears {
        Hears::Slave => FromController::decode(line).map(drop),
        Hears::Controller => ToController::decode(line).map(drop),
        Hears::Command => ControlReply::decode(line).map(drop),
    };
    assert_eq!(heard, Ok(()), "{text}");
}

/// Lines of JSON that a terminal can show.
fn check_lines(bytes: &[u8]) {
    assert_harmless(bytes);
    assert!(bytes.ends_with(b"\n"));
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde::de::IgnoredAny>(line).expect("JSON");
    }
}

/// What the live picture moves the cursor with: `ESC [ N A CR ESC [ J`.
fn without_picture(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let Some(rest) = text.strip_prefix("\x1b[") else { return text.into_bytes() };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.strip_prefix("A\r\x1b[J").unwrap_or(&text).as_bytes().to_vec()
}

/// What a terminal may be shown: text, without what moves its cursor.
fn assert_harmless(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(!text.contains(|c: char| is_obeyed(c) && !"\n\t".contains(c)), "{text:?}");
}
