//! The token ring: nodes of one network that pass a token round, without a master and without a list of the nodes. Only
//! the token's owner does the work step, and hands the result on with the token. When the token is lost, the other nodes
//! notice it and make a new one.
//!
//! The protocol is that of the original program (token, messages, periods, states); `arete-ring(8)` describes it. In the
//! normal mode each message has one more key, which original programs ignore, so that there is one owner at a time:
//!
//! - Every token has an epoch, and every hand-over a hop: see [`token::Fence`]. A hand-over is acknowledged.
//! - With `--members`, an epoch needs the grants of a majority, and an owner acts only under a lease that a majority has
//!   confirmed.
//!
//! The rules are those of leases (Gray and Cheriton, 1989) and of Raft's elections (Ongaro and Ousterhout, 2014): a node
//! grants an epoch once, and never to a candidate with older data than its own.
//!
//! [`Ring`] is the machine of one node. [`watch`] and [`demo`] are the machines of programs that only listen.

mod candidate;
mod config;
pub mod demo;
mod grants;
mod limits;
mod log;
pub mod memory;
pub mod message;
mod messenger;
mod node;
mod nodes;
pub mod observer;
mod owner;
mod picture;
pub mod seal;
pub mod token;
pub mod watch;
pub mod work;

pub use config::{Config, Periods, STATE_PORT, TCP_PORT, UDP_PORT};
pub use limits::NODES_MAX;
pub use node::Ring;
