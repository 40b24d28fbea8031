//! Reactors for the subcommands that end when they are told to.

use arete::machine::Signal;
use arete::reactor::{Options, Reactor, Tls, plain};

use crate::cli::error::Error;

/// The signals that end a subcommand in order.
pub const ENDING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// Returns a reactor for one client.
pub fn reactor(tls: Option<Tls>) -> Result<Reactor, Error> {
    reactor_with(Options { tls, ..Options::default() })
}

/// Returns a reactor with these options that receives the signals in [`ENDING`].
pub fn reactor_with(options: Options) -> Result<Reactor, Error> {
    let options = Options { signals: ENDING.to_vec(), ..options };
    Reactor::new(options).map_err(|error| Error::failed(format!("cannot start: {error}", error = plain(&error))))
}
