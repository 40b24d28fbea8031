//! The directory in which a controller keeps its ledger: locked while it works, and read when it goes on.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use arete::controller::ledger::{self, Keep, Past, Terms};
use arete::reactor::{self, plain};
use rustix::fs::FlockOperation;

use super::Error;

/// Holds a directory for this process alone, as long as the file is open. `None`: another has it.
pub fn lock(directory: &Path) -> Result<Option<File>, Error> {
    let cannot = |error: std::io::Error| {
        Error::failed(format!("cannot lock {}: {error}", directory.display(), error = plain(&error)))
    };
    let file = File::open(directory).map_err(cannot)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(cannot(error.into())),
    }
}

/// Makes the directory of a controller's state, for this user alone.
pub fn make(directory: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| {
        Error::failed(format!(
            "cannot make {}: {error}; --state-dir names another",
            directory.display(),
            error = plain(&error)
        ))
    })
}

/// What to add to our clock to get microseconds since 1970 in UTC.
pub fn wall_offset() -> i64 {
    jiff::Timestamp::now().as_microsecond() - reactor::now().as_micros() as i64
}

/// A ledger in this directory.
pub fn keep(directory: &Path, wall_offset: i64, terms: Option<Terms>) -> Keep {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    Keep { path: directory.join(ledger::FILE), boot, wall_offset, terms, rewrite_from: None }
}

/// The ledger that a former controller has left in this directory, if there is one, and what lies beside it. What a
/// crash has torn at its end is cut off: the directory is locked.
pub fn past(directory: &Path) -> Result<Option<Past>, Error> {
    let path = directory.join(ledger::FILE);
    let cannot = |what: &str, error: std::io::Error| {
        Error::failed(format!("cannot {what} {}: {error}", path.display(), error = plain(&error)))
    };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", error)),
    };
    let length = bytes.len() as u64;
    // One that was killed while it wrote its first line had begun nothing.
    let past = if bytes.contains(&b'\n') { Some(Past::read(&path, bytes).map_err(Error::failed)?) } else { None };
    let whole = past.as_ref().map_or(0, Past::whole);
    if whole < length {
        let file = File::options().write(true).open(&path).map_err(|error| cannot("write", error))?;
        file.set_len(whole).map_err(|error| cannot("write", error))?;
    }
    let mut files = Vec::new();
    walk(directory, "", &mut files);
    Ok(past.map(|past| past.beside(files)))
}

/// All regular files below a directory, relative to it, with their lengths.
fn walk(directory: &Path, prefix: &str, files: &mut Vec<(String, u64)>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
        let relative = format!("{prefix}{name}");
        if metadata.is_dir() {
            walk(&entry.path(), &format!("{relative}/"), files);
        } else if metadata.is_file() {
            files.push((relative, metadata.len()));
        }
    }
}
