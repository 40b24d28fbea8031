//! The subcommands that run tests: here with `arete run`, or at a controller (`remote`).
//!
//! This file owns `arete run FILE`: it loads the test, makes the results directory, and drives a controller. `resume`
//! goes on with a run that was interrupted, `launch` starts its slaves, and `check` only reads the test.

pub mod check;
pub mod event_log;
pub mod launch;
pub mod load;
pub mod options;
pub mod remote;
pub mod results_dir;
pub mod resume;

use std::net::SocketAddr;
use std::rc::Rc;

use arete::controller::ledger::Terms;
use arete::controller::{Config, Controller, Local, LocalSecurity};
use arete::machine::Time;
use arete::reactor::{self, Options, plain};
use arete::session;
use arete::testfile::Test;

use self::launch::Launch;
use self::load::Loaded;
use self::options::RunOptions;
use crate::cli::error::{Error, complain};
use crate::cli::listen::listen;
use crate::cli::random::random;
use crate::cli::tls::identity::{Security, Use};
use crate::cli::work_dir::{WorkDir, as_text};
use crate::cli::{directory, drive, environment, ledger, lock};

pub fn run(mut options: RunOptions, begun: Time) -> Result<u8, Error> {
    if let Some(controller) = &options.controller {
        return remote::run(controller, &options, begun);
    }
    if let Some(directory) = options.resume.take() {
        return resume::run(directory, &options);
    }
    if let Some(named) = environment::variable()?.filter(|_| options.listen.is_none() && options.launch.is_none()) {
        complain(&format!(
            "{} is set, and arete run FILE runs here: --controller {named} hands the test to it",
            environment::VARIABLE
        ));
    }
    let tls = match &options.listen {
        Some(listen) => options.security.at("--listen", listen, Use::Listen)?,
        None => options.security.without_address("--listen or --controller").map(|()| None)?,
    };
    let file = options.file.as_deref().ok_or_else(|| Error::usage("arete run: name a test file"))?;
    let loaded = load::load(file)?;
    loaded.warn();
    let Loaded { test, text, shipped, .. } = loaded;
    let now = jiff::Timestamp::now();
    let stem = format!("{}-{}", test.name, now.strftime("%Y%m%dT%H%M%SZ"));
    let launch = launch(&options)?;
    let here = launch.as_ref().map_or(options.listen.is_none(), |launch| *launch == Launch::Local);
    let security = match &options.listen {
        Some(_) if here => local_security(&options.security, &test)?,
        _ => LocalSecurity::default(),
    };
    let mut reactor = drive::reactor_with(Options {
        subreaper: here,
        fsync: options.fsync,
        max_connections: options.limits.connections(),
        tls,
        ..Options::default()
    })?;
    let address = listen(&mut reactor, options.listen.as_deref())?;
    let launcher = match &launch {
        Some(Launch::By(template)) => Some(template.launcher(&test, options.listen.as_deref(), address)?),
        Some(Launch::Local) | None => None,
    };
    // Slaves that commands start must find this controller again after a restart.
    let listening = (options.listen.is_some() || launcher.is_some()).then(|| address.to_string());
    let results = results_dir::make(options.results.clone(), &stem)?;
    let _lock = lock::directory(&results)?.ok_or_else(|| {
        Error::failed(format!("another controller works in {}: --results names another directory", results.display()))
    })?;
    let copy = results.join("test.json");
    directory::write(&copy, &text)
        .map_err(|error| Error::failed(format!("cannot write {}: {error}", copy.display(), error = plain(&error))))?;
    let work = if here { Some(WorkDir::make(options.keep)?) } else { None };
    let local = work.as_ref().map(|work| local(work, address, options.listen.is_none(), security)).transpose()?;
    let run = run_id(&stem);
    let bytes = |most: usize| most as u64;
    let (output, record) = (options.output_max.map(bytes), options.record_max.map(bytes));
    let limits = options.limits.limits().of_a_run(output, options.events_max, record);
    let wall_offset = now.as_microsecond() - reactor::now().as_micros() as i64;
    let terms = Terms {
        id: run.clone(),
        test: text,
        shipped,
        listen: listening.clone(),
        launch: options.launch.clone(),
        work: work.as_ref().filter(|work| !work.is_kept()).map(|work| work.path.clone()),
        limits,
        ..terms_of(&options)
    };
    let keep = ledger::keep(&results, wall_offset, Some(terms));
    let mut controller = Controller::new(Config {
        run,
        results,
        wait: options.wait,
        lost_after: options.lost_after.unwrap_or(session::LOST_AFTER),
        local,
        listening,
        follow: options.follow,
        terminal: reactor::terminal_size(),
        colors: reactor::wants_colors(),
        wall_offset,
        test: Rc::<Test>::from(test),
    })
    .limited(limits)
    .launching(launcher)
    .keeping(keep);
    Ok(reactor.run(&mut controller))
}

/// Returns the options that `--resume` needs.
fn terms_of(options: &RunOptions) -> Terms {
    Terms {
        wait: options.wait.map(|wait| wait.as_micros() as u64),
        lost_after: options.lost_after.unwrap_or(session::LOST_AFTER).as_micros() as u64,
        fsync: options.fsync,
        tls: options.security.directory(),
        insecure: options.security.is_insecure(),
        connections: options.limits.connections(),
        ..Terms::default()
    }
}

/// Makes the id of a run. It must be a valid name, so the name of the test in it may be shortened.
fn run_id(stem: &str) -> String {
    let suffix = format!("-{:04x}", random() & 0xffff);
    let (name, time) = stem.split_at(stem.rfind('-').unwrap_or(stem.len()));
    let room = session::NAME_MAX - time.len() - suffix.len();
    let name: String = name.chars().take(room).collect();
    format!("{name}{time}{suffix}")
}

/// Reads `--launch`.
fn launch(options: &RunOptions) -> Result<Option<Launch>, Error> {
    let read = |asked: &String| Launch::read(asked, options.listen.as_deref(), &options.security);
    options.launch.as_ref().map(read).transpose()
}

/// Returns how slaves of this machine prove who they are to a controller that listens for others too. Their
/// certificates are where `arete pki issue` puts them: beside the controller's, each in a directory of the slave's
/// name.
fn local_security(security: &Security, test: &Test) -> Result<LocalSecurity, Error> {
    let Some(own) = security.directory() else {
        return Ok(if security.is_insecure() { LocalSecurity::Insecure } else { LocalSecurity::Loopback });
    };
    let lab = own.parent().unwrap_or(&own).to_owned();
    as_text(&lab, "slaves that are started here have certificates", "--tls names another directory")?;
    match test.slaves.iter().find(|slave| !lab.join(&slave.name).is_dir()) {
        Some(slave) => Err(Error::usage(format!(
            "--launch local: there is no certificate for the slave {name} in {lab}: \"arete pki issue {lab} {name}\" \
             makes one, if that is the directory of the lab",
            name = slave.name,
            lab = lab.display()
        ))),
        None => Ok(LocalSecurity::Tls(lab)),
    }
}

fn local(work: &WorkDir, address: SocketAddr, closed: bool, security: LocalSecurity) -> Result<Local, Error> {
    let arete = std::env::current_exe()
        .map_err(|error| Error::failed(format!("cannot find arete itself: {error}", error = plain(&error))))?;
    as_text(&arete, "the program lies", "put it somewhere else")?;
    let secret = closed.then(|| format!("{:016x}{:016x}", random(), random()));
    Ok(Local { arete, address: address.to_string(), dir: work.path.clone(), keep: work.is_kept(), secret, security })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_a_test_with_the_longest_name_has_a_name() {
        for length in [1, 42, 43, session::NAME_MAX] {
            let stem = format!("{}-20260131T120000Z", "x".repeat(length));
            let id = run_id(&stem);
            assert!(session::is_name(&id) && id.contains("x-20260131T120000Z-"), "{id}");
        }
    }
}
