//! What a node is told when it starts.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::seal::Key;
use super::work;

/// The port for datagrams, of the original.
pub const UDP_PORT: u16 = 23_912;
/// The port for connections, of the original.
pub const TCP_PORT: u16 = 8_239;
/// The port where those listen who watch, of the original.
pub const STATE_PORT: u16 = 23_937;

/// How long what a node waits for takes. The defaults are those of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// An owner says so often where the token is.
    pub heartbeat: Duration,
    /// For so long a node is content with what it has heard of the token.
    pub waiter: Duration,
    /// So often a node asks.
    pub ask: Duration,
    /// For so long a node waits for an answer.
    pub answer: Duration,
    /// For so long others may object to a new token.
    pub generating: Duration,
    /// For so long an owner keeps the token when its step is done sooner.
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
    /// How long an owner may act after a majority has heard that it does. Shorter than the waiter time, for which they
    /// elect nobody else, because no two clocks run alike.
    pub fn lease(&self) -> Duration {
        self.waiter / 8 * 7
    }

    /// How long a node that could not be reached gets no token, the first time.
    pub fn again(&self) -> Duration {
        self.waiter * 5
    }

    /// How long a connection may take to be made.
    pub fn connect(&self) -> Duration {
        self.ask * 2
    }
}

/// What a node is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Unique in the ring: 1 to [`ID_MAX`](super::message::ID_MAX) bytes.
    pub id: String,
    pub address: Ipv4Addr,
    pub broadcast: Ipv4Addr,
    pub udp_port: u16,
    pub tcp_port: u16,
    /// `None`: nobody is told about states.
    pub state_port: Option<u16>,
    pub periods: Periods,
    /// Speak as the original does, and promise no more.
    pub compat: bool,
    /// How many nodes the ring has; a new token needs the grants of more than half.
    pub members: Option<u32>,
    pub key: Option<Key>,
    /// This start of the node: drawn at random.
    pub boot: u64,
    pub work: work::Config,
    /// The directory where what must not be forgotten is kept.
    pub state: Option<PathBuf>,
    /// What to add to a [`Time`](crate::machine::Time) to get microseconds since 1970 in UTC, for people.
    pub wall_offset: i64,
}
