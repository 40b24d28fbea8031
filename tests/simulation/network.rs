//! Connections: two streams of bytes. Each is cut anywhere, delayed, stalled by a partition, or lost after any prefix.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};

use arete::machine::{Address, ConnId, ListenerId, Peer};

use super::datagrams::{DatagramCounts, DatagramWeather};
use super::node::{Early, Life, Queued};
use super::{Event, World, trace_line};

/// The time for which a connect to a silent host is tried, in microseconds.
const CONNECT_TIMEOUT: u64 = 10_000_000;
/// The interval between two attempts in that time, in microseconds.
const SYN_AGAIN: u64 = 1_000_000;

/// The additional delay of a slow segment, as a factor.
const SPIKE: u64 = 20;

/// The time of bytes on their own host, in microseconds.
pub const LOCAL_LATENCY: std::ops::RangeInclusive<u64> = 20..=500;

pub type LinkId = u64;

/// The owner of one end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    Node(Life, ConnId),
    Process(u32),
    Stranger(usize),
}

/// A peer that a scenario plays.
#[derive(Default)]
pub struct Stranger {
    pub link: Option<LinkId>,
    pub heard: Vec<u8>,
    pub closed: Option<String>,
}

pub enum Segment {
    Bytes(Vec<u8>),
    End(String),
}

/// One end, and the bytes on their way to it.
pub struct Side {
    holder: Option<Holder>,
    host: usize,
    incoming: VecDeque<(u64, Segment)>,
    last_arrival: u64,
    /// Nothing that the other end sends from now on arrives.
    cut: bool,
    /// This end does not know of the cut until it sends.
    reset_on_send: bool,
}

pub struct Link {
    sides: [Side; 2],
}

/// How the network behaves.
#[derive(Clone, Debug)]
pub struct Weather {
    /// The latency one way, in microseconds.
    pub latency: (u64, u64),
    /// One segment in this number takes twenty times as long.
    pub spike_one_in: u32,
    /// Streams are cut into random pieces.
    pub cut: bool,
    /// One send in this number breaks its connection. 0: never.
    pub drop_one_in: u32,
    /// The send between hosts that breaks its connection, counted from the first.
    pub drop_at: Option<u64>,
}

impl Weather {
    /// The longest time of bytes one way without the delay between their hosts, in microseconds.
    pub fn slowest(&self) -> u64 {
        self.latency.1 * if self.spike_one_in > 0 { SPIKE } else { 1 }
    }

    /// Returns whether no segment is much slower than the others.
    pub fn is_even(&self) -> bool {
        self.spike_one_in == 0 && self.latency.1 < 1_000
    }
}

impl Default for Weather {
    fn default() -> Weather {
        Weather { latency: (50, 500), spike_one_in: 100, cut: true, drop_one_in: 0, drop_at: None }
    }
}

#[derive(Default)]
pub struct Network {
    pub weather: Weather,
    pub datagrams: DatagramWeather,
    pub datagram_counts: DatagramCounts,
    links: BTreeMap<LinkId, Link>,
    next_link: LinkId,
    partitions: BTreeSet<(usize, usize)>,
    /// The delay from one host to another in addition to the weather, in microseconds. The way back may differ.
    pub delays: BTreeMap<(usize, usize), u64>,
    pub strangers: Vec<Stranger>,
    next_port: u16,
    /// The number of broken connections.
    pub drops: u64,
    /// The number of sends between hosts.
    pub sends: u64,
}

impl Network {
    pub fn partitioned(&self, a: usize, b: usize) -> bool {
        self.partitions.contains(&(a.min(b), a.max(b)))
    }

    /// Sets the delay from one host to another in addition to the weather, in microseconds.
    pub fn delay(&self, from: usize, to: usize) -> u64 {
        self.delays.get(&(from, to)).copied().unwrap_or(0)
    }

    pub fn partitions(&self) -> Vec<(usize, usize)> {
        self.partitions.iter().copied().collect()
    }

    /// The connections between different hosts.
    pub fn remote_links(&self) -> Vec<LinkId> {
        self.links.iter().filter(|(_, link)| link.is_remote()).map(|(id, _)| *id).collect()
    }
}

impl Link {
    fn is_remote(&self) -> bool {
        self.sides[0].host != self.sides[1].host
    }
}

impl Side {
    fn new(holder: Holder, host: usize) -> Side {
        Side {
            holder: Some(holder),
            host,
            incoming: VecDeque::new(),
            last_arrival: 0,
            cut: false,
            reset_on_send: false,
        }
    }
}

pub fn address_of(host: usize, port: u16) -> SocketAddr {
    (Ipv4Addr::new(10, 0, (host / 250) as u8, (host % 250) as u8 + 1), port).into()
}

/// The address of a port of a host.
pub fn at_host(host: usize, port: u16) -> Address {
    Address::Inet(address_of(host, port).to_string())
}

fn inet(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Inet(text) => text.parse().ok(),
        Address::Unix(_) => None,
    }
}

/// Returns whether a listener at `address` on a host can be reached at `to`: by the same name, or by the host's
/// address if it listens at all of them.
fn listens(host: usize, address: &Address, to: &Address) -> bool {
    address == to
        || inet(address).is_some_and(|own| own.ip().is_unspecified() && inet(to) == Some(address_of(host, own.port())))
}

impl World {
    /// The time of the next bytes from one host to another.
    fn latency(&mut self, from: usize, to: usize) -> u64 {
        let (least, most) = self.network.weather.latency;
        let plain = self.rng.u64(least..=most);
        let spike = self.network.weather.spike_one_in;
        self.network.delay(from, to) + if spike > 0 && self.rng.u32(0..spike) == 0 { plain * SPIKE } else { plain }
    }

    fn stalled(&self, link: &Link) -> bool {
        self.network.partitioned(link.sides[0].host, link.sides[1].host)
    }

    /// The life of the node at the other end of a connection, while both ends are open.
    pub fn peer_of(&self, life: Life, conn: ConnId) -> Option<Life> {
        let (link, side) = (*self.nodes[life.node].conns.get(&conn)?)?;
        match self.network.links.get(&link)?.sides[1 - side].holder? {
            Holder::Node(peer, _) => Some(peer),
            Holder::Process(_) | Holder::Stranger(_) => None,
        }
    }

    /// A node asks for a connection.
    pub fn connect_node(&mut self, life: Life, conn: ConnId, to: Address) {
        let host = self.nodes[life.node].host;
        let at = self.now + self.latency(host, self.host_of(&to).unwrap_or(host));
        let until = self.now + CONNECT_TIMEOUT;
        self.schedule(at, Event::Attempt { life, conn, to, until });
    }

    pub fn attempt(&mut self, life: Life, conn: ConnId, to: Address, until: u64) {
        if !self.is_alive(life) || !self.nodes[life.node].conns.contains_key(&conn) {
            return;
        }
        if self.nodes[life.node].early.get(&conn).and_then(|early| early.closed).is_some_and(|limit| limit < self.now) {
            return self.fail_connect(life, conn, "");
        }
        let host = self.nodes[life.node].host;
        let Some((target, listener)) = self.listener(&to, host) else {
            return self.refuse(life, conn, until, &to);
        };
        let there = self.nodes[target].host;
        if self.network.partitioned(host, there) {
            return self.retry(life, conn, to, until);
        }
        let link = self.new_link(Holder::Node(life, conn), host, target, listener, matches!(to, Address::Unix(_)));
        self.nodes[life.node].conns.insert(conn, Some((link, 0)));
        let peer = Peer::Inet(address_of(there, inet(&to).map_or(7000, |to| to.port())));
        let local = Some(self.new_port(host));
        trace_line!(self, "{} connected to {to} (link {link})", self.nodes[life.node].name);
        let early = self.nodes[life.node].early.remove(&conn).unwrap_or_default();
        early.bytes.iter().for_each(|bytes| self.send(link, 0, bytes));
        if early.closed.is_some() {
            self.nodes[life.node].conns.remove(&conn);
            return self.close_side(link, 0);
        }
        self.deliver_input(life, Queued::Connected { conn, peer, local });
    }

    fn refuse(&mut self, life: Life, conn: ConnId, until: u64, to: &Address) {
        // A host that is cut off does not even refuse.
        let away = self.host_of(to).is_some_and(|there| self.network.partitioned(self.nodes[life.node].host, there));
        if away {
            return self.retry(life, conn, to.clone(), until);
        }
        self.fail_connect(life, conn, "Connection refused (os error 111)");
    }

    /// A connection cannot be made. A machine that has closed it gets no input.
    fn fail_connect(&mut self, life: Life, conn: ConnId, why: &str) {
        match self.nodes[life.node].early.remove(&conn) {
            Some(Early { closed: Some(_), .. }) => drop(self.nodes[life.node].conns.remove(&conn)),
            _ => self.deliver_input(life, Queued::Closed { conn, reason: why.to_owned() }),
        }
    }

    fn retry(&mut self, life: Life, conn: ConnId, to: Address, until: u64) {
        if self.now >= until {
            return self.fail_connect(life, conn, "connect timed out");
        }
        let at = (self.now + SYN_AGAIN).min(until);
        self.schedule(at, Event::Attempt { life, conn, to, until });
    }

    fn new_port(&mut self, host: usize) -> SocketAddr {
        self.network.next_port = self.network.next_port.wrapping_add(1).max(32768);
        address_of(host, self.network.next_port)
    }

    /// The live node that listens at the address.
    fn listener(&self, to: &Address, from_host: usize) -> Option<(usize, ListenerId)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.machine.is_some()).find_map(|(id, node)| {
            let listener = node.listeners.iter().position(|address| listens(node.host, address, to))?;
            let reachable = matches!(to, Address::Inet(_)) || node.host == from_host;
            reachable.then_some((id, ListenerId(listener)))
        })
    }

    fn host_of(&self, to: &Address) -> Option<usize> {
        let by_listener = self.nodes.iter().find(|node| node.listeners.contains(to)).map(|node| node.host);
        by_listener.or_else(|| {
            let ip = inet(to)?.ip();
            (0..self.hosts.len()).find(|host| address_of(*host, 0).ip() == ip)
        })
    }

    fn new_link(&mut self, from: Holder, host: usize, target: usize, listener: ListenerId, local: bool) -> LinkId {
        self.network.next_link += 1;
        let id = self.network.next_link;
        let (life, there) = (self.life_of(target), self.nodes[target].host);
        let conn = ConnId(self.nodes[target].outbox.next_serial());
        if let Holder::Node(caller, _) = from {
            self.callers.insert((life, conn), caller);
        }
        let sides = [Side::new(from, host), Side::new(Holder::Node(life, conn), there)];
        self.network.links.insert(id, Link { sides });
        self.nodes[target].conns.insert(conn, Some((id, 1)));
        let peer = if local { Peer::Local { uid: 1000, pid: None } } else { Peer::Inet(self.new_port(host)) };
        self.deliver_input(life, Queued::Accepted { conn, listener, peer });
        id
    }

    /// A process connects to a socket of its own host, which takes no time.
    pub fn connect_process(&mut self, pid: u32, host: usize, to: &Address) -> Option<LinkId> {
        let (target, listener) = self.listener(to, host)?;
        Some(self.new_link(Holder::Process(pid), host, target, listener, true))
    }

    /// Connects a stranger from `host`. Returns `None` if no node listens at the address.
    pub fn connect_stranger(&mut self, host: usize, to: &Address) -> Option<usize> {
        let (target, listener) = self.listener(to, host)?;
        let id = self.network.strangers.len();
        let link = self.new_link(Holder::Stranger(id), host, target, listener, false);
        self.network.strangers.push(Stranger { link: Some(link), ..Stranger::default() });
        Some(id)
    }

    pub fn stranger_says(&mut self, stranger: usize, bytes: &[u8]) {
        if let Some(link) = self.network.strangers[stranger].link {
            self.send(link, 0, bytes);
        }
    }

    /// A stranger closes its connection in good order.
    pub fn stranger_leaves(&mut self, stranger: usize) {
        if let Some(link) = self.network.strangers[stranger].link.take() {
            self.close_side(link, 0);
        }
    }

    pub fn send(&mut self, id: LinkId, side: usize, bytes: &[u8]) {
        let Some(link) = self.network.links.get(&id) else { return };
        let remote = link.is_remote();
        if link.sides[1 - side].cut {
            return self.hear_reset(id, side);
        }
        for piece in self.pieces(bytes, remote) {
            self.push_segment(id, 1 - side, Segment::Bytes(piece));
        }
        self.network.sends += u64::from(remote);
        if remote && self.network.weather.drop_at == Some(self.network.sends) {
            self.drop_link(id);
        }
        let one_in = self.network.weather.drop_one_in;
        if remote && one_in > 0 && self.rng.u32(0..one_in) == 0 {
            self.drop_link(id);
        }
    }

    fn pieces(&mut self, bytes: &[u8], remote: bool) -> Vec<Vec<u8>> {
        if !remote || !self.network.weather.cut || bytes.len() < 2 || self.rng.u8(0..3) > 0 {
            return vec![bytes.to_vec()];
        }
        let first = self.rng.usize(1..bytes.len());
        let second = self.rng.usize(first..=bytes.len());
        let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
        pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect()
    }

    /// The end at `side` learns that its connection is gone, because it sent something.
    fn hear_reset(&mut self, id: LinkId, side: usize) {
        let link = self.network.links.get_mut(&id).expect("the caller has looked");
        if std::mem::take(&mut link.sides[side].reset_on_send) {
            self.push_segment(id, side, Segment::End("Connection reset by peer (os error 104)".into()));
        }
    }

    fn push_segment(&mut self, id: LinkId, to: usize, segment: Segment) {
        let Some([from, there]) =
            self.network.links.get(&id).map(|link| [1 - to, to].map(|side| link.sides[side].host))
        else {
            return;
        };
        let latency = if from != there { self.latency(from, there) } else { self.rng.u64(LOCAL_LATENCY) };
        self.push_segment_later(id, to, segment, latency);
    }

    fn push_segment_later(&mut self, id: LinkId, to: usize, segment: Segment, delay: u64) {
        let now = self.now;
        let Some(link) = self.network.links.get_mut(&id) else { return };
        let side = &mut link.sides[to];
        let at = (now + delay).max(side.last_arrival);
        side.last_arrival = at;
        side.incoming.push_back((at, segment));
        self.schedule(at, Event::Arrive { link: id, side: to });
    }

    /// Delivers the bytes that are due at one end of a link, unless the link is stalled.
    pub fn arrive(&mut self, id: LinkId, side: usize) {
        loop {
            let Some(link) = self.network.links.get(&id) else { return };
            if self.stalled(link) {
                return;
            }
            let end = &mut self.network.links.get_mut(&id).expect("just seen").sides[side];
            if end.incoming.front().is_none_or(|(at, _)| *at > self.now) {
                return;
            }
            let (_, segment) = end.incoming.pop_front().expect("just seen");
            let holder = end.holder;
            match (segment, holder) {
                (Segment::Bytes(bytes), Some(holder)) => self.hand_bytes(holder, bytes),
                (Segment::Bytes(_), None) => {}
                (Segment::End(reason), holder) => {
                    self.network.links.get_mut(&id).expect("just seen").sides[side].holder = None;
                    if let Some(holder) = holder {
                        self.hand_end(holder, reason);
                    }
                    self.forget_if_over(id);
                }
            }
        }
    }

    fn hand_bytes(&mut self, holder: Holder, bytes: Vec<u8>) {
        match holder {
            Holder::Node(life, conn) => self.deliver_input(life, Queued::Received { conn, bytes }),
            Holder::Process(pid) => self.process_hears(pid, &bytes),
            Holder::Stranger(id) => self.network.strangers[id].heard.extend(bytes),
        }
    }

    fn hand_end(&mut self, holder: Holder, reason: String) {
        match holder {
            Holder::Node(life, conn) => self.deliver_input(life, Queued::Closed { conn, reason }),
            Holder::Process(pid) => self.process_hears_end(pid),
            Holder::Stranger(id) => {
                self.network.strangers[id].closed = Some(reason);
                self.network.strangers[id].link = None;
            }
        }
    }

    fn forget_if_over(&mut self, id: LinkId) {
        if self.network.links.get(&id).is_some_and(|link| link.sides.iter().all(|side| side.holder.is_none())) {
            self.network.links.remove(&id);
        }
    }

    /// One end closes its connection in order: everything that it has sent arrives.
    pub fn close_side(&mut self, id: LinkId, side: usize) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        link.sides[side].holder = None;
        link.sides[side].incoming.clear();
        if !link.sides[1 - side].cut {
            self.push_segment(id, 1 - side, Segment::End("closed by the peer".into()));
        }
        self.forget_if_over(id);
    }

    /// The process of one end has died: a prefix of its bytes arrives, then a reset.
    pub fn abandon_side(&mut self, id: LinkId, side: usize) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        link.sides[side].holder = None;
        link.sides[side].incoming.clear();
        if !link.sides[1 - side].cut {
            self.lose_tail(id, 1 - side);
            self.push_segment(id, 1 - side, Segment::End("Connection reset by peer (os error 104)".into()));
        }
        self.forget_if_over(id);
    }

    /// Only a prefix of the bytes on their way to `side` arrives.
    fn lose_tail(&mut self, id: LinkId, side: usize) {
        let link = self.network.links.get_mut(&id).expect("the caller has looked");
        let incoming = &mut link.sides[side].incoming;
        let keep = self.rng.usize(0..=incoming.len());
        incoming.truncate(keep);
        if let Some((_, Segment::Bytes(bytes))) = incoming.back_mut() {
            let kept = self.rng.usize(1..=bytes.len().max(1));
            bytes.truncate(kept);
        }
        link.sides[side].cut = true;
    }

    /// Breaks the connection. Each end learns of it at its own time, or only when it sends, or never.
    pub fn drop_link(&mut self, id: LinkId) {
        if !self.network.links.contains_key(&id) {
            return;
        }
        self.network.drops += 1;
        trace_line!(self, "link {id} breaks");
        for side in 0..2 {
            if self.network.links[&id].sides[side].cut {
                continue;
            }
            self.lose_tail(id, side);
            match self.rng.u8(0..8) {
                0 => {}
                1 => self.network.links.get_mut(&id).expect("just seen").sides[side].reset_on_send = true,
                _ => {
                    let delay = if self.rng.bool() { self.rng.u64(0..2_000) } else { self.rng.u64(0..3_000_000) };
                    let end = Segment::End("Connection reset by peer (os error 104)".into());
                    self.push_segment_later(id, side, end, delay);
                }
            }
        }
    }

    /// Nothing passes between two hosts until [`World::heal`].
    pub fn partition(&mut self, a: usize, b: usize) {
        trace_line!(self, "hosts {a} and {b} are cut off from each other");
        self.network.partitions.insert((a.min(b), a.max(b)));
    }

    pub fn heal(&mut self, a: usize, b: usize) {
        if !self.network.partitions.remove(&(a.min(b), a.max(b))) {
            return;
        }
        trace_line!(self, "hosts {a} and {b} see each other again");
        let between: Vec<LinkId> =
            self.network.links.iter().filter(|(_, link)| link.joins(a, b)).map(|(id, _)| *id).collect();
        for id in between {
            if self.rng.u8(0..4) == 0 {
                self.drop_link(id);
            }
            for side in 0..2 {
                let at = self.now + self.latency(a, b);
                self.schedule(at, Event::Arrive { link: id, side });
            }
        }
    }
}

impl Link {
    fn joins(&self, a: usize, b: usize) -> bool {
        let hosts = (self.sides[0].host, self.sides[1].host);
        hosts == (a, b) || hosts == (b, a)
    }
}
