//! The configuration of a node.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::seal::Key;
use super::work;

/// The port for datagrams, as in the original program.
pub const UDP_PORT: u16 = 23_912;
/// The port for connections, as in the original program.
pub const TCP_PORT: u16 = 8_239;
/// The port at which watchers listen, as in the original program.
pub const STATE_PORT: u16 = 23_937;

/// The periods of a node. The defaults are those of the original program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// How often an owner announces where the token is.
    pub heartbeat: Duration,
    /// The time after which a node without news of the token looks for it.
    pub waiter: Duration,
    /// How often a node asks for the token.
    pub ask: Duration,
    /// The time that a node waits for an answer.
    pub answer: Duration,
    /// The time within which other nodes can object to a new token.
    pub generating: Duration,
    /// The time that an owner keeps the token at least.
    pub hold: Duration,
}

impl Default for Periods {
    fn default() -> Periods {
        let millis = Duration::from_millis;
        Periods {
            heartbeat: millis(500),
            waiter: millis(2_000),
            ask: millis(500),
            answer: millis(2_000),
            generating: millis(2_000),
            hold: millis(2_000),
        }
    }
}

impl Periods {
    /// Returns the time for which an owner may act after a majority has confirmed it. It is shorter than the waiter
    /// time, in which no other owner is elected, because clocks do not run at the same speed.
    pub fn lease(&self) -> Duration {
        self.waiter / 8 * 7
    }

    /// Returns the time for which a node that could not be reached gets no token, the first time.
    pub fn again(&self) -> Duration {
        self.waiter * 5
    }

    /// Returns the time within which a connection must be made.
    pub fn connect(&self) -> Duration {
        self.ask * 2
    }
}

/// The configuration of a node.
#[derive(Debug, Clone)]
pub struct Config {
    /// The id of the node, unique in the ring: 1 to [`ID_MAX`](super::message::ID_MAX) bytes.
    pub id: String,
    /// The address of the node, from which it sends.
    pub address: Ipv4Addr,
    /// The broadcast address of its network.
    pub broadcast: Ipv4Addr,
    /// The port for datagrams.
    pub udp_port: u16,
    /// The port for connections.
    pub tcp_port: u16,
    /// The port for watchers; `None`: states are not shown.
    pub state_port: Option<u16>,
    /// The periods of the protocol.
    pub periods: Periods,
    /// Speak as the original program does, with its guarantees only.
    pub compat: bool,
    /// The number of nodes in the ring. A new token needs the grants of more than half.
    pub members: Option<u32>,
    /// The secret of the ring. `None`: messages are not sealed.
    pub key: Option<Key>,
    /// A random number for this start of the node.
    pub boot: u64,
    /// The work that the owner of the token does.
    pub work: work::Config,
    /// The directory for what the node must remember after a restart.
    pub state: Option<PathBuf>,
    /// The offset from a [`Time`](crate::machine::Time) to the microseconds since 1970 in UTC, for the log.
    pub wall_offset: i64,
}
