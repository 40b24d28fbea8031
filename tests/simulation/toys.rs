//! Toy machines that test the world itself: one counts lines, one sends lines until each has been counted, one
//! broadcasts numbers, one sends a word on each of many connections, and one works.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use arete::machine::{Address, Command, ConnId, Input, Machine, Outbox, SocketId, Stream, Time};

/// Appends each new line to a file, and answers with the number of lines.
#[derive(Default)]
pub struct Counter {
    heard: Vec<(ConnId, Vec<u8>)>,
    count: u64,
}

impl Machine for Counter {
    fn handle(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Accepted { conn, .. } => self.heard.push((conn, Vec::new())),
            Input::Closed { conn, .. } => self.heard.retain(|(other, _)| *other != conn),
            Input::Received { conn, bytes } => {
                let (_, held) = self.heard.iter_mut().find(|(other, _)| *other == conn).expect("accepted before");
                held.extend_from_slice(bytes);
                while let Some(end) = held.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = held.drain(..=end).collect();
                    let number: u64 = String::from_utf8_lossy(&line).trim().parse().expect("whole lines arrive");
                    if number == self.count + 1 {
                        self.count += 1;
                        out.append("/log".into(), line);
                    }
                    out.send(conn, format!("{}\n", self.count).into_bytes().into());
                }
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}

/// Sends 1, 2, 3, ..., each until it is answered, over as many connections as that takes.
pub struct Teller {
    pub to: Address,
    pub goal: u64,
    said: u64,
    conn: Option<ConnId>,
    open: bool,
    heard: Vec<u8>,
    again: Option<Time>,
}

impl Teller {
    const PATIENCE: Duration = Duration::from_secs(1);

    pub fn new(to: Address, goal: u64) -> Teller {
        Teller { to, goal, said: 0, conn: None, open: false, heard: Vec::new(), again: None }
    }

    fn say(&mut self, now: Time, out: &mut Outbox) {
        if let Some(conn) = self.conn
            && self.open
        {
            out.send(conn, format!("{}\n", self.said + 1).into_bytes().into());
            self.again = Some(now + Self::PATIENCE);
        }
    }

    fn connect(&mut self, now: Time, out: &mut Outbox) {
        self.conn = Some(out.connect(self.to.clone()));
        self.open = false;
        self.heard.clear();
        self.again = Some(now + Self::PATIENCE);
    }
}

impl Machine for Teller {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => self.connect(now, out),
            Input::Connected { .. } => {
                self.open = true;
                self.say(now, out);
            }
            Input::Closed { .. } => {
                self.conn = None;
                self.again = Some(now + Duration::from_millis(100));
            }
            Input::Deadline if self.again.is_some_and(|at| at <= now) => {
                if let Some(conn) = self.conn {
                    out.close(conn, "no answer");
                }
                self.connect(now, out);
            }
            Input::Received { bytes, .. } => {
                self.heard.extend_from_slice(bytes);
                while let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = self.heard.drain(..=end).collect();
                    self.said = String::from_utf8_lossy(&line).trim().parse().expect("whole lines arrive");
                    if self.said == self.goal {
                        return out.exit(0);
                    }
                    self.say(now, out);
                }
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.again
    }
}

/// The received bytes of toys, for the checks.
pub type Heard<From> = Rc<RefCell<Vec<(From, Vec<u8>)>>>;

/// Broadcasts a number again and again, and records what it receives. It stores each number before it sends it.
pub struct Crier {
    pub to: SocketAddr,
    pub goal: u64,
    pub heard: Heard<SocketAddr>,
    said: u64,
    next: Option<Time>,
}

impl Crier {
    const EVERY: Duration = Duration::from_millis(10);
    pub const NO_DISK: u8 = 74;

    pub fn new(to: SocketAddr, goal: u64, heard: Heard<SocketAddr>) -> Crier {
        Crier { to, goal, heard, said: 0, next: None }
    }
}

impl Machine for Crier {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => self.next = Some(now + Self::EVERY).filter(|_| self.goal > 0),
            Input::Datagram { from, bytes, .. } => self.heard.borrow_mut().push((from, bytes.to_vec())),
            Input::Deadline if self.next.is_some_and(|at| at <= now) && self.said < self.goal => {
                self.said += 1;
                let number = self.said.to_string().into_bytes();
                out.datagram(SocketId(0), self.to, number.clone().into());
                out.persist("/said".into(), number);
                self.next = Some(now + Self::EVERY).filter(|_| self.said < self.goal);
            }
            Input::WriteFailed { .. } => {
                out.print(Stream::Err, "no disk");
                out.halt(Self::NO_DISK);
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.next
    }
}

/// Sends each of its words on a new connection, which it closes at once.
pub struct Messenger {
    pub to: Address,
    pub words: Vec<Vec<u8>>,
}

impl Machine for Messenger {
    fn handle(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => {
                for word in &self.words {
                    let conn = out.connect(self.to.clone());
                    out.send(conn, word.as_slice().into());
                    out.close(conn, "said");
                }
            }
            other => assert!(matches!(other, Input::Deadline), "nothing is heard of a closed connection: {other:?}"),
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}

/// Records the bytes of each connection when it has ended.
#[derive(Default)]
pub struct Reader {
    pub heard: Heard<ConnId>,
    open: Vec<(ConnId, Vec<u8>)>,
}

impl Reader {
    pub fn new(heard: Heard<ConnId>) -> Reader {
        Reader { heard, open: Vec::new() }
    }
}

impl Machine for Reader {
    fn handle(&mut self, _now: Time, input: Input<'_>, _out: &mut Outbox) {
        let place = |conn, open: &[(ConnId, Vec<u8>)]| open.iter().position(|(other, _)| *other == conn).expect("open");
        match input {
            Input::Accepted { conn, .. } => self.open.push((conn, Vec::new())),
            Input::Received { conn, bytes } => {
                let at = place(conn, &self.open);
                self.open[at].1.extend_from_slice(bytes);
            }
            Input::Closed { conn, .. } => {
                let at = place(conn, &self.open);
                self.heard.borrow_mut().push(self.open.remove(at));
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}

/// Runs a command with a token, and prints the output.
pub struct Worker(pub &'static str);

impl Machine for Worker {
    fn handle(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => {
                out.spawn(Command {
                    argv: ["/bin/sh", "-c", self.0].map(str::to_owned).to_vec(),
                    env: vec![("ARETE_TOKEN_EPOCH".to_owned(), "3".to_owned())],
                    stdin: Some(b"ab".to_vec()),
                    stdout: Some("/work".into()),
                    dies_with_us: true,
                    ..Command::default()
                });
            }
            Input::Exited { .. } => drop(out.read("/work".into(), 0, 100)),
            Input::Read { result, .. } => {
                out.print(Stream::Out, result.expect("it is there"));
                out.exit(0);
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}
