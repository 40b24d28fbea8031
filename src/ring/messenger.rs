//! The messenger: one message a connection, both ways.
//!
//! Who has something to say to one node connects, says it and closes. A connection that cannot be made in time is given
//! up, and said so: then no byte has gone out. What a stranger can make us hold is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::limits::MESSAGE_MAX;
use crate::machine::{Address, Bytes, ConnId, Outbox, Time, Timers};

/// How many connections may be open at once on which others say something.
const INCOMING_MAX: usize = 256;

/// How many bytes they may have said together.
const INCOMING_BYTES_MAX: usize = 2 * MESSAGE_MAX;

/// How long one may take to say its message.
const INCOMING_WITHIN: Duration = Duration::from_secs(10);

/// How many messages wait for one node; of more the oldest are left out.
const WAITING_MAX: usize = 16;

/// A message on its way out.
#[derive(Debug)]
struct Letter {
    bytes: Bytes,
    /// The token goes with it.
    hands_over: bool,
}

/// What we have to say to one node: one message after another.
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
    /// A connection that we make has had its time.
    Out(ConnId),
    /// Who has connected has had its time.
    In(ConnId),
}

/// A message went out on a connection that stands, or could not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// A message to this node is on its way; `true`: it is the hand-over, which from now on may have arrived.
    Out(String, bool),
    /// No byte went out to this node; `true`: it was a hand-over.
    Unreachable(String, bool),
}

/// All connections of a node.
#[derive(Debug)]
pub struct Messenger {
    port: u16,
    within: Duration,
    /// What is said on a connection that is given up: an original would become deaf of one on which nothing is said.
    instead: Option<Bytes>,
    outgoing: BTreeMap<String, Outgoing>,
    to: BTreeMap<ConnId, String>,
    incoming: BTreeMap<ConnId, Incoming>,
    held: usize,
    timers: Timers<Timer>,
}

impl Messenger {
    /// Others listen at this port; a connection has so long to be made. `instead`: what may always be said.
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

    /// Says something to one node.
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
            // Nothing that anybody made us say keeps the token waiting.
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

    /// Takes back the hand-overs that have not gone out.
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

    /// A connection that we asked for stands: the message goes out, and nothing more.
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

    /// A connection could not be made: all that waits for this node is dropped, and said so.
    fn failed(&mut self, conn: ConnId) -> Option<Sent> {
        let id = self.to.remove(&conn)?;
        self.timers.cancel(&Timer::Out(conn));
        let outgoing = self.outgoing.remove(&id)?;
        let hands_over = outgoing.now.iter().chain(&outgoing.waiting).any(|letter| letter.hands_over);
        Some(Sent::Unreachable(id, hands_over))
    }

    /// Somebody connects. The one that has taken longest makes room if need be.
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
            self.drop_incoming(most, "too much is said at once", out);
        }
    }

    /// A connection is over: a whole message and who has said it, or what became of one of ours.
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

    /// Does what is due; says which nodes were not reached in time.
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

/// Gives up a connection that may stand at this moment.
fn give_up(conn: ConnId, instead: Option<&Bytes>, why: &str, out: &mut Outbox) {
    if let Some(bytes) = instead {
        out.send(conn, bytes.clone());
    }
    out.close(conn, why);
}
