//! Sockets for datagrams that are sent to all nodes of a network.

use std::net::Ipv4Addr;

use arete::machine::SocketId;
use arete::reactor::{DatagramOptions, Reactor};

use crate::cli::error::Error;

/// Opens a socket for datagrams to all nodes. `option` is the option that names the port.
pub fn hear(
    reactor: &mut Reactor,
    option: &str,
    interface: Option<&String>,
    address: Ipv4Addr,
    port: u16,
) -> Result<SocketId, Error> {
    let options = DatagramOptions { interface: interface.cloned(), address, port, reuse: true };
    reactor.bind_datagrams(options).map_err(|error| {
        let advice = "stop that program, or say another port, the same on all nodes";
        Error::failed(format!("{option} {port}: {error}; {advice}"))
    })
}
