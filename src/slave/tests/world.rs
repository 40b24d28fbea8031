//! The simulated surroundings of a slave: a controller, processes and files.

use std::collections::VecDeque;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::machine::stage::{LOCAL, Stage, Surroundings};
use crate::machine::{Address, Command, ConnId, EarId, Effect, Exit, Found, Input, ListenerId, ProbeId, Signal};
use crate::slave::{Config, Slave};

/// How far the controller's clock is ahead of the slave's, in microseconds.
pub const AHEAD: u64 = 1_000_000_000;

pub type World = Stage<Slave, Machine>;

/// The machine on which the slave runs.
#[derive(Default)]
pub struct Machine {
    pub kills: Vec<(String, Signal)>,
    pub sweeps: Vec<Signal>,
    /// How many processes the next sweeps find.
    pub left: VecDeque<usize>,
    /// The ports that are being tried.
    pub probes: Vec<(ProbeId, String)>,
    /// The sockets to which commands can report.
    pub ears: Vec<(EarId, PathBuf)>,
    /// The names that lists find and reject, and why.
    pub unfit: Vec<(String, String)>,
    /// The last status line.
    pub status: String,
}

impl Surroundings<Slave> for Machine {
    fn perform(world: &mut World, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::KillGroup { child, signal } => {
                let name = entry_of(world.command(child)).expect("a command of an entry").to_owned();
                world.kills.push((name, signal));
            }
            Effect::Sweep { signal } => {
                world.sweeps.push(signal);
                let left = world.left.pop_front().unwrap_or(0);
                world.input(Input::Swept { left });
            }
            Effect::List { read, directory, .. } => {
                let (files, unfit) = (world.files_below(&directory), world.unfit.clone());
                world.input(Input::Listed { read, result: Ok(Found { files, unfit, ..Found::default() }) });
            }
            Effect::Status(status) => world.status = status,
            Effect::Probe { probe, to } => world.probes.push((probe, to)),
            Effect::Hear { ear, path } => world.ears.push((ear, path)),
            Effect::Deafen { ear } => world.ears.retain(|(other, _)| *other != ear),
            Effect::Page { .. } | Effect::Datagram { .. } | Effect::Halt { .. } => {
                panic!("a slave does not {effect:?}")
            }
            effect => return Some(effect),
        }
        None
    }
}

impl World {
    pub(super) fn with(change: impl FnOnce(&mut Config)) -> World {
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
            allow_crash: false,
            secret: None,
            uid: 1000,
        };
        change(&mut config);
        let mut world = Stage::begin(Slave::new(config), Machine::default());
        world.pongs = Some(AHEAD);
        world
    }

    pub(super) fn new() -> World {
        World::with(|_| {})
    }

    /// A slave that runs these entries since this moment.
    pub(super) fn running(entries: Value) -> World {
        let mut world = World::new();
        world.run(json!({"entries": entries}));
        world
    }

    /// Takes the slave from its first connection to the start of a run.
    pub(super) fn run(&mut self, prepare: Value) {
        self.connect(None, 0);
        self.prepare(prepare);
        assert_eq!(self.take_said("ready").len(), 1, "{:?}", self.said);
        self.start();
    }

    pub(super) fn start(&mut self) {
        self.tell(json!({"type": "start", "run": "r1", "at": self.now.as_micros() + AHEAD}));
    }

    pub(super) fn prepare(&mut self, more: Value) {
        let mut prepare = json!({"type": "prepare", "run": "r1", "test": "t", "grace": 10_000_000,
            "triggers": ["go", "end"], "entries": []});
        prepare.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.tell(prepare);
    }

    /// Makes the connection, and welcomes the slave. Returns its hello.
    pub(super) fn connect(&mut self, run: Option<&str>, recorded: u64) -> Value {
        self.establish();
        let hello = self.take_said("hello").pop().expect("a hello");
        self.tell(json!({"type": "welcome", "protocol": 1, "version": "x", "run": run, "recorded": recorded}));
        hello
    }

    /// Loses the connection, and lets time pass until the slave tries again.
    pub(super) fn reconnect(&mut self, run: Option<&str>, recorded: u64) -> Value {
        self.lose();
        self.connect(run, recorded)
    }

    /// A request on the control socket.
    pub(super) fn request(&mut self, line: &str) -> ConnId {
        let conn = self.accept(ListenerId(0), LOCAL);
        self.say(conn, line);
        conn
    }

    /// Returns the first answer on the control socket.
    pub(super) fn answer(&self, conn: ConnId) -> Option<Value> {
        let line = self.sent.get(&conn)?.first()?;
        Some(serde_json::from_slice(line).expect("a JSON line"))
    }

    /// The oldest running process of an entry ends.
    pub(super) fn exits(&mut self, entry: &str, exit: Exit) {
        let mut running = self.running.iter();
        let child = running.find(|child| entry_of(self.command(**child)).unwrap_or("rm") == entry).copied();
        let child = child.unwrap_or_else(|| panic!("{entry} does not run"));
        self.input(Input::Exited { child, exit });
    }

    /// Takes the reports, in short.
    pub(super) fn reports(&mut self) -> Vec<String> {
        self.take_said("report").iter().map(short).collect()
    }

    /// The controller answers all reports and outputs, until the slave sends none.
    pub(super) fn record_all(&mut self) {
        while self.said.iter().any(|message| message["type"] == "report" || message["type"] == "output") {
            for report in self.take_said("report") {
                self.tell(json!({"type": "recorded", "run": "r1", "seq": report["seq"]}));
            }
            for output in self.take_said("output") {
                let length = output["offset"].as_u64().unwrap() + decoded(&output).len() as u64;
                self.tell(json!({"type": "kept", "run": "r1", "file": output["file"], "length": length}));
            }
        }
    }

    /// The commands that were started, by entry.
    pub(super) fn started(&self) -> Vec<&str> {
        self.spawned.iter().filter_map(|(_, command)| entry_of(command)).collect()
    }
}

/// Returns the entry of a command; `None` if it belongs to no entry.
fn entry_of(command: &Command) -> Option<&str> {
    command.env.iter().find(|(name, _)| name == "ARETE_ENTRY").map(|(_, entry)| entry.as_str())
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
    let mut action = json!({"command": [format!("run {name}")]});
    action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"name": name, "policy": when, "action": {"shell": action}})
}

pub fn entry(name: &str, when: Value, action: Value) -> Value {
    json!({"name": name, "policy": when, "action": action})
}
