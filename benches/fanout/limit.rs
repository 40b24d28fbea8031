//! The limit: the least that a server can do for this message pattern, with one thread, one poll, plain reads and
//! writes, and every byte it says formatted beforehand.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::speech;

const LISTENER: Token = Token(usize::MAX);

/// How much one read takes at most, in bytes. An edge-triggered read that got less has got everything.
const READ_MAX: usize = 64 * 1024;

struct Peer {
    stream: TcpStream,
    /// How many lines it has said.
    lines: u64,
}

struct Limit {
    poll: Poll,
    peers: Vec<Option<Peer>>,
    /// How many lines fire the trigger, and how many have come.
    goal: u64,
    count: u64,
    answer: Vec<u8>,
    triggered: Vec<u8>,
    buffer: Vec<u8>,
}

/// `limit GOAL`: serves until it is killed, and says first where it listens.
pub fn main(words: &[&str]) -> io::Result<()> {
    let goal = words.first().and_then(|word| word.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
    speech::raise_file_limit();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Again, for a longer queue than std asks for.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    println!("{}{}", speech::LISTENING, listener.local_addr()?);
    let mut listener = mio::net::TcpListener::from_std(listener);
    let poll = Poll::new()?;
    listener.register(poll.registry(), LISTENER, Interest::READABLE)?;
    let (answer, triggered) = (speech::limit_answer().to_vec(), speech::limit_triggered());
    let buffer = vec![0; READ_MAX];
    Limit { poll, peers: Vec::new(), goal, count: 0, answer, triggered, buffer }.serve(&listener)
}

impl Limit {
    fn serve(&mut self, listener: &mio::net::TcpListener) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(listener)?,
                    Token(peer) => self.hear(peer)?,
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
            stream.register(self.poll.registry(), Token(self.peers.len()), Interest::READABLE)?;
            stream.write_all(speech::LIMIT_WELCOME)?;
            self.peers.push(Some(Peer { stream, lines: 0 }));
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
            peer.lines += lines;
            self.count += lines;
            if self.count >= self.goal {
                self.count = 0;
                self.fire()?;
            } else {
                speech::put_count(&mut self.answer, peer.lines);
                peer.stream.write_all(&self.answer)?;
            }
            if got < READ_MAX {
                return Ok(());
            }
        }
    }

    fn fire(&mut self) -> io::Result<()> {
        for peer in self.peers.iter_mut().flatten() {
            peer.stream.write_all(&self.triggered)?;
        }
        Ok(())
    }
}
