//! `arete controller`: starts and reloads a permanent controller, which serves rooms and runs tests.
//!
//! `state_dir.rs` reads the runs that an earlier controller left.

use std::fs::{DirBuilder, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use arete::controller::ledger::{Keep, Past};
use arete::controller::{Controller, Settings};
use arete::machine::ListenerId;
use arete::reactor::{Options, Reactor, Reload, Reloaded, Tls};

use crate::cli::args::Sub;
use crate::cli::error::{Error, FromIo, ListenError};
use crate::cli::service::manager::{self, Inherited};
use crate::cli::service::options::ControllerOptions;
use crate::cli::service::origin::Origin;
use crate::cli::service::started::Started;
use crate::cli::service::{config, state_dir};
use crate::cli::tls::identity::Use;
use crate::cli::{clock, directory, drive, ledger, listen, lock, owned};

/// The mode of the directory for the operators' socket, if this process makes it.
const SOCKET_DIRECTORY_MODE: u32 = 0o750;

/// Returns the error that no address to listen on is given.
pub fn no_address(origin: &Origin) -> Error {
    origin.required("controller", "listen", "0.0.0.0")
}

/// Runs a controller until a signal ends it.
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
    if let Some(warning) = operators_without_tls(&options) {
        log::warn!("{warning}");
    }
    let (addresses, sockets) = listen_everywhere(&mut reactor, &options, inherited)?;
    reactor.on_reload(reload(&options));
    let controller = Controller::bare(Some(addresses.join(", ")));
    let controller = controller.rejoining(options.rejoin).limited(options.limits.limits());
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

/// Returns a warning if operators are named and TLS is not used, because only certificates identify operators.
pub fn operators_without_tls(options: &ControllerOptions) -> Option<String> {
    let useless = !options.operators.is_empty() && options.security.tls.is_none();
    useless.then(|| {
        let subject = options.origin.subject("operators");
        format!("{subject}: it has no effect without --tls: everybody who can reach this controller can operate it")
    })
}

/// Returns the TLS configuration for the sockets that were passed to this process, or for the address of its options.
fn security(options: &ControllerOptions, passed: &[TcpListener]) -> Result<Option<Tls>, Error> {
    if passed.is_empty() {
        let listen = options.listen.as_deref().ok_or_else(|| no_address(&options.origin))?;
        return options.security.at(&options.origin.subject("listen"), listen, Use::Listen);
    }
    let mut tls = None;
    for listener in passed {
        let address = listener.local_addr().map_err(cannot_use())?;
        tls = options.security.at("the service manager's socket", &address.to_string(), Use::Listen)?;
    }
    Ok(tls)
}

fn cannot_use() -> FromIo {
    Error::cannot("use the service manager's socket")
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
        let (_, address) = reactor.adopt_tcp(listener).map_err(cannot_use())?;
        addresses.push(address.to_string());
    }
    if addresses.is_empty() {
        addresses.push(listen::listen(reactor, options.listen.as_deref())?.to_string());
    } else if let Some(listen) = &options.listen {
        log::info!(
            "{} {listen} is not used, because the service manager passes the sockets",
            options.origin.subject("listen")
        );
    }
    let has_local = !passed.unix.is_empty();
    for listener in passed.unix {
        sockets.push(reactor.adopt_unix(listener).map_err(cannot_use())?);
    }
    if let Some(path) = options.socket.as_deref().filter(|_| !has_local) {
        sockets.push(listen_to_operators(reactor, path, &options.origin.subject("socket"))?);
    }
    Ok((addresses, sockets))
}

/// Listens at a path for the user and the group of this process. Makes its directory if it does not exist. `option` gives
/// the path.
fn listen_to_operators(reactor: &mut Reactor, path: &Path, option: &str) -> Result<ListenerId, Error> {
    let subject = format!("{option} {}", path.display());
    let advice = "name another path, or stop the program that listens there";
    let cannot =
        |error| Error::Listen { subject: subject.clone(), error: ListenError::Other(error), advice: advice.to_owned() };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.exists())
    {
        DirBuilder::new().recursive(true).mode(SOCKET_DIRECTORY_MODE).create(directory).map_err(cannot)?;
        // The umask may have removed the rights of the group.
        std::fs::set_permissions(directory, Permissions::from_mode(SOCKET_DIRECTORY_MODE)).map_err(cannot)?;
    }
    // A user who can replace the socket would receive the tests.
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    owned::relies_on_names_in(directory).map_err(Error::foreign(&format!("{option}: "), directory))?;
    reactor.listen_unix_for_group(path).map_err(cannot)
}

/// Returns the function that reads the configuration and the certificates again.
fn reload(options: &ControllerOptions) -> Reload {
    let started = Started::new(&options.origin, &options.security);
    Box::new(move || {
        let Sub::Controller(options) = config::parse_again().map_err(|error| error.to_string())?.subcommand else {
            unreachable!("the command line of a process does not change");
        };
        let renewed = |error: Error| error.to_string();
        let tls = if started.uses_tls { options.security.renewed(Use::Listen).map_err(renewed)? } else { None };
        let reloadable = [
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
        started.warn_of_restart(&options.origin, &options.security, &reloadable);
        let settings = Settings {
            rejoin: options.rejoin.as_micros() as u64,
            limits: options.limits.limits(),
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
        return Err(Error::usage(format!(
            "{subject}: this is the directory of a run: continue the run with arete run --resume"
        )));
    }
    Ok((lock, ledger::keep(directory, clock::wall_offset(), None), past))
}
