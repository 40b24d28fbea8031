//! Listening for TCP connections at an address that somebody named.

use std::net::SocketAddr;

use arete::reactor::{self, Reactor, plain};

use crate::cli::address::{PORT, with_port};
use crate::cli::error::Error;

/// Listens at the address of `--listen`, or on a free port of the loopback interface.
pub fn listen(reactor: &mut Reactor, asked: Option<&str>) -> Result<SocketAddr, Error> {
    let Some(asked) = asked else {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listened = reactor.listen_tcp(loopback);
        return listened.map(|(_, address)| address).map_err(|error| {
            Error::failed(format!(
                "cannot listen on {loopback}: {error}; is the loopback interface up?",
                error = plain(&error)
            ))
        });
    };
    let subject = format!("--listen {asked}");
    listen_on(reactor, asked).map_err(|error| match error {
        Listen::Usage(why) => Error::usage(format!("{subject}: {why}")),
        Listen::InUse(why) | Listen::Failed(why) => {
            Error::failed(format!("{subject}: {why}; choose another address or port, or stop what listens there"))
        }
    })
}

/// Why an address cannot be listened on.
pub enum Listen {
    /// It is not a valid address.
    Usage(String),
    InUse(String),
    Failed(String),
}

/// Listens on `HOST` or `HOST:PORT`.
pub fn listen_on(reactor: &mut Reactor, asked: &str) -> Result<SocketAddr, Listen> {
    let addresses = reactor::addresses_of(&with_port(asked)).map_err(|error| {
        let port = PORT;
        Listen::Usage(format!("{error}; write HOST or HOST:PORT, for example 0.0.0.0:{port}"))
    })?;
    let mut last = Listen::Failed("the name has no address".to_owned());
    for address in addresses {
        match reactor.listen_tcp(address) {
            Ok((_, address)) => return Ok(address),
            Err(error) => {
                let why = format!("{address}: {error}", error = plain(&error));
                let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
                last = if in_use { Listen::InUse(why) } else { Listen::Failed(why) };
            }
        }
    }
    Err(last)
}
