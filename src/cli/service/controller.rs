//! `arete controller`: a controller that serves rooms and takes tests until it is told to stop.
//!
//! This file owns its start and its reload. What it finds in its state directory is in `state_dir.rs`.

use std::fs::{DirBuilder, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use arete::controller::ledger::{Keep, Past};
use arete::controller::{Controller, Limits, Settings};
use arete::machine::ListenerId;
use arete::reactor::{Options, Reactor, Reload, Reloaded, Tls, plain};

use crate::cli::args::Sub;
use crate::cli::error::Error;
use crate::cli::service::manager::{self, Inherited};
use crate::cli::service::options::ControllerOptions;
use crate::cli::service::origin::Origin;
use crate::cli::service::started::Started;
use crate::cli::service::{config, state_dir};
use crate::cli::tls::identity::Use;
use crate::cli::{clock, directory, drive, ledger, listen, lock, owned};

/// The mode of a directory that is made for the operators' socket.
const SOCKET_DIRECTORY_MODE: u32 = 0o750;

/// Returns the error that no address to listen at was given.
pub fn no_address(origin: &Origin) -> Error {
    origin.required("arete controller: say where to listen", "listen", "0.0.0.0")
}

/// Runs a controller until it is told to stop.
pub fn run(options: ControllerOptions) -> Result<u8, Error> {
    let inherited = manager::inherited()?;
    let tls = security(&options, &inherited.tcp)?;
    let kept = options.state_dir.as_deref().map(open).transpose()?;
    let mut reactor = drive::reactor_with(Options {
        max_connections: options.limits.connections(),
        fsync: options.fsync,
        tls,
        manager: manager::manager(),
        ..Options::default()
    })?;
    if let Some(warning) = useless_operators(&options) {
        log::warn!("{warning}");
    }
    let (addresses, sockets) = listen_everywhere(&mut reactor, &options, inherited)?;
    reactor.on_reload(reload(&options));
    let controller = Controller::bare(Some(addresses.join(", ")));
    let controller = controller.rejoining(options.rejoin).limited(limits(&options));
    let mut lock = None;
    let mut controller = match (kept, options.state_dir.as_deref()) {
        (Some((locked, keep, past)), Some(directory)) => {
            lock = Some(locked);
            let controller = controller.keeping(keep.clone());
            let controller = match past {
                Some(past) => controller.resumed(&past, &mut ()).map_err(|error| Error::failed(error.to_string()))?,
                None => controller,
            };
            state_dir::hosting(controller, directory, &options, &keep, sockets)?
        }
        _ => controller,
    };
    let code = reactor.run(&mut controller);
    drop(lock);
    Ok(code)
}

/// Returns a warning if operators are named and TLS is not used, because operators are known by their certificates.
pub fn useless_operators(options: &ControllerOptions) -> Option<String> {
    let useless = !options.operators.is_empty() && options.security.tls.is_none();
    useless.then(|| {
        let subject = options.origin.subject("operators");
        format!("{subject}: nobody proves who he is without --tls, so whoever reaches this controller may operate it")
    })
}

fn limits(options: &ControllerOptions) -> Limits {
    let bytes = |most: usize| most as u64;
    let (output, record) = (options.output_max.map(bytes), options.record_max.map(bytes));
    options.limits.limits().of_a_run(output, options.events_max, record)
}

/// Returns how TLS is spoken at the sockets that were passed to this process, or at the address of its options.
fn security(options: &ControllerOptions, passed: &[TcpListener]) -> Result<Option<Tls>, Error> {
    if passed.is_empty() {
        let listen = options.listen.as_deref().ok_or_else(|| no_address(&options.origin))?;
        return options.security.at(&options.origin.subject("listen"), listen, Use::Listen);
    }
    let mut tls = None;
    for listener in passed {
        let address = listener.local_addr().map_err(|error| cannot_use(&error))?;
        tls = options.security.at("the service manager's socket", &address.to_string(), Use::Listen)?;
    }
    Ok(tls)
}

fn cannot_use(error: &std::io::Error) -> Error {
    Error::failed(format!("cannot use the service manager's socket: {}", plain(error)))
}

/// Listens on the sockets that were passed, or at the address of the options. Returns the addresses, and the listeners
/// for operators.
fn listen_everywhere(
    reactor: &mut Reactor,
    options: &ControllerOptions,
    passed: Inherited,
) -> Result<(Vec<String>, Vec<ListenerId>), Error> {
    let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
    for listener in passed.tcp {
        let (_, address) = reactor.adopt_tcp(listener).map_err(|error| cannot_use(&error))?;
        addresses.push(address.to_string());
    }
    if addresses.is_empty() {
        addresses.push(listen::listen(reactor, options.listen.as_deref())?.to_string());
    } else if let Some(listen) = &options.listen {
        log::info!(
            "the service manager passes where to listen: {} {listen} is not used",
            options.origin.subject("listen")
        );
    }
    let has_local = !passed.unix.is_empty();
    for listener in passed.unix {
        sockets.push(reactor.adopt_unix(listener).map_err(|error| cannot_use(&error))?);
    }
    if let Some(path) = options.socket.as_deref().filter(|_| !has_local) {
        let listener = listen_to_operators(reactor, path).map_err(|error| {
            let subject = options.origin.subject("socket");
            Error::failed(format!(
                "{subject} {}: {}; name another path, or stop what listens there",
                path.display(),
                plain(&error)
            ))
        })?;
        sockets.push(listener);
    }
    Ok((addresses, sockets))
}

/// Listens at a path for the user and the group of this process. Makes its directory if it does not exist.
fn listen_to_operators(reactor: &mut Reactor, path: &Path) -> std::io::Result<ListenerId> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.exists())
    {
        DirBuilder::new().recursive(true).mode(SOCKET_DIRECTORY_MODE).create(directory)?;
        // The umask may have removed rights of the group.
        std::fs::set_permissions(directory, Permissions::from_mode(SOCKET_DIRECTORY_MODE))?;
    }
    // A user who can put another socket there would receive the tests.
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    owned::relies_on_names_in(directory).map_err(|foreign| std::io::Error::other(foreign.of(directory)))?;
    reactor.listen_unix_for_group(path)
}

/// Returns what reads the configuration and the certificates again.
fn reload(options: &ControllerOptions) -> Reload {
    let started = Started::new(&options.origin, &options.security);
    Box::new(move || {
        let Sub::Controller(options) = config::parse_again()?.subcommand else {
            return Err("the command line is no controller's".into());
        };
        let renewed = |error: Error| error.message;
        let tls = if started.speaks_tls { options.security.renewed(Use::Listen).map_err(renewed)? } else { None };
        let can = [
            "rejoin",
            "value-max",
            "session-max",
            "memory-max",
            "connections-max",
            "output-max",
            "events-max",
            "record-max",
            "operators",
            "lost-after",
            "keep",
            "keep-max",
        ];
        started.warn_of_restart(&options.origin, &options.security, &can);
        let settings = Settings {
            rejoin: options.rejoin.as_micros() as u64,
            limits: limits(&options),
            operators: options.operators.iter().cloned().collect(),
            lost_after: options.lost_after.as_micros() as u64,
            keeping: options.keep.unwrap_or_default(),
            keep_max: options.keep_max(),
        };
        let settings = serde_json::to_vec(&settings).map_err(|error| error.to_string())?;
        Ok(Reloaded { tls, max_connections: options.limits.connections(), settings })
    })
}

/// Locks a state directory, and returns the lock, its ledger and what an earlier controller left in it.
fn open(directory: &Path) -> Result<(File, Keep, Option<Past>), Error> {
    let subject = format!("--state-dir {}", directory.display());
    directory::make(directory, "--state-dir")?;
    let lock = lock::directory(directory)?.ok_or_else(|| {
        Error::failed(format!("{subject}: another controller works there: stop it, or name another directory"))
    })?;
    let past = ledger::past(directory)?;
    if past.as_ref().is_some_and(|past| past.header.run.is_some()) {
        return Err(Error::usage(format!("{subject}: this is a run's directory: go on with arete run --resume")));
    }
    Ok((lock, ledger::keep(directory, clock::wall_offset(), None), past))
}
