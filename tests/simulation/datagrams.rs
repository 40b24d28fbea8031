//! Datagrams: each is lost, duplicated, delayed or overtaken on its own, and never changed.
//!
//! The port of a machine's socket is the one at its index in the node's `sockets`. Weather exists between hosts only:
//! on one host every datagram arrives once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use arete::machine::{Bytes, SocketId};

use super::network::{LOCAL_LATENCY, address_of};
use super::node::{Life, Queued};
use super::{Event, World, trace_line};

/// The number of datagrams that wait for a node that does not read. Later ones are lost.
const SOCKET_BUFFER: usize = 200;
/// A node sends from the port with this number plus its own. It is not the port at which it receives.
const SENDING_PORTS: u16 = 50_000;

/// The weather for datagrams between hosts.
#[derive(Clone, Debug)]
pub struct DatagramWeather {
    /// The latency one way, in microseconds. Each datagram has its own latency, so datagrams overtake each other.
    pub latency: (u64, u64),
    /// One datagram in this number is delayed by up to `spike` microseconds. 0: none.
    pub spike_one_in: u32,
    pub spike: u64,
    /// One in this number does not arrive, for each receiver alone. 0: none.
    pub lost_one_in: u32,
    /// One in this number arrives twice. 0: none.
    pub doubled_one_in: u32,
}

impl Default for DatagramWeather {
    fn default() -> DatagramWeather {
        DatagramWeather {
            latency: (50, 1_000),
            spike_one_in: 100,
            spike: 50_000,
            lost_one_in: 100,
            doubled_one_in: 200,
        }
    }
}

/// The fates of datagrams, counted for each receiver.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatagramCounts {
    pub arrived: u64,
    /// Lost by the weather or a partition.
    pub lost: u64,
    pub doubled: u64,
    /// Lost because the node did not read.
    pub overflowed: u64,
}

/// A datagram that a machine sends, for checks of the messages.
#[derive(Clone)]
pub struct SentDatagram {
    pub at: u64,
    pub life: Life,
    pub socket: SocketId,
    pub to: SocketAddr,
    pub bytes: Bytes,
}

/// A datagram on its way to a node. Whichever life of the node exists when it arrives receives it.
pub struct Datagram {
    pub from_host: usize,
    pub node: usize,
    pub port: u16,
    pub from: SocketAddr,
    pub bytes: Bytes,
}

impl World {
    /// A node sends a datagram.
    pub fn send_datagram(&mut self, life: Life, socket: SocketId, to: SocketAddr, bytes: Bytes) {
        let node = &self.nodes[life.node];
        assert!(socket.0 < node.sockets.len(), "{} has no {socket:?}", node.name);
        let (host, from) = (node.host, address_of(node.host, SENDING_PORTS + life.node as u16));
        self.sent_datagrams.push(SentDatagram { at: self.now, life, socket, to, bytes: bytes.clone() });
        self.cast(host, from, to, bytes);
    }

    /// Sends a datagram from a host, with an address that may be that of another host.
    pub fn cast(&mut self, host: usize, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        for node in self.hearers(to) {
            let datagram =
                |bytes: &Bytes| Datagram { from_host: host, node, port: to.port(), from, bytes: bytes.clone() };
            let there = self.nodes[node].host;
            if there == host {
                let at = self.now + self.rng.u64(LOCAL_LATENCY);
                self.schedule(at, Event::Datagram(datagram(&bytes)));
                continue;
            }
            let weather = self.network.datagrams.clone();
            let delay = self.network.delay(host, there);
            if self.network.partitioned(host, there) || self.one_in(weather.lost_one_in) {
                self.network.datagram_counts.lost += 1;
                continue;
            }
            let doubled = self.one_in(weather.doubled_one_in);
            self.network.datagram_counts.doubled += u64::from(doubled);
            for _ in 0..=usize::from(doubled) {
                let spike = if self.one_in(weather.spike_one_in) { self.rng.u64(0..=weather.spike) } else { 0 };
                let latency = delay + self.rng.u64(weather.latency.0..=weather.latency.1) + spike;
                self.schedule(self.now + latency, Event::Datagram(datagram(&bytes)));
            }
        }
    }

    fn one_in(&mut self, many: u32) -> bool {
        many > 0 && self.rng.u32(0..many) == 0
    }

    /// The nodes that receive a datagram for this address. On one host, the last node with the port receives it, as
    /// with sockets.
    fn hearers(&self, to: SocketAddr) -> Vec<usize> {
        let has_port = |node: &usize| self.nodes[*node].sockets.contains(&to.port());
        let mut all = (0..self.nodes.len()).filter(has_port);
        if to.ip() == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return all.collect();
        }
        let there = |node: &usize| {
            let node = &self.nodes[*node];
            node.machine.is_some() && address_of(node.host, 0).ip() == to.ip()
        };
        all.rfind(there).into_iter().collect()
    }

    /// A datagram arrives, unless the hosts have been cut off from each other meanwhile.
    pub fn datagram_arrives(&mut self, datagram: Datagram) {
        let Datagram { from_host, node: id, port, from, bytes } = datagram;
        let node = &self.nodes[id];
        let Some(socket) = node.sockets.iter().position(|own| *own == port) else { return };
        if node.machine.is_none() {
            return;
        }
        if self.network.partitioned(from_host, node.host) {
            self.network.datagram_counts.lost += 1;
            return;
        }
        if node.waiting_datagrams() >= SOCKET_BUFFER {
            trace_line!(self, "{} loses a datagram, it does not read", self.nodes[id].name);
            self.network.datagram_counts.overflowed += 1;
            return;
        }
        self.network.datagram_counts.arrived += 1;
        let life = self.life_of(id);
        self.deliver_input(life, Queued::Datagram { socket: SocketId(socket), from, bytes });
    }
}
