//! The services `arete controller` and `arete slave`, which run until a signal ends them.
//!
//! They have in common the configuration file, the service manager, `--check` and the reload. `state_dir` reads what an
//! earlier controller left in its state directory.

pub mod config;
pub mod controller;
pub mod labels;
pub mod manager;
pub mod options;
pub mod origin;
pub mod preflight;
pub mod probe;
pub mod slave;
pub mod socket;
pub mod started;
pub mod state_dir;
