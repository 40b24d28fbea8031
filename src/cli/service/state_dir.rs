//! What a controller that takes tests finds in its directory: runs that go on, and runs that are over.

use std::fs;
use std::path::{Path, PathBuf};

use arete::controller::ledger::{FILE, Keep, Past};
use arete::controller::{Controller, EVENTS, LabConfig, OVER, RESOURCES, Shelved};
use arete::machine::ListenerId;
use arete::reactor::plain;

use crate::cli::error::Error;
use crate::cli::run::event_log::Mend;
use crate::cli::service::options::ControllerOptions;
use crate::cli::{directory, ledger, remove};

/// The directories of the runs, in that of the controller's state.
const RUNS: &str = "runs";

/// The runs that are there.
#[derive(Default)]
struct Found {
    going: Vec<(PathBuf, Past)>,
    over: Vec<Shelved>,
}

/// The same controller, which takes tests too, with the runs of a former life in `directory`.
pub fn hosting(
    controller: Controller,
    directory: &Path,
    options: &ControllerOptions,
    keep: &Keep,
    sockets: Vec<ListenerId>,
) -> Result<Controller, Error> {
    let runs = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()).join(RUNS);
    directory::make(&runs, "--state-dir")?;
    let config = LabConfig {
        runs: runs.clone(),
        sockets,
        operators: options.operators.iter().cloned().collect(),
        lost_after: options.lost_after,
        keeping: options.keep.unwrap_or_default(),
        boot: keep.boot.clone(),
        wall_offset: keep.wall_offset,
    };
    let mut controller = controller.hosting(config);
    let Found { going, over } = find(&runs)?;
    for (directory, past) in going {
        if let Err(why) = controller.take_up(&directory, &past, &mut Mend::of(directory.join(EVENTS))) {
            left_aside(&directory, &why);
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
            // Nobody needs them: it was killed before they were gone.
            let _ = remove::tree(&directory.join(RESOURCES));
        } else if directory.join(FILE).is_file() {
            match ledger::past(&directory) {
                Ok(Some(past)) => found.going.push((directory, past)),
                // Nobody was told of it.
                Ok(None) => remove(&directory),
                Err(error) => left_aside(&directory, &error.message),
            }
        } else if directory.join(RESOURCES).is_dir() {
            // It was being handed in when the controller was killed: whoever did so knows of no run.
            remove(&directory);
        }
    }
    found.going.sort_by_key(|(_, past)| past.place_in_queue());
    found.over.sort_by_key(|shelved: &Shelved| shelved.since);
    Ok(found)
}

fn remove(directory: &Path) {
    if let Err(error) = remove::tree(directory) {
        log::warn!("{} stays: {}", directory.display(), plain(&error));
    }
}

/// A run that cannot go on disturbs no other.
fn left_aside(directory: &Path, why: &str) {
    log::error!("the run in {} is left aside: {why}; remove the directory if nobody needs it", directory.display());
}
