//! The runs in the state directory of a controller: those that continue, and those that are over.
//!
//! A run that cannot be read is logged and skipped. It must not prevent the start of the controller.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use arete::controller::ledger::{FILE, Keep, Past};
use arete::controller::{Archived, Controller, EVENTS, HostConfig, OVER, RESOURCES};
use arete::machine::ListenerId;
use arete::reactor::plain;

use crate::cli::error::Error;
use crate::cli::run::event_log::Repair;
use crate::cli::service::options::ControllerOptions;
use crate::cli::{directory, ledger, remove};

/// The subdirectory with a directory for each run.
const RUNS: &str = "runs";

/// The runs that were found.
#[derive(Default)]
struct Found {
    unfinished: Vec<(PathBuf, Past)>,
    over: Vec<Archived>,
}

/// Makes a controller accept tests, and gives it the runs that an earlier controller left in `directory`.
pub fn hosting(
    controller: Controller,
    directory: &Path,
    options: &ControllerOptions,
    keep: &Keep,
    sockets: Vec<ListenerId>,
) -> Result<Controller, Error> {
    let runs = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()).join(RUNS);
    directory::make(&runs, "--state-dir")?;
    let config = HostConfig {
        runs: runs.clone(),
        sockets,
        operators: options.operators.iter().cloned().collect(),
        lost_after: options.lost_after,
        keeping: options.keep.unwrap_or_default(),
        keep_max: options.keep_max(),
        boot: keep.boot.clone(),
        wall_offset: keep.wall_offset,
    };
    let mut controller = controller.hosting(config);
    let Found { unfinished, over } = find(&runs)?;
    for (directory, past) in unfinished {
        if let Err(error) = controller.take_up(&directory, &past, &mut Repair::of(directory.join(EVENTS))) {
            log_skipped(&directory, &error);
        }
    }
    Ok(controller.remembering(over))
}

fn find(runs: &Path) -> Result<Found, Error> {
    let mut found = Found::default();
    let entries = fs::read_dir(runs).map_err(Error::cannot(format_args!("read {}", runs.display())))?;
    for entry in entries.flatten() {
        let directory = entry.path();
        if let Some(archived) = fs::read(directory.join(OVER)).ok().and_then(|json| serde_json::from_slice(&json).ok())
        {
            found.over.push(archived);
            // A controller that was killed may not have removed the resources.
            let _ = remove::tree(&directory.join(RESOURCES));
        } else if directory.join(FILE).is_file() {
            match ledger::past(&directory) {
                Ok(Some(past)) => found.unfinished.push((directory, past)),
                // The run had not started.
                Ok(None) => remove(&directory),
                Err(error) => log_skipped(&directory, &error),
            }
        } else if directory.join(RESOURCES).is_dir() {
            // The controller was killed while the test was handed in, so the operator has no run either.
            remove(&directory);
        }
    }
    found.unfinished.sort_by_key(|(_, past)| past.place_in_queue());
    found.over.sort_by_key(|archived: &Archived| archived.since);
    Ok(found)
}

fn remove(directory: &Path) {
    if let Err(error) = remove::tree(directory) {
        log::warn!("cannot remove {}: {}", directory.display(), plain(&error));
    }
}

/// Logs that a run is skipped.
fn log_skipped(directory: &Path, why: &dyn Display) {
    log::error!("the run in {} is left aside: {why}; remove the directory if you do not need it", directory.display());
}
