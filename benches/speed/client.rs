//! The client process: it holds all connections to one server, plays the clients or the slaves, and measures.
//!
//! It reads commands from standard input, one a line, and answers each with a [`crate::table::Sample`].

use std::io::{self, BufRead, Error, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use arete::session::PING_EVERY;
use arete::wire::FromController;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::rows::{Play, Row, Subject};
use crate::server;
use crate::speech::{self, Speech};

/// The number of connections that are made before they must have been accepted. A larger number overflows the server's
/// queue.
const CONNECT_BATCH: usize = 64;

/// The connections from one address of this machine.
const PER_ADDRESS: usize = 10_000;

/// The limit on the wait for any answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The delay of the last member of a late barrier. A silence below a second still counts as alive.
const LATE: Duration = Duration::from_millis(1_500);

/// The time between the message that a run starts, and the start. At most 300 ms for 10,000 slaves.
const START: Duration = Duration::from_millis(500);

/// The time for which notifies are counted.
const FLOOD_TIME: Duration = Duration::from_millis(300);

/// The largest read, in bytes.
const READ_MAX: usize = 64 * 1024;

/// The part of a line that is kept, in bytes. Only a line with a map is longer.
const HEAD_MAX: usize = 16 * 1024;

struct Peer {
    stream: TcpStream,
    index: usize,
    /// The beginning of a line that has not ended yet, and its length.
    head: Vec<u8>,
    length: usize,
    /// The notifies that were sent, and that were answered.
    sent: u64,
    answered: u64,
    /// The last round that ended for the connection.
    round: u64,
    /// In a sync: the map of this round has been received. With Redis, this many of its lines are missing.
    mapped: bool,
    lines: usize,
}

/// Gets the beginning of a line, and its length. Returns whether it is done.
type Each<'a> = dyn FnMut(&mut Peer, &[u8], usize) -> io::Result<bool> + 'a;

struct Client {
    speech: Speech,
    server: u32,
    poll: Poll,
    events: Events,
    peers: Vec<Peer>,
    buffer: Vec<u8>,
    replies: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Connects to the process `server` at `address`, then executes commands.
pub fn main(row: &'static Row, subject: &str, address: &str, server: &str) -> io::Result<()> {
    server::raise_file_limit();
    let subjects = [Subject::Limit, Subject::Clients, Subject::Slaves, Subject::Redis];
    let subject = subjects.into_iter().find(|it| format!("{it:?}") == subject).ok_or(io::ErrorKind::InvalidInput)?;
    let server = server.parse().map_err(Error::other)?;
    let speech = Speech::new(row, subject);
    let (poll, events, buffer) = (Poll::new()?, Events::with_capacity(1024), vec![0; READ_MAX]);
    let replies = speech.replies(1);
    let mut client = Client { speech, server, poll, events, peers: Vec::new(), buffer, replies };
    let begin = Instant::now();
    client.connect(address.parse().map_err(Error::other)?)?;
    println!("{} {} {}", begin.elapsed().as_secs_f64(), server::cpu(server)?, row.connections());
    for command in io::stdin().lock().lines() {
        let [took, cpu, count] = client.obey(&command?)?;
        println!("{took} {cpu} {count}");
    }
    Ok(())
}

impl Client {
    /// Returns the seconds, the processor seconds of an operation, and the number of operations.
    fn obey(&mut self, command: &str) -> io::Result<[f64; 3]> {
        let (play, round) = command.split_once(' ').ok_or(io::ErrorKind::InvalidInput)?;
        let round = round.parse().map_err(Error::other)?;
        let row = self.speech.row;
        if play == "trigger" {
            self.speech.play = Play::Trigger;
            let [create, watch] = self.speech.watch(round);
            self.say(0, &create)?;
            self.settle()?;
            self.say_all(&watch)?;
        }
        self.settle()?;
        let before = server::cpu(self.server)?;
        let (took, count) = match self.speech.play {
            Play::Notify(in_flight) => self.flood(in_flight)?,
            _ => (self.round(round)?, row.members() as u64),
        };
        self.settle()?;
        let count = count as f64;
        Ok([took.as_secs_f64(), (server::cpu(self.server)? - before) / count, count])
    }

    fn connect(&mut self, address: SocketAddrV4) -> io::Result<()> {
        let welcome = self.speech.welcome();
        let connections = self.speech.row.connections();
        let (mut welcomed, mut started, mut pinged) = (0, 0, Instant::now());
        while self.peers.len() < connections {
            let count = connections.min(self.peers.len() + CONNECT_BATCH);
            (self.peers.len()..count).try_for_each(|index| self.connect_one(address, index))?;
            self.until("be welcomed", &mut |_, line, _| {
                welcomed += usize::from(line.starts_with(welcome));
                started += usize::from(line.starts_with(STARTS));
                Ok(welcomed == count)
            })?;
            if pinged.elapsed() > PING_EVERY && matches!(self.speech.subject, Subject::Clients | Subject::Slaves) {
                pinged = Instant::now();
                self.say_all(&speech::ping())?;
            }
        }
        if self.speech.subject == Subject::Slaves {
            self.until("start", &mut |_, line, _| {
                started += usize::from(line.starts_with(STARTS));
                Ok(started == connections)
            })?;
            std::thread::sleep(START);
        }
        if self.speech.subject == Subject::Clients && matches!(self.speech.play, Play::Notify(_)) {
            self.say(0, &self.speech.flooded())?;
        }
        self.settle()
    }

    /// An address has less than 30,000 ports for connections to the same server, so many connections come from several.
    fn connect_one(&mut self, address: SocketAddrV4, index: usize) -> io::Result<()> {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        if index >= PER_ADDRESS {
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, (1 + index / PER_ADDRESS) as u8), 0))?;
        }
        connect(&socket, &address)?;
        let stream = std::net::TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        stream.write_all(&self.speech.greeting(index))?;
        self.poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        let (head, length, sent, answered, round, mapped, lines) = (Vec::new(), 0, 0, 0, 0, false, 0);
        self.peers.push(Peer { stream, index, head, length, sent, answered, round, mapped, lines });
        Ok(())
    }

    fn say(&mut self, index: usize, bytes: &[u8]) -> io::Result<()> {
        self.peers[index].stream.write_all(bytes)
    }

    fn say_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.peers.iter_mut().try_for_each(|peer| peer.stream.write_all(bytes))
    }

    /// All members but the last one arrive. When they have been processed, the last one follows. Returns the time until
    /// the round has ended for all connections.
    fn round(&mut self, round: u64) -> io::Result<Duration> {
        let (each, last) = (self.speech.row.size.1, self.peers.len() - 1);
        // As the processes of arete do, a connection confirms its verdicts with what it says next.
        let heard = self.speech.heard(round - 1).unwrap_or_default();
        let enter = |index| {
            let entered = (0..each).flat_map(|nr| self.speech.enter(round, index, nr));
            heard.iter().copied().chain(entered).collect()
        };
        let says: Vec<Vec<u8>> = (0..=last).map(enter).collect();
        let (start, end) = self.speech.release(round);
        self.replies = self.speech.replies(round);
        let before_last = says[last].len() - self.speech.enter(round, last, each - 1).len();
        let at_once = matches!(self.speech.play, Play::AtOnce | Play::Connections);
        if !at_once {
            (0..last).try_for_each(|index| self.say(index, &says[index]))?;
            self.say(last, &says[last][..before_last])?;
            self.settle()?;
        }
        if self.speech.play == Play::Late {
            std::thread::sleep(LATE);
        }
        let sync = self.speech.play == Play::Sync;
        let members = self.speech.row.members();
        let mut missing = self.peers.len();
        let begin = Instant::now();
        if at_once {
            (0..last).try_for_each(|index| self.say(index, &says[index]))?;
        }
        self.say(last, &says[last][before_last..])?;
        self.until("end its round", &mut |peer, line, length| {
            if sync && !end_of_map(peer, line, length, members)? || !sync && !line.starts_with(start) {
                return Ok(false);
            }
            if peer.round + 1 != round || !line.ends_with(&end) {
                let line = String::from_utf8_lossy(line);
                return Err(Error::other(format!("not the end of round {round} of connection {}: {line}", peer.index)));
            }
            peer.round = round;
            missing -= 1;
            Ok(missing == 0)
        })?;
        Ok(begin.elapsed())
    }

    /// Keeps so many notifies on every connection. Returns the time for an answer, and how many there were.
    fn flood(&mut self, in_flight: u64) -> io::Result<(Duration, u64)> {
        let redis = self.speech.subject == Subject::Redis;
        let (before, after, answer) = self.speech.flood();
        let mut lines = before.repeat(in_flight as usize);
        let mut say = |peer: &mut Peer| {
            if !redis {
                lines.clear();
                for count in peer.sent + 1..=peer.sent + in_flight {
                    lines.extend_from_slice(&before);
                    speech::push_count(&mut lines, count);
                    lines.extend_from_slice(&after);
                }
            }
            peer.sent += in_flight;
            peer.stream.write_all(&lines)
        };
        let begin = Instant::now();
        self.peers.iter_mut().try_for_each(&mut say)?;
        let (mut waiting, mut count) = (self.peers.len(), 0);
        self.until("be answered its notifies", &mut |peer, line, _| {
            let Some(number) = line.strip_prefix(&answer[..]) else { return Ok(false) };
            peer.answered = if redis { peer.answered + 1 } else { read_count(number) };
            if peer.answered < peer.sent {
                return Ok(false);
            }
            count += in_flight;
            if begin.elapsed() < FLOOD_TIME {
                say(peer)?;
            } else {
                waiting -= 1;
            }
            Ok(waiting == 0)
        })?;
        Ok((begin.elapsed().div_f64(count as f64), count))
    }

    /// Waits until the server has processed everything, and reads its answers.
    fn settle(&mut self) -> io::Result<()> {
        loop {
            server::wait_until_idle(self.server)?;
            if self.read(Duration::ZERO, &mut |_, _, _| Ok(false))?.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads lines until `each` returns that it is done. The last read may contain more than it waited for.
    fn until(&mut self, what: &str, each: &mut Each) -> io::Result<()> {
        loop {
            match self.read(PATIENCE, each)? {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => return Err(Error::other(format!("a connection waits in vain to {what}"))),
            }
        }
    }

    /// Reads once, and answers what must be answered. Returns `None` if nothing arrives within `wait`.
    fn read(&mut self, wait: Duration, each: &mut Each) -> io::Result<Option<bool>> {
        let Client { speech, poll, events, peers, buffer, replies, .. } = self;
        let mut done = false;
        let mut take = |peer: &mut Peer, line: &[u8], length: usize| {
            if let Some((_, reply)) = replies.iter().find(|(start, _)| line.starts_with(start)) {
                peer.stream.write_all(reply)?;
            } else if line.starts_with(b"{\"type\":\"prepare\"") {
                if let Ok(FromController::Prepare(prepare)) = FromController::decode(line) {
                    speech.room = prepare.run.into_owned();
                    peer.stream.write_all(&speech.ready())?;
                }
            } else if line.starts_with(b"{\"type\":\"bye\"") || line.starts_with(b"{\"type\":\"refused\"") {
                return Err(Error::other(String::from_utf8_lossy(line)));
            }
            each(peer, line, length)
        };
        poll.poll(events, Some(wait))?;
        for event in events.iter() {
            let peer = &mut peers[event.token().0];
            loop {
                let got = match peer.stream.read(buffer) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    got => server::unless_it_would_block(got)?,
                };
                done |= cut(peer, &buffer[..got], &mut take)?;
                if got < READ_MAX {
                    break;
                }
            }
        }
        Ok((!events.is_empty()).then_some(done))
    }
}

const STARTS: &[u8] = b"{\"type\":\"start\"";

/// Splits the received bytes of one connection into lines.
fn cut(peer: &mut Peer, mut rest: &[u8], each: &mut Each) -> io::Result<bool> {
    let mut done = false;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = &rest[..end];
        if peer.length == 0 {
            done |= each(peer, line, end)?;
        } else {
            keep(peer, line);
            let (head, length) = (std::mem::take(&mut peer.head), std::mem::take(&mut peer.length));
            done |= each(peer, &head, length)?;
        }
        rest = &rest[end + 1..];
    }
    keep(peer, rest);
    Ok(done)
}

fn keep(peer: &mut Peer, bytes: &[u8]) {
    peer.head.extend_from_slice(&bytes[..bytes.len().min(HEAD_MAX - peer.head.len())]);
    peer.length += bytes.len();
}

/// Returns whether the line is the last one of a sync: the verdict after the map or, with Redis and the limit, the map.
fn end_of_map(peer: &mut Peer, line: &[u8], length: usize, members: usize) -> io::Result<bool> {
    if peer.lines > 0 {
        peer.lines -= 1;
        return Ok(peer.lines == 0);
    }
    if line.starts_with(b"%") {
        // A length and a text for each name and each value.
        peer.lines = 4 * read_count(&line[1..]) as usize;
    } else if line.starts_with(speech::MAP) {
        let key = b"\"map\":{";
        let start = memchr::memmem::find(line, key).map_or(0, |at| at + key.len());
        let pair = "\"\":,".len() + speech::member_name(0).len() + speech::VALUE_BYTES;
        if peer.mapped || length - start - "}}".len() != members * pair - ",".len() {
            return Err(Error::other(format!("connection {} has a wrong map", peer.index)));
        }
        peer.mapped = true;
    } else if line.starts_with(b"{\"type\":\"verdict\"") {
        return Ok(std::mem::take(&mut peer.mapped));
    }
    Ok(false)
}

/// The number at the beginning of a text, after spaces.
fn read_count(text: &[u8]) -> u64 {
    let digits = text.trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |count, digit| count * 10 + u64::from(digit - b'0'))
}
