//! A controller with one run, played as simply as can be, and the files on both sides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::machine::{Address, ConnId, Effect, Input, Machine, Outbox, Peer, ReadId, Signal, Stream, Time};
use crate::operator::{Config, Operator, Show, Submission, Task};
use crate::testfile::{self, Shipped};

/// How far the controller's clock is ahead, in microseconds.
const AHEAD: u64 = 7_000_000;

/// How many bytes of a file, and how many names of files, the controller sends at a time.
const PIECE: usize = 40;
const PAGE: usize = 2;

pub const RUN: &str = "t-20260131T120000Z-00ff";

pub const TEST: &str = r#"{ "name": "t", "end": { "duration": 1 }, "triggers": { "go": 2 }, "slaves": { "a": ["s"], "b": ["s"] },
    "resources": { "tool": { "file": "tool.sh" } },
    "schedules": { "s": [{ "name": "x", "at": 0, "shell": "@{tool.path}", "use_resources": ["tool"] }] } }"#;

pub const TOOL: &[u8] = b"#!/bin/sh\necho hello\n";

pub struct World {
    operator: Operator,
    out: Outbox,
    pub now: Time,
    pub conn: Option<ConnId>,
    /// The messages that the controller has not answered without help.
    pub said: Vec<Value>,
    pub printed: String,
    pub complained: String,
    pub exit: Option<u8>,
    /// The files that the operator has written.
    pub ours: BTreeMap<PathBuf, Vec<u8>>,
    /// Whether writing fails.
    pub full: bool,
    /// The results at the controller.
    pub theirs: BTreeMap<String, Vec<u8>>,
    /// The state of the run.
    pub state: Value,
    /// The requests that wait: a file and an offset.
    waits: Vec<(String, usize)>,
}

pub fn submission() -> Submission {
    let shipped =
        Shipped { path: "/tool.sh".into(), size: TOOL.len() as u64, sha256: "ab".repeat(32), executable: true };
    let test = testfile::parse::<String>("t.json", TEST, &mut |_| Ok(shipped.clone())).unwrap();
    Submission {
        id: "s1".to_owned(),
        file: "t.json".to_owned(),
        text: TEST.to_owned(),
        test: Rc::new(test),
        shipped: BTreeMap::from([("tool.sh".to_owned(), shipped)]),
        wait: Some(Duration::from_secs(60)),
        lost_after: None,
    }
}

impl World {
    pub fn new(task: Task) -> World {
        World::with(task, Show::default(), None)
    }

    pub fn with(task: Task, show: Show, timeout: Option<Duration>) -> World {
        let controller = Address::Inet("c:1".to_owned());
        let operator = Operator::new(Config { controller, seed: 3, task, show, begun: None, timeout });
        let mut world = World {
            operator,
            out: Outbox::new(),
            now: Time::from_micros(1_000_000),
            conn: None,
            said: Vec::new(),
            printed: String::new(),
            complained: String::new(),
            exit: None,
            ours: BTreeMap::new(),
            full: false,
            theirs: BTreeMap::new(),
            state: json!({"run": RUN, "test": "t", "state": "queued", "submitted": "2026-01-31T12:00:00.000Z",
                          "why": "waiting for slaves a (not connected)", "slaves": 2, "connected": 0}),
            waits: Vec::new(),
        };
        world.input(Input::Begin);
        world
    }

    /// One that hands in the test, and for which the run is accepted.
    pub fn submitted(show: Show) -> World {
        let task = Task::Run { submission: Box::new(submission()), results: Some("/r".into()) };
        let mut world = World::with(task, show, None);
        world.connect();
        world.accept();
        world
    }

    pub fn accept(&mut self) {
        let seen = json!({"submission": "s1", "run": self.state});
        self.say("seen", seen);
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.operator.handle(self.now, input, &mut self.out);
        for effect in self.out.drain().collect::<Vec<_>>() {
            match effect {
                Effect::Connect { conn, .. } => self.conn = Some(conn),
                Effect::Close { .. } => self.conn = None,
                Effect::Send { bytes, .. } => self.sent(serde_json::from_slice(&bytes).unwrap()),
                Effect::Print { stream: Stream::Out, bytes, .. } => {
                    self.printed.push_str(&String::from_utf8(bytes).unwrap());
                }
                Effect::Print { bytes, .. } => self.complained.push_str(&String::from_utf8(bytes).unwrap()),
                Effect::Exit { code } => self.exit = self.exit.or(Some(code)),
                Effect::Persist { path, bytes } => self.write(path, 0, bytes),
                Effect::WriteAt { path, offset, bytes, .. } => self.write(path, offset as usize, bytes),
                Effect::Confirm { confirm } => self.input(Input::Written { confirm }),
                Effect::Read { read, path, offset, max } => self.read(read, &path, offset as usize, max),
                other => panic!("{other:?}"),
            }
        }
    }

    fn write(&mut self, path: PathBuf, offset: usize, bytes: Vec<u8>) {
        if self.full {
            return self.input(Input::WriteFailed { path, error: "no space left on device".into() });
        }
        let file = self.ours.entry(path).or_default();
        if offset == 0 {
            file.clear();
        }
        assert_eq!(file.len(), offset, "no gap, and nothing twice");
        file.extend_from_slice(&bytes);
    }

    fn read(&mut self, read: ReadId, path: &Path, offset: usize, max: usize) {
        assert_eq!(path, Path::new("/tool.sh"));
        // As long as a controller takes at once in these tests.
        let end = TOOL.len().min(offset + max.min(8));
        self.input(Input::Read { read, result: Ok(&TOOL[offset.min(end)..end]) });
    }

    fn sent(&mut self, message: Value) {
        match message["type"].as_str().unwrap() {
            "ping" => self.say("pong", json!({"time": message["time"], "now": self.now.as_micros() + AHEAD})),
            "look" => self.look(message["run"].as_str().unwrap()),
            "files" => self.list(message["after"].as_str().unwrap()),
            "get" => {
                let (file, offset) = (message["file"].as_str().unwrap(), message["offset"].as_u64().unwrap() as usize);
                let held = self.theirs.get(file).map_or(0, Vec::len);
                if message["wait"] == true && held <= offset && self.state["state"] != "over" {
                    self.waits.push((file.to_owned(), offset));
                } else {
                    self.piece(file, offset);
                }
            }
            _ => self.said.push(message),
        }
    }

    fn look(&mut self, run: &str) {
        if RUN.starts_with(run) {
            let seen = json!({"run": self.state});
            self.say("seen", seen);
        } else {
            self.say("denied", json!({"run": run, "code": "no-such-run", "reason": format!("no such run: {run}")}));
        }
    }

    fn list(&mut self, after: &str) {
        let mut files: Vec<_> = self.theirs.iter().filter(|(name, _)| name.as_str() > after).collect();
        let more = files.len() > PAGE;
        files.truncate(PAGE);
        let next = files.last().filter(|_| more).map(|(name, _)| (*name).clone());
        let files: Vec<_> = files.into_iter().map(|(name, bytes)| json!([name, bytes.len()])).collect();
        self.say("files", json!({"run": RUN, "files": files, "next": next}));
    }

    fn piece(&mut self, file: &str, offset: usize) {
        match self.theirs.get(file) {
            Some(bytes) => {
                let end = bytes.len().min(offset + PIECE);
                let data = STANDARD.encode(&bytes[offset.min(end)..end]);
                self.say("piece", json!({"run": RUN, "file": file, "offset": offset, "data": data}));
            }
            None => self
                .say("denied", json!({"run": RUN, "code": "no-such-file", "reason": format!("no such file: {file}")})),
        }
    }

    /// Something was added to a file at the controller.
    pub fn grow(&mut self, file: &str, text: &str) {
        self.theirs.entry(file.to_owned()).or_default().extend_from_slice(text.as_bytes());
        self.answer();
    }

    /// Answers the requests that need not wait any longer.
    fn answer(&mut self) {
        let over = self.state["state"] == "over";
        let held = |file: &str, theirs: &BTreeMap<String, Vec<u8>>| theirs.get(file).map_or(0, Vec::len);
        let theirs = self.theirs.clone();
        let (due, rest) =
            std::mem::take(&mut self.waits).into_iter().partition(|(file, from)| over || held(file, &theirs) > *from);
        self.waits = rest;
        let due: Vec<(String, usize)> = due;
        for (file, offset) in due {
            self.piece(&file, offset);
        }
    }

    /// The state of the run changes.
    pub fn becomes(&mut self, more: Value) {
        self.state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.answer();
        self.pass(Duration::from_secs(3));
    }

    pub fn say(&mut self, kind: &str, fields: Value) {
        let fields = fields.to_string();
        let comma = if fields == "{}" { "" } else { "," };
        let line = format!("{{\"type\":\"{kind}\"{comma}{}\n", &fields[1..]);
        let Some(conn) = self.conn else { return };
        self.input(Input::Received { conn, bytes: line.as_bytes() });
    }

    pub fn connect(&mut self) {
        while self.conn.is_none() {
            self.pass(Duration::from_millis(10));
        }
        let conn = self.conn.unwrap();
        self.input(Input::Connected { conn, peer: Peer::Local { uid: 0, pid: None }, local: None });
        self.say("welcome", json!({"protocol": 1, "version": "x"}));
    }

    pub fn lose(&mut self) {
        let conn = self.conn.take().unwrap();
        self.waits.clear();
        self.input(Input::Closed { conn, reason: "reset".into() });
    }

    pub fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(next) = self.operator.next_deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.input(Input::Deadline);
        }
        self.now = until;
    }

    pub fn signal(&mut self, signal: Signal) {
        self.input(Input::Signal(signal));
    }

    pub fn take(&mut self, kind: &str) -> Vec<Value> {
        let (taken, rest) = std::mem::take(&mut self.said).into_iter().partition(|message| message["type"] == kind);
        self.said = rest;
        taken
    }

    /// Fails the test unless all results are here.
    #[track_caller]
    pub fn assert_all_is_here(&self) {
        let theirs = self.theirs.iter().map(|(name, bytes)| (Path::new("/r").join(name), bytes.clone()));
        assert_eq!(self.ours, theirs.collect());
    }
}
