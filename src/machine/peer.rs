//! The other end of a connection: where to connect to, and what the system says about a peer.
//!
//! Nothing here is what a peer says of itself.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

/// Why a probe found no listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoAnswer {
    Refused,
    Silent,
    Other(String),
}

/// The other end of a connection, as the system reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    Inet(SocketAddr),
    /// A peer that has proven with a certificate that these are its names and addresses.
    Proven {
        address: SocketAddr,
        names: Rc<[Box<str>]>,
    },
    /// A Unix socket's peer, by its credentials.
    Local {
        uid: u32,
        pid: Option<i32>,
    },
}

impl Peer {
    /// Returns its address, unless it is connected by a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::Inet(address) | Peer::Proven { address, .. } => Some(*address),
            Peer::Local { .. } => None,
        }
    }

    /// Returns the names that it has proven; `None`: it was not asked for a proof.
    pub fn names(&self) -> Option<&[Box<str>]> {
        match self {
            Peer::Proven { names, .. } => Some(names),
            Peer::Inet(_) | Peer::Local { .. } => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Inet(address) | Peer::Proven { address, .. } => address.fmt(f),
            Peer::Local { uid, .. } => write!(f, "user {uid}"),
        }
    }
}

/// Where to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// `HOST:PORT`; the reactor looks the host name up without blocking, and tries each address it gets.
    Inet(String),
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
