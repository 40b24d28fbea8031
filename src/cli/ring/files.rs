//! The files of a node: the shared secret, the state directory, and the programs of the work.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use arete::reactor::{null, plain};
use arete::ring::seal::Key;
use rustix::fs::Access;

use crate::cli::error::Error;
use crate::cli::lock::take;
use crate::cli::source::{self, MARK_BYTES, Takes, Unread};
use crate::cli::{directory, owned};

/// The shortest secret, in bytes. A shorter one could be guessed.
pub const KEY_MIN: usize = 16;

/// The longest secret, in bytes.
pub const KEY_MAX: usize = 4096;

/// The mode bits that give users other than the owner any access.
const OTHERS: u32 = 0o077;

/// The file in a state directory that is locked while a node uses it.
const LOCK_FILE: &str = "lock";

/// Returns the secret in a file, without line ends after it. Fails if another user can read the file.
pub fn key(path: &Path) -> Result<Key, Error> {
    let option = format!("--key-file {}", path.display());
    let wrong = |why: &dyn Display| Error::failed(format!("{option}: {why}"));
    let unreadable = |error: std::io::Error| Error::cannot("read it")(error).of(&option);
    let (mut file, _) = source::open(path, Takes::Files).map_err(|why| match why {
        Unread::Io(error) => unreadable(error),
        why => wrong(&why),
    })?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.mode() & OTHERS != 0 {
        let path = path.display();
        return Err(wrong(&format_args!("users other than its owner can read it: run \"chmod 600 {path}\"")));
    }
    owned::relies_on(&metadata).map_err(Error::foreign("--key-file ", path))?;
    let mut secret = Vec::new();
    file.by_ref().take(KEY_MAX as u64 + 1).read_to_end(&mut secret).map_err(unreadable)?;
    if secret.len() > KEY_MAX {
        return Err(wrong(&format_args!("a secret has at most {KEY_MAX} bytes")));
    }
    if secret.starts_with(MARK_BYTES) {
        secret.drain(..MARK_BYTES.len());
    }
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    match secret.len() {
        0 => Err(wrong(&"it is empty: \"openssl rand -hex 32\" prints a new secret")),
        few @ ..KEY_MIN => Err(wrong(&format_args!("it has {few} bytes: a secret has at least {KEY_MIN} bytes"))),
        _ => Ok(Key::new(secret)),
    }
}

/// A state directory, for this process alone as long as this value lives.
pub struct StateDir {
    pub path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the directory if it does not exist, and locks it.
    pub fn open(directory: &Path) -> Result<StateDir, Error> {
        let option = format!("--state-dir {}", directory.display());
        let cannot = |action: &'static str| {
            let option = &option;
            move |error: std::io::Error| Error::cannot(action)(error).of(option)
        };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        let path = made.and_then(|()| fs::canonicalize(directory)).map_err(cannot("make it"))?;
        directory::check(&path, "--state-dir")?;
        let lock = File::options().create(true).append(true).open(path.join(LOCK_FILE));
        let lock = lock.map_err(cannot("write in it"))?;
        if !take(&lock, &path).map_err(cannot("lock it"))? {
            return Err(Error::failed(format!("{option}: another node uses it: name another directory")));
        }
        Ok(StateDir { path, _lock: lock })
    }
}

/// Fails if the program of a shell command does not exist. A command that only the shell can understand is not checked.
pub fn check_step(option: &str, command: &str) -> Result<(), Error> {
    let Some(word) = command.split_whitespace().next() else {
        return Err(Error::usage(format!("{option} is empty: write a shell command")));
    };
    let rest = command.trim_start()[word.len()..].trim_start();
    if !word.chars().all(is_literal) || rest.starts_with('(') {
        return Ok(());
    }
    let cannot = |why: &dyn Display| Error::failed(format!("{option}: cannot run {word}: {why}"));
    if word.contains('/') {
        return match fs::metadata(word) {
            Err(error) => Err(cannot(&plain(&error))),
            Ok(metadata) if metadata.is_dir() => Err(cannot(&"it is a directory")),
            Ok(_) if rustix::fs::access(word, Access::EXEC_OK).is_err() => {
                Err(cannot(&format_args!("it is not executable: run \"chmod +x {word}\"")))
            }
            Ok(_) => Ok(()),
        };
    }
    // The shell is asked, because it also knows its built-in commands.
    let [input, output, errors] = [true, false, false].map(|read| null(File::options().read(read).write(!read)));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "command -v -- \"$1\"", "sh", word]);
    shell.stdin(input.map_err(|error| cannot(&error))?);
    shell.stdout(output.map_err(|error| cannot(&error))?).stderr(errors.map_err(|error| cannot(&error))?);
    match shell.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => {
            Err(cannot(&format_args!("no such program on the PATH; write ./{word} for a program in this directory")))
        }
        Err(error) => Err(cannot(&format_args!("/bin/sh: {}", plain(&error)))),
    }
}

/// Whether the shell uses a character unchanged.
fn is_literal(letter: char) -> bool {
    letter.is_alphanumeric() || "_-./+,:@%".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_a_shell_would_run_is_accepted() {
        let fine = [
            "cat",
            "  cat -n",
            "cat;true",
            "true",
            ":",
            "exit 3",
            "[ -n x ]",
            "if true; then cat; fi",
            "{ cat; }",
            "! cat",
            "A=b nothing-of-this-name",
            "\"no such\"",
            "$PROGRAM x",
            "(cat)",
            "f() { cat; }; f",
            "f () { cat; }",
            "/bin/cat",
            "# a comment",
            "while read line; do echo $line; done",
            "~/x",
            "`x`",
        ];
        for command in fine {
            assert!(check_step("--work", command).is_ok(), "{command:?}");
        }
    }

    #[test]
    fn a_program_that_does_not_exist_is_refused() {
        for (command, why) in [
            ("no-such-program x", "cannot run no-such-program: no such program on the PATH"),
            ("./no-such-step", "cannot run ./no-such-step: no such file"),
            ("/etc/passwd", "it is not executable"),
            ("/etc", "it is a directory"),
            (" \n", "empty"),
        ] {
            let error = check_step("--work", command).unwrap_err().to_string();
            assert!(error.contains(why), "{command:?}: {error}");
        }
    }
}
