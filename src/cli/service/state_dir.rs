//! The runs in the state directory of a controller: those that go on, and those that are over.
//!
//! A run that cannot be read is logged and left as it is, and must not keep the controller from starting.

use std::fs;
use std::path::{Path, PathBuf};

use arete::controller::ledger::{FILE, Keep, Past};
use arete::controller::{Archived, Controller, EVENTS, HostConfig, OVER, RESOURCES};
use arete::machine::ListenerId;
use arete::reactor::plain;

use crate::cli::error::Error;
use crate::cli::run::event_log::Mend;
use crate::cli::service::options::ControllerOptions;
use crate::cli::{directory, ledger, remove};

/// The directory below the state directory that has a directory for each run.
const RUNS: &str = "runs";

/// The runs that were found.
#[derive(Default)]
struct Found {
    going: Vec<(PathBuf, Past)>,
    over: Vec<Archived>,
}

/// Makes a controller take tests, and gives it the runs that an earlier controller left in `directory`.
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
    let Found { going, over } = find(&runs)?;
    for (directory, past) in going {
        if let Err(why) = controller.take_up(&directory, &past, &mut Mend::of(directory.join(EVENTS))) {
            left_aside(&directory, &why.to_string());
        }
    }
    Ok(controller.remembering(over))
}

fn find(runs: &Path) -> Result<Found, Error> {
    let cannot = |path: &Path, error: std::io::Error| {
        Error::failed(format!("cannot read {}: {error}", path.display(), error = plain(&error)))
    };
    let mut found = Found::default();
    for entry in fs::read_dir(runs).map_err(|error| cannot(runs, error))?.flatten() {
        let directory = entry.path();
        if let Some(shelved) = fs::read(directory.join(OVER)).ok().and_then(|json| serde_json::from_slice(&json).ok()) {
            found.over.push(shelved);
            // The controller was killed before it had removed them.
            let _ = remove::tree(&directory.join(RESOURCES));
        } else if directory.join(FILE).is_file() {
            match ledger::past(&directory) {
                Ok(Some(past)) => found.going.push((directory, past)),
                // The run had not begun.
                Ok(None) => remove(&directory),
                Err(error) => left_aside(&directory, &error.message),
            }
        } else if directory.join(RESOURCES).is_dir() {
            // The controller was killed while the test was handed in, so its operator knows of no run.
            remove(&directory);
        }
    }
    found.going.sort_by_key(|(_, past)| past.place_in_queue());
    found.over.sort_by_key(|shelved: &Archived| shelved.since);
    Ok(found)
}

fn remove(directory: &Path) {
    if let Err(error) = remove::tree(directory) {
        log::warn!("{} stays: {}", directory.display(), plain(&error));
    }
}

/// Logs that a run cannot go on. The others do.
fn left_aside(directory: &Path, why: &str) {
    log::error!("the run in {} is left aside: {why}; remove the directory if nobody needs it", directory.display());
}
