//! The bounds of the ring's messages, and of the nodes in it.
//!
//! Everything that another node can make grow here is bounded by one of these.

/// The most other nodes that a node keeps.
pub const NODES_MAX: usize = 1_024;

/// The longest data of a token, in bytes.
pub const DATA_MAX: usize = 1024 * 1024;

/// The longest message, in bytes: data that consists of control characters, the nodes, and the rest.
pub const MESSAGE_MAX: usize = 6 * DATA_MAX + 1024 * 1024;

/// The longest datagram that is read, in bytes.
pub const DATAGRAM_MAX: usize = 16 * 1024;

/// The longest id of a node, in bytes.
pub const ID_MAX: usize = 64;
