//! The subcommands that run tests: on this machine with `arete run`, or at a controller (`remote`).
//!
//! This file owns `arete run FILE`: it loads the test, makes the results directory, and runs a controller. `resume`
//! continues a run whose controller was killed, `launch` starts slaves, and `check` only reads tests.

pub mod check;
pub mod compare;
pub mod event_log;
pub mod init;
pub mod junit;
pub mod launch;
pub mod load;
pub mod matrix;
pub mod measurements;
pub mod options;
pub mod parallel;
pub mod params;
pub mod remote;
pub mod results_dir;
pub mod resume;
pub mod rows;
pub mod series;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use arete::controller::ledger::Terms;
use arete::controller::{Config, Controller, Local, LocalSecurity};
use arete::machine::Time;
use arete::reactor::{self, Options};
use arete::session;
use arete::testfile::Test;

use self::launch::Launch;
use self::load::Loaded;
use self::options::{Done, RunOptions};
use crate::cli::error::{Error, complain};
use crate::cli::listen::listen;
use crate::cli::random::random;
use crate::cli::tls::identity::{Security, Use};
use crate::cli::work_dir::{WorkDir, as_text, own_program};
use crate::cli::{clock, directory, drive, environment, ledger};

/// Runs a test, or continues a run.
pub fn run(mut options: RunOptions, begun: Time) -> Result<u8, Error> {
    if let Some(directory) = options.resume.take() {
        return series::resume(&options, || resume::run(directory, &options));
    }
    if let Some(controller) = &options.controller {
        return series::run(&options, begun, &|loaded, results, begun| {
            remote::run(controller, &options, loaded, results, begun)
        });
    }
    if let Some(address) = environment::variable()?.filter(|_| options.listen.is_none() && options.launch.is_none()) {
        complain(format_args!(
            "{} is set, but arete run FILE runs on this machine: use --controller {address} to hand the test to it",
            environment::VARIABLE
        ));
    }
    series::run(&options, begun, &|loaded, results, _| run_here(&options, loaded, results))
}

/// Runs a test with a controller in this process.
fn run_here(options: &RunOptions, loaded: Loaded, results: Option<PathBuf>) -> Result<Done, Error> {
    let Loaded { test, json, shipped } = loaded;
    let listen_option = options.listen.as_deref();
    let tls = match listen_option {
        Some(address) => options.security.at("--listen", address, Use::Listen)?,
        None => options.security.without_address("--listen or --controller").map(|()| None)?,
    };
    let launch = options.launch.as_ref();
    let launch = launch.map(|value| Launch::read(value, listen_option, &options.security)).transpose()?;
    let starts_slaves = launch.as_ref().map_or(listen_option.is_none(), |launch| *launch == Launch::Local);
    let security = match listen_option {
        Some(_) if starts_slaves => local_security(&options.security, &test)?,
        _ => LocalSecurity::default(),
    };
    let mut reactor = drive::reactor_with(Options {
        subreaper: starts_slaves,
        fsync: options.fsync,
        max_connections: options.limits.connections(),
        tls,
        ..Options::default()
    })?;
    let address = listen(&mut reactor, listen_option)?;
    let launcher = match &launch {
        Some(Launch::By(template)) => Some(template.launcher(&test, listen_option, address)?),
        Some(Launch::Local) | None => None,
    };
    let stem = results_dir::stem(&test.name);
    let (results, _lock) = results_dir::make(results, &stem)?;
    let copy = results.join("test.json");
    directory::write(&copy, &json).map_err(Error::cannot(format_args!("write {}", copy.display())))?;
    let work = if starts_slaves { Some(WorkDir::make(options.keep)?) } else { None };
    let wall_offset = clock::wall_offset();
    let terms = Terms {
        id: run_id(&stem),
        test: json,
        shipped,
        // Slaves that commands start must find this controller again after a restart.
        listen: (listen_option.is_some() || launcher.is_some()).then(|| address.to_string()),
        work: work.as_ref().filter(|work| !work.is_kept()).map(|work| work.path.clone()),
        ..options.terms()
    };
    let config = Config {
        run: terms.id.clone(),
        results: results.clone(),
        wait: options.wait,
        lost_after: options.lost_after.unwrap_or(session::LOST_AFTER),
        local: work.as_ref().map(|work| local(work, address, listen_option.is_none(), security)).transpose()?,
        listening: terms.listen.clone(),
        follow: options.follow,
        terminal: reactor::terminal_size(),
        colors: reactor::wants_colors(),
        wall_offset,
        test: Rc::<Test>::from(test),
    };
    let controller = Controller::new(config).limited(terms.limits).launching(launcher).silent(options.quiet);
    let code = reactor.run(&mut controller.keeping(ledger::keep(&results, wall_offset, Some(terms))));
    Ok(Done { code, results })
}

/// Returns the id of a run. It must be a valid name, so the name of the test in it may be shortened.
fn run_id(stem: &str) -> String {
    let suffix = format!("-{:04x}", random() & 0xffff);
    let (name, time) = stem.split_at(stem.rfind('-').unwrap_or(stem.len()));
    let room = session::NAME_MAX - time.len() - suffix.len();
    let name: String = name.chars().take(room).collect();
    format!("{name}{time}{suffix}")
}

/// Returns how slaves of this machine prove their identity to a controller that listens for others too. Their
/// certificates are where `arete pki issue` puts them: next to the directory of the controller, in directories with the
/// names of the slaves.
fn local_security(security: &Security, test: &Test) -> Result<LocalSecurity, Error> {
    let Some(own) = security.directory() else {
        return Ok(if security.insecure { LocalSecurity::Insecure } else { LocalSecurity::Loopback });
    };
    let lab = own.parent().unwrap_or(&own).to_owned();
    as_text(&lab, "the slaves' certificates", "use --tls to name another directory")?;
    match test.slaves.iter().find(|slave| !lab.join(&slave.name).is_dir()) {
        Some(slave) => Err(Error::usage(format!(
            "--launch local: no certificate for the slave {name} in {lab}: if that is the directory of the lab, run \
             \"arete pki issue {lab} {name}\"",
            name = slave.name,
            lab = lab.display()
        ))),
        None => Ok(LocalSecurity::Tls(lab)),
    }
}

/// Returns how slaves are started on this machine. If no other slaves can connect, they get a secret.
fn local(work: &WorkDir, address: SocketAddr, closed: bool, security: LocalSecurity) -> Result<Local, Error> {
    Ok(Local {
        arete: own_program()?,
        address: address.to_string(),
        dir: work.path.clone(),
        keep: work.is_kept(),
        secret: closed.then(|| format!("{:016x}{:016x}", random(), random())),
        security,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_run_is_a_valid_name_even_if_the_test_has_the_longest_name() {
        for length in [1, 42, 43, session::NAME_MAX] {
            let stem = format!("{}-20260131T120000Z", "x".repeat(length));
            let id = run_id(&stem);
            assert!(session::is_name(&id) && id.contains("x-20260131T120000Z-"), "{id}");
        }
    }
}
