//! The watcher of a network: a live table of its nodes on a terminal, and otherwise a line of JSON for each change.
//!
//! A watcher must never send anything to the ring.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::Serialize;

use super::log::wall_time;
use super::observer::{News, Observer};
use super::picture::{LivePicture, table};
use super::seal::Key;
use crate::exit_code;
use crate::machine::{Input, Machine, Outbox, Signal, Stream, Time};

/// How often the table is drawn at most.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How often nodes are checked for silence.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The configuration of a watcher.
#[derive(Debug, Clone)]
pub struct Config {
    /// The secret of the ring. Messages that are not sealed with it are ignored. `None`: they are not sealed.
    pub key: Option<Key>,
    /// The size of the terminal; `None`: there is none.
    pub terminal: Option<(u16, u16)>,
    /// The place where it listens, for the title.
    pub listening: String,
    /// The offset from a [`Time`] to the microseconds since 1970 in UTC.
    pub wall_offset: i64,
}

/// A line of JSON: a change of a node, and its present view.
#[derive(Serialize)]
struct NewsLine<'a> {
    time: String,
    event: &'static str,
    node: &'a str,
    address: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hop: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u64>,
    hops_a_minute: u32,
}

/// A watcher.
pub struct Watch {
    key: Option<Key>,
    listening: String,
    wall_offset: i64,
    observer: Observer,
    picture: Option<LivePicture>,
    next: Option<Time>,
}

impl Watch {
    /// Returns a watcher that has heard nothing yet.
    pub fn new(config: Config) -> Watch {
        Watch {
            key: config.key,
            listening: config.listening,
            wall_offset: config.wall_offset,
            observer: Observer::default(),
            picture: config.terminal.map(LivePicture::new),
            next: None,
        }
    }

    fn tell(&self, now: Time, news: &[(String, News)], out: &mut Outbox) {
        if self.picture.is_some() {
            return;
        }
        for (id, news) in news {
            let Some(seen) = self.observer.get(id) else { continue };
            let fence = seen.token.map(|(fence, _)| fence).filter(|fence| fence.epoch > 0);
            let line = NewsLine {
                time: wall_time(now, self.wall_offset),
                event: news.name(),
                node: id,
                address: seen.address,
                state: seen.state,
                epoch: fence.map(|fence| fence.epoch),
                hop: fence.map(|fence| fence.hop),
                progress: seen.token.map(|(_, progress)| progress),
                hops_a_minute: seen.hops(now),
            };
            let text = serde_json::to_string(&line).expect("names, numbers and texts always encode");
            out.print(Stream::Out, text + "\n");
        }
    }

    fn draw(&mut self, now: Time, out: &mut Outbox) {
        let lines = lines(&self.observer, now, &self.listening);
        if let Some(picture) = &mut self.picture {
            picture.draw(&lines, out);
        }
    }

    fn tick(&mut self, now: Time, out: &mut Outbox) {
        let silent = self.observer.look(now);
        self.tell(now, &silent, out);
        self.draw(now, out);
        let every = if self.picture.is_some() { DRAW_EVERY } else { LOOK_EVERY };
        self.next = Some(now + every);
    }
}

/// Returns the table, with a title above it.
fn lines(observer: &Observer, now: Time, listening: &str) -> Vec<String> {
    let count = observer.nodes().count();
    let nodes = if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
    let title = match (count, observer.token()) {
        (0, _) => format!("{listening}: no node yet"),
        (_, None) => format!("{listening}: {nodes}, no token"),
        (_, Some((fence, progress, id))) => {
            format!("{listening}: {nodes}, token {fence} at {id}, progress {progress}")
        }
    };
    let cells = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![cells(["node", "address", "state", "token", "heard", "hops a minute"])];
    for (id, seen) in observer.nodes() {
        let state = seen.state.unwrap_or(if seen.silent { "silent" } else { "-" });
        let token = seen.token.map_or_else(|| "-".to_owned(), |(fence, progress)| format!("{fence}, {progress}"));
        let heard = format!("{:.1} s ago", now.since(seen.heard).as_secs_f64());
        let (address, hops) = (seen.address.to_string(), seen.hops(now).to_string());
        rows.push(cells([id, &address, state, &token, &heard, &hops]));
    }
    let mut lines = vec![title];
    if count > 0 {
        lines.extend(table(&rows));
    }
    lines
}

impl Machine for Watch {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Datagram { from, bytes, .. } => {
                if let IpAddr::V4(from) = from.ip() {
                    let news = self.observer.hear(now, from, bytes, self.key.as_ref());
                    self.tell(now, &news, out);
                }
            }
            Input::Resized { columns, rows } => {
                if let Some(picture) = &mut self.picture {
                    picture.resize(columns, rows);
                }
            }
            Input::Signal(Signal::TERM) | Input::OutputEnded => out.exit(exit_code::PASSED),
            Input::Signal(_) => out.exit(exit_code::INTERRUPTED),
            _ => {}
        }
        if self.next.is_none_or(|next| next <= now) {
            self.tick(now, out);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::machine::{Effect, SocketId};
    use crate::ring::message::{Body, Extra, Message};
    use crate::ring::token::{Fence, Token};

    fn watch(terminal: Option<(u16, u16)>) -> Watch {
        Watch::new(Config { key: None, terminal, listening: "lo".to_owned(), wall_offset: 0 })
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    fn shown(out: &mut Outbox) -> String {
        let text = out.drain().filter_map(|effect| match effect {
            Effect::Print { bytes, .. } => Some(String::from_utf8(bytes).unwrap()),
            _ => None,
        });
        text.collect()
    }

    fn token_is_here(watch: &mut Watch, millis: u64, author: &str, hop: u64, out: &mut Outbox) {
        let extra = Extra { fence: Fence { epoch: 2, hop }, ..Extra::default() };
        let body = Body::TokenIsHere(Token::new(hop, author, 1));
        let bytes = Message { author: author.to_owned(), body, extra: Some(extra) }.encode(None);
        let from = SocketAddr::from(([10, 0, 0, 7], 4_000));
        watch.handle(at(millis), Input::Datagram { socket: SocketId(0), from, bytes: &bytes }, out);
    }

    #[test]
    fn without_a_terminal_all_that_changes_is_a_line_of_json() {
        let (mut watch, mut out) = (watch(None), Outbox::new());
        watch.handle(at(0), Input::Begin, &mut out);
        token_is_here(&mut watch, 1_500, "a", 3, &mut out);
        let text = shown(&mut out);
        let last = text.lines().last().unwrap();
        assert_eq!(
            last,
            r#"{"time":"1970-01-01T00:00:01.500Z","event":"token","node":"a","address":"10.0.0.7","state":"owner","epoch":2,"hop":3,"progress":3,"hops_a_minute":1}"#
        );
        assert_eq!(text.lines().count(), 3, "{text}");
        watch.handle(at(12_000), Input::Deadline, &mut out);
        let text = shown(&mut out);
        assert!(text.contains(r#""event":"silent","node":"a""#) && !text.contains("state\":"), "{text}");
    }

    #[test]
    fn on_a_terminal_there_is_a_table() {
        let (mut watch, mut out) = (watch(Some((80, 24))), Outbox::new());
        watch.handle(at(0), Input::Begin, &mut out);
        assert_eq!(shown(&mut out), "lo: no node yet\n");
        token_is_here(&mut watch, 50, "a", 3, &mut out);
        assert_eq!(shown(&mut out), "", "not so soon again");
        watch.handle(at(200), Input::Deadline, &mut out);
        let text = shown(&mut out);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "\x1b[1A\r\x1b[Jlo: 1 node, token 2.3 at a, progress 3");
        assert_eq!(lines[1], "node  address   state  token   heard      hops a minute");
        assert_eq!(lines[2], "a     10.0.0.7  owner  2.3, 3  0.1 s ago  1");
    }

    #[test]
    fn nobody_can_show_control_characters() {
        let (mut watch, mut out) = (watch(Some((200, 50))), Outbox::new());
        watch.handle(at(0), Input::Begin, &mut out);
        token_is_here(&mut watch, 50, "a\u{202e}b", 3, &mut out);
        let from = SocketAddr::from(([10, 0, 0, 7], 4_000));
        let forged = "{\"serial_code\":581831,\"type\":\"ping\",\"author_node_id\":\"\\u001b[2Jx\"}";
        watch.handle(at(60), Input::Datagram { socket: SocketId(0), from, bytes: forged.as_bytes() }, &mut out);
        watch.handle(at(300), Input::Deadline, &mut out);
        let text = shown(&mut out);
        assert!(text.contains("a?b") && !text.contains('\u{202e}') && !text.contains("[2J"), "{text:?}");
    }
}
