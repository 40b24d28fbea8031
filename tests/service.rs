//! Controllers and slaves as services: their configuration files, the output of `--check`, and their reports to a
//! service manager.

#![forbid(unsafe_code)]

mod common;
#[path = "service/configuration.rs"]
mod configuration;
#[path = "service/manager.rs"]
mod manager;
