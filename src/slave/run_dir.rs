//! The layout of the directory of a run, and the mark of a directory that may be removed.

use std::path::{Path, PathBuf};

/// The file that marks a run's directory for removal. If this slave is killed, the next one removes the directory.
pub const MARK: &str = ".arete-run";

/// The content of that file if a limit has kept some files from being shipped.
pub const REST: &[u8] = b"holds what was not shipped\n";

/// The directory of a run.
#[derive(Debug)]
pub(super) struct RunDir(PathBuf);

impl RunDir {
    /// Returns the directory of `run` below the directory of its slave.
    pub(super) fn new(slave: &Path, run: &str) -> RunDir {
        RunDir(slave.join(run))
    }

    /// Returns where commands work, unless an entry has a directory of its own.
    pub(super) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    pub(super) fn resources(&self) -> PathBuf {
        self.0.join("resources")
    }

    pub(super) fn mark(&self) -> PathBuf {
        self.0.join(MARK)
    }

    /// Returns the files with the standard output and the standard error of run `nr` of an entry, each with its name in
    /// the results.
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

    /// Returns the file with the output of a process that injects, undoes or checks a fault.
    pub(super) fn fault_log(&self, name: &str) -> PathBuf {
        self.0.join("faults").join(name)
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        path.starts_with(&self.0)
    }
}
