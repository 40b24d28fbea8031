//! The directory of a run's results: made before the run, never one that holds something.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Error;
use arete::reactor::plain;

/// Where results go when nobody says where.
const DEFAULT: &str = "results";

/// What members tell each other, and what commands write, is not for the other users of the machine.
const MODE: u32 = 0o700;

/// Makes the directory of a run: the one that was asked for, or `results/NAME-UTCTIME`, to which `results/latest` then
/// points.
pub fn make(asked: Option<PathBuf>, stem: &str) -> Result<PathBuf, Error> {
    match asked {
        Some(directory) => {
            make_empty(&directory)?;
            Ok(directory)
        }
        None => {
            let parent = Path::new(DEFAULT);
            fs::create_dir_all(parent).map_err(|error| cannot_make(parent, &error))?;
            let directory = make_new(parent, stem)?;
            point_latest(parent, &directory);
            Ok(directory)
        }
    }
}

fn make_empty(directory: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(MODE).create(directory);
    made.map_err(|error| cannot_make(directory, &error))?;
    let mut inside = fs::read_dir(directory).map_err(|error| cannot_make(directory, &error))?;
    match inside.next() {
        None => Ok(()),
        Some(_) => Err(Error::usage(format!(
            "--results {}: the directory is not empty; name a new one, or leave the option out",
            directory.display()
        ))),
    }
}

/// A directory that did not exist: two runs may begin in one second.
fn make_new(parent: &Path, stem: &str) -> Result<PathBuf, Error> {
    for nr in 1.. {
        let name = if nr == 1 { stem.to_owned() } else { format!("{stem}-{nr}") };
        let directory = parent.join(name);
        match fs::DirBuilder::new().mode(MODE).create(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot_make(&directory, &error)),
        }
    }
    unreachable!("some number is free")
}

fn cannot_make(directory: &Path, error: &std::io::Error) -> Error {
    Error::failed(format!(
        "cannot make the results directory {}: {error}; --results names another",
        directory.display(),
        error = plain(error)
    ))
}

/// Makes `latest` point to the directory; a link that cannot be made is no reason not to run.
fn point_latest(parent: &Path, directory: &Path) {
    let Some(name) = directory.file_name() else { return };
    let fresh = parent.join(format!(".latest-{}", std::process::id()));
    let linked = std::os::unix::fs::symlink(name, &fresh).and_then(|()| fs::rename(&fresh, parent.join("latest")));
    if let Err(error) = linked {
        let _ = fs::remove_file(&fresh);
        log::warn!(
            "cannot make {} point to {}: {error}",
            parent.join("latest").display(),
            directory.display(),
            error = plain(&error)
        );
    }
}
