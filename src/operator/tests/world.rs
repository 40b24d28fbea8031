//! A controller with one run, played as simply as can be, and the files on both sides.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::machine::stage::{Stage, Surroundings};
use crate::machine::{Address, Effect, Input};
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

pub type World = Stage<Operator, Played>;

/// The controller.
pub struct Played {
    /// The results at the controller.
    pub theirs: BTreeMap<String, Vec<u8>>,
    /// The state of the run.
    pub state: Value,
    /// The requests that wait: a file and an offset.
    waits: Vec<(String, usize)>,
}

impl Surroundings<Operator> for Played {
    fn perform(world: &mut World, effect: Effect) -> Option<Effect> {
        use Effect::{Close, Confirm, Connect, Exit, Persist, Print, WriteAt};
        match effect {
            Effect::Send { ref bytes, .. } => {
                let message: Value = serde_json::from_slice(bytes).unwrap();
                (!world.answers(&message)).then_some(effect)
            }
            Effect::Read { read, path, offset, max } => {
                assert_eq!(path, Path::new("/tool.sh"));
                // As long as a controller takes at once in these tests.
                let (offset, end) = (offset as usize, TOOL.len().min(offset as usize + max.min(8)));
                world.input(Input::Read { read, result: Ok(&TOOL[offset.min(end)..end]) });
                None
            }
            // What the old connection asked for is not answered on a new one.
            Connect { .. } => {
                world.waits.clear();
                Some(effect)
            }
            Close { .. } | Print { .. } | Exit { .. } | Persist { .. } | WriteAt { .. } | Confirm { .. } => {
                Some(effect)
            }
            other => panic!("an operator does not {other:?}"),
        }
    }
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
    pub(super) fn new(task: Task) -> World {
        World::with(task, Show::default(), None)
    }

    pub(super) fn with(task: Task, show: Show, timeout: Option<Duration>) -> World {
        let controller = Address::Inet("c:1".to_owned());
        let operator = Operator::new(Config { controller, seed: 3, task, show, begun: None, timeout });
        let state = json!({"run": RUN, "test": "t", "state": "queued", "submitted": "2026-01-31T12:00:00.000Z",
                           "why": "waiting for slaves a (not connected)", "slaves": 2, "connected": 0});
        let mut world = Stage::begin(operator, Played { theirs: BTreeMap::new(), state, waits: Vec::new() });
        world.pongs = Some(AHEAD);
        world
    }

    /// One that hands in the test, and for which the run is accepted.
    pub(super) fn submitted(show: Show) -> World {
        let task = Task::Run { submission: Box::new(submission()), results: Some("/r".into()) };
        let mut world = World::with(task, show, None);
        world.connect();
        world.accept_run();
        world
    }

    pub(super) fn accept_run(&mut self) {
        self.tell(json!({"type": "seen", "submission": "s1", "run": self.state}));
    }

    /// Answers a request, if the controller does so without help.
    fn answers(&mut self, message: &Value) -> bool {
        match message["type"].as_str().unwrap() {
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
            _ => return false,
        }
        true
    }

    fn look(&mut self, run: &str) {
        if RUN.starts_with(run) {
            self.tell(json!({"type": "seen", "run": self.state}));
        } else {
            self.tell(
                json!({"type": "denied", "run": run, "code": "no-such-run", "reason": format!("no such run: {run}")}),
            );
        }
    }

    fn list(&mut self, after: &str) {
        let mut files: Vec<_> = self.theirs.iter().filter(|(name, _)| name.as_str() > after).collect();
        let more = files.len() > PAGE;
        files.truncate(PAGE);
        let next = files.last().filter(|_| more).map(|(name, _)| (*name).clone());
        let files: Vec<_> = files.into_iter().map(|(name, bytes)| json!([name, bytes.len()])).collect();
        self.tell(json!({"type": "files", "run": RUN, "files": files, "next": next}));
    }

    fn piece(&mut self, file: &str, offset: usize) {
        match self.theirs.get(file) {
            Some(bytes) => {
                let end = bytes.len().min(offset + PIECE);
                let data = STANDARD.encode(&bytes[offset.min(end)..end]);
                self.tell(json!({"type": "piece", "run": RUN, "file": file, "offset": offset, "data": data}));
            }
            None => self.tell(json!({"type": "denied", "run": RUN, "code": "no-such-file", "reason": format!("no such file: {file}")})),
        }
    }

    /// Something was added to a file at the controller.
    pub(super) fn grow(&mut self, file: &str, text: &str) {
        self.theirs.entry(file.to_owned()).or_default().extend_from_slice(text.as_bytes());
        self.answer();
    }

    /// Answers the requests that need not wait any longer.
    fn answer(&mut self) {
        if self.conn.is_none() {
            return;
        }
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
    pub(super) fn becomes(&mut self, more: Value) {
        self.state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.answer();
        self.pass(Duration::from_secs(3));
    }

    pub(super) fn connect(&mut self) {
        self.establish();
        self.tell(json!({"type": "welcome", "protocol": 1, "version": "x"}));
    }

    /// Fails the test unless all results are here.
    #[track_caller]
    pub(super) fn assert_all_is_here(&self) {
        let theirs = self.theirs.iter().map(|(name, bytes)| (Path::new("/r").join(name), bytes.clone()));
        assert_eq!(self.files, theirs.collect());
    }
}
