//! Runs a client to its end, and writes what it has for standard output: all of it, however slowly it is read.

use arete::client::{self, Client};
use arete::member::{self, Member};
use arete::reactor::{Options, Reactor, Tls, plain};

use super::{ENDING, Error, stdout};

/// A reactor for one client.
pub fn reactor(tls: Option<Tls>) -> Result<Reactor, Error> {
    reactor_with(Options { tls, ..Options::default() })
}

/// One with these options, that hears the signals which end it.
pub fn reactor_with(options: Options) -> Result<Reactor, Error> {
    let options = Options { signals: ENDING.to_vec(), ..options };
    Reactor::new(options).map_err(|error| Error::failed(format!("cannot start: {error}", error = plain(&error))))
}

pub fn client(config: client::Config) -> Result<u8, Error> {
    let mut client = Client::new(config);
    let code = reactor(None)?.run(&mut client);
    show(code, client.output())
}

pub fn member(config: member::Config, tls: Option<Tls>) -> Result<u8, Error> {
    let mut member = Member::new(config);
    let code = reactor(tls)?.run(&mut member);
    show(code, member.output())
}

/// Writes the output of a client that has exited with `code`.
pub fn show(code: u8, output: &[u8]) -> Result<u8, Error> {
    stdout::print(output).map(|()| code)
}
