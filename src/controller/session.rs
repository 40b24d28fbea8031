//! Who is connected: the connections, the processes behind them, and how much they may hold.

pub mod authorization;
pub mod budget;
pub mod processes;
#[allow(clippy::module_inception)]
pub mod session;
pub mod sessions;
