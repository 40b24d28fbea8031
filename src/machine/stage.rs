//! A stage for one machine: a test plays its surroundings by hand, in virtual time.
//!
//! [`Stage`] keeps the clock, gives the machine its inputs, and performs its effects in memory: connections, files,
//! processes and what is printed are fields that a test reads. If the test fails, the stage prints the last inputs and
//! effects to standard error.
//!
//! ```
//! use std::time::Duration;
//!
//! use arete::controller::Controller;
//! use arete::machine::ListenerId;
//! use arete::machine::stage::{LOCAL, Stage};
//!
//! let mut stage = Stage::begin(Controller::bare(None), ());
//! let conn = stage.accept(ListenerId(0), LOCAL);
//! stage.say(conn, r#"{"type":"operate","protocol":1,"version":"x"}"#);
//! assert_eq!(stage.messages(conn)[0]["type"], "bye");
//! assert_eq!(stage.closed, [conn]);
//! let silent = stage.accept(ListenerId(0), LOCAL);
//! stage.pass(Duration::from_secs(10));
//! assert!(stage.take(silent).contains("no hello within 10s"));
//! ```
//!
//! What only one machine needs is a type of its own that implements [`Surroundings`]: it sees each effect before the
//! stage does, and may answer it in its own way. The stage dereferences to it, so its fields are used like those of the
//! stage. Its methods are an `impl` of `Stage` with this type, see `src/slave/tests/world.rs`. An effect that neither
//! performs is kept in [`Stage::asked`].
//!
//! Effects are performed as under the reactor: the files that one turn writes come first, then everything else in order,
//! and an answer precedes the effects of later turns. After [`Effect::Exit`] or [`Effect::Halt`] the machine gets no input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::{self, Debug, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Address, Bytes, ChildId, Command, ConnId, Effect, Found, Input, ListenerId, Machine, Outbox, Page, Peer, Signal,
    Stream, Time,
};

/// A process of root on this machine.
pub const LOCAL: Peer = Peer::Local { uid: 0, pid: None };

/// The most effects that may follow from one input, and the most deadlines in one [`Stage::pass`].
const WITHOUT_END: usize = 100_000;

/// The number of inputs and effects that a failed test prints, and the length to which each is cut.
const LOG: usize = 40;
const LINE: usize = 240;

/// What surrounds one kind of machine, beyond what the stage has.
pub trait Surroundings<M>: Sized {
    /// Performs an effect, or returns it for the stage to perform. May give the machine inputs.
    fn perform(stage: &mut Stage<M, Self>, effect: Effect) -> Option<Effect>;
}

impl<M> Surroundings<M> for () {
    fn perform(_: &mut Stage<M, Self>, effect: Effect) -> Option<Effect> {
        Some(effect)
    }
}

/// A machine and its surroundings.
pub struct Stage<M, S = ()> {
    /// The machine.
    pub machine: M,
    /// The surroundings of this kind of machine.
    pub around: S,
    /// The present instant.
    pub now: Time,
    /// The connection that the machine asked for last, until it is closed.
    pub conn: Option<ConnId>,
    /// The connections that the machine has asked for and that are not established.
    pub dialled: Vec<(ConnId, Address)>,
    /// The established connections.
    pub open: BTreeSet<ConnId>,
    /// The connections that the machine has closed.
    pub closed: Vec<ConnId>,
    /// What the machine has sent and [`take`](Stage::take) has not taken.
    pub sent: BTreeMap<ConnId, Vec<Bytes>>,
    /// The messages on [`conn`](Stage::conn), except pings, that [`take_said`](Stage::take_said) has not taken.
    pub said: Vec<Value>,
    /// How far the clock at the other end of [`conn`](Stage::conn) is ahead, in microseconds. If it is `None`, pings are
    /// not answered.
    pub pongs: Option<u64>,
    /// The pings that have no answer yet.
    pinged: Vec<Value>,
    /// The files.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Whether due deadlines fire after each input, as under the reactor. Otherwise a test lets them fire.
    pub prompt: bool,
    /// Whether the disk is full.
    pub full: bool,
    /// All processes that were started.
    pub spawned: Vec<(ChildId, Command)>,
    /// The processes that run.
    pub running: BTreeSet<ChildId>,
    /// What was printed to standard output.
    pub printed: String,
    /// What was printed to standard error.
    pub complained: String,
    /// The status of the first [`Effect::Exit`].
    pub exit: Option<u8>,
    /// The status of the first [`Effect::Halt`].
    pub halted: Option<u8>,
    /// The effects that were not performed.
    pub asked: Vec<Effect>,
    out: Outbox,
    /// The effects that are not performed yet, and whether they are being performed.
    effects: VecDeque<Effect>,
    performs: bool,
    log: Log,
}

impl<M, S> Deref for Stage<M, S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.around
    }
}

impl<M, S> DerefMut for Stage<M, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.around
    }
}

impl<M: Machine, S: Surroundings<M>> Stage<M, S> {
    /// Puts a machine on a stage, one second after the origin of its clock, and begins.
    pub fn begin(machine: M, around: S) -> Stage<M, S> {
        let mut stage = Stage {
            machine,
            around,
            now: Time::from_micros(1_000_000),
            conn: None,
            dialled: Vec::new(),
            open: BTreeSet::new(),
            closed: Vec::new(),
            sent: BTreeMap::new(),
            said: Vec::new(),
            pongs: None,
            pinged: Vec::new(),
            files: BTreeMap::new(),
            prompt: false,
            full: false,
            spawned: Vec::new(),
            running: BTreeSet::new(),
            printed: String::new(),
            complained: String::new(),
            exit: None,
            halted: None,
            asked: Vec::new(),
            out: Outbox::new(),
            effects: VecDeque::new(),
            performs: false,
            log: Log::default(),
        };
        stage.input(Input::Begin);
        stage
    }

    /// Kills the machine, and begins with another one at `now`. The files stay.
    pub fn replace(&mut self, machine: M, now: Time) {
        (self.machine, self.now, self.out) = (machine, now, Outbox::new());
        (self.conn, self.exit, self.halted) = (None, None, None);
        self.dialled.clear();
        self.open.clear();
        self.closed.clear();
        self.sent.clear();
        self.said.clear();
        self.running.clear();
        self.input(Input::Begin);
    }

    /// Returns whether the machine has ended.
    pub fn is_over(&self) -> bool {
        self.exit.is_some() || self.halted.is_some()
    }

    /// Gives the machine an input, and performs everything that follows from it.
    pub fn input(&mut self, input: Input<'_>) {
        if self.is_over() {
            return;
        }
        self.log.note(self.now, "<-", &input, bytes_in(&input));
        match &input {
            Input::Accepted { conn, .. } | Input::Connected { conn, .. } => {
                self.open.insert(*conn);
                self.dialled.retain(|(other, _)| other != conn);
            }
            Input::Closed { conn, .. } => self.forget(*conn),
            Input::Exited { child, .. } | Input::SpawnFailed { child, .. } => drop(self.running.remove(child)),
            _ => {}
        }
        self.machine.handle(self.now, input, &mut self.out);
        let (writes, others): (Vec<_>, Vec<_>) = self.out.drain().partition(is_write);
        let nested = std::mem::replace(&mut self.performs, true);
        writes.into_iter().for_each(|effect| self.effect(effect));
        self.effects.extend(others);
        if nested {
            return;
        }
        for nr in 0.. {
            assert!(nr < WITHOUT_END, "effects without end");
            let Some(effect) = self.effects.pop_front() else { break };
            self.effect(effect);
        }
        self.performs = false;
        if self.prompt && self.machine.next_deadline().is_some_and(|at| at <= self.now) {
            self.input(Input::Deadline);
        }
    }

    fn effect(&mut self, effect: Effect) {
        self.log.note(self.now, "->", &effect, bytes_of(&effect));
        if let Some(effect) = S::perform(self, effect) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { conn, to } => {
                self.conn = Some(conn);
                self.dialled.push((conn, to));
            }
            Effect::Send { conn, bytes } => self.deliver(conn, bytes),
            Effect::Close { conn, .. } => {
                self.closed.push(conn);
                self.forget(conn);
            }
            Effect::Spawn { child, command } => {
                for path in command.stdout.iter().chain(&command.stderr) {
                    self.files.entry(path.clone()).or_default();
                }
                self.spawned.push((child, *command));
                self.running.insert(child);
                let pid = 100 + self.spawned.len() as u32;
                self.input(Input::Spawned { child, pid });
            }
            Effect::Append { path, .. } | Effect::WriteAt { path, .. } | Effect::Persist { path, .. } if self.full => {
                self.input(Input::WriteFailed { path, error: "no space left on device".into() });
            }
            Effect::Append { path, bytes, .. } => self.files.entry(path).or_default().extend(bytes),
            Effect::Persist { path, bytes } => drop(self.files.insert(path, bytes)),
            Effect::WriteAt { path, offset, bytes, .. } => {
                let file = self.files.entry(path).or_default();
                if offset == 0 {
                    file.clear();
                }
                assert_eq!(file.len() as u64, offset, "no gap, and nothing twice");
                file.extend(bytes);
            }
            Effect::Install { path, from, length } => {
                let bytes = self.files.remove(&from).unwrap_or_default();
                assert_eq!(bytes.len() as u64, length, "it is complete");
                self.files.insert(path, bytes);
            }
            Effect::MakeDir { .. } => {}
            Effect::Confirm { confirm } => self.input(Input::Written { confirm }),
            Effect::Read { read, path, offset, max } => {
                let file = self.files.get(&path).cloned();
                let from = |file: &[u8]| file.len().min(offset as usize);
                let piece = |file: &'_ Vec<u8>| file[from(file)..].iter().take(max).copied().collect::<Vec<u8>>();
                let piece = file.as_ref().map(piece);
                self.input(Input::Read { read, result: piece.as_deref().ok_or("no such file".into()) });
            }
            Effect::ReadEnd { read, path, max } => {
                let file = self.files.get(&path).cloned();
                let end = file.as_deref().map(|file| &file[file.len().saturating_sub(max)..]);
                self.input(Input::Read { read, result: end.ok_or("no such file".into()) });
            }
            Effect::List { read, directory, .. } => {
                self.input(Input::Listed { read, result: Ok(Found::from(self.files_below(&directory))) });
            }
            Effect::Page { read, directory, after, most } => {
                let page = Page::of(self.files_below(&directory), &after, most);
                self.input(Input::Paged { read, result: Ok(page) });
            }
            Effect::Print { stream, bytes, .. } => {
                let text = String::from_utf8(bytes).expect("only text is printed");
                let to = if stream == Stream::Out { &mut self.printed } else { &mut self.complained };
                to.push_str(&text);
            }
            Effect::Exit { code } => drop(self.exit.get_or_insert(code)),
            Effect::Halt { code } => drop(self.halted.get_or_insert(code)),
            other => self.asked.push(other),
        }
    }

    fn deliver(&mut self, conn: ConnId, bytes: Bytes) {
        if !self.open.contains(&conn) && !self.dialled.iter().any(|(other, _)| *other == conn) {
            return;
        }
        if self.conn == Some(conn) {
            let lines = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
            let (pings, said): (Vec<Value>, Vec<Value>) =
                lines.map(|message| message.expect("a JSON line")).partition(|message| message["type"] == "ping");
            // A ping with other messages follows a greeting, which is answered first.
            let greets = !said.is_empty();
            self.said.extend(said);
            self.pinged.extend(pings);
            if !greets {
                self.pong();
            }
        }
        self.sent.entry(conn).or_default().push(bytes);
    }

    /// Answers the pings that have no answer yet.
    fn pong(&mut self) {
        for ping in std::mem::take(&mut self.pinged) {
            if let Some(ahead) = self.pongs.filter(|_| self.conn.is_some()) {
                self.tell(json!({"type": "pong", "time": ping["time"], "now": self.now.as_micros() + ahead}));
            }
        }
    }

    fn forget(&mut self, conn: ConnId) {
        self.open.remove(&conn);
        self.dialled.retain(|(other, _)| *other != conn);
        self.conn = self.conn.filter(|own| *own != conn);
    }

    /// Returns the files below a directory, with their sizes.
    pub fn files_below(&self, directory: &Path) -> Vec<(String, u64)> {
        let below = self.files.iter().filter_map(|(path, bytes)| {
            Some((path.strip_prefix(directory).ok()?.to_str()?.to_owned(), bytes.len() as u64))
        });
        below.collect()
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        for nr in 0.. {
            assert!(nr < WITHOUT_END, "deadlines without end");
            if self.is_over() || self.machine.next_deadline().is_none_or(|at| at > until) {
                break;
            }
            self.jump();
        }
        self.now = until;
    }

    /// Advances to the next deadline of the machine.
    #[track_caller]
    pub fn jump(&mut self) {
        self.now = self.now.max(self.machine.next_deadline().expect("the machine has a deadline"));
        self.input(Input::Deadline);
    }

    /// Sends the machine a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.input(Input::Signal(signal));
    }

    /// Lets a peer connect to the machine.
    pub fn accept(&mut self, listener: ListenerId, peer: Peer) -> ConnId {
        let conn = ConnId(self.out.next_serial());
        self.input(Input::Accepted { conn, listener, peer });
        conn
    }

    /// Lets time pass until the machine asks for a connection, and establishes it.
    #[track_caller]
    pub fn establish(&mut self) -> ConnId {
        self.await_dial();
        let conn = self.conn.expect("it was awaited");
        self.input(Input::Connected { conn, peer: LOCAL, local: None });
        conn
    }

    /// Lets time pass until the machine asks for a connection.
    #[track_caller]
    pub fn await_dial(&mut self) {
        while self.conn.is_none() {
            self.jump();
        }
    }

    /// Lets a peer send a line.
    pub fn say(&mut self, conn: ConnId, line: &str) {
        self.input(Input::Received { conn, bytes: format!("{line}\n").as_bytes() });
    }

    /// Sends a message to the machine on [`conn`](Stage::conn). Its type goes first, as the wire demands.
    #[track_caller]
    pub fn tell(&mut self, mut message: Value) {
        let fields = message.as_object_mut().expect("a message is an object");
        let kind = fields.remove("type").expect("a message has a type");
        let comma = if fields.is_empty() { "" } else { "," };
        let line = format!("{{\"type\":{kind}{comma}{}", &message.to_string()[1..]);
        self.say(self.conn.expect("a connection"), &line);
        self.pong();
    }

    /// Closes a connection from the other end.
    pub fn close(&mut self, conn: ConnId) {
        self.input(Input::Closed { conn, reason: "reset".into() });
    }

    /// Closes [`conn`](Stage::conn) from the other end.
    #[track_caller]
    pub fn lose(&mut self) {
        self.close(self.conn.expect("a connection"));
    }

    /// Takes what the machine has sent on a connection since the last call, as text.
    pub fn take(&mut self, conn: ConnId) -> String {
        let sent = self.sent.remove(&conn).unwrap_or_default();
        sent.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect()
    }

    /// The same, decoded.
    pub fn messages(&mut self, conn: ConnId) -> Vec<Value> {
        let text = self.take(conn);
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// Takes the messages of a type from [`said`](Stage::said).
    pub fn take_said(&mut self, kind: &str) -> Vec<Value> {
        self.said.extract_if(.., |message| message["type"] == kind).collect()
    }

    /// Returns a process that was started.
    #[track_caller]
    pub fn command(&self, child: ChildId) -> &Command {
        let (_, command) = self.spawned.iter().find(|(other, _)| *other == child).expect("it was started");
        command
    }
}

/// Returns whether an effect changes files: what one turn writes is written before anything else is done.
fn is_write(effect: &Effect) -> bool {
    use Effect::{Append, Install, MakeDir, Persist, WriteAt};
    matches!(effect, Append { .. } | WriteAt { .. } | Persist { .. } | Install { .. } | MakeDir { .. })
}

fn bytes_in<'a>(input: &'a Input<'_>) -> Option<&'a [u8]> {
    match input {
        Input::Received { bytes, .. } | Input::Datagram { bytes, .. } | Input::Overheard { bytes, .. } => Some(bytes),
        Input::Read { result: Ok(bytes), .. } => Some(bytes),
        _ => None,
    }
}

fn bytes_of(effect: &Effect) -> Option<&[u8]> {
    match effect {
        Effect::Send { bytes, .. } | Effect::Datagram { bytes, .. } => Some(bytes),
        Effect::Append { bytes, .. } | Effect::Persist { bytes, .. } => Some(bytes),
        Effect::WriteAt { bytes, .. } | Effect::Print { bytes, .. } => Some(bytes),
        _ => None,
    }
}

/// The last inputs and effects. They are printed if the test fails.
#[derive(Default)]
struct Log(VecDeque<String>);

impl Log {
    fn note(&mut self, now: Time, arrow: &str, what: &dyn Debug, bytes: Option<&[u8]>) {
        let mut line = Cut(format!("{:>14} {arrow} ", now.as_micros()));
        let _ = write!(line, "{what:?}");
        if let Some(bytes) = bytes {
            // As text, not as numbers.
            let end = line.0.find("bytes: [").or_else(|| line.0.find("Ok([")).unwrap_or(line.0.len());
            line.0.truncate(end);
            line.0.push_str(&String::from_utf8_lossy(&bytes[..bytes.len().min(LINE)]));
        }
        if self.0.len() == LOG {
            self.0.pop_front();
        }
        self.0.push_back(line.0.trim_end().replace('\n', "\\n").chars().take(LINE).collect());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last inputs (<-) and effects (->) of the machine, each with the time in microseconds:");
            self.0.iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A text that refuses to grow beyond a line.
struct Cut(String);

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() > LINE { Err(fmt::Error) } else { Ok(()) }
    }
}
