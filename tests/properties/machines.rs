//! The properties of a whole controller and a whole slave for every input of their peers: they never panic, every answer
//! is a message, no raw byte of a peer reaches a terminal, a log or a path, all files are below their directory, deadlines
//! come to an end, and a machine that must stop does.
//!
//! The input is a script. Bytes below 0xF0 are sent on the current connection; each other byte is another event, see
//! [`World::operate`].

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

/// The most turns for the answers to the effects of one input.
const TURNS_MAX: usize = 10_000;

/// The most deadlines at one instant.
const DEADLINES_MAX: usize = 1_000;

/// The longest time that a machine may take to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(300);

/// The peer at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum PeerKind {
    Slave,
    Controller,
    Command,
}

/// An effect of the machine that needs an answer.
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
    open: BTreeMap<ConnId, PeerKind>,
    /// The connections that the machine is opening.
    dialling: BTreeSet<ConnId>,
    children: BTreeSet<ChildId>,
    /// Commands cannot be started.
    no_spawn: bool,
    answers: VecDeque<Answer>,
    written: BTreeSet<std::path::PathBuf>,
    root: &'static Path,
    accepts: PeerKind,
    over: bool,
}

/// Plays a script to a controller without a run.
pub fn check_rooms(script: &[u8]) {
    let limits = Limits::new(Some(2_000), Some(4_000), Some(100_000));
    World::new(Controller::bare(None).limited(limits), "/results", PeerKind::Slave).play(script);
}

/// Plays a script to a controller that stays, and takes tests of whoever operates it.
pub fn check_host(script: &[u8]) {
    let limits = Limits::new(Some(2_000), Some(4_000), Some(100_000));
    let config =
        HostConfig { runs: "/results/runs".into(), lost_after: Duration::from_secs(10), ..HostConfig::default() };
    World::new(Controller::bare(None).limited(limits).hosting(config), "/results", PeerKind::Slave).play(script);
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
    World::new(controller, "/results", PeerKind::Slave).play(script);
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
    World::new(slave, "/d", PeerKind::Command).play(script);
}

impl<M: Machine> World<M> {
    fn new(machine: M, root: &'static str, accepts: PeerKind) -> World<M> {
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
            // Selects the connection of the next bytes, which open it if it is not open.
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
        if self.accepts == PeerKind::Command && self.current == 0 {
            let conn = self.dialling.pop_first()?;
            self.open.insert(conn, PeerKind::Controller);
            self.input(Input::Connected { conn, peer: Peer::Local { uid: 0, pid: None }, local: None });
            return Some(conn);
        }
        let conn = ConnId(self.out.next_serial());
        self.open.insert(conn, self.accepts);
        let peer = match self.accepts {
            PeerKind::Command => Peer::Local { uid: 0, pid: None },
            _ => Peer::Inet(([10, 0, 0, self.current], 5000).into()),
        };
        self.input(Input::Accepted { conn, listener: ListenerId(0), peer });
        Some(conn)
    }

    /// Gives the machine an input, performs its effects, and gives it the answers.
    fn input(&mut self, input: Input<'_>) {
        if self.over {
            return;
        }
        self.machine.handle(self.now, input, &mut self.out);
        self.perform();
        for turn in 0.. {
            assert!(turn < TURNS_MAX, "effects without end");
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

    /// Checks that the machine ends after two signals, when all its commands have exited.
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
                        check_sent(*hears, &bytes);
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
                    // The submitted test is stored unchanged.
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

    /// Checks that a file is below the directory of the run, and its name is harmless.
    fn check_path(&self, path: &Path) {
        assert!(path.starts_with(self.root), "{path:?}");
        assert!(path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))), "{path:?}");
        assert!(!path.to_string_lossy().contains(is_obeyed), "{path:?}");
    }
}

/// Checks that the machine has sent one message that its peer understands.
fn check_sent(hears: PeerKind, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let line = bytes.strip_suffix(b"\n").unwrap_or_else(|| panic!("no line: {text}"));
    assert!(!line.contains(&b'\n'), "more than one line: {text}");
    let heard = match hears {
        PeerKind::Slave => FromController::decode(line).map(drop),
        PeerKind::Controller => ToController::decode(line).map(drop),
        PeerKind::Command => ControlReply::decode(line).map(drop),
    };
    assert_eq!(heard, Ok(()), "{text}");
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
