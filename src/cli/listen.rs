//! Listening for TCP connections at the address of an option.

use std::net::SocketAddr;

use arete::reactor::{self, Reactor};

use crate::cli::address::{PORT, with_port};
use crate::cli::error::{Error, ListenError};

/// Listens at the address of `--listen`, or on a free port of the loopback interface.
pub fn listen(reactor: &mut Reactor, address: Option<&str>) -> Result<SocketAddr, Error> {
    let Some(address) = address else {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        return reactor.listen_tcp(loopback).map(|(_, address)| address).map_err(|error| Error::Listen {
            subject: "slaves of this machine".to_owned(),
            error: ListenError::Refused(loopback, error),
            advice: "is the loopback interface up?".to_owned(),
        });
    };
    listen_on(reactor, address).map_err(|error| Error::Listen {
        subject: format!("--listen {address}"),
        error,
        advice: "choose another address or port, or stop the program that listens there".to_owned(),
    })
}

/// Listens on `HOST` or `HOST:PORT`.
pub fn listen_on(reactor: &mut Reactor, address: &str) -> Result<SocketAddr, ListenError> {
    let mut last = ListenError::NoAddress;
    for address in addresses(address)? {
        match reactor.listen_tcp(address) {
            Ok((_, address)) => return Ok(address),
            Err(error) => last = ListenError::Refused(address, error),
        }
    }
    Err(last)
}

/// Looks up an address to listen on. Fails if it is not one.
pub fn addresses(address: &str) -> Result<impl Iterator<Item = SocketAddr>, ListenError> {
    reactor::addresses_of(&with_port(address)).map_err(|error| {
        ListenError::NotAnAddress(format!("{error}; write HOST or HOST:PORT, for example 0.0.0.0:{PORT}"))
    })
}
