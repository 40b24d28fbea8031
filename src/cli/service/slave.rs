//! `arete slave`: finds the name and the directory of a slave, ends processes of an earlier slave, and runs the slave.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use arete::exit_code;
use arete::machine::{Address, Signal};
use arete::reactor::{self, Options, Reload, Reloaded, plain};
use arete::session;
use arete::slave::{Config, Leave, MARK, Settings, Slave};
use arete::text::harmless;

use crate::cli::address::{self, with_port};
use crate::cli::args::Sub;
use crate::cli::error::Error;
use crate::cli::fault::heal as undo_faults;
use crate::cli::random::random;
use crate::cli::service::options::SlaveOptions;
use crate::cli::service::started::Started;
use crate::cli::service::{config, labels, manager, socket};
use crate::cli::tls::identity::Use;
use crate::cli::work_dir::as_text;
use crate::cli::{clock, directory, drive, lock, remove, stdout};

/// The file in the directory of a slave that the slave locks.
const LOCK: &str = "lock";

/// The longest secret on standard input, in bytes.
const SECRET_MAX: u64 = 256;

/// Runs a slave until a signal ends it, or the last run of a slave that takes part in one only.
pub fn run(options: SlaveOptions) -> Result<u8, Error> {
    let name = name(&options)?;
    let controller = controller(&options)?.to_owned();
    let labels = labels(&options)?;
    let subject = options.origin.subject("controller");
    let tls = options.security.at(&subject, &controller, Use::Slave(&name))?;
    let secret = if options.secret { Some(read_secret()?) } else { None };
    let dir = make_work_dir(&work_dir_of(options.dir.as_deref(), &name)?)?;
    // Finding the processes that an earlier slave has left takes milliseconds. Each slave has made this file.
    let is_new = !dir.join(LOCK).exists();
    let _lock = lock(&dir)?;
    if !is_new {
        reactor::end_leftovers(&dir);
        undo_faults(&dir)?.iter().for_each(|what| log::warn!("undone, which an earlier slave has injected: {what}"));
        remove_leftovers(&dir);
    }
    let (signals, manager) = (vec![Signal::USR1], manager::manager());
    let mut reactor = drive::reactor_with(Options { signals, subreaper: true, tls, manager, ..Options::default() })?;
    let (socket, control) = socket::listen(&mut reactor, &dir)?;
    reactor.on_reload(reload(&options, &name));
    let mut slave = Slave::new(Config {
        name,
        controller: Address::Inet(with_port(&controller)),
        incarnation: format!("{:016x}", random()),
        seed: random(),
        pid: std::process::id(),
        dir,
        socket,
        control,
        orphan_after: options.orphan_after,
        once: options.once,
        leave: match (options.launched, options.stay) {
            (true, _) => Leave::Launched,
            (false, true) => Leave::Never,
            (false, false) => Leave::WhenTold,
        },
        keep: options.keep,
        allow_crash: options.allow.iter().any(|fault| fault == "crash"),
        utc: Some(clock::wall_offset()),
        secret,
        labels,
        uid: rustix::process::geteuid().as_raw(),
    });
    Ok(reactor.run(&mut slave))
}

/// Undoes the faults that an earlier slave of the same directory has injected, after ending its processes. Prints what it
/// has undone. Fails if something is left, or if a slave works in the directory.
pub fn heal(options: &SlaveOptions) -> Result<u8, Error> {
    let dir = work_dir_of(options.dir.as_deref(), &name(options)?)?;
    let undone = match fs::canonicalize(&dir) {
        Ok(dir) => {
            let _lock = lock(&dir)?;
            reactor::end_leftovers(&dir);
            undo_faults(&dir)?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::cannot_so(format_args!("find {}", dir.display()), OTHER_DIR)(error)),
    };
    let lines = undone.iter().map(|what| format!("undone: {}\n", harmless(what)));
    let nothing =
        if undone.is_empty() { format!("no fault is left of a slave of {}\n", dir.display()) } else { String::new() };
    stdout::print(lines.collect::<String>() + &nothing)?;
    Ok(exit_code::PASSED)
}

/// Returns the function that reads the configuration and the certificate again.
fn reload(options: &SlaveOptions, name: &str) -> Reload {
    let (started, name) = (Started::new(&options.origin, &options.security), name.to_owned());
    Box::new(move || {
        let Sub::Slave(options) = config::parse_again().map_err(|error| error.to_string())?.subcommand else {
            unreachable!("the command line of a process does not change");
        };
        let message = |error: Error| error.to_string();
        let labels = labels(&options).map_err(message)?;
        let tls = if started.uses_tls { options.security.renewed(Use::Slave(&name)).map_err(message)? } else { None };
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
    read.map_err(Error::cannot("read standard input"))?;
    Ok(secret.trim_end().to_owned())
}

/// Returns the name of the slave: the one of `--name`, or that of the Slurm node or of the host.
pub fn name(options: &SlaveOptions) -> Result<String, Error> {
    match &options.name {
        Some(name) => session::check_name("a slave", name)
            .map(|()| name.clone())
            .map_err(|error| Error::usage(format!("{}: {error}", options.origin.subject("name")))),
        None => node_name()
            .or_else(host_name)
            .ok_or_else(|| Error::usage("the name of this host is not valid for a slave: use --name")),
    }
}

/// Returns the address of the controller. Fails if none is given, or if it can never work.
pub fn controller(options: &SlaveOptions) -> Result<&str, Error> {
    let missing = || options.origin.required("slave", "controller", "192.0.2.1");
    let controller = options.controller.as_deref().ok_or_else(missing)?;
    address::named(controller, &options.origin.subject("controller")).map(|_| controller)
}

/// Returns the labels of this slave.
pub fn labels(options: &SlaveOptions) -> Result<BTreeMap<String, String>, Error> {
    labels::all(&options.labels).map_err(|error| error.of(options.origin.subject("labels")))
}

/// Returns the directory of `--dir`, or the default one, which has the name of the slave. Fails if the path is not UTF-8,
/// because commands get it in a variable.
pub fn work_dir_of(option: Option<&Path>, name: &str) -> Result<PathBuf, Error> {
    let dir = match option {
        Some(dir) => dir.to_owned(),
        None => state_home()?.join("arete").join(name),
    };
    as_text(&dir, SLAVE_DIR, OTHER_DIR)?;
    Ok(dir)
}

/// The directory of a slave, and the next step, for messages.
const SLAVE_DIR: &str = "the slave's directory";
const OTHER_DIR: &str = "use --dir to name another directory";

fn make_work_dir(dir: &Path) -> Result<PathBuf, Error> {
    directory::make(dir, "--dir")?;
    let absolute = fs::canonicalize(dir);
    let absolute = absolute.map_err(Error::cannot_so(format_args!("find {}", dir.display()), OTHER_DIR))?;
    as_text(&absolute, SLAVE_DIR, OTHER_DIR)?;
    Ok(absolute)
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
    home.ok_or_else(|| Error::usage("neither XDG_STATE_HOME nor HOME is set: use --dir to name a directory"))
}

/// Locks the directory of a slave. Fails if another slave works in it.
pub fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let cannot = Error::cannot(format_args!("lock {}", path.display()));
    let file = File::options().create(true).append(true).open(&path).map_err(&cannot)?;
    match lock::take(&file, &path).map_err(&cannot)? {
        true => Ok(file),
        false => Err(Error::failed(format!(
            "another slave works in {}: stop it, or give this slave another --name or --dir",
            dir.display()
        ))),
    }
}

/// Removes the directories of runs that an earlier slave left because it was killed.
fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.join(MARK).is_file()
            && let Err(error) = remove::tree(&path)
        {
            log::warn!("cannot remove {}: {}", path.display(), plain(&error));
        }
    }
}

/// Returns the name of this machine, if it is valid for a slave.
fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    session::is_name(&name).then_some(name)
}
