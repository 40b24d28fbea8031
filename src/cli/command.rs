//! `arete poke`, `arete notify` and `arete wait`: what a command asks of the slave that runs it.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use arete::client::{Client, Config};
use arete::machine::Bytes;
use arete::reactor::{Options, Reactor, plain};
use arete::wire::{Message, NotifyRequest, PokeRequest, WaitRequest};

use super::{ENDING, Error};

pub fn poke(entry: Option<String>) -> Result<u8, Error> {
    let request = PokeRequest { entry: entry.map(Cow::from) }.encode();
    ask(request, None, "no answer from the slave".to_owned())
}

pub fn notify(trigger: String, timeout: Option<Duration>) -> Result<u8, Error> {
    let awaited = format!("the notify of {trigger} stands, but the controller has not counted it");
    ask(NotifyRequest { trigger: Cow::from(trigger), data: None }.encode(), timeout, awaited)
}

pub fn wait(trigger: String, timeout: Option<Duration>) -> Result<u8, Error> {
    let awaited = format!("{trigger} has not fired");
    ask(WaitRequest { trigger: Cow::from(trigger) }.encode(), timeout, awaited)
}

fn ask(request: Bytes, timeout: Option<Duration>, awaited: String) -> Result<u8, Error> {
    let Some(socket) = std::env::var_os("ARETE_SOCKET").filter(|path| !path.is_empty()) else {
        return Err(Error::failed(
            "ARETE_SOCKET is not set: this works inside a command that a slave runs; elsewhere set it to the slave's socket",
        ));
    };
    let config = Config { socket: PathBuf::from(socket), request, timeout, awaited };
    let cannot = |error: std::io::Error| Error::failed(format!("cannot start: {error}", error = plain(&error)));
    let reactor = Reactor::new(Options { signals: ENDING.to_vec(), ..Options::default() }).map_err(cannot)?;
    Ok(reactor.run(&mut Client::new(config)))
}
