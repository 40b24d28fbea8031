//! The commands that act as a member of a room, or inside a command that a slave runs: `poke`, `ready`, `record`, `notify`,
//! `wait`, `trigger`, `barrier` and `sync`.
//!
//! Each connects to a controller if one is named, otherwise to the slave that runs it, and exits with the answer.

pub mod deadline;
pub mod execute;
pub mod meet;
pub mod record;
pub mod serve;
pub mod target;
pub mod trigger;
pub mod value;
