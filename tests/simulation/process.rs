//! The processes that a slave starts: a virtual shell with a tiny language, groups, daemons and signals.
//!
//! A command consists of steps, separated by `;`:
//!
//! | step | what it does |
//! | --- | --- |
//! | `mark NAME` | calls this run of the command NAME in the ledger |
//! | `sleep MS`, `forever` | waits |
//! | `out TEXT`, `err TEXT`, `flood BYTES` | writes a line, or many bytes, to its output |
//! | `poke [ENTRY]`, `notify TRIGGER`, `wait TRIGGER` | asks its slave, and waits for the answer |
//! | `record NAME VALUE UNIT` | records a measurement at its slave |
//! | `barrier NAME KEY=VALUE ...`, `sync NAME KEY=VALUE ...` | meets others: see [`Meet`]; prints the map of a sync |
//! | `ready HOW` | becomes ready: `listens PORT`, `logs`, `touches`, `asks` its slave, or `notifies` it |
//! | `have FILE` | ends with status 1 if there is no such file in its directory |
//! | `must` | ends with the status of the last barrier or sync if that was not 0 |
//! | `ignore`, `linger MS` | chooses the effect of SIGTERM: none, or an orderly exit after a while |
//! | `child`, `daemon`, `stubborn` | leaves a process behind: in its group, in a session of its own, ignoring SIGTERM |
//! | `write FILE BYTES`, `cat FILE` | a file in its directory |
//! | `kill [-SIGNAL] PID` | sends a signal |
//! | `append TEXT` | writes its standard input, and TEXT after it, to its output |
//! | `slow MS`, `fail` | waits; ends with status 1 |
//! | `tries COUNT` | ends with status 1 unless this is run COUNT of its entry or a later one |
//! | `harm RECORD`, `mend RECORD`, `check` | injects a fault, undoes it, and does nothing: see `harm.rs` |
//! | `exit CODE`, `die SIGNAL` | ends |

use std::path::PathBuf;
use std::rc::Rc;

use arete::machine::{Address, ChildId, Command, Exit, Signal, removed};
use arete::wire::{
    ControlReply, Measurement, Message, NotifyRequest, PokeRequest, ReadyRequest, RecordRequest, WaitRequest,
};

use super::harm;
use super::meet::{self, Meet};
use super::network::LinkId;
use super::node::{Life, Queued};
use super::{Event, World, trace_line};

/// The events in the virtual processes, as an observer sees them who knows everything.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    Started {
        at: u64,
        pid: u32,
        life: Life,
        mark: String,
        stdout: PathBuf,
        stderr: PathBuf,
    },
    /// A command was started with data on its standard input.
    Work {
        at: u64,
        pid: u32,
        life: Life,
        token: Token,
        input: Vec<u8>,
    },
    Ended {
        at: u64,
        pid: u32,
        exit: Exit,
    },
    /// A process has left another one behind.
    Forked {
        pid: u32,
        by: u32,
    },
    Asked {
        at: u64,
        pid: u32,
        life: Life,
        ask: Ask,
    },
    Answered {
        pid: u32,
        life: Life,
        ask: Ask,
        answer: Result<Option<u64>, String>,
    },
    /// A command became ready, whether or not a slave knows it.
    IsReady {
        at: u64,
        pid: u32,
        life: Life,
        mark: String,
    },
    /// How a barrier or a sync ended for a command.
    Met {
        at: u64,
        pid: u32,
        life: Life,
        meet: Meet,
        end: meet::End,
    },
}

/// The token of a command, from its environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Token {
    pub epoch: Option<String>,
    pub hop: Option<String>,
    pub progress: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Poke(Option<String>),
    Notify(String),
    Wait(String),
    Ready,
    Record(Record),
    Meet(Meet),
}

/// A measurement. The value is a whole number, so that it can be compared exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub value: u32,
    pub unit: String,
}

impl Record {
    fn parse(text: &str) -> Record {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [name, value, unit] = words[..] else { panic!("record NAME VALUE UNIT, not {text:?}") };
        let value = value.parse().unwrap_or_else(|_| panic!("not a number in {text:?}"));
        Record { name: name.to_owned(), value, unit: unit.to_owned() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum OnTerm {
    Dies,
    Ignores,
    Lingers(u64),
}

pub struct Process {
    pub host: usize,
    pub group: u32,
    /// The life of the slave that started it or its ancestor.
    pub life: Life,
    child: Option<ChildId>,
    pub mark: String,
    steps: Rc<[String]>,
    next: usize,
    stdin: Rc<[u8]>,
    stdout: Option<PathBuf>,
    stderr: Option<PathBuf>,
    cwd: PathBuf,
    socket: Option<PathBuf>,
    pub notify_socket: Option<PathBuf>,
    /// The entry and the number of the run that it belongs to.
    run: Option<(String, u32)>,
    /// The ports on which it listens.
    pub port: Option<u16>,
    dies_with_parent: bool,
    on_term: OnTerm,
    /// SIGSTOP has stopped it, and whether a step is due.
    stopped: Option<bool>,
    /// Older events that would continue it are ignored.
    token: u64,
    asking: Option<(LinkId, Ask)>,
    heard: Vec<u8>,
    /// The map of a sync, until its verdict arrives.
    map: Option<Vec<u8>>,
    /// The exit status of the last barrier or sync.
    status: u8,
}

impl Process {
    /// It removes a directory for a slave, or checks what faults need, and does not belong to a run.
    pub fn is_removal(&self) -> bool {
        self.steps.first().is_some_and(|step| step.starts_with("rm ") || step == "check")
    }
}

/// The output of `flood`. Its parts all differ.
pub fn flood(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

fn steps_of(argv: &[String]) -> Vec<String> {
    match argv.first().map(String::as_str) {
        _ if removed(argv).is_some() => vec![format!("rm {}", removed(argv).unwrap_or_default().join(" "))],
        Some("arete") if argv.get(1).is_some_and(|word| word == "fault") => harm::steps_of(&argv[2..]),
        Some("/bin/sh" | "sh") => {
            let text = argv.last().map_or("", String::as_str);
            text.split(';').map(|step| step.trim().to_owned()).filter(|step| !step.is_empty()).collect()
        }
        _ => vec![argv.join(" ")],
    }
}

impl World {
    pub fn new_pid(&mut self) -> u32 {
        self.last_pid += 1;
        self.last_pid
    }

    /// A slave starts a process, as the leader of a new group.
    pub fn start_process(&mut self, life: Life, child: ChildId, command: Command) -> u32 {
        let pid = self.new_pid();
        let host = self.nodes[life.node].host;
        let env = |name: &str| command.env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        if let Some(input) = command.stdin.clone() {
            let [epoch, hop, progress] = ["ARETE_TOKEN_EPOCH", "ARETE_TOKEN_HOP", "ARETE_TOKEN_PROGRESS"].map(env);
            let token = Token { epoch, hop, progress };
            self.ledger.push(Fact::Work { at: self.now, pid, life, token, input });
        }
        let process = Process {
            host,
            group: pid,
            life,
            child: Some(child),
            mark: String::new(),
            steps: steps_of(&command.argv).into(),
            next: 0,
            socket: env("ARETE_SOCKET").map(PathBuf::from),
            notify_socket: env("NOTIFY_SOCKET").map(PathBuf::from),
            run: env("ARETE_ENTRY").zip(env("ARETE_ENTRY_NR").and_then(|nr| nr.parse().ok())),
            port: None,
            stdin: command.stdin.clone().unwrap_or_default().into(),
            cwd: command.cwd.unwrap_or_default(),
            stdout: command.stdout,
            stderr: command.stderr,
            dies_with_parent: command.dies_with_us,
            on_term: OnTerm::Dies,
            stopped: None,
            token: 0,
            asking: None,
            heard: Vec::new(),
            map: None,
            status: 0,
        };
        for path in process.stdout.iter().chain(&process.stderr) {
            self.hosts[host].disk.put(path.clone(), Vec::new());
            self.written.insert((host, path.clone()), Vec::new());
        }
        self.processes.insert(pid, process);
        self.go_on_after(pid, 0);
        pid
    }

    fn go_on_after(&mut self, pid: u32, micros: u64) {
        let jitter = self.rng.u64(0..300);
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.token += 1;
        let token = process.token;
        self.schedule(self.now + micros + jitter, Event::Step { pid, token });
    }

    /// A process executes its steps until one takes time.
    pub fn run_process(&mut self, pid: u32, token: u64) {
        loop {
            let Some(process) = self.processes.get_mut(&pid) else { return };
            if process.token != token {
                return;
            }
            if let Some(due) = &mut process.stopped {
                *due = true;
                return;
            }
            let Some(step) = process.steps.get(process.next).cloned() else {
                return self.end_process(pid, Exit::Code(0));
            };
            process.next += 1;
            self.do_step(pid, &step);
        }
    }

    fn do_step(&mut self, pid: u32, step: &str) {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        let number = || rest.trim().parse::<u64>().unwrap_or_else(|_| panic!("not a number in {step:?}"));
        trace_line!(self, "pid {pid}: {step}");
        match word {
            "mark" => self.mark(pid, rest),
            "sleep" | "slow" => self.go_on_after(pid, number() * 1_000),
            "forever" => self.processes.get_mut(&pid).expect("it runs").token += 1,
            "out" => self.process_writes(pid, false, format!("{rest}\n").as_bytes()),
            "err" => self.process_writes(pid, true, format!("{rest}\n").as_bytes()),
            "flood" => self.process_writes(pid, false, &flood(number() as usize)),
            "poke" => self.ask(pid, Ask::Poke((!rest.is_empty()).then(|| rest.to_owned()))),
            "notify" => self.ask(pid, Ask::Notify(rest.to_owned())),
            "wait" => self.ask(pid, Ask::Wait(rest.to_owned())),
            "record" => self.ask(pid, Ask::Record(Record::parse(rest))),
            "barrier" | "sync" => self.ask(pid, Ask::Meet(Meet::parse(word, rest))),
            "ready" => self.becomes_ready(pid, rest),
            "have" => self.have(pid, rest),
            "must" => self.must(pid),
            "ignore" => self.processes.get_mut(&pid).expect("it runs").on_term = OnTerm::Ignores,
            "linger" => self.processes.get_mut(&pid).expect("it runs").on_term = OnTerm::Lingers(number() * 1_000),
            "child" | "daemon" | "stubborn" => self.fork(pid, word, vec!["forever".to_owned()]),
            "later" => {
                let (millis, step) = rest.split_once(' ').expect("a time and a step");
                self.fork(pid, word, vec![format!("sleep {millis}"), step.to_owned()]);
            }
            "write" => self.write_file(pid, rest),
            "cat" => self.cat(pid, rest),
            "kill" => self.kill_step(pid, rest),
            "rm" => self.remove(pid, rest),
            "check" => {}
            "harm" => self.harm(pid, rest),
            "mend" => self.mend(pid, rest),
            "append" => self.append(pid, rest),
            "tries" => {
                let nr = self.processes[&pid].run.as_ref().map_or(1, |(_, nr)| u64::from(*nr));
                self.end_process(pid, Exit::Code(i32::from(nr < number())));
            }
            "fail" => self.end_process(pid, Exit::Code(1)),
            "exit" => self.end_process(pid, Exit::Code(number() as i32)),
            "die" => self.end_process(pid, Exit::Signal(Signal::from_name(rest).expect("a signal's name"))),
            other => panic!("the virtual shell does not know {other:?} in {step:?}"),
        }
    }

    fn mark(&mut self, pid: u32, mark: &str) {
        let process = self.processes.get_mut(&pid).expect("it runs");
        process.mark = mark.to_owned();
        let (stdout, stderr) = (process.stdout.clone().unwrap_or_default(), process.stderr.clone().unwrap_or_default());
        let life = process.life;
        self.ledger.push(Fact::Started { at: self.now, pid, life, mark: mark.to_owned(), stdout, stderr });
    }

    pub fn process_writes(&mut self, pid: u32, to_stderr: bool, bytes: &[u8]) {
        let process = &self.processes[&pid];
        let path = if to_stderr { &process.stderr } else { &process.stdout };
        let Some(path) = path.clone() else { return };
        let host = process.host;
        self.hosts[host].disk.append_if_there(&path, bytes);
        self.written.entry((host, path)).or_default().extend_from_slice(bytes);
    }

    fn append(&mut self, pid: u32, text: &str) {
        let bytes = [&self.processes[&pid].stdin, text.as_bytes()].concat();
        self.process_writes(pid, false, &bytes);
    }

    pub fn write_file(&mut self, pid: u32, rest: &str) {
        let (name, count) = rest.split_once(' ').expect("write FILE BYTES");
        let process = &self.processes[&pid];
        let (host, path) = (process.host, process.cwd.join(name));
        let bytes = flood(count.parse().expect("a number of bytes"));
        self.written.insert((host, path.clone()), bytes.clone());
        self.hosts[host].disk.put(path, bytes);
    }

    fn cat(&mut self, pid: u32, path: &str) {
        let process = &self.processes[&pid];
        let path = process.cwd.join(path.trim_matches('\''));
        match self.hosts[process.host].disk.get(&path).map(<[u8]>::to_vec) {
            Some(bytes) => self.process_writes(pid, false, &bytes),
            None => self.end_process(pid, Exit::Code(1)),
        }
    }

    fn have(&mut self, pid: u32, name: &str) {
        let process = &self.processes[&pid];
        if self.hosts[process.host].disk.get(process.cwd.join(name)).is_none() {
            self.end_process(pid, Exit::Code(1));
        }
    }

    fn kill_step(&mut self, pid: u32, rest: &str) {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let signal = words.iter().find_map(|word| Signal::from_name(word.strip_prefix('-')?)).unwrap_or(Signal::TERM);
        let target: u32 = words.last().and_then(|word| word.parse().ok()).unwrap_or(0);
        let host = self.processes[&pid].host;
        if self.processes.get(&target).is_some_and(|process| process.host == host) {
            return self.strike_later(target, signal);
        }
        let node = (0..self.nodes.len()).find(|id| self.nodes[*id].pid == target && self.nodes[*id].machine.is_some());
        match node {
            Some(node) if self.nodes[node].host == host => self.signal(node, signal),
            _ => self.end_process(pid, Exit::Code(1)),
        }
    }

    fn remove(&mut self, pid: u32, rest: &str) {
        let host = self.processes[&pid].host;
        for name in rest.split_whitespace() {
            let directory = self.processes[&pid].cwd.join(name);
            assert!(directory.components().count() > 2, "a slave removes {}", directory.display());
            self.hosts[host].disk.remove_all(&directory);
        }
    }

    /// Leaves a process behind that does this.
    fn fork(&mut self, pid: u32, how: &str, steps: Vec<String>) {
        let new = self.new_pid();
        let parent = &self.processes[&pid];
        let child = Process {
            host: parent.host,
            group: if how == "child" { parent.group } else { new },
            life: parent.life,
            child: None,
            mark: format!("{}'s {how}", parent.mark),
            steps: steps.into(),
            next: 0,
            stdin: Rc::default(),
            stdout: parent.stdout.clone(),
            stderr: parent.stderr.clone(),
            cwd: parent.cwd.clone(),
            socket: parent.socket.clone(),
            notify_socket: None,
            run: parent.run.clone(),
            port: None,
            dies_with_parent: false,
            on_term: if how == "stubborn" { OnTerm::Ignores } else { OnTerm::Dies },
            stopped: None,
            token: 0,
            asking: None,
            heard: Vec::new(),
            map: None,
            status: 0,
        };
        self.processes.insert(new, child);
        self.ledger.push(Fact::Forked { pid: new, by: pid });
        self.go_on_after(new, 0);
    }

    pub fn ask(&mut self, pid: u32, ask: Ask) {
        let process = self.processes.get_mut(&pid).expect("it runs");
        process.token += 1;
        let (life, host) = (process.life, process.host);
        let socket = process.socket.clone().unwrap_or_default();
        let mark = process.mark.clone();
        let entry = Some(&*mark).filter(|mark| !mark.is_empty());
        self.ledger.push(Fact::Asked { at: self.now, pid, life, ask: ask.clone() });
        let Some(link) = self.connect_process(pid, host, &Address::Unix(socket)) else {
            return self.fail(pid, ask, "nobody listens");
        };
        let line = match &ask {
            Ask::Poke(entry) => PokeRequest { entry: entry.as_deref().map(Into::into) }.encode(),
            Ask::Notify(trigger) => NotifyRequest { trigger: trigger.into(), data: None }.encode(),
            Ask::Wait(trigger) => WaitRequest { trigger: trigger.into(), entry: entry.map(Into::into) }.encode(),
            Ask::Ready => {
                let (entry, nr) = self.processes[&pid].run.clone().expect("a command of an entry");
                ReadyRequest { entry: entry.into(), nr }.encode()
            }
            Ask::Record(Record { name, value, unit }) => {
                let (entry, nr) = self.processes[&pid].run.clone().unzip();
                let (name, unit) = (name.into(), Some(unit.into()));
                let measurement = Measurement { name, value: f64::from(*value), unit, lower_is_better: false };
                RecordRequest { entry: entry.map(Into::into), nr, measurements: vec![measurement] }.encode()
            }
            Ask::Meet(meet) => meet.request(entry),
        };
        self.processes.get_mut(&pid).expect("it runs").asking = Some((link, ask));
        self.send(link, 0, &line);
    }

    pub fn process_hears(&mut self, pid: u32, bytes: &[u8]) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.heard.extend_from_slice(bytes);
        while let Some(process) = self.processes.get_mut(&pid) {
            let Some(end) = memchr::memchr(b'\n', &process.heard) else { return };
            let line: Vec<u8> = process.heard.drain(..=end).collect();
            self.process_hears_line(pid, &line[..end]);
        }
    }

    fn process_hears_line(&mut self, pid: u32, line: &[u8]) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let said = ControlReply::decode(line).expect("a slave answers well-formed lines");
        if let ControlReply::Map(map) = said {
            process.map = Some(map.map.json.get().as_bytes().to_vec());
            return;
        }
        let Some((link, ask)) = process.asking.take() else { return };
        let map = process.map.take();
        self.close_side(link, 0);
        match (said, ask) {
            (ControlReply::Met(met), Ask::Meet(meet)) => {
                let (code, who) = (meet::exit_code(met.verdict), met.who.clone());
                let reason = met.reason.into_owned();
                self.met(pid, meet, meet::End { code, verdict: met.verdict, who, reason, map });
            }
            (ControlReply::Done(done), ask) => self.answer(pid, ask, Ok(done.left)),
            (ControlReply::Failure(failure), ask) => self.fail(pid, ask, &failure.reason),
            (said, ask) => panic!("a slave answers {ask:?} with {said:?}"),
        }
    }

    pub fn process_hears_end(&mut self, pid: u32) {
        let asking = self.processes.get_mut(&pid).and_then(|process| process.asking.take());
        if let Some((_, ask)) = asking {
            self.fail(pid, ask, "the slave hung up");
        }
    }

    fn fail(&mut self, pid: u32, ask: Ask, why: &str) {
        match ask {
            Ask::Meet(meet) => {
                let reason = why.to_owned();
                self.met(pid, meet, meet::End { code: 1, verdict: None, who: Vec::new(), reason, map: None });
            }
            ask => self.answer(pid, ask, Err(why.to_owned())),
        }
    }

    /// A command continues after its barrier or sync, whatever the result.
    fn met(&mut self, pid: u32, meet: Meet, end: meet::End) {
        trace_line!(self, "pid {pid}: {} ends with {end:?}", meet.name);
        let process = self.processes.get_mut(&pid).expect("it runs");
        process.status = end.code;
        let life = process.life;
        if let Some(map) = end.map.as_ref().filter(|_| end.code == 0) {
            self.process_writes(pid, false, &[map, &b"\n"[..]].concat());
        }
        self.ledger.push(Fact::Met { at: self.now, pid, life, meet, end });
        self.go_on_after(pid, 0);
    }

    fn must(&mut self, pid: u32) {
        match self.processes[&pid].status {
            0 => {}
            status => self.end_process(pid, Exit::Code(status.into())),
        }
    }

    /// A command continues after a failed request, because a test may depend on the next step.
    fn answer(&mut self, pid: u32, ask: Ask, answer: Result<Option<u64>, String>) {
        trace_line!(self, "pid {pid}: {ask:?} is answered {answer:?}");
        let life = self.processes[&pid].life;
        self.ledger.push(Fact::Answered { pid, life, ask, answer });
        self.go_on_after(pid, 0);
    }

    pub fn end_process(&mut self, pid: u32, exit: Exit) {
        let Some(process) = self.processes.remove(&pid) else { return };
        trace_line!(self, "pid {pid} ({}) ends: {exit}", process.mark);
        if let Some((link, _)) = process.asking {
            self.close_side(link, 0);
        }
        self.ledger.push(Fact::Ended { at: self.now, pid, exit });
        if let Some(child) = process.child {
            self.deliver_input(process.life, Queued::Exited { child, exit });
        }
    }

    /// A process receives a signal.
    pub fn strike(&mut self, pid: u32, signal: Signal) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        match (signal, process.on_term) {
            (Signal::STOP, _) => _ = process.stopped.get_or_insert(false),
            (Signal::CONT, _) => self.go_on(pid),
            (Signal::TERM, OnTerm::Ignores) => self.go_on(pid),
            (Signal::TERM, OnTerm::Lingers(micros)) => {
                process.on_term = OnTerm::Ignores;
                process.next = process.steps.len();
                process.stopped = None;
                if let Some((link, _)) = process.asking.take() {
                    self.close_side(link, 0);
                }
                self.go_on_after(pid, micros);
            }
            _ => self.end_process(pid, Exit::Signal(signal)),
        }
    }

    /// A stopped process goes on.
    fn go_on(&mut self, pid: u32) {
        let due = self.processes.get_mut(&pid).and_then(|process| process.stopped.take());
        if due == Some(true) {
            self.go_on_after(pid, 0);
        }
    }

    fn strike_later(&mut self, pid: u32, signal: Signal) {
        // A kill takes effect before the call returns, which is nearly exact.
        if signal == Signal::KILL {
            return self.strike(pid, signal);
        }
        let delay = self.rng.u64(0..3_000);
        self.schedule(self.now + delay, Event::Strike { pid, signal });
    }

    pub fn kill_group(&mut self, life: Life, child: ChildId, signal: Signal) {
        let Some(group) = self.nodes[life.node].children.get(&child).copied() else { return };
        for pid in self.pids_where(|process| process.life == life && process.group == group) {
            self.strike_later(pid, signal);
        }
    }

    pub fn sweep(&mut self, life: Life, signal: Signal) {
        let all = self.pids_where(|process| process.life == life);
        let left = all.iter().filter(|pid| self.processes[pid].child.is_none()).count();
        if signal != Signal::NONE {
            all.into_iter().for_each(|pid| self.strike_later(pid, signal));
        }
        self.deliver_input(life, Queued::Swept { left });
    }

    /// As the command line does before a slave's machine runs: ends the processes that an earlier slave has left.
    pub fn end_earlier_processes(&mut self, node: usize) {
        for pid in self.pids_where(|process| process.life.node == node) {
            self.end_process(pid, Exit::Signal(Signal::KILL));
        }
    }

    /// A slave has died. Its processes continue.
    pub fn parent_died(&mut self, life: Life) {
        for pid in self.pids_where(|process| process.life == life && process.dies_with_parent) {
            self.strike_later(pid, Signal::TERM);
        }
    }

    pub fn pids_where(&self, which: impl Fn(&Process) -> bool) -> Vec<u32> {
        self.processes.iter().filter(|(_, process)| which(process)).map(|(pid, _)| *pid).collect()
    }
}
