//! The connections of a node, each with one message in one direction.
//!
//! To send a message to one node, the messenger connects, sends it and closes. It must report a connection that it cannot make
//! in time, and must not have sent a byte of the message then. Everything that a stranger can make a node hold is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::limits::MESSAGE_MAX;
use crate::machine::{Address, Bytes, ConnId, Outbox, Time, Timers};

/// The most open connections of other nodes.
const INCOMING_MAX: usize = 256;

/// The most bytes that these connections have sent together.
const INCOMING_BYTES_MAX: usize = 2 * MESSAGE_MAX;

/// The time within which a connection must bring its message.
const INCOMING_WITHIN: Duration = Duration::from_secs(10);

/// The most messages that wait for one node. Beyond that, the oldest are dropped.
const WAITING_MAX: usize = 16;

/// A message that is being sent.
#[derive(Debug)]
struct Letter {
    bytes: Bytes,
    /// It hands the token over.
    hands_over: bool,
}

/// The messages to one node, which are sent one after another.
#[derive(Debug, Default)]
struct Outgoing {
    conn: Option<ConnId>,
    now: Option<Letter>,
    waiting: VecDeque<Letter>,
}

#[derive(Debug)]
struct Incoming {
    from: Ipv4Addr,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A connection that we make takes too long.
    Out(ConnId),
    /// A connection of another node takes too long.
    In(ConnId),
}

/// The outcome of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// A message to this node was sent; `true`: it is the hand-over, which may have arrived from now on.
    Out(String, bool),
    /// No byte was sent to this node; `true`: a hand-over was among the messages.
    Unreachable(String, bool),
}

/// All connections of a node.
#[derive(Debug)]
pub struct Messenger {
    port: u16,
    within: Duration,
    /// The message for a connection that is given up. An original program would stop listening after an empty connection.
    instead: Option<Bytes>,
    outgoing: BTreeMap<String, Outgoing>,
    to: BTreeMap<ConnId, String>,
    incoming: BTreeMap<ConnId, Incoming>,
    held: usize,
    timers: Timers<Timer>,
}

impl Messenger {
    /// Returns a messenger that connects to `port` and gives a connection up after `within`. `instead` is the message for a
    /// connection that is given up.
    pub fn new(port: u16, within: Duration, instead: Option<Bytes>) -> Messenger {
        Messenger {
            port,
            within,
            instead,
            outgoing: BTreeMap::new(),
            to: BTreeMap::new(),
            incoming: BTreeMap::new(),
            held: 0,
            timers: Timers::default(),
        }
    }

    /// Sends a message to one node.
    pub fn send(
        &mut self,
        now: Time,
        (id, address): (&str, Ipv4Addr),
        bytes: Bytes,
        hands_over: bool,
        out: &mut Outbox,
    ) {
        let outgoing = self.outgoing.entry(id.to_owned()).or_default();
        if hands_over {
            // The token must not wait for messages that other nodes have caused.
            outgoing.waiting.push_front(Letter { bytes, hands_over });
        } else {
            outgoing.waiting.push_back(Letter { bytes, hands_over });
        }
        if outgoing.waiting.len() > WAITING_MAX
            && let Some(oldest) = outgoing.waiting.iter().position(|letter| !letter.hands_over)
        {
            outgoing.waiting.remove(oldest);
        }
        if outgoing.conn.is_none() {
            self.connect(now, id, address, out);
        }
    }

    fn connect(&mut self, now: Time, id: &str, address: Ipv4Addr, out: &mut Outbox) {
        let Some(outgoing) = self.outgoing.get_mut(id) else { return };
        outgoing.now = outgoing.waiting.pop_front();
        if outgoing.now.is_none() {
            self.outgoing.remove(id);
            return;
        }
        let conn = out.connect(Address::Inet(format!("{address}:{}", self.port)));
        outgoing.conn = Some(conn);
        self.to.insert(conn, id.to_owned());
        self.timers.set(Timer::Out(conn), now + self.within);
    }

    /// Takes back the hand-overs that were not sent yet.
    pub fn take_back(&mut self, out: &mut Outbox) {
        for outgoing in self.outgoing.values_mut() {
            outgoing.waiting.retain(|letter| !letter.hands_over);
            if outgoing.now.as_ref().is_some_and(|letter| letter.hands_over) {
                outgoing.now = None;
                if let Some(conn) = outgoing.conn.take() {
                    give_up(conn, self.instead.as_ref(), "the hand-over was taken back", out);
                    self.to.remove(&conn);
                    self.timers.cancel(&Timer::Out(conn));
                }
            }
        }
        self.outgoing.retain(|_, outgoing| outgoing.conn.is_some());
    }

    /// Handles that a connection to a node is established: sends the message, and closes. Returns the outcome of the message.
    pub fn connected(
        &mut self,
        now: Time,
        conn: ConnId,
        address: impl Fn(&str) -> Option<Ipv4Addr>,
        out: &mut Outbox,
    ) -> Option<Sent> {
        let id = self.to.remove(&conn)?;
        self.timers.cancel(&Timer::Out(conn));
        let outgoing = self.outgoing.get_mut(&id)?;
        outgoing.conn = None;
        let letter = outgoing.now.take();
        if let Some(letter) = &letter {
            out.send(conn, letter.bytes.clone());
        }
        out.close(conn, "said");
        self.go_on(now, &id, address, out);
        letter.map(|letter| Sent::Out(id, letter.hands_over))
    }

    fn go_on(&mut self, now: Time, id: &str, address: impl Fn(&str) -> Option<Ipv4Addr>, out: &mut Outbox) {
        match address(id) {
            Some(address) => self.connect(now, id, address, out),
            None => drop(self.outgoing.remove(id)),
        }
    }

    /// Handles that a connection could not be made: drops all messages to this node. Returns the outcome.
    fn failed(&mut self, conn: ConnId) -> Option<Sent> {
        let id = self.to.remove(&conn)?;
        self.timers.cancel(&Timer::Out(conn));
        let outgoing = self.outgoing.remove(&id)?;
        let hands_over = outgoing.now.iter().chain(&outgoing.waiting).any(|letter| letter.hands_over);
        Some(Sent::Unreachable(id, hands_over))
    }

    /// Handles that another node connects. If there are too many connections, the oldest is closed.
    pub fn accepted(&mut self, now: Time, conn: ConnId, from: Ipv4Addr, out: &mut Outbox) {
        if self.incoming.len() >= INCOMING_MAX
            && let Some(&oldest) = self.incoming.keys().next()
        {
            self.drop_incoming(oldest, "too many connections at once", out);
        }
        self.incoming.insert(conn, Incoming { from, bytes: Vec::new() });
        self.timers.set(Timer::In(conn), now + INCOMING_WITHIN);
    }

    fn drop_incoming(&mut self, conn: ConnId, why: &str, out: &mut Outbox) {
        if let Some(incoming) = self.incoming.remove(&conn) {
            self.held -= incoming.bytes.len();
            self.timers.cancel(&Timer::In(conn));
            out.close(conn, why);
        }
    }

    pub fn received(&mut self, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(incoming) = self.incoming.get_mut(&conn) else { return };
        incoming.bytes.extend_from_slice(bytes);
        self.held += bytes.len();
        if incoming.bytes.len() > MESSAGE_MAX {
            return self.drop_incoming(conn, "a message that is too long", out);
        }
        while self.held > INCOMING_BYTES_MAX {
            let most = self.incoming.iter().max_by_key(|(_, incoming)| incoming.bytes.len());
            let Some((&most, _)) = most else { return };
            self.drop_incoming(most, "too many bytes at once", out);
        }
    }

    /// Handles that a connection was closed. Returns the message that it brought, with the address of its author. Fails with
    /// the outcome if the connection was ours.
    pub fn closed(&mut self, conn: ConnId) -> Result<Option<(Ipv4Addr, Vec<u8>)>, Sent> {
        if let Some(sent) = self.failed(conn) {
            return Err(sent);
        }
        let Some(incoming) = self.incoming.remove(&conn) else { return Ok(None) };
        self.held -= incoming.bytes.len();
        self.timers.cancel(&Timer::In(conn));
        Ok((!incoming.bytes.is_empty()).then_some((incoming.from, incoming.bytes)))
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Closes the connections that take too long. Returns the outcomes of our messages.
    pub fn fire(&mut self, now: Time, out: &mut Outbox) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::In(conn) => self.drop_incoming(conn, "its time is over", out),
                Timer::Out(conn) => {
                    give_up(conn, self.instead.as_ref(), "no answer in time", out);
                    sent.extend(self.failed(conn));
                }
            }
        }
        sent
    }
}

/// Gives up a connection that may just have been established.
fn give_up(conn: ConnId, instead: Option<&Bytes>, why: &str, out: &mut Outbox) {
    if let Some(bytes) = instead {
        out.send(conn, bytes.clone());
    }
    out.close(conn, why);
}
