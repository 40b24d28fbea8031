//! The directory for the results of a run, made and locked before the run.
//!
//! A directory with other content must never be used.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use arete::reactor::plain;

use crate::cli::error::{Error, FromIo, complain};
use crate::cli::{directory, lock};

/// The outcome of a run in its results. It is written after the ledger is complete.
pub const SUMMARY: &str = "summary.json";

/// The default directory for all results.
const DEFAULT: &str = "results";

/// The mode of a results directory. Other users must not read output, nor change the ledger, which decides what `--resume`
/// runs.
const MODE: u32 = 0o700;

/// Returns the default name of the results directory of a test with this name: `NAME-UTCTIME`.
pub fn stem(name: &str) -> String {
    format!("{name}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"))
}

/// Makes and locks the directory of a run: the one of `--results`, or `results/STEM`, to which `results/latest` then
/// points.
pub fn make(option: Option<PathBuf>, stem: &str) -> Result<(PathBuf, File), Error> {
    let directory = match option {
        Some(directory) => {
            make_empty(&directory)?;
            directory
        }
        None => {
            let parent = Path::new(DEFAULT);
            make_closed(parent).map_err(cannot_make(parent, "--results"))?;
            let directory = make_new(parent, stem)?;
            point_latest(parent, &directory);
            directory
        }
    };
    locked(directory, "--results")
}

fn locked(directory: PathBuf, option: &str) -> Result<(PathBuf, File), Error> {
    let lock = lock::directory(&directory)?.ok_or_else(|| {
        let path = directory.display();
        Error::failed(format!("{option} {path}: another arete works there: use {option} to name another directory"))
    })?;
    Ok((directory, lock))
}

/// The file that names the run in a directory of `arete results`.
const MARK: &str = ".run";

/// Makes and locks a directory for fetched results: the one of `--output`, or `results/RUN`. Fails if it has other content
/// than results of this run.
pub fn make_for(option: Option<PathBuf>, run: &str) -> Result<(PathBuf, File), Error> {
    let directory = option.unwrap_or_else(|| Path::new(DEFAULT).join(run));
    let cannot = cannot_make(&directory, "--output");
    if let Some(parent) = directory.parent() {
        make_closed(parent).map_err(&cannot)?;
    }
    match fs::DirBuilder::new().mode(MODE).create(&directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
        made => made.map_err(&cannot)?,
    }
    directory::check(&directory, "--output")?;
    let mark = directory.join(MARK);
    let marked = fs::read_to_string(&mark).is_ok_and(|marked| marked.trim_end() == run);
    if !marked {
        if fs::read_dir(&directory).map_err(&cannot)?.next().is_some() {
            return Err(Error::usage(format!(
                "--output {}: the directory is not empty and has no results of {run}: name a new directory",
                directory.display()
            )));
        }
        fs::write(&mark, format!("{run}\n")).map_err(&cannot)?;
    }
    locked(directory, "--output")
}

/// Removes the directory of a run that has not started, and `latest` if it points to it.
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
    let cannot = cannot_make(directory, "--results");
    make_closed(directory).map_err(&cannot)?;
    directory::check(directory, "--results")?;
    match fs::read_dir(directory).map_err(&cannot)?.next() {
        None => Ok(()),
        Some(_) => Err(Error::usage(format!(
            "--results {}: the directory is not empty: name a new one, or leave the option out",
            directory.display()
        ))),
    }
}

/// Makes a new directory. If two runs start in the same second, the name gets a number.
fn make_new(parent: &Path, stem: &str) -> Result<PathBuf, Error> {
    for nr in 1.. {
        let name = if nr == 1 { stem.to_owned() } else { format!("{stem}-{nr}") };
        let directory = parent.join(name);
        match fs::DirBuilder::new().mode(MODE).create(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot_make(&directory, "--results")(error)),
        }
    }
    unreachable!("some number is free")
}

fn cannot_make(directory: &Path, option: &str) -> FromIo {
    let action = format!("make the results directory {}", directory.display());
    Error::cannot_so(action, format_args!("use {option} to name another directory"))
}

/// Makes `latest` point to the directory. A failure does not stop the run.
fn point_latest(parent: &Path, directory: &Path) {
    let Some(name) = directory.file_name() else { return };
    let latest = parent.join("latest");
    if fs::symlink_metadata(&latest).is_ok_and(|metadata| !metadata.is_symlink()) {
        let (latest, results) = (latest.display(), directory.display());
        return complain(format_args!(
            "{latest} is not a symbolic link: it is not changed; the results are in {results}"
        ));
    }
    let fresh = parent.join(format!(".latest-{}", std::process::id()));
    let linked = std::os::unix::fs::symlink(name, &fresh).and_then(|()| fs::rename(&fresh, &latest));
    if let Err(error) = linked {
        let _ = fs::remove_file(&fresh);
        log::warn!("cannot make {} point to {}: {error}", latest.display(), directory.display(), error = plain(&error));
    }
}
