//! Temporary directories, where the slaves and nodes work that this process starts itself.
//!
//! A directory is removed with its [`WorkDir`], unless it is to be kept or holds output that was not shipped.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use arete::reactor::plain;
use arete::slave::{MARK, REST};

use crate::cli::error::{Error, complain};
use crate::cli::random::random;
use crate::cli::remove;

/// Returns a path as text. Fails if it is not UTF-8; `what` and `then` are for the message.
pub fn as_text<'a>(path: &'a Path, what: &str, then: &str) -> Result<&'a str, Error> {
    path.to_str().ok_or_else(|| Error::usage(format!("{path:?}: {what} there, and its name must be UTF-8: {then}")))
}

/// The beginning of a temporary directory's name; 16 hexadecimal digits follow.
const WORK_DIR_PREFIX: &str = "arete-";

/// The mode of a temporary directory: for this user alone.
pub const WORK_DIR_MODE: u32 = 0o700;

/// Whether a directory of this name may be one that [`WorkDir::make`] has made.
pub fn is_work_dir_name(name: &str) -> bool {
    let digits = name.strip_prefix(WORK_DIR_PREFIX);
    digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// A temporary directory.
pub struct WorkDir {
    pub path: PathBuf,
    keep: bool,
}

impl WorkDir {
    /// Makes a directory. It is kept if `keep` says so.
    pub fn make(keep: bool) -> Result<WorkDir, Error> {
        let path = std::env::temp_dir().join(format!("{WORK_DIR_PREFIX}{:016x}", random()));
        as_text(&path, "slaves that are started here work", "TMPDIR names another place")?;
        let made = std::fs::DirBuilder::new().mode(WORK_DIR_MODE).create(&path);
        made.map_err(|error| {
            Error::failed(format!(
                "cannot make {}: {error}; TMPDIR names another place",
                path.display(),
                error = plain(&error)
            ))
        })?;
        Ok(WorkDir { path, keep })
    }

    /// Whether the directory stays when this value goes.
    pub fn is_kept(&self) -> bool {
        self.keep
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.keep {
            complain(&format!("the slaves' directories are in {}", self.path.display()));
        } else if holds_rest(&self.path) {
            complain(&format!("what was not shipped stays in {}: remove it when nobody needs it", self.path.display()));
        } else if let Err(error) = remove::tree(&self.path) {
            complain_of_leftover(&self.path, &error);
        }
    }
}

/// Whether a slave has left output there that a limit kept from the results.
fn holds_rest(work: &Path) -> bool {
    let below = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let runs = below(work).flat_map(|slave| below(&slave).collect::<Vec<_>>());
    runs.map(|run| run.join(MARK)).any(|mark| std::fs::read(mark).is_ok_and(|says| says == REST))
}

fn complain_of_leftover(path: &Path, error: &std::io::Error) {
    complain(&format!("cannot remove {}: {error}", path.display(), error = plain(error)));
}
