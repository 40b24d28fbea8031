//! The ledger in the directory of a controller or of a run: how it is kept, and what an earlier controller left of it.
//!
//! The directory must be locked before [`past`] reads it, because `past` cuts off what a crash has torn.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use arete::controller::ledger::{self, FileError, Keep, Past, ReadLine, Source, Terms};
use arete::reactor::plain;

use crate::cli::error::Error;
use crate::cli::owned;

/// Returns how a ledger is kept in this directory.
pub fn keep(directory: &Path, wall_offset: i64, terms: Option<Terms>) -> Keep {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    Keep { path: directory.join(ledger::FILE), boot, wall_offset, terms, rewrite_from: None }
}

/// A file that is read a line at a time.
struct Reader(BufReader<File>);

impl ReadLine for Reader {
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<(), FileError> {
        self.0.read_until(b'\n', line).map(drop).map_err(|error| FileError(plain(&error)))
    }
}

/// Returns the ledger that an earlier controller left in this directory, if there is one, with the files beside it. A
/// line at its end that a crash has torn is cut off.
pub fn past(directory: &Path) -> Result<Option<Past>, Error> {
    let path = directory.join(ledger::FILE);
    let cannot = |what: &str, error: std::io::Error| {
        Error::failed(format!("cannot {what} {}: {error}", path.display(), error = plain(&error)))
    };
    if let Some(Err(foreign)) = fs::metadata(&path).as_ref().ok().map(owned::relies_on) {
        return Err(Error::failed(foreign.of(&path)));
    }
    let length = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", error)),
    };
    let from = path.clone();
    let source = Source::new(move || match File::open(&from) {
        Ok(file) => Ok(Box::new(Reader(BufReader::new(file)))),
        Err(error) => Err(FileError(plain(&error))),
    });
    // A controller that was killed while it wrote the first line had begun nothing.
    let past = Past::find(&path, source).map_err(|error| Error::failed(error.to_string()))?;
    let whole = past.as_ref().map_or(0, Past::whole);
    if whole < length {
        let file = File::options().write(true).open(&path).map_err(|error| cannot("write", error))?;
        file.set_len(whole).map_err(|error| cannot("write", error))?;
    }
    // A controller that was killed while it rewrote its ledger left this. The rewriting starts again.
    let _ = fs::remove_file(directory.join(ledger::NEW));
    let mut files = Vec::new();
    walk(directory, "", &mut files);
    Ok(past.map(|past| past.with_files(files)))
}

/// Collects all regular files below a directory, relative to it, with their lengths.
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
