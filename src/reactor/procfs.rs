//! The processes of this system as `/proc` lists them, and handles to them.
//!
//! A signal must never be sent by a number from `/proc`. The number may belong to another process by then, and a `/proc` of
//! another pid namespace has other numbers. A [`Handle`] is the open directory of a process in `/proc`: reads and signals
//! through it reach the same process, or fail.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::errors::system_error;
use super::kernel;
use super::unseen::Unseen;
use crate::machine::Signal;

/// More than the longest `/proc/PID/stat`, in bytes: 52 numbers and a name.
const STAT_MAX: usize = 2048;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    state: char,
    threads: u32,
    /// When it was started, in ticks since the boot: with the process id, its identity.
    started: u64,
}

impl Process {
    /// Returns its id and its start time. No two processes have both in common.
    pub fn identity(&self) -> (i32, u64) {
        (self.pid, self.started)
    }

    /// Whether no thread of it runs. A zombie is alive while another of its threads is.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }

    /// Whether this is the same process, seen at another time.
    pub fn is(&self, other: &Process) -> bool {
        self.pid == other.pid && self.started == other.started
    }
}

/// Returns all processes, in no order. Fails if `/proc` does not show this process's pid namespace.
pub fn processes() -> Result<Vec<Process>, Unseen> {
    check_namespace()?;
    let entries = fs::read_dir("/proc").map_err(|error| Unseen::Unreadable(system_error(&error)))?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(process).collect())
}

fn process(pid: i32) -> Option<Process> {
    // A scan reads a file for each process of the system. The whole line arrives in one read.
    let mut line = [0; STAT_MAX];
    let length = fs::File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut line).ok()?;
    parse(&String::from_utf8_lossy(&line[..length]))
}

/// Fails if `/proc` was mounted for another pid namespace than ours.
fn check_namespace() -> Result<(), Unseen> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| Unseen::Absent(system_error(&error)))?;
    if is_of_our_namespace(&status, std::process::id()) { Ok(()) } else { Err(Unseen::OtherNamespace) }
}

/// Whether the status of this process has one number, its own id. In a `/proc` of a parent namespace it has a number for each
/// namespace down to its own.
fn is_of_our_namespace(status: &str, own: u32) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    // Kernels before 4.1 have no NSpid.
    let numbers = field("NSpid:").or_else(|| field("Pid:")).unwrap_or_default();
    numbers.split_ascii_whitespace().map(|number| number.parse().ok()).eq([Some(own)])
}

/// Parses `/proc/PID/stat`. The name is in parentheses and may contain anything, also parentheses.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Process {
        pid: pid.parse().ok()?,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// A handle to a process, which never means another process.
pub struct Handle(OwnedFd);

impl Handle {
    /// Opens the process that has this number now. The caller must check which process that is. Fails if there is none.
    pub fn open(pid: i32) -> io::Result<Handle> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Handle(openat(CWD, format!("/proc/{pid}"), flags, Mode::empty())?))
    }

    /// Returns its present state; `None` if it was reaped.
    pub fn look(&self) -> Option<Process> {
        parse(&String::from_utf8_lossy(&self.read("stat").ok()?))
    }

    /// Reads a file of its directory in `/proc`.
    pub fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut bytes = Vec::new();
        fs::File::from(openat(&self.0, file, flags, Mode::empty())?).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether it is in our mount namespace.
    pub fn shares_mounts(&self) -> bool {
        let own = fs::read_link("/proc/self/ns/mnt").ok().map(|link| link.into_os_string().into_encoded_bytes());
        let found = rustix::fs::readlinkat(&self.0, "ns/mnt", Vec::new()).ok().map(|link| link.into_bytes());
        own.is_some() && own == found
    }

    /// Returns the device and the inode of a path, as the process sees it with its own root and mounts.
    pub fn file_id(&self, path: &std::path::Path) -> io::Result<(u64, u64)> {
        let below = std::path::Path::new("root").join(path.strip_prefix("/").unwrap_or(path));
        let found = rustix::fs::statat(&self.0, below, rustix::fs::AtFlags::empty())?;
        Ok((found.st_dev, found.st_ino))
    }

    /// Sends it a signal. Fails for a process outside our pid namespace and those below it.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        kernel::signal_process(self.0.as_fd(), signal)?;
        if signal.asks_to_end() {
            kernel::signal_process(self.0.as_fd(), Signal::CONT)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_name_holds_parentheses_is_read_right() {
        let stat = "42 (a) S (b) R 7 41 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9999 11 12";
        let process = parse(stat).expect("it parses");
        assert_eq!((process.pid, process.parent, process.group), (42, 7, 41));
        assert_eq!((process.state, process.threads, process.started), ('R', 1, 9999));
    }

    #[test]
    fn a_zombie_lives_as_long_as_one_of_its_threads() {
        let stat = |threads| format!("42 (a) Z 7 41 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 9999 11 12");
        assert!(parse(&stat(1)).expect("it parses").is_dead());
        assert!(!parse(&stat(2)).expect("it parses").is_dead());
    }

    #[test]
    fn what_is_no_stat_line_is_no_process() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("1 (x) S"), None);
    }

    #[test]
    fn this_process_is_found_among_all_and_by_its_handle() {
        let own = std::process::id() as i32;
        let found = processes().expect("/proc is ours");
        let found = found.iter().find(|process| process.pid == own && !process.is_dead()).expect("it is there");
        assert!(Handle::open(own).expect("it opens").look().expect("it lives").is(found));
    }

    #[test]
    fn a_handle_outlives_its_process_and_then_means_nobody() {
        let mut child =
            std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().expect("cat");
        let handle = Handle::open(child.id() as i32).expect("it opens");
        assert!(handle.signal(Signal::NONE).is_ok() && handle.look().is_some());
        drop(child.stdin.take());
        child.wait().expect("it has ended");
        assert!(handle.look().is_none());
        assert!(handle.signal(Signal::KILL).is_err());
    }

    #[test]
    fn a_proc_of_a_namespace_above_is_told_from_ours() {
        let status = |numbers: &str| format!("Name:\tx\nPid:\t{numbers}\nNSpid:\t{numbers}\nVmPeak:\t1 kB\n");
        assert!(is_of_our_namespace(&status("42"), 42));
        assert!(!is_of_our_namespace(&status("1234\t42"), 42), "it has two numbers");
        assert!(!is_of_our_namespace(&status("42\t42"), 42), "equal by chance");
        assert!(!is_of_our_namespace(&status("43"), 42));
        assert!(is_of_our_namespace("Name:\tx\nPid:\t42\n", 42), "an old kernel");
        assert!(!is_of_our_namespace("", 42));
    }
}
