//! The names of what a machine asks a driver for.
//!
//! Each kind of thing has a type of its own, so that the compiler tells them apart. The [`Outbox`](super::Outbox) gives
//! the numbers out. No number is used twice within a process.

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
