//! The process that removes the directories of a run.
//!
//! A machine may remove files only by this process, because a large directory would block the loop for too long.

use std::path::Path;

use super::command::Command;

/// Removes the names. If that fails, a directory may be write-protected: then all directories are made writable first. Files
/// keep their modes, because a hard link in another directory would change with them.
const SCRIPT: &str = r#"rm -rf -- "$@" 2>/dev/null && exit
find "$@" -type d -exec chmod u+rwx {} \; 2>/dev/null
exec rm -rf -- "$@""#;

/// The name of the process in a list of processes.
const NAME: &str = "rm";

/// Returns the command that removes `names` in `directory`. The names are relative, because the path of the directory may
/// be any bytes.
pub fn removal(directory: &Path, names: &[&str]) -> Command {
    let script = ["/bin/sh", "-c", SCRIPT, NAME];
    Command {
        argv: script.iter().chain(names).map(|&word| word.to_owned()).collect(),
        cwd: Some(directory.to_owned()),
        ..Command::default()
    }
}

/// Returns what the command line of such a process removes; `None` for any other command. For simulators, which have no
/// real files.
pub fn removed(argv: &[String]) -> Option<&[String]> {
    let words = argv.strip_prefix(&["/bin/sh", "-c", SCRIPT, NAME].map(str::to_owned)[..])?;
    Some(words)
}
