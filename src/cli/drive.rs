//! Reactors for the subcommands.

use arete::machine::Signal;
use arete::reactor::{Latch, Options, Reactor, Tls};

use crate::cli::error::Error;

/// The signals that end every subcommand.
const ENDING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// Returns what notes the signals that end a subcommand, for one with several reactors.
pub fn latch() -> Result<Latch, Error> {
    Latch::new(&ENDING).map_err(Error::cannot("receive signals"))
}

/// Returns a reactor for one client.
pub fn reactor(tls: Option<Tls>) -> Result<Reactor, Error> {
    reactor_with(Options { tls, ..Options::default() })
}

/// Returns a reactor with these options, which also receives the signals that end a subcommand.
pub fn reactor_with(mut options: Options) -> Result<Reactor, Error> {
    options.signals.extend(ENDING);
    Reactor::new(options).map_err(Error::cannot("start"))
}
