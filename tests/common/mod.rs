//! What the tests of the real program share: a directory for each test, programs with a deadline, and the check that
//! nothing is left running.
//!
//! If its test fails, a [`Place`] prints the commands, their output and its files. It always ends the programs that
//! its test has started.

// Each test file uses a different part of this.
#![allow(dead_code, unused_imports)]

pub mod lab;
pub mod package;
pub mod pki;
pub mod place;
pub mod program;
pub mod ring;
pub mod strays;
pub mod torrent;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub use lab::Lab;
pub use pki::Pki;
pub use place::{Place, files_below};
pub use program::{Ended, Program, Running};

/// How often a condition is checked.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Long enough, on a busy machine, for anything that usually takes a moment.
pub const SOON: Duration = Duration::from_secs(20);

/// Waits until `condition` holds. If it does not within `deadline`, fails the test with the name of the condition.
#[track_caller]
pub fn wait_for(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    assert!(holds_within(deadline, &mut condition), "waited {deadline:?} in vain for {what}");
}

/// Returns whether `condition` holds within `deadline`.
pub fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begin.elapsed() > deadline {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What a run of all tests does if a requirement of a test is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// With `CI=true` the test fails, because `.ci/run` installs it.
    InCi,
    /// The test is skipped.
    Nowhere,
}

/// Prints that a test is skipped, and why. The caller returns.
pub fn skip(test: &str, why: &str, needed: Needed) {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!(in_ci && needed == Needed::InCi), "{test} cannot be skipped with CI=true: {why}");
    // Not with print: the harness shows the captured output of failed tests only.
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped {test}: {why}");
}

/// Whether a program is on the PATH.
pub fn have(program: &str) -> bool {
    find(program).is_some()
}

/// The path of a program, on the PATH or in the usual directories for root.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/usr/sbin", "/sbin", "/bin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The first missing one of `programs`, with a hint how to get it.
pub fn missing(programs: &[&str]) -> Option<String> {
    programs.iter().find(|program| !have(program)).map(|program| format!("{program} is not installed"))
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Python without the user's own additions, with its standard library only.
pub fn python() -> Command {
    let system = std::path::Path::new("/usr/bin/python3");
    let mut command = Command::new(if system.exists() { system } else { "python3".as_ref() });
    command.arg("-I");
    command
}

/// Runs a short command to its end and returns its output. Fails the test if it does not exit with 0.
#[track_caller]
pub fn must(command: &mut Command) -> String {
    let output =
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The root of the repository.
pub fn repository() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}
