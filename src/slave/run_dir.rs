//! The directory of a run: where its commands work, where their output goes, and the mark of a directory that may be
//! removed.

use std::path::{Path, PathBuf};

/// A file in the directory of a run that is to be removed, also by the next slave if this one is killed.
pub const MARK: &str = ".arete-run";

/// The content of that file if the run has left more than it may ship.
pub const REST: &[u8] = b"holds what was not shipped\n";

/// Where everything of a run is.
#[derive(Debug)]
pub(super) struct RunDir(PathBuf);

impl RunDir {
    /// The directory of `run` below the directory of its slave.
    pub(super) fn new(slave: &Path, run: &str) -> RunDir {
        RunDir(slave.join(run))
    }

    /// Where the commands work, unless an entry has a directory of its own.
    pub(super) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    pub(super) fn resources(&self) -> PathBuf {
        self.0.join("resources")
    }

    pub(super) fn mark(&self) -> PathBuf {
        self.0.join(MARK)
    }

    /// The files of run `nr` of an entry, each with its name in the results: standard output and standard error.
    pub(super) fn output_of(&self, entry: &str, nr: u32) -> [(String, PathBuf); 2] {
        ["out", "err"].map(|kind| {
            let name = match nr {
                0 | 1 => format!("{entry}.{kind}"),
                _ => format!("{entry}.{nr}.{kind}"),
            };
            let path = self.0.join("output").join(&name);
            (name, path)
        })
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        path.starts_with(&self.0)
    }
}
