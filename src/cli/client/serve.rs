//! `--serve`: this process serves the room in which its own member meets the others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use arete::controller::Controller;
use arete::member::Member;
use arete::reactor::Reactor;
use arete::serve::Serve;

use crate::cli::address::with_port;
use crate::cli::error::Error;
use crate::cli::listen::{Listen, listen_on};

/// Listens at the address of `--serve`, and returns the address with its port.
pub fn listen_to_serve(reactor: &mut Reactor, address: &str) -> Result<SocketAddr, Error> {
    listen_on(reactor, address).map_err(|error| match error {
        Listen::Usage(why) => Error::usage(format!("--serve {address}: {why}")),
        Listen::InUse(_) => Error::failed(format!(
            "--serve {}: the address is in use already: if another member serves there, meet it with --controller {address}",
            with_port(address)
        )),
        Listen::Failed(why) => {
            let why = why.strip_prefix(&format!("{}: ", with_port(address))).unwrap_or(&why);
            Error::failed(format!("--serve {address}: {why}; choose an address of this machine"))
        }
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

/// Joins a controller of one room with the member of this process.
pub fn serve(member: Member) -> Serve<Controller> {
    Serve::new(Controller::bare(None), member)
}
