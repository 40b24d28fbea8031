//! The simulated surroundings of a slave: a controller, processes and files.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::machine::{
    Address, ChildId, Command, ConnId, EarId, Effect, Exit, Found, Input, ListenerId, Machine, Outbox, Peer, ProbeId,
    Signal, Time,
};
use crate::slave::{Config, Slave};

/// How far the controller's clock is ahead of the slave's, in microseconds.
pub const AHEAD: u64 = 1_000_000_000;

pub const PEER: Peer = Peer::Local { uid: 0, pid: None };

pub struct World {
    pub slave: Slave,
    out: Outbox,
    pub now: Time,
    /// The connection that the slave asked for last.
    pub conn: Option<ConnId>,
    /// The messages to the controller that no test has taken yet.
    pub said: Vec<Value>,
    /// The answers on its control socket.
    pub answers: BTreeMap<ConnId, Vec<Value>>,
    /// The same as bytes.
    pub raw: BTreeMap<ConnId, Vec<Vec<u8>>>,
    pub closed: Vec<ConnId>,
    /// The commands that were started, and those that run.
    pub spawned: Vec<(ChildId, Command)>,
    pub running: BTreeMap<ChildId, String>,
    pub kills: Vec<(String, Signal)>,
    pub sweeps: Vec<Signal>,
    /// How many processes the next sweeps find.
    pub left: VecDeque<usize>,
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// The ports that are being tried.
    pub probes: Vec<(ProbeId, String)>,
    /// The sockets to which commands can report.
    pub ears: Vec<(EarId, PathBuf)>,
    /// The names that lists find and reject, and why.
    pub unfit: Vec<(String, String)>,
    pub exit: Option<u8>,
    pub printed: String,
    /// The last status line.
    pub status: String,
    /// Whether pings are answered.
    pub pongs: bool,
    /// The effects that are not performed yet, and whether they are being performed.
    effects: VecDeque<Effect>,
    performs: bool,
    serial: u64,
}

impl World {
    pub fn with(change: impl FnOnce(&mut Config)) -> World {
        let mut config = Config {
            name: "node1".to_owned(),
            controller: Address::Inet("controller:7777".to_owned()),
            incarnation: "abc".to_owned(),
            seed: 1,
            pid: 4242,
            dir: PathBuf::from("/d"),
            socket: PathBuf::from("/s/sock"),
            control: ListenerId(0),
            orphan_after: crate::slave::ORPHAN_AFTER,
            labels: Default::default(),
            utc: None,
            once: false,
            leave: Default::default(),
            keep: false,
            secret: None,
            uid: 1000,
        };
        change(&mut config);
        let mut world = World {
            slave: Slave::new(config),
            out: Outbox::new(),
            now: Time::from_micros(1_000_000),
            conn: None,
            said: Vec::new(),
            answers: BTreeMap::new(),
            raw: BTreeMap::new(),
            closed: Vec::new(),
            spawned: Vec::new(),
            running: BTreeMap::new(),
            kills: Vec::new(),
            sweeps: Vec::new(),
            left: VecDeque::new(),
            files: BTreeMap::new(),
            probes: Vec::new(),
            ears: Vec::new(),
            unfit: Vec::new(),
            exit: None,
            printed: String::new(),
            status: String::new(),
            pongs: true,
            effects: VecDeque::new(),
            performs: false,
            serial: 0,
        };
        world.input(Input::Begin);
        world
    }

    pub fn new() -> World {
        World::with(|_| {})
    }

    /// A slave that runs these entries since this moment.
    pub fn running(entries: Value) -> World {
        let mut world = World::new();
        world.run(json!({"entries": entries}));
        world
    }

    /// Takes the slave from its first connection to the start of a run.
    pub fn run(&mut self, prepare: Value) {
        self.connect(None, 0);
        self.prepare(prepare);
        assert_eq!(self.take("ready").len(), 1, "{:?}", self.said);
        self.start();
    }

    pub fn start(&mut self) {
        self.say(json!({"type": "start", "run": "r1", "at": self.now.as_micros() + AHEAD}));
    }

    pub fn prepare(&mut self, more: Value) {
        let mut prepare = json!({"type": "prepare", "run": "r1", "test": "t", "grace": 10_000_000,
            "triggers": ["go", "end"], "entries": []});
        prepare.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.say(prepare);
    }

    /// Makes the connection, and welcomes the slave. Returns its hello.
    pub fn connect(&mut self, run: Option<&str>, recorded: u64) -> Value {
        let conn = self.conn.expect("the slave asked for a connection");
        self.input(Input::Connected { conn, peer: PEER, local: None });
        let hello = self.take("hello").pop().expect("a hello");
        self.say(json!({"type": "welcome", "protocol": 1, "version": "x", "run": run, "recorded": recorded}));
        hello
    }

    /// Loses the connection, and lets time pass until the slave tries again.
    pub fn reconnect(&mut self, run: Option<&str>, recorded: u64) -> Value {
        self.lose();
        while self.conn.is_none() {
            self.pass(Duration::from_millis(100));
        }
        self.connect(run, recorded)
    }

    pub fn lose(&mut self) {
        let conn = self.conn.take().expect("a connection");
        self.input(Input::Closed { conn, reason: "reset".into() });
    }

    pub fn say(&mut self, message: Value) {
        // "type" goes first, whatever the order of the map.
        let mut fields = message.as_object().unwrap().clone();
        let kind = fields.remove("type").unwrap();
        let rest = serde_json::to_string(&fields).unwrap();
        let comma = if fields.is_empty() { "" } else { "," };
        self.say_bytes(format!("{{\"type\":{kind}{comma}{}\n", &rest[1..]).as_bytes());
    }

    pub fn say_bytes(&mut self, bytes: &[u8]) {
        let conn = self.conn.expect("a connection");
        self.input(Input::Received { conn, bytes });
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(next) = self.slave.next_deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.input(Input::Deadline);
        }
        self.now = until;
    }

    pub fn signal(&mut self, signal: Signal) {
        self.input(Input::Signal(signal));
    }

    /// A request on the control socket.
    pub fn request(&mut self, line: &str) -> ConnId {
        self.serial += 1;
        let conn = ConnId(1_000_000 + self.serial);
        self.input(Input::Accepted { conn, listener: ListenerId(0), peer: PEER });
        self.input(Input::Received { conn, bytes: format!("{line}\n").as_bytes() });
        conn
    }

    pub fn answer(&self, conn: ConnId) -> Option<&Value> {
        self.answers.get(&conn).and_then(|lines| lines.first())
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.slave.handle(self.now, input, &mut self.out);
        self.effects.extend(self.out.drain());
        // The inputs of an effect are handled before the next effect, and their effects follow later, as in the
        // reactor.
        if std::mem::replace(&mut self.performs, true) {
            return;
        }
        while let Some(effect) = self.effects.pop_front() {
            self.effect(effect);
        }
        self.performs = false;
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { conn, .. } => self.conn = Some(conn),
            Effect::Send { conn, bytes } => self.sent(conn, &bytes),
            Effect::Close { conn, .. } => {
                self.closed.push(conn);
                self.conn = self.conn.filter(|own| *own != conn);
            }
            Effect::Spawn { child, command } => self.spawn(child, *command),
            Effect::KillGroup { child, signal } => {
                let name = self.name_of(child);
                self.kills.push((name, signal));
            }
            Effect::Sweep { signal } => {
                self.sweeps.push(signal);
                let left = self.left.pop_front().unwrap_or(0);
                self.input(Input::Swept { left });
            }
            Effect::WriteAt { path, bytes, .. } | Effect::Append { path, bytes } => {
                self.files.entry(path).or_default().extend(bytes)
            }
            Effect::Read { read, path, offset, max } => {
                let file = self.files.get(&path).cloned().unwrap_or_default();
                let from = file.len().min(offset as usize);
                let to = file.len().min(from + max);
                self.input(Input::Read { read, result: Ok(&file[from..to]) });
            }
            Effect::ReadEnd { read, path, max } => {
                let file = self.files.get(&path).cloned().unwrap_or_default();
                self.input(Input::Read { read, result: Ok(&file[file.len().saturating_sub(max)..]) });
            }
            Effect::Page { .. } => unreachable!("only a controller asks for pages"),
            Effect::List { read, directory, .. } => {
                let below = self.files.iter().filter_map(|(path, bytes)| {
                    let file = path.strip_prefix(&directory).ok()?;
                    Some((file.display().to_string(), bytes.len() as u64))
                });
                let files = below.collect();
                let found = Found { files, unfit: self.unfit.clone(), ..Found::default() };
                self.input(Input::Listed { read, result: Ok(found) });
            }
            Effect::Print { bytes, .. } => self.printed.push_str(&String::from_utf8_lossy(&bytes)),
            Effect::Exit { code } => {
                self.exit.get_or_insert(code);
            }
            Effect::MakeDir { .. } | Effect::Persist { .. } | Effect::Install { .. } => {}
            Effect::Status(status) => self.status = status,
            Effect::Probe { probe, to } => self.probes.push((probe, to)),
            Effect::Hear { ear, path } => self.ears.push((ear, path)),
            Effect::Deafen { ear } => self.ears.retain(|(other, _)| *other != ear),
            Effect::Datagram { .. } | Effect::Halt { .. } | Effect::Confirm { .. } => {
                panic!("a slave does not {effect:?}")
            }
        }
    }

    fn sent(&mut self, conn: ConnId, line: &[u8]) {
        let message: Value = serde_json::from_slice(line).expect("a JSON line");
        if self.conn != Some(conn) {
            self.raw.entry(conn).or_default().push(line.to_vec());
            return self.answers.entry(conn).or_default().push(message);
        }
        if message["type"] == "ping" {
            if self.pongs {
                let now = self.now.as_micros() + AHEAD;
                self.say(json!({"type": "pong", "time": message["time"], "now": now}));
            }
            return;
        }
        self.said.push(message);
    }

    fn spawn(&mut self, child: ChildId, command: Command) {
        let entry = command.env.iter().find(|(name, _)| name == "ARETE_ENTRY").map(|(_, entry)| entry.clone());
        self.running.insert(child, entry.unwrap_or_else(|| "rm".to_owned()));
        self.spawned.push((child, command));
        let pid = 100 + self.spawned.len() as u32;
        self.input(Input::Spawned { child, pid });
    }

    fn name_of(&self, child: ChildId) -> String {
        let (_, command) = self.spawned.iter().find(|(other, _)| *other == child).expect("it was started");
        command.env.iter().find(|(name, _)| name == "ARETE_ENTRY").map(|(_, entry)| entry.clone()).unwrap()
    }

    /// The oldest running process of an entry ends.
    pub fn exits(&mut self, entry: &str, exit: Exit) {
        let child = self.running.iter().find(|(_, name)| *name == entry).map(|(child, _)| *child);
        let child = child.unwrap_or_else(|| panic!("{entry} runs: {:?}", self.running));
        self.running.remove(&child);
        self.input(Input::Exited { child, exit });
    }

    /// Takes the messages of a type.
    pub fn take(&mut self, kind: &str) -> Vec<Value> {
        let (taken, rest) = std::mem::take(&mut self.said).into_iter().partition(|message| message["type"] == kind);
        self.said = rest;
        taken
    }

    /// Takes the reports, in short.
    pub fn reports(&mut self) -> Vec<String> {
        self.take("report").iter().map(short).collect()
    }

    /// The controller answers all reports and outputs, until the slave sends none.
    pub fn record_all(&mut self) {
        while self.said.iter().any(|message| message["type"] == "report" || message["type"] == "output") {
            for report in self.take("report") {
                self.say(json!({"type": "recorded", "run": "r1", "seq": report["seq"]}));
            }
            for output in self.take("output") {
                let length = output["offset"].as_u64().unwrap() + decoded(&output).len() as u64;
                self.say(json!({"type": "kept", "run": "r1", "file": output["file"], "length": length}));
            }
        }
    }

    /// The commands that were started, by entry.
    pub fn started(&self) -> Vec<&str> {
        let entry =
            |(_, command): &'_ (ChildId, Command)| command.env.iter().position(|(name, _)| name == "ARETE_ENTRY");
        let all = self.spawned.iter().filter_map(|spawned| Some(spawned.1.env[entry(spawned)?].1.as_str()));
        all.collect()
    }
}

pub fn decoded(output: &Value) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(output["data"].as_str().unwrap()).unwrap()
}

/// `exited a#1 passed`, `heard go`.
fn short(report: &Value) -> String {
    let event = report["event"].as_str().unwrap();
    let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
    match event {
        "spawned" => format!("spawned {}#{}", text("entry"), report["nr"]),
        "entry-ready" => format!("ready {}#{}", text("entry"), report["nr"]),
        "exited" => format!("exited {}#{} {}", text("entry"), report["nr"], text("outcome")),
        "heard" | "settled" => format!("{event} {}", text("trigger")),
        "poked" => format!("poked {} by {}", text("entry"), text("by")),
        "idle" if report["services"] == true => format!("idle {} with services", report["heard"]),
        "idle" => format!("idle {}", report["heard"]),
        "end" => format!("end {} {}", text("entry"), text("verdict")),
        "warning" | "trouble" => format!("{event}: {}", text("text")),
        other => other.to_owned(),
    }
}

/// A shell entry; `when` is its policy, as the wire has it.
pub fn shell(name: &str, when: Value, more: Value) -> Value {
    let mut action = json!({"command": format!("run {name}")});
    action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"name": name, "policy": when, "action": {"shell": action}})
}

pub fn entry(name: &str, when: Value, action: Value) -> Value {
    json!({"name": name, "policy": when, "action": action})
}
