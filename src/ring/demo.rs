//! A ring on one machine, for demonstration: nodes as child processes that compute digits of pi, and a live picture of them.
//!
//! The demo listens to the nodes as any watcher does, and reads the digits in their state directories. It must not start a
//! killed node again, because the user wants to see how the others recover.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::memory::{Copy, DATA_FILE, FILE_MAX};
use super::observer::{News, Observer, harmless};
use super::picture::{LivePicture, table};
use super::token::Fence;
use crate::exit_code;
use crate::machine::{
    ChildId, Command, Exit, Input, Machine, Outbox, ReadId, Signal, Stream, SystemError, Time, Timers,
};

/// How often the picture is drawn at most.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// The time after which ending nodes stop without handing the token on.
const HURRY_AFTER: Duration = Duration::from_millis(300);

/// The time after which ending nodes are killed.
const KILL_AFTER: Duration = Duration::from_secs(3);

/// The most output of a node that could not start, in bytes.
const COMPLAINT_MAX: usize = 2_000;

/// The most digits in a line, in characters.
const DIGITS_SHOWN: usize = 50;

/// The number of these that are the last digits, if there are more.
const LAST_DIGITS: usize = 20;

/// A node of the demo.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its id in the ring.
    pub id: String,
    /// Its address, on the loopback interface.
    pub address: Ipv4Addr,
    /// The program and the arguments that start it.
    pub argv: Vec<String>,
    /// Its state directory.
    pub state_dir: PathBuf,
    /// The file for its output.
    pub log: PathBuf,
}

/// The configuration of the demo.
#[derive(Debug, Clone)]
pub struct Config {
    /// The nodes to start.
    pub nodes: Vec<Node>,
    /// The size of the terminal; `None`: there is none.
    pub terminal: Option<(u16, u16)>,
}

/// A node's process.
#[derive(Debug, Default)]
struct Process {
    pid: Option<u32>,
    /// How it ended, or why it was not started.
    gone: Option<String>,
    /// The state of its search for the token that was last printed.
    search: Search,
}

/// The search of a node without a token. Candidates seek and generate in turn until they agree, and each is printed once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Search {
    #[default]
    None,
    Seeks,
    Generates,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Draw,
    Hurry,
    Kill,
}

/// The purpose of a read.
#[derive(Debug)]
enum Reading {
    /// Gets the data of the token that this node has.
    Data(usize, Fence),
    /// Gets the output of a node that has failed.
    Complaint(usize),
}

/// The demo.
pub struct Demo {
    nodes: Vec<Node>,
    processes: Vec<Process>,
    children: BTreeMap<ChildId, usize>,
    observer: Observer,
    picture: Option<LivePicture>,
    began: Time,
    data: String,
    reads: BTreeMap<ReadId, Reading>,
    /// The exit code of the demo, once all nodes have ended.
    ending: Option<u8>,
    timers: Timers<Timer>,
}

impl Demo {
    /// Returns a demo that has not started its nodes yet.
    pub fn new(config: Config) -> Demo {
        Demo {
            processes: config.nodes.iter().map(|_| Process::default()).collect(),
            nodes: config.nodes,
            children: BTreeMap::new(),
            observer: Observer::default(),
            picture: config.terminal.map(LivePicture::new),
            began: Time::default(),
            data: String::new(),
            reads: BTreeMap::new(),
            ending: None,
            timers: Timers::default(),
        }
    }

    fn begin(&mut self, now: Time, out: &mut Outbox) {
        self.began = now;
        for (index, node) in self.nodes.iter().enumerate() {
            let child = out.spawn(Command {
                argv: node.argv.clone(),
                stdout: Some(node.log.clone()),
                stderr: Some(node.log.clone()),
                dies_with_us: true,
                ..Command::default()
            });
            self.children.insert(child, index);
        }
        self.timers.set(Timer::Draw, now);
    }

    /// Prints a line about a node.
    fn tell(&self, now: Time, who: &str, text: &str, out: &mut Outbox) {
        let width = self.nodes.iter().map(|node| node.id.len()).max().unwrap_or(0);
        let line = format!("{:>8.3}  {who:<width$}  {text}\n", now.since(self.began).as_secs_f64());
        match &self.picture {
            Some(picture) => picture.above(&line, out),
            None => out.print(Stream::Out, line),
        }
    }

    fn live(&self) -> usize {
        self.processes.iter().filter(|process| process.gone.is_none()).count()
    }

    fn heard(&mut self, now: Time, from: Ipv4Addr, bytes: &[u8], out: &mut Outbox) {
        for (id, news) in self.observer.hear(now, from, bytes, None) {
            let Some(index) = self.nodes.iter().position(|node| node.id == id) else { continue };
            let Some(seen) = self.observer.get(&id) else { continue };
            match (news, seen.state) {
                (News::Token, _) => {
                    let fence = seen.token.map(|(fence, _)| fence).unwrap_or_default();
                    let read = out.read(self.nodes[index].state_dir.join(DATA_FILE), 0, FILE_MAX);
                    self.reads.insert(read, Reading::Data(index, fence));
                }
                (News::State, Some(state)) => self.set_state(now, index, state, out),
                _ => {}
            }
        }
    }

    fn set_state(&mut self, now: Time, index: usize, state: &str, out: &mut Outbox) {
        let (search, text) = match state {
            "seeker" => (Search::Seeks, "seeks the token"),
            "generating" => (Search::Generates, "makes a new token"),
            _ => return self.processes[index].search = Search::None,
        };
        if self.processes[index].search < search {
            self.processes[index].search = search;
            self.tell(now, &self.nodes[index].id, text, out);
        }
    }

    fn read(&mut self, now: Time, read: ReadId, result: Result<&[u8], SystemError>, out: &mut Outbox) {
        let bytes = result.unwrap_or_default();
        match self.reads.remove(&read) {
            Some(Reading::Data(index, fence)) => {
                if let Ok(copy) = serde_json::from_slice::<Copy>(bytes) {
                    self.data = harmless(&copy.data);
                }
                if self.picture.is_none() {
                    let text = format!("has token {fence}  {}", digits(&self.data));
                    self.tell(now, &self.nodes[index].id, text.trim_end(), out);
                }
            }
            Some(Reading::Complaint(index)) => {
                for line in String::from_utf8_lossy(bytes).lines() {
                    self.tell(now, &self.nodes[index].id, &harmless(line), out);
                }
            }
            None => {}
        }
    }

    fn gone(&mut self, now: Time, child: ChildId, end: Result<Exit, SystemError>, out: &mut Outbox) {
        let Some(&index) = self.children.get(&child) else { return };
        // A step that it had begun may still run in its group.
        out.kill_group(child, Signal::KILL);
        let failed = !matches!(end, Ok(Exit::Signal(_) | Exit::Code(0)));
        let why = end.map_or_else(|error| error.text, |exit| exit.to_string());
        self.processes[index].gone = Some(why.clone());
        if self.ending.is_none() {
            let (live, all) = (self.live(), self.nodes.len());
            let majority = all / 2 + 1;
            let rest = match live {
                0 => "no node is left".to_owned(),
                live if live < majority => {
                    format!("{live} of {all} are left: a token needs {majority} nodes")
                }
                live => format!("{live} of {all} go on"),
            };
            self.tell(now, &self.nodes[index].id, &format!("{why}; the demo does not start it again; {rest}"), out);
            if failed {
                let read = out.read(self.nodes[index].log.clone(), 0, COMPLAINT_MAX);
                self.reads.insert(read, Reading::Complaint(index));
            }
        }
        if self.live() == 0 {
            self.ending.get_or_insert(exit_code::FAILED);
            // Steps that have lost their nodes are children of this process now.
            out.sweep(Signal::KILL);
        }
    }

    /// Ends all nodes, by SIGTERM the first time and by SIGKILL the second time.
    fn end(&mut self, now: Time, code: u8, out: &mut Outbox) {
        let again = self.ending.replace(code).is_some();
        self.signal_all(if again { Signal::KILL } else { Signal::TERM }, out);
        if !again {
            self.timers.set(Timer::Hurry, now + HURRY_AFTER);
            self.timers.set(Timer::Kill, now + KILL_AFTER);
        }
    }

    fn signal_all(&self, signal: Signal, out: &mut Outbox) {
        for (child, index) in &self.children {
            if self.processes[*index].gone.is_none() {
                out.kill_group(*child, signal);
            }
        }
    }

    fn draw(&mut self, now: Time, out: &mut Outbox) {
        self.timers.set(Timer::Draw, now + DRAW_EVERY);
        let lines = self.lines(now);
        if let Some(picture) = &mut self.picture {
            picture.draw(&lines, out);
        }
    }

    fn lines(&self, now: Time) -> Vec<String> {
        let title = match self.observer.token() {
            Some((fence, _, id)) => format!("token {fence} at {id}: {}", digits(&self.data)),
            None => "no token yet".to_owned(),
        };
        let mut rows = vec![["node", "pid", "address", "state", "hops a minute"].map(str::to_owned).to_vec()];
        for (node, process) in self.nodes.iter().zip(&self.processes) {
            let seen = self.observer.get(&node.id);
            let state = seen.and_then(|seen| seen.state).unwrap_or("starts");
            rows.push(vec![
                node.id.clone(),
                process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                node.address.to_string(),
                process.gone.clone().unwrap_or_else(|| state.to_owned()),
                seen.map_or(0, |seen| seen.hops(now)).to_string(),
            ]);
        }
        let mut lines = vec![title];
        lines.extend(table(&rows));
        let pids = self.processes.iter().filter(|process| process.gone.is_none());
        if let Some(pid) = pids.filter_map(|process| process.pid).next() {
            lines.push(format!("kill any of them, as with \"kill -9 {pid}\"; Ctrl-C ends all"));
        }
        lines
    }

    fn fire(&mut self, now: Time, out: &mut Outbox) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Draw => self.draw(now, out),
                Timer::Hurry => self.signal_all(Signal::INT, out),
                Timer::Kill => self.signal_all(Signal::KILL, out),
            }
        }
    }

    fn turn(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => self.begin(now, out),
            Input::Spawned { child, pid } => {
                let Some(&index) = self.children.get(&child) else { return };
                self.processes[index].pid = Some(pid);
                let Node { id, address, .. } = &self.nodes[index];
                self.tell(now, id, &format!("runs at {address} (pid {pid})"), out);
            }
            Input::Datagram { from, bytes, .. } => {
                if let IpAddr::V4(from) = from.ip() {
                    self.heard(now, from, bytes, out);
                }
            }
            Input::Read { read, result } => self.read(now, read, result, out),
            Input::SpawnFailed { child, error } => self.gone(now, child, Err(error), out),
            Input::Exited { child, exit } => self.gone(now, child, Ok(exit), out),
            Input::Swept { .. } => out.exit(self.ending.unwrap_or(exit_code::FAILED)),
            Input::Resized { columns, rows } => {
                if let Some(picture) = &mut self.picture {
                    picture.resize(columns, rows);
                }
            }
            Input::Signal(Signal::TERM) | Input::OutputEnded => self.end(now, exit_code::PASSED, out),
            Input::Signal(_) => self.end(now, exit_code::INTERRUPTED, out),
            _ => {}
        }
    }
}

/// Returns the digits for a line: all of them, or the first and the last ones.
fn digits(data: &str) -> String {
    let length = data.chars().count();
    if length <= DIGITS_SHOWN {
        return data.to_owned();
    }
    let first: String = data.chars().take(DIGITS_SHOWN - LAST_DIGITS).collect();
    let last: String = data.chars().skip(length - LAST_DIGITS).collect();
    format!("{first}...{last}, {length} characters")
}

impl Machine for Demo {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.turn(now, input, out);
        self.fire(now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::machine::{Effect, SocketId};
    use crate::ring::message::{Body, Extra, Message};
    use crate::ring::token::Token;

    fn demo(terminal: Option<(u16, u16)>) -> (Demo, Outbox, Vec<ChildId>) {
        let node = |number: u8| Node {
            id: format!("node{number}"),
            address: Ipv4Addr::new(127, 0, 7, number),
            argv: vec!["arete".to_owned()],
            state_dir: PathBuf::from(format!("/demo/node{number}")),
            log: PathBuf::from(format!("/demo/node{number}.log")),
        };
        let mut demo = Demo::new(Config { nodes: (1..=3).map(node).collect(), terminal });
        let mut out = Outbox::new();
        demo.handle(Time::default(), Input::Begin, &mut out);
        let spawned = out.drain().filter_map(|effect| match effect {
            Effect::Spawn { child, .. } => Some(child),
            _ => None,
        });
        let children: Vec<ChildId> = spawned.collect();
        for (child, pid) in children.iter().zip(101..) {
            demo.handle(Time::default(), Input::Spawned { child: *child, pid }, &mut out);
        }
        (demo, out, children)
    }

    fn shown(out: &mut Outbox) -> String {
        let text = out.drain().filter_map(|effect| match effect {
            Effect::Print { bytes, .. } => Some(String::from_utf8(bytes).unwrap()),
            _ => None,
        });
        text.collect()
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    /// A node says that it has the token, and its data is read.
    fn hop(demo: &mut Demo, millis: u64, id: &str, hop: u64, data: &str, out: &mut Outbox) {
        let fence = Fence { epoch: 1, hop };
        let extra = Extra { fence, ..Extra::default() };
        let body = Body::TokenIsHere(Token::new(data.len() as u64, id, 1));
        let bytes = Message { author: id.to_owned(), body, extra: Some(extra) }.encode(None);
        let from = SocketAddr::from(([127, 0, 7, 2], 4_000));
        demo.handle(at(millis), Input::Datagram { socket: SocketId(0), from, bytes: &bytes }, out);
        let reads: Vec<ReadId> = out
            .drain()
            .filter_map(|effect| match effect {
                Effect::Read { read, .. } => Some(read),
                _ => None,
            })
            .collect();
        let copy = serde_json::to_vec(&Copy { fence, progress: 0, data: data.to_owned() }).unwrap();
        for read in reads {
            demo.handle(at(millis), Input::Read { read, result: Ok(&copy) }, out);
        }
    }

    #[test]
    fn every_hop_is_a_line_with_the_digits_so_far() {
        let (mut demo, mut out, _) = demo(None);
        assert!(shown(&mut out).contains("   0.000  node2  runs at 127.0.7.2 (pid 102)\n"));
        hop(&mut demo, 1_500, "node2", 4, "3.14", &mut out);
        assert_eq!(shown(&mut out), "   1.500  node2  has token 1.4  3.14\n");
        hop(&mut demo, 1_600, "somebody", 5, "3.1", &mut out);
        assert_eq!(shown(&mut out), "", "it is none of our nodes");
    }

    #[test]
    fn the_picture_has_a_row_a_node_and_says_who_was_killed() {
        let (mut demo, mut out, children) = demo(Some((80, 24)));
        hop(&mut demo, 1_500, "node2", 4, "3.14", &mut out);
        demo.handle(at(1_600), Input::Exited { child: children[0], exit: Exit::Signal(Signal::KILL) }, &mut out);
        demo.handle(at(1_700), Input::Deadline, &mut out);
        let text = shown(&mut out);
        assert!(text.contains("node1  died of SIGKILL; the demo does not start it again; 2 of 3 go on\n"), "{text}");
        let picture: Vec<_> = text.lines().rev().take(6).collect();
        assert!(picture[5].ends_with("token 1.4 at node2: 3.14"), "{picture:#?}");
        assert_eq!(picture[3], "node1  101  127.0.7.1  died of SIGKILL  0");
        assert_eq!(picture[2], "node2  102  127.0.7.2  owner            1");
        assert_eq!(picture[0], "kill any of them, as with \"kill -9 102\"; Ctrl-C ends all");
    }

    #[test]
    fn ctrl_c_ends_all_nodes_and_then_what_they_have_left() {
        let (mut demo, mut out, children) = demo(None);
        demo.handle(at(100), Input::Signal(Signal::INT), &mut out);
        let told = out.drain().filter(|effect| matches!(effect, Effect::KillGroup { signal: Signal::TERM, .. }));
        assert_eq!(told.count(), 3);
        demo.handle(at(5_000), Input::Deadline, &mut out);
        let killed = out.drain().filter(|effect| matches!(effect, Effect::KillGroup { signal: Signal::KILL, .. }));
        assert_eq!(killed.count(), 3);
        for child in children {
            demo.handle(at(5_100), Input::Exited { child, exit: Exit::Code(0) }, &mut out);
        }
        assert!(out.drain().any(|effect| matches!(effect, Effect::Sweep { signal: Signal::KILL })));
        demo.handle(at(5_200), Input::Swept { left: 0 }, &mut out);
        assert!(out.drain().any(|effect| effect == Effect::Exit { code: exit_code::INTERRUPTED }));
    }

    #[test]
    fn of_many_digits_the_first_and_the_last_are_shown() {
        assert_eq!(digits(&"1".repeat(50)), "1".repeat(50));
        let (many, few) = (format!("{}{}", "1".repeat(60), "2".repeat(20)), "1".repeat(30));
        assert_eq!(digits(&many), format!("{few}...{}, 80 characters", "2".repeat(20)));
    }
}
