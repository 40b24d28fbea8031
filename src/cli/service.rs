//! The services: `arete controller` and `arete slave`, which run until they are told to stop.
//!
//! They share a configuration file, a service manager and a check of both before the start. What a controller keeps in
//! its state directory is found here too.

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
