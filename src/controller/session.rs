//! Connections, the processes that use them, and the memory that processes may hold.

pub mod authorization;
pub mod budget;
pub mod processes;
#[allow(clippy::module_inception)]
pub mod session;
pub mod sessions;
pub mod stated;
