//! The process that removes the directories of a run.

use std::path::Path;

use super::command::Command;

/// A directory that its owner may not write holds what it has in it: then all directories are made writable. Files keep
/// their modes, because other directories may have them too, by hard links.
const SCRIPT: &str = r#"rm -rf -- "$@" 2>/dev/null && exit
find "$@" -type d -exec chmod u+rwx {} \; 2>/dev/null
exec rm -rf -- "$@""#;

/// What the process is called among others.
const NAME: &str = "rm";

/// Removes `names`, which lie in `directory`. They are relative, so that the path of the directory may be any bytes, and
/// none begins with `-`.
pub fn removal(directory: &Path, names: &[&str]) -> Command {
    let script = ["/bin/sh", "-c", SCRIPT, NAME];
    Command {
        argv: script.iter().chain(names).map(|&word| word.to_owned()).collect(),
        cwd: Some(directory.to_owned()),
        ..Command::default()
    }
}

/// What a command line removes, if it is such a process: for those who play the world.
pub fn removed(argv: &[String]) -> Option<&[String]> {
    let words = argv.strip_prefix(&["/bin/sh", "-c", SCRIPT, NAME].map(str::to_owned)[..])?;
    Some(words)
}
