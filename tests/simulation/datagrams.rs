//! Datagrams: each for itself lost, doubled, late, or overtaken by a later one; never changed.
//!
//! A machine's socket has a port, the one at its index in the node's `sockets`. Weather is only between hosts: on one
//! host every datagram arrives, once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use arete::machine::{Bytes, SocketId};

use super::network::{LOCAL_LATENCY, address_of};
use super::node::{Life, Queued};
use super::{Event, World, trace_line};

/// How many datagrams wait for a node that does not read; later ones are lost.
const SOCKET_BUFFER: usize = 200;
/// The port that a node sends from is this plus its number: not the one that it hears on.
const SENDING_PORTS: u16 = 50_000;

/// What becomes of datagrams between hosts.
#[derive(Clone, Debug)]
pub struct DatagramWeather {
    /// One way, in microseconds. Each datagram has a latency of its own, so they overtake each other.
    pub latency: (u64, u64),
    /// One datagram in so many is later by up to `spike` microseconds. 0: none.
    pub spike_one_in: u32,
    pub spike: u64,
    /// One in so many does not arrive, at each of those that it is sent to. 0: none.
    pub lost_one_in: u32,
    /// One in so many arrives twice. 0: none.
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

/// What has become of datagrams, counted for each receiver.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatagramCounts {
    pub arrived: u64,
    /// By the weather or a partition.
    pub lost: u64,
    pub doubled: u64,
    /// By a node that did not read.
    pub overflowed: u64,
}

/// A machine's datagram on its way out: for those who check what is said.
#[derive(Clone)]
pub struct SentDatagram {
    pub at: u64,
    pub life: Life,
    pub socket: SocketId,
    pub to: SocketAddr,
    pub bytes: Bytes,
}

/// A datagram on its way to a node, whichever life of it is there to hear it.
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

    /// Somebody sends a datagram from a host, under an address that need not be that host's.
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
            if self.network.partitioned(host, there) || self.one_in(weather.lost_one_in) {
                self.network.datagram_counts.lost += 1;
                continue;
            }
            let doubled = self.one_in(weather.doubled_one_in);
            self.network.datagram_counts.doubled += u64::from(doubled);
            for _ in 0..=usize::from(doubled) {
                let spike = if self.one_in(weather.spike_one_in) { self.rng.u64(0..=weather.spike) } else { 0 };
                let at = self.now + self.rng.u64(weather.latency.0..=weather.latency.1) + spike;
                self.schedule(at, Event::Datagram(datagram(&bytes)));
            }
        }
    }

    fn one_in(&mut self, many: u32) -> bool {
        many > 0 && self.rng.u32(0..many) == 0
    }

    /// The nodes that a datagram to this address is for. What is sent to one host is for the last of those that have
    /// the port there, as it is with sockets.
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

    /// A datagram is there, unless the hosts have been cut off from each other meanwhile.
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
