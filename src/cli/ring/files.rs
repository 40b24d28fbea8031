//! What of a node lies in files: the shared secret, the state directory, and the programs of the work.

use std::fs::{self, File, OpenOptions};
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

/// The shortest secret that nobody guesses, in bytes.
pub const KEY_MIN: usize = 16;

/// The longest secret, in bytes.
pub const KEY_MAX: usize = 4096;

/// The bits of a file's mode by which others than its owner may do anything.
const OTHERS: u32 = 0o077;

/// The file in a state directory that is locked while a node uses it.
const LOCK_FILE: &str = "lock";

/// The secret in a file, without the ends of line behind it.
pub fn key(path: &Path) -> Result<Key, Error> {
    let wrong = |what: String| Error::failed(format!("--key-file {}: {what}", path.display()));
    let unreadable = |error: std::io::Error| wrong(format!("cannot read it: {}", plain(&error)));
    let (mut file, _) = source::open(path, Takes::Files).map_err(|why| match why {
        Unread::Io(error) => unreadable(error),
        why => wrong(why.to_string()),
    })?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.mode() & OTHERS != 0 {
        let path = path.display();
        return Err(wrong(format!("others than its owner may read it: \"chmod 600 {path}\" forbids that")));
    }
    owned::relies_on(&metadata).map_err(|foreign| Error::failed(format!("--key-file {}", foreign.of(path))))?;
    let mut secret = Vec::new();
    file.by_ref().take(KEY_MAX as u64 + 1).read_to_end(&mut secret).map_err(unreadable)?;
    if secret.len() > KEY_MAX {
        return Err(wrong(format!("a secret has at most {KEY_MAX} bytes")));
    }
    if secret.starts_with(MARK_BYTES) {
        secret.drain(..MARK_BYTES.len());
    }
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    match secret.len() {
        0 => Err(wrong("it is empty; \"openssl rand -hex 32\" makes a secret".to_owned())),
        few @ ..KEY_MIN => Err(wrong(format!("a secret has at least {KEY_MIN} bytes, this one {few}"))),
        _ => Ok(Key::new(secret)),
    }
}

/// A state directory, for this process alone as long as this value lives.
pub struct StateDir {
    pub path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the directory, if it is not there, and locks it.
    pub fn open(asked: &Path) -> Result<StateDir, Error> {
        let cannot = |what: &str, error: std::io::Error| {
            Error::failed(format!("--state-dir {}: cannot {what}: {}", asked.display(), plain(&error)))
        };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(asked);
        let path = made.and_then(|()| fs::canonicalize(asked)).map_err(|error| cannot("make it", error))?;
        directory::check(&path, "--state-dir")?;
        let lock = File::options().create(true).append(true).open(path.join(LOCK_FILE));
        let lock = lock.map_err(|error| cannot("write there", error))?;
        if !take(&lock, &path).map_err(|error| cannot("lock it", error))? {
            let asked = asked.display();
            return Err(Error::failed(format!("--state-dir {asked}: another node uses it; each needs one of its own")));
        }
        Ok(StateDir { path, _lock: lock })
    }
}

/// Refuses a command whose program is not there. What only the shell can tell is left to the shell.
pub fn check_step(option: &str, command: &str) -> Result<(), Error> {
    let Some(word) = command.split_whitespace().next() else {
        return Err(Error::usage(format!("{option} is empty: say a shell command")));
    };
    let behind = command.trim_start()[word.len()..].trim_start();
    if !word.chars().all(is_plain) || behind.starts_with('(') {
        return Ok(());
    }
    match word.contains('/') {
        true => check_file(word),
        false => check_word(word),
    }
    .map_err(|why| Error::failed(format!("{option}: {why}")))
}

/// Whether a character of a word means itself to the shell.
fn is_plain(letter: char) -> bool {
    letter.is_alphanumeric() || "_-./+,:@%".contains(letter)
}

fn check_file(word: &str) -> Result<(), String> {
    match fs::metadata(word) {
        Err(error) => Err(format!("cannot run {word}: {}", plain(&error))),
        Ok(metadata) if metadata.is_dir() => Err(format!("cannot run {word}: it is a directory")),
        Ok(_) if rustix::fs::access(word, Access::EXEC_OK).is_err() => {
            Err(format!("cannot run {word}: it is not executable; chmod +x {word}"))
        }
        Ok(_) => Ok(()),
    }
}

/// Asks the shell, which also knows its own words.
fn check_word(word: &str) -> Result<(), String> {
    let mut shell = Command::new("/bin/sh");
    let null = |options: &OpenOptions| null(options).map_err(|error| error.text);
    shell.args(["-c", "command -v -- \"$1\"", "sh", word]).stdin(null(File::options().read(true))?);
    shell.stdout(null(File::options().write(true))?).stderr(null(File::options().write(true))?);
    match shell.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("there is no program {word} on the PATH; write ./{word} for one in this directory")),
        Err(error) => Err(format!("cannot run /bin/sh: {}", plain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str) -> Result<(), String> {
        check_step("--work", command).map_err(|error| error.message)
    }

    #[test]
    fn what_a_shell_would_run_is_not_refused() {
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
            assert_eq!(check(command), Ok(()), "{command:?}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_refused() {
        assert!(check("no-such-program x").unwrap_err().contains("no program no-such-program on the PATH"));
        assert!(check("./no-such-step").unwrap_err().contains("cannot run ./no-such-step: "));
        assert!(check("/etc/passwd").unwrap_err().contains("not executable"));
        assert!(check("/etc").unwrap_err().contains("directory"));
        assert!(check(" \n").unwrap_err().contains("empty"));
    }
}
