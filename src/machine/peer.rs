//! The other end of a connection: the address to connect to, and what the system reports about a peer.
//!
//! A [`Peer`] must never hold a claim that the peer has not proven.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

/// Why a probe found no listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoAnswer {
    /// No program listens there: "connection refused".
    Refused,
    /// There was no answer in time.
    Silent,
    /// Any other reason, in words.
    Other(String),
}

/// A peer with a certificate.
#[derive(PartialEq, Eq, Debug)]
pub struct Proven {
    /// Its address on this connection.
    pub address: SocketAddr,
    /// The names and addresses in its certificate.
    pub names: Box<[Box<str>]>,
}

/// The other end of a connection, as the system reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    /// The peer of a TCP connection without TLS.
    Inet(SocketAddr),
    /// A peer that has proven its names with a certificate. It is behind a pointer, because a controller keeps many peers.
    Proven(Rc<Proven>),
    /// The peer of a Unix socket.
    Local {
        /// The id of its user.
        uid: u32,
        /// Its process id, if the system tells it.
        pid: Option<i32>,
    },
}

impl Peer {
    /// Returns a peer that has proven these names.
    pub fn proven(address: SocketAddr, names: impl Into<Box<[Box<str>]>>) -> Peer {
        Peer::Proven(Rc::new(Proven { address, names: names.into() }))
    }

    /// Returns its address; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::Inet(address) => Some(*address),
            Peer::Proven(proven) => Some(proven.address),
            Peer::Local { .. } => None,
        }
    }

    /// Returns the names that it has proven; `None` if it was not asked for a proof.
    pub fn names(&self) -> Option<&[Box<str>]> {
        match self {
            Peer::Proven(proven) => Some(&proven.names),
            Peer::Inet(_) | Peer::Local { .. } => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Inet(address) => address.fmt(f),
            Peer::Proven(proven) => proven.address.fmt(f),
            Peer::Local { uid, .. } => write!(f, "user {uid}"),
        }
    }
}

/// An address to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// `HOST:PORT`; the reactor looks the host name up without blocking, and tries each address it gets.
    Inet(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => f.write_str(address),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}
