//! `--serve`: this process serves the room in which its own member meets the others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use arete::reactor::Reactor;

use crate::cli::address::with_port;
use crate::cli::error::{Error, ListenError};
use crate::cli::listen::listen_on;

/// Listens at the address of `--serve`, and returns the address with its port.
pub fn listen_to_serve(reactor: &mut Reactor, address: &str) -> Result<SocketAddr, Error> {
    listen_on(reactor, address).map_err(|error| {
        let advice = match &error {
            ListenError::Refused(_, error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                format!("if another member serves the room there, use --controller {}", with_port(address))
            }
            _ => "choose an address of this machine".to_owned(),
        };
        Error::Listen { subject: format!("--serve {address}"), error, advice }
    })
}

/// Returns the address at which this process reaches a listener of its own.
pub fn reached_at(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
