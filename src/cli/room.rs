//! `arete controller`, a controller that serves rooms and no run, and the one behind `--serve`.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use arete::controller::Controller;
use arete::controller::ledger::{Keep, Past};
use arete::member::Member;
use arete::reactor::{Options, Reactor};
use arete::serve::Serve;

use super::config::Origin;
use super::identity::Use;
use super::run::{Listen, listen_on};
use super::{ControllerOptions, Error, drive, state, with_port};

/// Listens for the members of a room that this process serves.
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

/// Where a process reaches what it listens on itself.
pub fn reached_at(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Nobody has said where to listen.
pub fn no_address(origin: &Origin) -> Error {
    origin.required("arete controller: say where to listen", "listen", "0.0.0.0")
}

/// A controller of rooms alone, until it is told to stop.
pub fn run(options: ControllerOptions) -> Result<u8, Error> {
    let listen = options.listen.as_deref().ok_or_else(|| no_address(&options.origin))?;
    let kept = options.state_dir.as_deref().map(open).transpose()?;
    let mut reactor = drive::reactor_with(Options {
        max_connections: options.limits.connections(),
        fsync: options.fsync,
        tls: options.security.at(&options.origin.subject("listen"), listen, Use::Listen)?,
        ..Options::default()
    })?;
    let address = super::run::listen(&mut reactor, Some(listen))?;
    let controller = Controller::bare(Some(address.to_string()));
    let controller = controller.rejoining(options.rejoin).limited(options.limits.limits());
    let mut lock = None;
    let mut controller = match kept {
        None => controller,
        Some((locked, keep, past)) => {
            lock = Some(locked);
            let controller = controller.keeping(keep);
            match past {
                Some(past) => controller.resumed(&past).map_err(Error::failed)?,
                None => controller,
            }
        }
    };
    let code = reactor.run(&mut controller);
    drop(lock);
    Ok(code)
}

/// The directory of a controller's state: locked, with what a former one has left there.
fn open(directory: &Path) -> Result<(File, Keep, Option<Past>), Error> {
    let subject = format!("--state-dir {}", directory.display());
    state::make(directory)?;
    let lock = state::lock(directory)?.ok_or_else(|| {
        Error::failed(format!("{subject}: another controller works there: stop it, or name another directory"))
    })?;
    let past = state::past(directory)?;
    if past.as_ref().is_some_and(|past| past.header.run.is_some()) {
        return Err(Error::usage(format!("{subject}: this is a run's directory: go on with arete run --resume")));
    }
    Ok((lock, state::keep(directory, state::wall_offset(), None), past))
}

/// This process serves the room for its own member.
pub fn serve(member: Member) -> Serve<Controller> {
    Serve::new(Controller::bare(None), member)
}
