//! The client process: it holds all connections to one server, plays the slaves or the members, and measures the
//! times.
//!
//! It reads commands from standard input, one a line, and answers each with one line.

mod barrier;
mod sync;
mod trigger;

use std::io::{self, BufRead, Error, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arete::wire::FromController;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::speech::{self, Kind, Play, Speech};

pub use trigger::IN_FLIGHT;

/// The number of connections that are made before they must have been accepted. A larger number overflows the server's
/// queue.
const CONNECT_BATCH: usize = 64;

/// The limit on the wait for any answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest read, in bytes.
const READ_MAX: usize = 64 * 1024;

struct Peer {
    stream: TcpStream,
    index: usize,
    /// The beginning of a line that has not ended yet.
    partial: Vec<u8>,
    /// For the throughput rows: how many notifies were sent, and how many were answered.
    sent: u64,
    answered: u64,
    /// The last round for which the peer received `triggered`, the verdict or the map.
    round: u64,
    /// The run for which the peer has a part.
    run: Option<String>,
}

struct Client {
    speech: Speech,
    poll: Poll,
    events: Events,
    peers: Vec<Peer>,
    buffer: Vec<u8>,
    begin: Instant,
}

/// `client SERVER ADDRESS CONNECTIONS MEMBERS PLAY`: connects, then executes commands.
pub fn main(words: &[&str]) -> io::Result<()> {
    let [kind, address, connections, members, play] = words else { return Err(io::ErrorKind::InvalidInput.into()) };
    let kind = Kind::from_name(kind).ok_or(io::ErrorKind::InvalidInput)?;
    let play = Play::from_name(play).ok_or(io::ErrorKind::InvalidInput)?;
    let members: usize = members.parse().map_err(Error::other)?;
    let address = address.parse().map_err(Error::other)?;
    let connections: usize = connections.parse().map_err(Error::other)?;
    speech::raise_file_limit();
    let mut client = Client {
        speech: Speech::new(kind, play, members / connections.max(1)),
        poll: Poll::new()?,
        events: Events::with_capacity(1024),
        peers: Vec::with_capacity(connections + 1),
        buffer: vec![0; READ_MAX],
        begin: Instant::now(),
    };
    client.connect(address, connections)?;
    println!("joined");
    for command in io::stdin().lock().lines() {
        let command = command?;
        println!("{}", client.obey(&command)?);
    }
    Ok(())
}

impl Client {
    fn obey(&mut self, command: &str) -> io::Result<String> {
        let (verb, number) = command.split_once(' ').unwrap_or((command, "0"));
        let number: u64 = number.parse().map_err(Error::other)?;
        match verb {
            "ping" => self.ping().map(|()| "pinged".to_owned()),
            "round" => {
                let (first, last) = match self.speech.play {
                    Play::Members | Play::Late | Play::Slaves => self.meet(number)?,
                    Play::Sync => self.exchange(number)?,
                    Play::Fan | Play::Flood => self.round(number)?,
                };
                Ok(format!("{} {}", first.as_nanos(), last.as_nanos()))
            }
            "flood" => {
                let (count, took) = self.flood(Duration::from_millis(number))?;
                Ok(format!("{count} {}", took.as_nanos()))
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn connect(&mut self, address: SocketAddr, connections: usize) -> io::Result<()> {
        while self.peers.len() < connections {
            let begin = self.peers.len();
            for index in begin..connections.min(begin + CONNECT_BATCH) {
                self.connect_one(address)?;
                let greeting = self.speech.greeting(index);
                self.peers[index].stream.write_all(&greeting)?;
            }
            self.await_welcomes(begin)?;
        }
        match self.speech.kind {
            Kind::Arete if self.speech.play.is_run() => self.get_ready(),
            // The publisher. A Redis subscriber cannot publish.
            Kind::Redis if self.speech.play == Play::Fan => self.connect_one(address),
            _ => Ok(()),
        }
    }

    fn connect_one(&mut self, address: SocketAddr) -> io::Result<()> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(self.peers.len()), Interest::READABLE)?;
        let index = self.peers.len();
        self.peers.push(Peer { stream, index, partial: Vec::new(), sent: 0, answered: 0, round: 0, run: None });
        Ok(())
    }

    fn await_welcomes(&mut self, begin: usize) -> io::Result<()> {
        let mut missing = self.peers.len() - begin;
        let welcome: &[u8] = match self.speech.kind {
            Kind::Limit => speech::LIMIT_WELCOME.trim_ascii(),
            Kind::Arete => b"{\"type\":\"welcome\"",
            Kind::Redis if self.speech.play == Play::Fan => b":1",
            Kind::Redis => b"+PONG",
        };
        self.until("be welcomed", |peer, line| {
            missing -= usize::from(line.starts_with(welcome));
            take_run(peer, line);
            Ok(missing == 0)
        })
    }

    /// Plays a slave until the run has started: reports that it is ready, and waits until the start instant.
    fn get_ready(&mut self) -> io::Result<()> {
        self.ping()?;
        let count = self.peers.len();
        self.await_prepare()?;
        let ready = self.speech.ready();
        for peer in &mut self.peers {
            peer.stream.write_all(&ready)?;
        }
        let (mut started, mut start) = (0, None);
        self.until("be told the start", |_, line| {
            if let Ok(FromController::Start(message)) = FromController::decode(line) {
                started += 1;
                start = Some(message.at);
            }
            Ok(started == count)
        })?;
        let deadline = Instant::now() + PATIENCE;
        let mut now = None;
        while now < start && Instant::now() < deadline {
            let ping = speech::ping(self.micros());
            self.peers[0].stream.write_all(&ping)?;
            self.until("be answered a ping", |_, line| {
                if let Ok(FromController::Pong(pong)) = FromController::decode(line) {
                    now = Some(pong.now);
                    return Ok(true);
                }
                Ok(false)
            })?;
        }
        Ok(())
    }

    /// Waits until every slave has its part of the run.
    fn await_prepare(&mut self) -> io::Result<()> {
        let mut missing = self.peers.iter().filter(|peer| peer.run.is_none()).count();
        if missing > 0 {
            self.until("be given its part of the run", |peer, line| {
                missing -= usize::from(take_run(peer, line));
                Ok(missing == 0)
            })?;
        }
        self.speech.run = self.peers[0].run.take().unwrap_or_default();
        Ok(())
    }

    /// Keeps the connections alive. Only arete requires it.
    fn ping(&mut self) -> io::Result<()> {
        if self.speech.kind != Kind::Arete {
            return Ok(());
        }
        let ping = speech::ping(self.micros());
        for peer in &mut self.peers {
            peer.stream.write_all(&ping)?;
        }
        let mut missing = self.peers.len();
        self.until("be answered a ping", |peer, line| {
            missing -= usize::from(line.starts_with(b"{\"type\":\"pong\""));
            take_run(peer, line);
            Ok(missing == 0)
        })
    }

    /// Reads lines until `each` returns that it is done.
    fn until(&mut self, what: &str, mut each: impl FnMut(&mut Peer, &[u8]) -> io::Result<bool>) -> io::Result<()> {
        let checks = self.speech.kind == Kind::Arete || self.speech.play == Play::Late;
        self.read_until(what, |peer, bytes| {
            lines(peer, bytes, &mut |peer, line| {
                if checks && answer_check(peer, line)? {
                    return Ok(false);
                }
                each(peer, line)
            })
        })
    }

    /// Reads bytes until `each` returns that it is done. The last read may contain more than `each` waited for.
    fn read_until(&mut self, what: &str, mut each: impl FnMut(&mut Peer, &[u8]) -> io::Result<bool>) -> io::Result<()> {
        loop {
            let mut done = false;
            self.poll.poll(&mut self.events, Some(PATIENCE))?;
            if self.events.is_empty() {
                return Err(Error::other(format!("a connection waits in vain to {what}")));
            }
            for event in &self.events {
                done |= hear(&mut self.peers[event.token().0], &mut self.buffer, &mut each)?;
            }
            if done {
                return Ok(());
            }
        }
    }

    fn micros(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }
}

/// Reads the available bytes of one connection.
fn hear(
    peer: &mut Peer,
    buffer: &mut [u8],
    each: &mut impl FnMut(&mut Peer, &[u8]) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut done = false;
    loop {
        let got = match peer.stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(done),
            Err(error) => return Err(error),
        };
        done |= each(peer, &buffer[..got])?;
        if got < READ_MAX {
            return Ok(done);
        }
    }
}

/// Splits the received bytes of one connection into lines.
fn lines(
    peer: &mut Peer,
    mut rest: &[u8],
    each: &mut impl FnMut(&mut Peer, &[u8]) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut done = false;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        if peer.partial.is_empty() {
            done |= each(peer, line)?;
        } else {
            let mut whole = std::mem::take(&mut peer.partial);
            whole.extend_from_slice(line);
            done |= each(peer, &whole)?;
        }
        rest = after;
    }
    peer.partial.extend_from_slice(rest);
    Ok(done)
}

/// Takes the run's id from a `prepare` line. Returns whether the line is one.
fn take_run(peer: &mut Peer, line: &[u8]) -> bool {
    if !line.starts_with(b"{\"type\":\"prepare\"") {
        return false;
    }
    if let Ok(FromController::Prepare(prepare)) = FromController::decode(line) {
        peer.run = Some(prepare.run.into_owned());
    }
    peer.run.is_some()
}

/// Answers a check with a sign of life. Fails with the reason if the controller sends `bye`.
fn answer_check(peer: &mut Peer, line: &[u8]) -> io::Result<bool> {
    if line.starts_with(b"{\"type\":\"bye\"") {
        return Err(Error::other(String::from_utf8_lossy(line)));
    }
    let asked = line.starts_with(b"{\"type\":\"check\"");
    if asked {
        peer.stream.write_all(&speech::alive())?;
    }
    Ok(asked)
}
