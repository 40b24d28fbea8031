//! Sockets for datagrams to all nodes of a network.

use std::net::Ipv4Addr;

use arete::reactor::{DatagramOptions, Reactor};

use crate::cli::error::{Error, ListenError};

/// Listens for datagrams to all nodes on a port, which `option` names.
pub fn listen(
    reactor: &mut Reactor,
    option: &str,
    interface: Option<&String>,
    address: Ipv4Addr,
    port: u16,
) -> Result<(), Error> {
    let options = DatagramOptions { interface: interface.cloned(), address, port, reuse: true };
    reactor.bind_datagrams(options).map(drop).map_err(|error| Error::Listen {
        subject: format!("{option} {port}"),
        error: ListenError::Other(error),
        advice: "stop that program, or choose another port, the same on all nodes".to_owned(),
    })
}
