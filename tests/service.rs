//! Controllers and slaves as services: their configuration files, what `--check` says, and what a service manager hears of
//! them.

#![forbid(unsafe_code)]

mod common;
#[path = "service/configuration.rs"]
mod configuration;
#[path = "service/manager.rs"]
mod manager;
