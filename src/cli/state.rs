//! The directory in which a controller keeps its ledger: locked while it works, and read when it goes on.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use arete::controller::ledger::{self, Keep, Past, ReadLine, Source, Terms};
use arete::reactor::{self, plain};

use super::{Error, lock, owned};

/// The mode of a directory that is for one user alone.
const CLOSED: u32 = 0o700;

/// The mode of those above it, of which the umask may take more away.
const ABOVE: u32 = 0o755;

/// Holds a directory for this process alone, as long as the file is open. `None`: another has it.
pub fn lock(directory: &Path) -> Result<Option<File>, Error> {
    let cannot = |error: std::io::Error| {
        Error::failed(format!("cannot lock {}: {error}", directory.display(), error = plain(&error)))
    };
    let file = File::open(directory).map_err(cannot)?;
    let taken = lock::take(&file, directory).map_err(cannot)?;
    Ok(taken.then_some(file))
}

/// Makes a directory for this user alone, unless it is there. Those above it everybody may read: others have theirs beside
/// it, as the services of a machine have in /var/lib/arete. Nobody else may write them, whatever the umask.
fn make_closed(directory: &Path) -> io::Result<()> {
    if let Some(above) = directory.parent().filter(|above| !above.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(ABOVE).create(above)?;
    }
    match fs::DirBuilder::new().mode(CLOSED).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes a directory in which this process works, for this user alone. One that is there must be this user's, and no other
/// may write it: what lies in it says what is run. `option` names another.
pub fn make(directory: &Path, option: &str) -> Result<(), Error> {
    make_closed(directory).map_err(|error| {
        Error::failed(format!(
            "cannot make the directory {}: {error}; {option} names another",
            directory.display(),
            error = plain(&error)
        ))
    })?;
    check(directory, option)
}

/// Refuses to work in a directory that is another user's, or that others may write. `option` has named it.
pub fn check(directory: &Path, option: &str) -> Result<(), Error> {
    owned::works_in(directory).map_err(|foreign| Error::failed(format!("{option}: {}", foreign.of(directory))))
}

/// Writes a file that nobody else may write, whatever the umask.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o644).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
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

/// A file that is read a line at a time.
struct Reader(BufReader<File>);

impl ReadLine for Reader {
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<(), String> {
        self.0.read_until(b'\n', line).map(drop).map_err(|error| plain(&error))
    }
}

/// The ledger that a former controller has left in this directory, if there is one, and what lies beside it. What a
/// crash has torn at its end is cut off: the directory is locked.
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
        Err(error) => Err(plain(&error)),
    });
    // One that was killed while it wrote its first line had begun nothing.
    let past = Past::find(&path, source).map_err(Error::failed)?;
    let whole = past.as_ref().map_or(0, Past::whole);
    if whole < length {
        let file = File::options().write(true).open(&path).map_err(|error| cannot("write", error))?;
        file.set_len(whole).map_err(|error| cannot("write", error))?;
    }
    // A controller that was killed while it wrote its ledger anew left this: it is begun again.
    let _ = fs::remove_file(directory.join(ledger::NEW));
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_is_closed_and_those_above_it_are_not() {
        let top = std::env::temp_dir().join(format!("arete-closed-test-{}", std::process::id()));
        let directory = top.join("arete/slave");
        make_closed(&directory).unwrap();
        make_closed(&directory).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let usual = top.join("usual");
        fs::create_dir(&usual).unwrap();
        let modes = [mode(&directory), mode(&top.join("arete")), mode(&top)];
        let expected = [0o700, mode(&usual), mode(&usual)];
        fs::write(top.join("file"), "").unwrap();
        let file = make_closed(&top.join("file"));
        fs::remove_dir_all(&top).unwrap();
        assert_eq!(modes, expected);
        assert!(file.is_err(), "a file is no directory");
    }
}
