//! The ledger in the directory of a controller or of a run: how it is kept, and how an earlier one is read.
//!
//! The directory must be locked before [`past`] reads it, because `past` cuts off an incomplete last line.

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

/// Returns the ledger that an earlier controller left in this directory, if there is one, with the other files of the
/// directory. An incomplete last line, which a crash may leave, is cut off.
pub fn past(directory: &Path) -> Result<Option<Past>, Error> {
    let path = directory.join(ledger::FILE);
    let length = match fs::metadata(&path) {
        Ok(metadata) => {
            owned::relies_on(&metadata).map_err(Error::foreign("", &path))?;
            metadata.len()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::cannot(format_args!("read {}", path.display()))(error)),
    };
    let from = path.clone();
    let source = Source::new(move || match File::open(&from) {
        Ok(file) => Ok(Box::new(Reader(BufReader::new(file)))),
        Err(error) => Err(FileError(plain(&error))),
    });
    // A controller that was killed while it wrote the first line had not done anything yet.
    let past = Past::find(&path, source).map_err(Error::failed)?;
    let whole = past.as_ref().map_or(0, Past::whole);
    if whole < length {
        let cut = File::options().write(true).open(&path).and_then(|file| file.set_len(whole));
        cut.map_err(Error::cannot(format_args!("write {}", path.display())))?;
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
