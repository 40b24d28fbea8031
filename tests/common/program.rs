//! A program that a test runs, with a deadline. Its output is written to files, so it can be read at any time.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::place::{MARK, Place};
use super::{holds_within, wait_for};

/// The deadline of a program, unless the test names another.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is printed of a program if the test fails.
pub struct Record {
    pub command: String,
    pub status: String,
    pub stdout: PathBuf,
    pub stderr: PathBuf,
}

/// A program about to be run.
pub struct Program<'a> {
    place: &'a Place,
    command: Command,
    deadline: Duration,
}

impl<'a> Program<'a> {
    pub(super) fn new(place: &'a Place, mut command: Command) -> Program<'a> {
        if command.get_current_dir().is_none() {
            command.current_dir(place.dir());
        }
        command
            .env(MARK, place.mark())
            .env("TMPDIR", place.path("tmp"))
            .env_remove("ARETE_SOCKET")
            .env_remove("ARETE_CONTROLLER")
            .stdin(Stdio::null());
        Program { place, command, deadline: DEADLINE }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts it.
    #[track_caller]
    pub fn start(mut self) -> Running<'a> {
        let mut records = self.place.records.borrow_mut();
        let nr = records.len();
        let stdout = self.place.path(format!("command-{nr}.out"));
        let stderr = self.place.path(format!("command-{nr}.err"));
        let create = |path| File::create(path).expect("a file can be created in the test's directory");
        self.command.stdout(create(&stdout)).stderr(create(&stderr));
        let shown = format!("{:?}", self.command);
        records.push(Record {
            command: shown.clone(),
            status: "still running".to_owned(),
            stdout: stdout.clone(),
            stderr: stderr.clone(),
        });
        drop(records);
        let begin = Instant::now();
        let child = self.command.spawn().unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
        Running { place: self.place, nr, child, begin, deadline: self.deadline, stdout, stderr }
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Ended {
        self.start().wait()
    }
}

/// A running program. Dropping it kills it.
pub struct Running<'a> {
    place: &'a Place,
    nr: usize,
    child: Child,
    begin: Instant,
    deadline: Duration,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running<'_> {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a child has a pid");
        kill_process(pid, signal).expect("a child that was not waited for can be sent a signal");
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The output on standard output up to now.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits until `part` is in the output, on either stream.
    #[track_caller]
    pub fn wait_for_output(&mut self, part: &str) {
        let deadline = self.deadline;
        wait_for(deadline, &format!("the output {part:?}"), || {
            let said = self.stdout().contains(part) || self.stderr().contains(part);
            assert!(
                said || self.is_running() || self.stdout().contains(part) || self.stderr().contains(part),
                "it ended without saying {part:?}: {}{}",
                self.stdout(),
                self.stderr()
            );
            said
        });
    }

    /// Waits for the end. Fails the test if the deadline, counted from the start, passes first.
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        let left = self.deadline.saturating_sub(self.begin.elapsed());
        let mut status = None;
        holds_within(left, || {
            status = self.child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        let took = self.begin.elapsed();
        self.record(status.map_or_else(
            || format!("ran longer than {:?}", self.deadline),
            |status| format!("{status} after {took:?}"),
        ));
        let Some(status) = status else { panic!("command {} ran longer than {:?}", self.nr, self.deadline) };
        Ended { status, took, stdout: self.stdout(), stderr: self.stderr() }
    }

    fn record(&self, status: String) {
        self.place.records.borrow_mut()[self.nr].status = status;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub took: Duration,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The exit code. Fails the test if a signal ended the program.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("it died of signal {:?}", self.status.signal()))
    }

    /// Fails the test if the exit code is not `code`.
    #[track_caller]
    pub fn exits_with(self, code: i32) -> Ended {
        assert_eq!(self.status.code(), Some(code), "{}: {}{}", self.status, self.stdout, self.stderr);
        self
    }

    /// Fails the test if standard error lacks one of `parts`.
    #[track_caller]
    pub fn complains(self, parts: &[&str]) -> Ended {
        for part in parts {
            assert!(self.stderr.contains(part), "standard error does not say {part:?}:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked at"), "{}", self.stderr);
        self
    }
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
