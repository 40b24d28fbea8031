//! What a permanent controller has besides its runs: the queue, the submissions, the slaves and the archive.

pub mod archive;
#[allow(clippy::module_inception)]
pub mod host;
pub mod matching;
pub mod operators;
pub mod scheduler;
pub mod slave;
pub mod submissions;
pub mod unwritten;
