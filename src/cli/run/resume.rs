//! `arete run --resume`: continues a run whose controller was killed, from its results directory.
//!
//! Slaves that the killed controller started on this machine are ended first. The directory must be locked before it is
//! read.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use arete::controller::ledger::{FILE, Past, Terms};
use arete::controller::{Config, Controller, EVENTS, Launcher};
use arete::reactor::{self, Options, Reactor};
use arete::testfile::{self, Test};

use crate::cli::error::{Error, complain};
use crate::cli::run::event_log::Repair;
use crate::cli::run::launch::Launch;
use crate::cli::run::options::{Done, RunOptions};
use crate::cli::run::results_dir::SUMMARY;
use crate::cli::service::slave;
use crate::cli::tls::identity::{Security, Use};
use crate::cli::work_dir::{WORK_DIR_MODE, is_work_dir_name};
use crate::cli::{clock, directory, drive, ledger, listen, lock, remove};

/// The time that slaves of the killed controller have to exit, including the grace of their commands.
const SLAVES_END_WITHIN: Duration = Duration::from_secs(60);

/// The interval at which the slaves are checked.
const CHECK_EVERY: Duration = Duration::from_millis(50);

/// Locks a results directory, and returns the lock and the run.
fn open(directory: &Path) -> Result<(File, Past, Terms), Error> {
    let subject = format!("--resume {}", directory.display());
    if !directory.join(FILE).is_file() {
        return Err(Error::usage(format!(
            "{subject}: it has no {FILE}: name the results directory of a run that was started on this machine"
        )));
    }
    directory::check(directory, "--resume")?;
    let lock = lock::directory(directory)?.ok_or_else(|| {
        Error::failed(format!("{subject}: the controller of this run still works, so the run needs no --resume"))
    })?;
    let Some(past) = ledger::past(directory)? else {
        return Err(Error::failed(format!("{subject}: the run was killed before its start: run the test again")));
    };
    if !past.has_ended() && directory.join(SUMMARY).exists() {
        return Err(Error::failed(format!(
            "{subject}: the run is over, but the end of {FILE} is missing: read {SUMMARY} for the outcome"
        )));
    }
    let Some(terms) = past.header.run.clone() else {
        return Err(Error::usage(format!(
            "{subject}: this is the state directory of a permanent controller: use arete controller --state-dir"
        )));
    };
    Ok((lock, past, terms))
}

/// Continues the run in a directory.
pub fn run(directory: PathBuf, options: &RunOptions) -> Result<Done, Error> {
    let (_lock, past, terms) = open(&directory)?;
    let known = &mut |file: &str| terms.shipped.get(file).cloned().ok_or_else(|| "it is not in the ledger".to_owned());
    let test =
        testfile::parse(&directory.join(FILE).display().to_string(), &terms.test, known).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Error::failed(lines.join("\n"))
        })?;
    if let Some(work) = terms.work.as_deref().filter(|work| !past.has_ended() && is_own_work_dir(work)) {
        end_slaves(work);
    }
    let security = options.security.clone().or(terms.tls.clone(), terms.insecure);
    let tls = match terms.listen.as_ref().filter(|_| !past.has_ended()) {
        Some(recorded) => security.at("--listen", options.listen.as_ref().unwrap_or(recorded), Use::Listen)?,
        None => None,
    };
    let mut reactor = drive::reactor_with(Options {
        fsync: options.fsync || terms.fsync,
        tls,
        max_connections: terms.connections,
        ..Options::default()
    })?;
    let listening = if past.has_ended() { None } else { listen(&mut reactor, &terms, options)? };
    let launcher = launcher(&terms, &security, &test, listening.as_deref())?;
    let wall_offset = clock::wall_offset();
    let controller = Controller::new(Config {
        run: terms.id.clone(),
        results: directory.clone(),
        wait: terms.wait.map(Duration::from_micros),
        lost_after: Duration::from_micros(terms.lost_after),
        local: None,
        listening,
        follow: options.follow,
        terminal: reactor::terminal_size(),
        colors: reactor::wants_colors(),
        wall_offset,
        test: Rc::new(test),
    });
    let limits = terms.limits;
    let controller = controller.limited(limits).launching(launcher).silent(options.quiet).keeping(ledger::keep(
        &directory,
        wall_offset,
        Some(terms),
    ));
    let mut controller = controller.resumed(&past, &mut Repair::of(directory.join(EVENTS))).map_err(Error::failed)?;
    drop(past);
    let code = reactor.run(&mut controller);
    Ok(Done { code, results: directory })
}

/// Returns the commands for the slaves that have not connected yet.
fn launcher(
    terms: &Terms,
    security: &Security,
    test: &Test,
    listening: Option<&str>,
) -> Result<Option<Launcher>, Error> {
    let (Some(launch), Some(listening)) = (&terms.launch, listening) else { return Ok(None) };
    let address = listening.parse().map_err(|_| Error::failed(format!("{listening} is not a valid address")))?;
    match Launch::read(launch, Some(listening), security)? {
        Launch::By(template) => template.launcher(test, Some(listening), address).map(Some),
        Launch::Local => Ok(None),
    }
}

/// Listens at the address of `--listen`, or at that of the killed controller. Returns `None` if it only had slaves that it
/// had started itself, because they are gone.
fn listen(reactor: &mut Reactor, terms: &Terms, options: &RunOptions) -> Result<Option<String>, Error> {
    let Some(recorded) = &terms.listen else { return Ok(None) };
    let address = options.listen.as_ref().unwrap_or(recorded);
    listen::listen(reactor, Some(address)).map(|address| Some(address.to_string()))
}

/// Whether a controller of this user made this directory for its slaves. This must be checked, because the path is in a
/// ledger, which another user may have written.
fn is_own_work_dir(work: &Path) -> bool {
    let named = work.file_name().and_then(|name| name.to_str()).is_some_and(is_work_dir_name);
    let made = fs::symlink_metadata(work).is_ok_and(|metadata| {
        metadata.is_dir()
            && metadata.uid() == rustix::process::geteuid().as_raw()
            && metadata.mode() & 0o777 == WORK_DIR_MODE
    });
    named && made
}

/// Ends the processes that the slaves of a killed controller left on this machine, and removes their directories.
fn end_slaves(work: &Path) {
    let begun = reactor::now();
    for entry in fs::read_dir(work).into_iter().flatten().flatten() {
        let Ok(directory) = fs::canonicalize(entry.path()) else { continue };
        let ended = loop {
            match slave::lock(&directory) {
                Ok(lock) => break Some(lock),
                Err(_) if reactor::now().since(begun) > SLAVES_END_WITHIN => break None,
                Err(_) => std::thread::sleep(CHECK_EVERY),
            }
        };
        match ended {
            Some(_lock) => reactor::end_leftovers(&directory),
            None => log::warn!("a slave still works in {}", directory.display()),
        }
    }
    if let Err(error) = remove::tree(work) {
        complain(Error::cannot(format_args!("remove {}", work.display()))(error));
    }
}
