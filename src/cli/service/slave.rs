//! `arete slave`: finds its name and its directory, ends what an earlier slave left there, and drives a slave.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use arete::machine::{Address, Signal};
use arete::reactor::{self, Options, Reactor, Reload, Reloaded, plain};
use arete::session;
use arete::slave::{Config, Leave, MARK, Settings, Slave};

use crate::cli::address::{self, with_port};
use crate::cli::args::Sub;
use crate::cli::drive::ENDING;
use crate::cli::error::Error;
use crate::cli::random::random;
use crate::cli::service::options::SlaveOptions;
use crate::cli::service::started::Started;
use crate::cli::service::{config, labels, manager, socket};
use crate::cli::tls::identity::Use;
use crate::cli::{clock, directory, lock, remove};

/// The longest secret of an embedded run, in bytes.
const SECRET_MAX: u64 = 256;

pub fn run(given: SlaveOptions) -> Result<u8, Error> {
    let name = name(&given)?;
    let controller = controller(&given)?.to_owned();
    let labels = labels(&given)?;
    let subject = given.origin.subject("controller");
    let tls = given.security.at(&subject, &controller, Use::Slave(&name))?;
    let secret = if given.secret { Some(read_secret()?) } else { None };
    let dir = make_work_dir(&work_dir_of(given.dir.as_deref(), &name)?)?;
    let _lock = lock(&dir)?;
    reactor::end_leftovers(&dir);
    remove_leftovers(&dir);
    let cannot = |error: std::io::Error| Error::failed(format!("cannot start: {error}", error = plain(&error)));
    let mut signals = ENDING.to_vec();
    signals.push(Signal::USR1);
    let manager = manager::manager();
    let options = Options { signals, subreaper: true, tls, manager, ..Options::default() };
    let mut reactor = Reactor::new(options).map_err(cannot)?;
    let (socket, control) = socket::listen(&mut reactor, &dir)?;
    reactor.on_reload(reload(&given, &name));
    let mut slave = Slave::new(Config {
        name,
        controller: Address::Inet(with_port(&controller)),
        incarnation: format!("{:016x}", random()),
        seed: random(),
        pid: std::process::id(),
        dir,
        socket,
        control,
        orphan_after: given.orphan_after,
        once: given.once,
        leave: match (given.launched, given.stay) {
            (true, _) => Leave::Launched,
            (false, true) => Leave::Never,
            (false, false) => Leave::WhenTold,
        },
        keep: given.keep,
        utc: Some(clock::wall_offset()),
        secret,
        labels,
        uid: rustix::process::geteuid().as_raw(),
    });
    Ok(reactor.run(&mut slave))
}

/// Returns what reads the configuration and the certificate again.
fn reload(options: &SlaveOptions, name: &str) -> Reload {
    let (started, name) = (Started::new(&options.origin, &options.security), name.to_owned());
    Box::new(move || {
        let Sub::Slave(options) = config::parse_again()?.subcommand else {
            return Err("the command line is no slave's".into());
        };
        let said = |error: Error| error.message;
        let labels = labels(&options).map_err(said)?;
        let tls = if started.speaks_tls { options.security.renewed(Use::Slave(&name)).map_err(said)? } else { None };
        let orphan_after = options.orphan_after.as_micros() as u64;
        started.warn_of_restart(&options.origin, &options.security, &["labels", "orphan-after"]);
        let settings = serde_json::to_vec(&Settings { labels, orphan_after }).map_err(|error| error.to_string())?;
        Ok(Reloaded { tls, settings, ..Reloaded::default() })
    })
}

/// Returns the name of the Slurm node, if this process is a task of a Slurm step and the name is valid for a slave.
fn node_name() -> Option<String> {
    std::env::var_os("SLURM_STEP_ID")?;
    let name = std::env::var("SLURMD_NODENAME").ok()?;
    session::is_name(&name).then_some(name)
}

/// Reads the secret of the controller that has started this slave from standard input.
fn read_secret() -> Result<String, Error> {
    let mut secret = String::new();
    let read = std::io::stdin().lock().take(SECRET_MAX).read_to_string(&mut secret);
    read.map_err(|error| Error::failed(format!("cannot read standard input: {}", plain(&error))))?;
    Ok(secret.trim_end().to_owned())
}

/// Returns the name of `--name`, or that of the Slurm node or the host.
pub fn name(options: &SlaveOptions) -> Result<String, Error> {
    match &options.name {
        Some(name) => match session::check_name("a slave", name) {
            Ok(()) => Ok(name.clone()),
            Err(why) => Err(Error::usage(format!("{}: {why}", options.origin.subject("name")))),
        },
        None => node_name()
            .or_else(host_name)
            .ok_or_else(|| Error::usage("this host's name cannot name a slave: give one with --name")),
    }
}

/// Returns the address of the controller. Fails if none is given, or if it can never work.
pub fn controller(options: &SlaveOptions) -> Result<&str, Error> {
    let missing = || options.origin.required("arete slave: say where the controller is", "controller", "192.0.2.1");
    let controller = options.controller.as_deref().ok_or_else(missing)?;
    address::named(controller, &options.origin.subject("controller")).map(|_| controller)
}

/// Returns the labels of this slave.
pub fn labels(options: &SlaveOptions) -> Result<std::collections::BTreeMap<String, String>, Error> {
    labels::all(&options.labels).map_err(|why| Error::usage(format!("{}: {why}", options.origin.subject("labels"))))
}

/// Returns the directory of `--dir`, or one by the slave's name among the user's state.
pub fn work_dir_of(asked: Option<&Path>, name: &str) -> Result<PathBuf, Error> {
    match asked {
        Some(dir) => as_text(dir.to_owned()),
        None => as_text(state_home()?.join("arete").join(name)),
    }
}

/// Fails if a path is not UTF-8, because commands get it as text in variables.
fn as_text(dir: PathBuf) -> Result<PathBuf, Error> {
    match dir.to_str() {
        Some(_) => Ok(dir),
        None => Err(Error::usage(format!(
            "{dir:?}: the name of a slave's directory must be UTF-8, because commands are told it as text: --dir names \
             another"
        ))),
    }
}

fn make_work_dir(dir: &Path) -> Result<PathBuf, Error> {
    directory::make(dir, "--dir")?;
    let whole = fs::canonicalize(dir).map_err(|error| {
        Error::failed(format!(
            "cannot find the directory {}: {error}; --dir names another",
            dir.display(),
            error = plain(&error)
        ))
    })?;
    as_text(whole)
}

fn state_home() -> Result<PathBuf, Error> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(state) = variable("XDG_STATE_HOME") {
        return Ok(state);
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib"));
    }
    let home = variable("HOME").map(|home| home.join(".local/state"));
    home.ok_or_else(|| Error::usage("neither XDG_STATE_HOME nor HOME is set: say where to work with --dir"))
}

/// Locks the directory of a slave. Fails if another slave works in it.
pub fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let cannot = |error: std::io::Error| {
        Error::failed(format!("cannot lock {}: {error}", path.display(), error = plain(&error)))
    };
    let file = File::options().create(true).append(true).open(&path).map_err(cannot)?;
    match lock::take(&file, &path).map_err(cannot)? {
        true => Ok(file),
        false => Err(Error::failed(format!(
            "another slave works in {}: stop it, or give this one another --name or --dir",
            dir.display()
        ))),
    }
}

/// Removes the directories of runs that an earlier slave left when it was killed.
fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.join(MARK).is_file()
            && let Err(error) = remove::tree(&path)
        {
            log::warn!("{} stays: {}", path.display(), plain(&error));
        }
    }
}

/// Returns the name of this machine, if it is valid for a slave.
fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    session::is_name(&name).then_some(name)
}
