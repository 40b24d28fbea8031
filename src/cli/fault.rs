//! `arete fault`, a hidden subcommand: checks what faults need, injects one, and undoes one. And `arete slave --heal`.
//!
//! A slave starts it, so that nothing of this blocks the loop of the slave. Each kind of fault has its own file. To undo a
//! fault must be safe at any moment: before it was injected, in the middle, and a second time.

mod clock;
mod crash;
mod fill;
mod network;
mod partition;
mod tool;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use arete::exit_code;
use arete::slave::{Does, FAULTS, FaultRecord, RECORD, table_prefix};

use crate::cli::error::{Error, complain};

/// Runs the subcommand with these words.
pub fn run(words: &[String]) -> Result<u8, Error> {
    match words {
        [verb, kinds @ ..] if verb == "check" => kinds.iter().try_for_each(|kind| check(kind))?,
        [verb, path] if verb == "inject" => inject(&read(Path::new(path))?, Path::new(path))?,
        [verb, path] if verb == "undo" => undo(Path::new(path)).map(drop)?,
        _ => {
            return Err(Error::usage(
                "a slave uses \"arete fault\" itself: write faults in a test, see arete help test",
            ));
        }
    }
    Ok(exit_code::PASSED)
}

/// Fails if this machine lacks something that faults of this kind need.
fn check(kind: &str) -> Result<(), Error> {
    match kind {
        "partition" => partition::check(),
        "network" => network::check(),
        "clock" => clock::check(),
        "crash" => crash::check(),
        _ => Ok(()),
    }
}

fn inject(record: &FaultRecord, path: &Path) -> Result<(), Error> {
    match &record.does {
        Does::Partition { table, to, from, controller } => partition::inject(table, to, from, controller),
        Does::Network { handle, conditions, to, controller } => network::inject(*handle, conditions, to, controller),
        Does::Fill { file, leave } => fill::inject(Path::new(file), *leave),
        Does::Clock { step } => clock::inject(*step, path),
        Does::Crash => crash::inject(),
    }
}

/// Undoes a fault, and removes its record. Returns what the fault was; `None` if there is no such record.
fn undo(path: &Path) -> Result<Option<String>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    let record = read(path)?;
    match &record.does {
        Does::Partition { table, .. } => partition::undo(table)?,
        Does::Network { handle, .. } => network::undo(*handle)?,
        Does::Fill { file, .. } => fill::undo(Path::new(file))?,
        Does::Clock { .. } => clock::undo(path)?,
        Does::Crash => {}
    }
    fs::remove_file(path).map_err(Error::cannot(format_args!("remove {}", path.display())))?;
    Ok(Some(format!("{} (entry {} of run {})", record.what, record.entry, record.run)))
}

fn read(path: &Path) -> Result<FaultRecord, Error> {
    let bytes = fs::read(path).map_err(Error::cannot(format_args!("read {}", path.display())))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::failed(format!("{} is not the record of a fault: {error}: remove it by hand", path.display()))
    })
}

/// Undoes everything that an earlier slave of this directory has injected, and returns what that was. Fails if something is
/// left, after it has tried to undo everything.
pub fn heal(dir: &Path) -> Result<Vec<String>, Error> {
    let records = records(&dir.join(FAULTS))?;
    let (mut undone, mut left) = (Vec::new(), 0);
    for path in records.iter().flatten() {
        match undo(path) {
            Ok(what) => undone.extend(what),
            Err(error) => {
                complain(&error);
                left += 1;
            }
        }
    }
    if records.is_some() {
        for table in partition::tables(&table_prefix(dir)) {
            match partition::undo(&table) {
                Ok(()) => undone.push(format!("a partition (table inet {table})")),
                Err(error) => {
                    complain(&error);
                    left += 1;
                }
            }
        }
    }
    match left {
        0 => Ok(undone),
        _ => Err(Error::failed(format!(
            "{left} of the faults that an earlier slave of {} has injected are left: see above, and run \"arete slave --heal\" \
             again as the user of that slave",
            dir.display()
        ))),
    }
}

/// Returns the records in a directory, in the order of their names; `None` if the directory does not exist.
fn records(dir: &Path) -> Result<Option<Vec<PathBuf>>, Error> {
    let list = match fs::read_dir(dir) {
        Ok(list) => list,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::cannot(format_args!("read {}", dir.display()))(error)),
    };
    let paths = list.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.to_string_lossy().ends_with(RECORD)).collect();
    paths.sort();
    Ok(Some(paths))
}
