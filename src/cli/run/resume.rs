//! `arete run --resume`: goes on with a run whose controller was killed, from its results directory.
//!
//! Slaves that the killed controller started here are ended first. The directory must be locked before anything of it
//! is read.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use arete::controller::ledger::{FILE, Past, Terms};
use arete::controller::{Config, Controller, EVENTS, Launcher};
use arete::reactor::{self, Options, Reactor, plain};
use arete::testfile::{self, Test};

use crate::cli::drive::ENDING;
use crate::cli::error::{Error, complain};
use crate::cli::run::event_log::Mend;
use crate::cli::run::launch::Launch;
use crate::cli::run::options::RunOptions;
use crate::cli::service::slave;
use crate::cli::tls::identity::{Security, Use};
use crate::cli::work_dir::{WORK_DIR_MODE, is_work_dir_name};
use crate::cli::{clock, directory, ledger, listen, lock, remove};

/// The time that slaves of the killed controller have to end, with the grace of what they run.
const SLAVES_END_WITHIN: Duration = Duration::from_secs(60);

/// The file that is written after the end of the ledger.
const SUMMARY: &str = "summary.json";

/// How often the slaves are checked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Locks a results directory, and returns the lock with the run that it holds.
fn take_up(directory: &Path) -> Result<(File, Past, Terms), Error> {
    let subject = format!("--resume {}", directory.display());
    if !directory.join(FILE).is_file() {
        return Err(Error::usage(format!("{subject}: no run was begun there: name the results directory of a run")));
    }
    directory::check(directory, "--resume")?;
    let lock = lock::directory(directory)?.ok_or_else(|| {
        Error::failed(format!("{subject}: the controller of this run still works: there is nothing to go on with"))
    })?;
    let Some(past) = ledger::past(directory)? else {
        return Err(Error::failed(format!("{subject}: the run was killed before it had begun: start it anew")));
    };
    if !past.has_ended() && directory.join(SUMMARY).exists() {
        return Err(Error::failed(format!(
            "{subject}: the end of {FILE} is missing, for {SUMMARY} is there: what became of the run is said in that"
        )));
    }
    let Some(terms) = past.header.run.clone() else {
        return Err(Error::usage(format!(
            "{subject}: this is the state of a controller of rooms: go on with arete controller --state-dir"
        )));
    };
    Ok((lock, past, terms))
}

pub fn run(directory: PathBuf, options: &RunOptions) -> Result<u8, Error> {
    let (_lock, past, terms) = take_up(&directory)?;
    let known = &mut |file: &str| terms.shipped.get(file).cloned().ok_or_else(|| "is not known any more".to_owned());
    let test =
        testfile::parse(&directory.join(FILE).display().to_string(), &terms.test, known).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Error::failed(lines.join("\n"))
        })?;
    if let Some(work) = terms.work.as_deref().filter(|work| !past.has_ended() && is_work_of_ours(work)) {
        clear_away(work);
    }
    let cannot = |error: std::io::Error| Error::failed(format!("cannot start: {error}", error = plain(&error)));
    let fsync = options.fsync || terms.fsync;
    let security = options.security.clone().or(terms.tls.clone(), terms.insecure);
    let tls = match terms.listen.as_ref().filter(|_| !past.has_ended()) {
        Some(recorded) => security.at("--listen", options.listen.as_ref().unwrap_or(recorded), Use::Listen)?,
        None => None,
    };
    let (signals, max_connections) = (ENDING.to_vec(), terms.connections);
    let mut reactor =
        Reactor::new(Options { signals, fsync, tls, max_connections, ..Options::default() }).map_err(cannot)?;
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
    let controller =
        controller.limited(limits).launching(launcher).keeping(ledger::keep(&directory, wall_offset, Some(terms)));
    let resumed = controller.resumed(&past, &mut Mend::of(directory.join(EVENTS)));
    let mut controller = resumed.map_err(|error| Error::failed(error.to_string()))?;
    drop(past);
    Ok(reactor.run(&mut controller))
}

/// Returns the commands for the slaves that have not connected yet.
fn launcher(
    terms: &Terms,
    security: &Security,
    test: &Test,
    listening: Option<&str>,
) -> Result<Option<Launcher>, Error> {
    let (Some(asked), Some(listening)) = (&terms.launch, listening) else { return Ok(None) };
    let address = listening.parse().map_err(|_| Error::failed(format!("{listening} is no address")))?;
    match Launch::read(asked, Some(listening), security)? {
        Launch::By(template) => template.launcher(test, Some(listening), address).map(Some),
        Launch::Local => Ok(None),
    }
}

/// Listens where `--listen` says, or where the run did. `None` if the run had started its slaves itself: they are gone.
fn listen(reactor: &mut Reactor, terms: &Terms, options: &RunOptions) -> Result<Option<String>, Error> {
    let Some(recorded) = &terms.listen else { return Ok(None) };
    let asked = options.listen.as_ref().unwrap_or(recorded);
    listen::listen(reactor, Some(asked)).map(|address| Some(address.to_string()))
}

/// Whether a controller of this user has made this directory for its slaves. The path comes from a ledger, which
/// another user may have written.
fn is_work_of_ours(work: &Path) -> bool {
    let named = work.file_name().and_then(|name| name.to_str()).is_some_and(is_work_dir_name);
    let made = fs::symlink_metadata(work).is_ok_and(|metadata| {
        metadata.is_dir()
            && metadata.uid() == rustix::process::geteuid().as_raw()
            && metadata.mode() & 0o777 == WORK_DIR_MODE
    });
    named && made
}

/// Ends the processes that the slaves of a killed controller have left here, and removes their directories.
fn clear_away(work: &Path) {
    let begun = reactor::now();
    for entry in fs::read_dir(work).into_iter().flatten().flatten() {
        let Ok(directory) = fs::canonicalize(entry.path()) else { continue };
        let ended = loop {
            match slave::lock(&directory) {
                Ok(lock) => break Some(lock),
                Err(_) if reactor::now().since(begun) > SLAVES_END_WITHIN => break None,
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        };
        match ended {
            Some(_lock) => reactor::end_leftovers(&directory),
            None => log::warn!("a slave still works in {}", directory.display()),
        }
    }
    if let Err(error) = remove::tree(work) {
        complain(&format!("cannot remove {}: {error}", work.display(), error = plain(&error)));
    }
}
