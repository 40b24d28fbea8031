//! Reactors for the subcommands that end when they are told to.

use arete::machine::Signal;
use arete::reactor::{Options, Reactor, Tls, plain};

use crate::cli::error::Error;

/// The signals that end a loop in order.
pub const ENDING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// A reactor for one client.
pub fn reactor(tls: Option<Tls>) -> Result<Reactor, Error> {
    reactor_with(Options { tls, ..Options::default() })
}

/// One with these options, that hears the signals which end it.
pub fn reactor_with(options: Options) -> Result<Reactor, Error> {
    let options = Options { signals: ENDING.to_vec(), ..options };
    Reactor::new(options).map_err(|error| Error::failed(format!("cannot start: {error}", error = plain(&error))))
}
