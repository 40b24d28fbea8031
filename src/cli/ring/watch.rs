//! `arete ring watch`: listens, and runs a watcher.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use arete::reactor::terminal_size;
use arete::ring::watch::{Config, Watch};
use arete::ring::{STATE_PORT, UDP_PORT};
use clap::Args;

use crate::cli::clock::wall_offset;
use crate::cli::drive;
use crate::cli::error::Error;
use crate::cli::ring::{datagrams, files, interface_address};
use crate::cli::values::port;

#[derive(Args)]
pub struct WatchOptions {
    /// Listen on this interface only [default: all]
    #[arg(long, value_name = "IF")]
    interface: Option<String>,
    /// The port for messages to all nodes
    #[arg(long, value_name = "PORT", default_value_t = UDP_PORT, value_parser = port)]
    udp_port: u16,
    /// The port for messages to watchers
    #[arg(long, value_name = "PORT", default_value_t = STATE_PORT, value_parser = port)]
    state_port: u16,
    /// A file with the secret of the ring; messages without a valid seal are not shown
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

pub fn run(options: WatchOptions) -> Result<u8, Error> {
    let key = options.key_file.as_deref().map(files::key).transpose()?;
    let interface =
        options.interface.as_deref().map(interface_address::interface).transpose()?.map(|interface| interface.name);
    let mut reactor = drive::reactor(None)?;
    for (option, port) in [("--udp-port", options.udp_port), ("--state-port", options.state_port)] {
        datagrams::listen(&mut reactor, option, interface.as_ref(), Ipv4Addr::UNSPECIFIED, port)?;
    }
    let ports = format!("UDP ports {} and {}", options.udp_port, options.state_port);
    let mut watch = Watch::new(Config {
        key,
        terminal: terminal_size(),
        listening: interface.map_or_else(|| ports.clone(), |name| format!("{name}, {ports}")),
        wall_offset: wall_offset(),
    });
    Ok(reactor.run(&mut watch))
}
