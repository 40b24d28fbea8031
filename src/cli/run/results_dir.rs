//! The directory of a run's results, made before the run.
//!
//! A directory that holds something else must never be used.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use arete::reactor::plain;

use crate::cli::directory;
use crate::cli::error::{Error, complain};

/// The directory of results by default.
const DEFAULT: &str = "results";

/// The mode of a results directory, whatever the umask. Output is not for other users of the machine, and the ledger
/// decides what `--resume` runs.
const MODE: u32 = 0o700;

/// Makes the directory of a run: `asked`, or `results/NAME-UTCTIME`, to which `results/latest` then points.
pub fn make(asked: Option<PathBuf>, stem: &str) -> Result<PathBuf, Error> {
    match asked {
        Some(directory) => {
            make_empty(&directory)?;
            Ok(directory)
        }
        None => {
            let parent = Path::new(DEFAULT);
            make_closed(parent).map_err(|error| cannot_make(parent, &error))?;
            let directory = make_new(parent, stem)?;
            point_latest(parent, &directory);
            Ok(directory)
        }
    }
}

/// The file in a directory of `arete results` that names the run.
const MARK: &str = ".run";

/// Makes a directory for the results of this run: `asked`, or `results/RUN`. Fails if it holds anything but results of
/// this run.
pub fn make_for(asked: Option<PathBuf>, run: &str) -> Result<PathBuf, Error> {
    let directory = asked.unwrap_or_else(|| Path::new(DEFAULT).join(run));
    let cannot = |error: std::io::Error| {
        Error::failed(format!(
            "cannot make {}: {error}; --output names another directory",
            directory.display(),
            error = plain(&error)
        ))
    };
    if let Some(parent) = directory.parent() {
        make_closed(parent).map_err(cannot)?;
    }
    match fs::DirBuilder::new().mode(MODE).create(&directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
        made => made.map_err(cannot)?,
    }
    directory::check(&directory, "--output")?;
    let mark = directory.join(MARK);
    let marked = fs::read_to_string(&mark).is_ok_and(|marked| marked.trim_end() == run);
    if !marked {
        if fs::read_dir(&directory).map_err(cannot)?.next().is_some() {
            return Err(Error::usage(format!(
                "--output {}: the directory holds something else than results of {run}; name a new one",
                directory.display()
            )));
        }
        fs::write(&mark, format!("{run}\n")).map_err(cannot)?;
    }
    Ok(directory)
}

/// Removes the directory of a run that did not begin, and `latest` if it points to it.
pub fn drop_if_empty(directory: &Path) {
    if fs::remove_dir(directory).is_err() {
        return;
    }
    let latest = directory.with_file_name("latest");
    if fs::read_link(&latest).is_ok_and(|target| Some(target.as_os_str()) == directory.file_name()) {
        let _ = fs::remove_file(latest);
    }
}

fn make_closed(directory: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(MODE).create(directory)
}

fn make_empty(directory: &Path) -> Result<(), Error> {
    make_closed(directory).map_err(|error| cannot_make(directory, &error))?;
    directory::check(directory, "--results")?;
    let mut inside = fs::read_dir(directory).map_err(|error| cannot_make(directory, &error))?;
    match inside.next() {
        None => Ok(()),
        Some(_) => Err(Error::usage(format!(
            "--results {}: the directory is not empty; name a new one, or leave the option out",
            directory.display()
        ))),
    }
}

/// Makes a directory that did not exist. Two runs may begin in the same second, so a number may be added.
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

/// Makes `latest` point to the directory. A link that cannot be made does not stop the run.
fn point_latest(parent: &Path, directory: &Path) {
    let Some(name) = directory.file_name() else { return };
    let latest = parent.join("latest");
    if fs::symlink_metadata(&latest).is_ok_and(|there| !there.is_symlink()) {
        let text = format!("{} is not a symbolic link: it stays as it is", latest.display());
        return complain(&format!("{text}, and the results are in {}", directory.display()));
    }
    let fresh = parent.join(format!(".latest-{}", std::process::id()));
    let linked = std::os::unix::fs::symlink(name, &fresh).and_then(|()| fs::rename(&fresh, &latest));
    if let Err(error) = linked {
        let _ = fs::remove_file(&fresh);
        log::warn!("cannot make {} point to {}: {error}", latest.display(), directory.display(), error = plain(&error));
    }
}
