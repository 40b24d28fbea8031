//! The limit: the least that a server can do for these messages. It has one thread and one poll, uses plain reads and
//! writes, recognizes a message by two bytes, and formats what it writes once for all connections.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::rows::{Play, Row, Subject};
use crate::server;
use crate::speech::{self, Speech};

const LISTENER: Token = Token(usize::MAX);

/// The largest read, in bytes. An edge-triggered read that returns less has emptied the socket.
const READ_MAX: usize = 64 * 1024;

struct Peer {
    stream: TcpStream,
    /// Two bytes of the type of its messages. All messages of one read have the same type.
    says: [u8; 2],
    /// The last read ended with a message.
    ended: bool,
    /// How many notifies it has sent.
    notified: u64,
    /// In a sync: the beginning of the current message.
    partial: Vec<u8>,
    /// How many bytes of what all get it has not taken.
    unsent: usize,
}

struct Limit {
    speech: Speech,
    poll: Poll,
    peers: Vec<Peer>,
    /// The messages of this round.
    count: usize,
    round: u64,
    /// All have arrived and have been asked whether they are alive.
    asked: bool,
    noted: Vec<u8>,
    /// What all get. In a sync it grows with each value.
    out: Vec<u8>,
    buffer: Vec<u8>,
}

/// Prints its address, then serves until it is killed.
pub fn main(row: &'static Row) -> io::Result<()> {
    server::raise_file_limit();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Listens again, because std does not allow a longer queue.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    println!("{}{}", server::LISTENING, listener.local_addr()?);
    let mut listener = mio::net::TcpListener::from_std(listener);
    let (speech, poll) = (Speech::new(row, Subject::Limit), Poll::new()?);
    listener.register(poll.registry(), LISTENER, Interest::READABLE)?;
    let (noted, out) = (speech.noted(), Vec::new());
    let (peers, count, round, asked, buffer) = (Vec::new(), 0, 0, false, vec![0; READ_MAX]);
    let mut limit = Limit { speech, poll, peers, count, round, asked, noted, out, buffer };
    let mut events = Events::with_capacity(1024);
    loop {
        limit.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => limit.accept(&listener)?,
                Token(peer) => {
                    limit.send_on(peer)?;
                    limit.hear(peer)?;
                }
            }
        }
    }
}

impl Limit {
    fn accept(&mut self, listener: &mio::net::TcpListener) -> io::Result<()> {
        let sync = self.speech.play == Play::Sync;
        let interest = if sync { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        // It fails if no other connection waits.
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            stream.register(self.poll.registry(), Token(self.peers.len()), interest)?;
            let (says, ended, notified, partial, unsent) = ([0; 2], true, 0, Vec::new(), 0);
            self.peers.push(Peer { stream, says, ended, notified, partial, unsent });
        }
        Ok(())
    }

    fn hear(&mut self, index: usize) -> io::Result<()> {
        loop {
            let peer = &mut self.peers[index];
            let got = server::unless_it_would_block(peer.stream.read(&mut self.buffer))?;
            let mut bytes = &self.buffer[..got];
            if got == 0 {
                return Ok(());
            }
            // A confirmation, which needs nothing, is sent with the next message.
            if peer.ended && bytes.starts_with(b"{\"type\":\"heard\"") {
                let end = memchr::memchr(b'\n', bytes).filter(|at| at + 1 < got);
                bytes = &bytes[end.map_or(0, |at| at + 1)..];
            }
            if peer.ended {
                // After `{"type":"`.
                peer.says = [bytes[9], bytes[10]];
            }
            peer.ended = bytes.ends_with(b"\n");
            let lines = memchr::memchr_iter(b'\n', bytes).count();
            match &peer.says {
                b"jo" => peer.stream.write_all(&speech::welcome())?,
                b"no" => {
                    peer.notified += lines as u64;
                    speech::put_count(&mut self.noted, peer.notified);
                    peer.stream.write_all(&self.noted)?;
                    self.count += lines;
                }
                b"gi" => {
                    if self.count == 0 {
                        self.out = self.speech.map_start(self.round + 1);
                    }
                    collect(&mut self.out, &mut peer.partial, bytes);
                    self.count += lines;
                }
                b"ar" | b"al" => self.count += lines,
                // `heard` needs nothing.
                _ => {}
            }
            let all = if self.asked { self.speech.row.connections() } else { self.speech.row.members() };
            if self.count >= all && !matches!(self.speech.play, Play::Notify(_)) {
                self.count = 0;
                self.fire()?;
            }
            if got < READ_MAX {
                return Ok(());
            }
        }
    }

    /// All have arrived. In a late barrier all are asked first whether they are alive.
    fn fire(&mut self) -> io::Result<()> {
        self.asked = self.speech.play == Play::Late && !self.asked;
        if self.asked {
            self.out = speech::check();
        } else {
            self.round += 1;
            let release = self.speech.release_line(self.round);
            if self.speech.play == Play::Sync {
                self.out.pop();
                self.out.extend_from_slice(speech::MAP_END);
                self.out.extend_from_slice(&release);
            } else {
                self.out = release;
            }
        }
        self.peers.iter_mut().for_each(|peer| peer.unsent = self.out.len());
        (0..self.peers.len()).try_for_each(|index| self.send_on(index))
    }

    /// Writes as many bytes as the connection takes.
    fn send_on(&mut self, index: usize) -> io::Result<()> {
        let peer = &mut self.peers[index];
        while peer.unsent > 0 {
            let wrote = peer.stream.write(&self.out[self.out.len() - peer.unsent..]);
            match server::unless_it_would_block(wrote)? {
                0 => return Ok(()),
                wrote => peer.unsent -= wrote,
            }
        }
        Ok(())
    }
}

/// Appends the members of the received messages and their values, with a comma after each. They are at fixed places.
fn collect(map: &mut Vec<u8>, partial: &mut Vec<u8>, bytes: &[u8]) {
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        partial.extend_from_slice(line);
        let Some(line) = partial.strip_suffix(b"}\n") else { continue };
        let key = b"\"member\":";
        let name = memchr::memmem::find(line, key).map_or(0, |at| at + key.len());
        map.extend_from_slice(&line[name..name + speech::member_name(0).len() + 2]);
        map.push(b':');
        map.extend_from_slice(&line[line.len() - speech::VALUE_BYTES..]);
        map.push(b',');
        partial.clear();
    }
}
