//! Temporary directories for the slaves and nodes that this process starts.
//!
//! A directory is removed with its [`WorkDir`], unless it must be kept or holds output that was not shipped.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use arete::slave::{MARK, REST};

use crate::cli::error::{Error, complain};
use crate::cli::random::random;
use crate::cli::remove;

/// Returns a path as text. Fails if it is not UTF-8. `what` is in the path, and `advice` is the next step.
pub fn as_text<'a>(path: &'a Path, what: &str, advice: &str) -> Result<&'a str, Error> {
    path.to_str().ok_or_else(|| Error::usage(format!("{path:?}: the path of {what} must be UTF-8: {advice}")))
}

/// Returns the path of this program as text.
pub fn own_program() -> Result<PathBuf, Error> {
    let program = std::env::current_exe().map_err(Error::cannot("find the path of arete itself"))?;
    as_text(&program, "arete itself", "move it to another directory")?;
    Ok(program)
}

/// The start of the name of a temporary directory; 16 hexadecimal digits follow.
const WORK_DIR_PREFIX: &str = "arete-";

/// The mode of a temporary directory: for this user alone.
pub const WORK_DIR_MODE: u32 = 0o700;

/// Whether [`WorkDir::make`] could have made a directory of this name.
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
    /// Makes a directory. It is not removed if `keep` is set.
    pub fn make(keep: bool) -> Result<WorkDir, Error> {
        let path = std::env::temp_dir().join(format!("{WORK_DIR_PREFIX}{:016x}", random()));
        let advice = "set TMPDIR to another directory";
        as_text(&path, "the work directory", advice)?;
        let made = std::fs::DirBuilder::new().mode(WORK_DIR_MODE).create(&path);
        made.map_err(Error::cannot_so(format_args!("make {}", path.display()), advice))?;
        Ok(WorkDir { path, keep })
    }

    /// Whether the directory stays when this value is dropped.
    pub fn is_kept(&self) -> bool {
        self.keep
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.keep {
            complain(format_args!("the slaves' directories are in {}", self.path.display()));
        } else if holds_rest(&self.path) {
            let path = self.path.display();
            complain(format_args!("output that was not shipped stays in {path}: remove it when you do not need it"));
        } else if let Err(error) = remove::tree(&self.path) {
            complain(Error::cannot(format_args!("remove {}", self.path.display()))(error));
        }
    }
}

/// Whether a slave has left output that was not shipped because of a limit.
fn holds_rest(work: &Path) -> bool {
    let below = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let runs = below(work).flat_map(|slave| below(&slave).collect::<Vec<_>>());
    runs.map(|run| run.join(MARK)).any(|mark| std::fs::read(mark).is_ok_and(|content| content == REST))
}
