//! A ring on one machine, for people to look at: some nodes as child processes that compute digits of pi, and a live
//! picture of them. It hears them as any watcher does, and reads the digits in their state directories. Killing a node
//! shows how the others recover; it is not started again.

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

/// When nodes that end do so without handing the token on.
const HURRY_AFTER: Duration = Duration::from_millis(300);

/// When they are killed.
const KILL_AFTER: Duration = Duration::from_secs(3);

/// How much of the output of a node that could not start is shown, in bytes.
const COMPLAINT_MAX: usize = 2_000;

/// How many characters of the digits a line has.
const DIGITS_SHOWN: usize = 50;

/// How many of them are the last ones, when there are more.
const LAST_DIGITS: usize = 20;

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    pub id: String,
    pub address: Ipv4Addr,
    pub argv: Vec<String>,
    pub state_dir: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
}

/// What the demo is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    pub nodes: Vec<Node>,
    /// The size of the terminal; `None`: there is none.
    pub terminal: Option<(u16, u16)>,
}

/// A node's process.
#[derive(Debug, Default)]
struct Process {
    pid: Option<u32>,
    /// Why it is not there any more.
    gone: Option<String>,
    /// How far its search for the token has come, as told.
    search: Search,
}

/// What a node without a token does about it. Candidates seek and generate in turn until they agree; that is told once.
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

/// What was asked for.
#[derive(Debug)]
enum Reading {
    /// The data, as this node got it.
    Data(usize, Fence),
    /// What a node that has ended had to say.
    Complaint(usize),
}

/// The demo.
pub struct Demo {
    nodes: Vec<Node>,
    processes: Vec<Process>,
    children: BTreeMap<ChildId, usize>,
    sight: Observer,
    picture: Option<LivePicture>,
    began: Time,
    data: String,
    reads: BTreeMap<ReadId, Reading>,
    /// With what it exits, once everybody has ended.
    ending: Option<u8>,
    timers: Timers<Timer>,
}

impl Demo {
    pub fn new(config: Config) -> Demo {
        Demo {
            processes: config.nodes.iter().map(|_| Process::default()).collect(),
            nodes: config.nodes,
            children: BTreeMap::new(),
            sight: Observer::default(),
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

    /// A line about a node, or about all.
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
        for (id, news) in self.sight.hear(now, from, bytes, None) {
            let Some(index) = self.nodes.iter().position(|node| node.id == id) else { continue };
            let Some(seen) = self.sight.get(&id) else { continue };
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
        // What it has left behind in its group, a step that it had begun.
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
                    format!("{live} of {all} are left: without {majority} nobody may have the token")
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
            // Work that has lost its node is ours now.
            out.sweep(Signal::KILL);
        }
    }

    /// Tells all nodes to end; the second time at once.
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
        let title = match self.sight.token() {
            Some((fence, _, id)) => format!("token {fence} at {id}: {}", digits(&self.data)),
            None => "no token yet".to_owned(),
        };
        let mut rows = vec![["node", "pid", "address", "state", "hops a minute"].map(str::to_owned).to_vec()];
        for (node, process) in self.nodes.iter().zip(&self.processes) {
            let seen = self.sight.get(&node.id);
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

/// The digits for a line: all, or the first and the last of them.
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
