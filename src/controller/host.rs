//! A controller that stays: the runs that operators hand in, their queue, and the slaves that serve them.

pub mod archive;
#[allow(clippy::module_inception)]
pub mod host;
pub mod matching;
pub mod operators;
pub mod scheduler;
pub mod slave;
pub mod submissions;
pub mod unwritten;
