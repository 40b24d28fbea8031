//! The names of what a machine asks a driver for.
//!
//! Each kind of thing has a type of its own, so that the compiler tells them apart. The [`Outbox`](super::Outbox) gives
//! the numbers out. No number is used twice within a process.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Names a connection. Never reused within a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub u64);

/// Names a listening socket, in the order in which they were given to the reactor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListenerId(pub usize);

/// Names a datagram socket, in the order in which they were given to the reactor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SocketId(pub usize);

/// Names a child process that a machine asked for. Never reused within a process, unlike its pid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChildId(pub u64);

/// Names a read of a file or of a directory, so that the answer finds its question.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadId(pub u64);

/// Names a question whether everything is written, so that the answer finds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConfirmId(pub u64);

/// Names an attempt to connect that only finds out whether something listens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProbeId(pub u64);

/// Names a socket to which a command can report its state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EarId(pub u64);

/// A table by number. Its hash is fixed, so that a simulation replays, and cheap: use it only for numbers that no peer
/// chooses.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// The hash of an [`IdMap`].
#[derive(Clone, Copy, Default, Debug)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
