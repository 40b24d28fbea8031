//! What the tests that run the real program share: a directory of their own, the program with a deadline, and the
//! promise that nothing is left running.
//!
//! A [`Place`] prints everything it knows when its test fails, and ends whatever its test has started.

// Each test file uses its own part of this.
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
pub use place::Place;
pub use program::{Ended, Program, Running};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Long enough for anything that takes a moment on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Waits until `condition` holds; fails the test, saying what it waited for, when `deadline` has passed.
#[track_caller]
pub fn wait_for(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    assert!(holds_within(deadline, &mut condition), "waited {deadline:?} in vain for {what}");
}

/// Whether `condition` holds before `deadline` has passed.
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

/// What becomes of a run of all tests in which something that a test needs is absent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// With `CI=true` that is a failure: `.ci/run` installs it.
    InCi,
    /// The test is skipped.
    Nowhere,
}

/// Says that a test is skipped, and why. The caller returns.
pub fn skip(test: &str, why: &str, needed: Needed) {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!(in_ci && needed == Needed::InCi), "{test} cannot be skipped with CI=true: {why}");
    // Not through print: the harness shows the captured output of failed tests only.
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped {test}: {why}");
}

/// Whether a program is on the PATH.
pub fn have(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is, looked up as a shell would, and in the places of root's programs.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/usr/sbin", "/sbin", "/bin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The first of `programs` that is absent, with what to do about it.
pub fn missing(programs: &[&str]) -> Option<String> {
    programs.iter().find(|program| !have(program)).map(|program| format!("{program} is not installed"))
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Python without the user's own additions, so that only its standard library counts.
pub fn python() -> Command {
    let system = std::path::Path::new("/usr/bin/python3");
    let mut command = Command::new(if system.exists() { system } else { "python3".as_ref() });
    command.arg("-I");
    command
}

/// Runs a short command to its end and returns what it printed; fails the test when it does not exit with 0.
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
