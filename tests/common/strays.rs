//! Processes that a test has started and that still run.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process, as /proc shows it.
#[derive(Debug)]
pub struct Stray {
    pub pid: i32,
    pub command: String,
}

impl Stray {
    pub fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The processes with `mark` in their environment or their arguments, or with `dir` as their working directory. A
/// zombie does not count.
pub fn of(mark: &str, dir: &Path) -> Vec<Stray> {
    let own = std::process::id() as i32;
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| pid != own).filter_map(|pid| look(pid, mark, dir)).collect()
}

fn look(pid: i32, mark: &str, dir: &Path) -> Option<Stray> {
    let file = |name: &str| format!("/proc/{pid}/{name}");
    let arguments = fs::read(file("cmdline")).ok().filter(|bytes| !bytes.is_empty())?;
    let environment = fs::read(file("environ")).unwrap_or_default();
    let cwd = fs::read_link(file("cwd")).unwrap_or_default();
    let carries = |bytes: &[u8]| contains(bytes, mark.as_bytes());
    if !carries(&environment)
        && !carries(&arguments)
        && !cwd.as_os_str().as_bytes().starts_with(dir.as_os_str().as_bytes())
    {
        return None;
    }
    let command = String::from_utf8_lossy(&arguments).replace('\0', " ");
    Some(Stray { pid, command })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
