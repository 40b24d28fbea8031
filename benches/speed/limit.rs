//! The limit: the least that a server can do for this message pattern. It has one thread and one poll, uses plain
//! reads and writes, and formats every byte in advance.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::speech::{self, Play};

const LISTENER: Token = Token(usize::MAX);

/// The largest read, in bytes. An edge-triggered read that returns less has emptied the socket.
const READ_MAX: usize = 64 * 1024;

struct Peer {
    stream: TcpStream,
    /// How many lines it has sent.
    lines: u64,
    /// In a sync: the beginning of the current value.
    partial: Vec<u8>,
    /// In a sync: how many bytes of the values it has been sent. `None` if it waits for no values.
    unsent: Option<usize>,
}

struct Limit {
    poll: Poll,
    peers: Vec<Option<Peer>>,
    /// How many lines fire the trigger, and how many have been received.
    goal: u64,
    count: u64,
    answer: Vec<u8>,
    triggered: Vec<u8>,
    /// In a late barrier: the line that asks a peer whether it is alive.
    check: Option<Vec<u8>>,
    /// Set when all have arrived and have been asked.
    asked: bool,
    /// In a sync: the values received up to now, concatenated.
    values: Option<Vec<u8>>,
    /// The number of connections that have not received all values.
    unsent: usize,
    buffer: Vec<u8>,
}

/// `limit GOAL PLAY`: prints its address, then serves until it is killed.
pub fn main(words: &[&str]) -> io::Result<()> {
    let [goal, play] = words else { return Err(io::ErrorKind::InvalidInput.into()) };
    let goal = goal.parse().map_err(io::Error::other)?;
    let play = Play::from_name(play).ok_or(io::ErrorKind::InvalidInput)?;
    speech::raise_file_limit();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Listens again, because std does not allow a longer queue.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    println!("{}{}", speech::LISTENING, listener.local_addr()?);
    let mut listener = mio::net::TcpListener::from_std(listener);
    let poll = Poll::new()?;
    listener.register(poll.registry(), LISTENER, Interest::READABLE)?;
    let answer = speech::limit_answer();
    let triggered = match play {
        Play::Fan | Play::Flood => speech::limit_triggered(),
        Play::Members | Play::Late | Play::Slaves | Play::Sync => speech::limit_release(),
    };
    let check = (play == Play::Late).then(speech::limit_check);
    let values = (play == Play::Sync).then(speech::map_start);
    let (peers, buffer) = (Vec::new(), vec![0; READ_MAX]);
    let (count, asked, unsent) = (0, false, 0);
    let mut limit = Limit { poll, peers, goal, count, answer, triggered, check, asked, values, unsent, buffer };
    limit.serve(&listener)
}

impl Limit {
    fn serve(&mut self, listener: &mio::net::TcpListener) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(listener)?,
                    Token(peer) => {
                        self.send_on(peer)?;
                        self.hear(peer)?;
                    }
                }
            }
        }
    }

    fn accept(&mut self, listener: &mio::net::TcpListener) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            stream.register(self.poll.registry(), Token(self.peers.len()), self.interest())?;
            stream.write_all(speech::LIMIT_WELCOME)?;
            self.peers.push(Some(Peer { stream, lines: 0, partial: Vec::new(), unsent: None }));
        }
    }

    fn interest(&self) -> Interest {
        match self.values {
            Some(_) => Interest::READABLE | Interest::WRITABLE,
            None => Interest::READABLE,
        }
    }

    fn hear(&mut self, index: usize) -> io::Result<()> {
        loop {
            let Some(peer) = &mut self.peers[index] else { return Ok(()) };
            let got = match peer.stream.read(&mut self.buffer) {
                Ok(0) => {
                    self.peers[index] = None;
                    return Ok(());
                }
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let lines = memchr::memchr_iter(b'\n', &self.buffer[..got]).count() as u64;
            if let Some(values) = &mut self.values {
                collect(values, &mut peer.partial, &self.buffer[..got]);
            }
            peer.lines += lines;
            self.count += lines;
            if self.count >= self.goal {
                self.count = 0;
                self.fire()?;
            } else if lines > 0 && !self.asked {
                speech::put_count(&mut self.answer, peer.lines);
                peer.stream.write_all(&self.answer)?;
            }
            if got < READ_MAX {
                return Ok(());
            }
        }
    }

    fn fire(&mut self) -> io::Result<()> {
        if self.values.is_some() {
            return self.spread();
        }
        self.asked = self.check.is_some() && !self.asked;
        let says = self.check.as_ref().filter(|_| self.asked).unwrap_or(&self.triggered);
        for peer in self.peers.iter_mut().flatten() {
            peer.stream.write_all(says)?;
        }
        Ok(())
    }

    /// Sends the values to all connections. Those that have received all of them are done.
    fn spread(&mut self) -> io::Result<()> {
        if let Some(values) = &mut self.values {
            values.pop();
            values.extend_from_slice(speech::MAP_END);
        }
        for peer in self.peers.iter_mut().flatten() {
            peer.unsent = Some(0);
            self.unsent += 1;
        }
        for index in 0..self.peers.len() {
            self.send_on(index)?;
        }
        Ok(())
    }

    /// Writes as many bytes of the values as the connection takes. When all connections are done, the next round can
    /// begin.
    fn send_on(&mut self, index: usize) -> io::Result<()> {
        let (Some(values), Some(peer)) = (&mut self.values, &mut self.peers[index]) else { return Ok(()) };
        let Some(at) = &mut peer.unsent else { return Ok(()) };
        while *at < values.len() {
            match peer.stream.write(&values[*at..]) {
                Ok(wrote) => *at += wrote,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        peer.unsent = None;
        self.unsent -= 1;
        if self.unsent == 0 {
            self.values = Some(speech::map_start());
        }
        Ok(())
    }
}

/// Appends the received values, with a comma instead of each newline.
fn collect(values: &mut Vec<u8>, partial: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some(end) = memchr::memchr(b'\n', rest) {
        values.append(partial);
        values.extend_from_slice(&rest[..end]);
        values.push(b',');
        rest = &rest[end + 1..];
    }
    partial.extend_from_slice(rest);
}
