//! Child processes: started, heard of when they end, and signalled as groups.
//!
//! A process group may outlive its leader, and must be signallable then, but its number must never mean somebody
//! else's group. So the leader's exit is learned without taking its zombie away: as long as the zombie is there, the
//! system gives its number to nobody. The zombie goes when the machine has heard of the exit, has had its say in that
//! turn, and nothing in the group lives. Orphans that this process inherits are reaped at once.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, OFlags};
use rustix::process::{
    Pid, Resource, Rlimit, WaitId, WaitIdOptions, WaitIdStatus, getppid, getrlimit, set_parent_process_death_signal,
    setrlimit,
};

use super::files::{make_dir, make_parent};
use super::stream::plain;
use super::sweep;
use crate::machine::{ChildId, Command, Exit, Signal};

/// The limit of open files that this process was started with: its commands get it back.
static ORIGINAL_LIMIT: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit of open files as far as the system lets us, and returns it.
pub fn raise_limit() -> u64 {
    let original = *ORIGINAL_LIMIT.get_or_init(|| getrlimit(Resource::Nofile));
    let raised = Rlimit { current: original.maximum, maximum: original.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::debug!("raising the limit of open files: {error}");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What a service manager has told us and not our children: with it they could speak for us, or take our sockets for
/// theirs.
pub const OF_THE_MANAGER: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

struct Leader {
    child: ChildId,
    /// It has ended; its zombie is kept while its group lives.
    ended: bool,
}

/// The children of the machine, by process id.
#[derive(Default)]
pub struct Children {
    leaders: BTreeMap<i32, Leader>,
    pids: BTreeMap<ChildId, i32>,
    /// Some of `leaders` have ended since the last look.
    check: bool,
}

impl Children {
    /// Starts a process; returns its id.
    pub fn spawn(&mut self, child: ChildId, command: Command) -> Result<u32, String> {
        let process = prepare(&command)?.spawn();
        let program = command.argv.first().map_or("", String::as_str);
        let process = process.map_err(|error| format!("cannot start {program}: {}", plain(&error)))?;
        let pid = process.id();
        // A process id is a positive i32 on every system that we run on.
        self.leaders.insert(pid as i32, Leader { child, ended: false });
        self.pids.insert(child, pid as i32);
        Ok(pid)
    }

    /// Signals the group of a child, if anything of it is left.
    pub fn kill_group(&self, child: ChildId, signal: Signal) {
        let Some(group) = self.pids.get(&child).copied().and_then(Pid::from_raw) else { return };
        match sweep::known(signal) {
            Some(known) => {
                if let Err(error) = rustix::process::kill_process_group(group, known) {
                    log::debug!("{} to the group of child {}: {error}", signal.name(), child.0);
                }
            }
            None => log::warn!("{} cannot be sent", signal.name()),
        }
    }

    /// Looks who has ended, and reaps orphans.
    pub fn reap(&mut self) -> Vec<(ChildId, Exit)> {
        let mut ended = Vec::new();
        for (pid, leader) in self.leaders.iter_mut().filter(|(_, leader)| !leader.ended) {
            let Some(pid) = Pid::from_raw(*pid) else { continue };
            if let Some(exit) = peek(WaitId::Pid(pid)).and_then(|status| exit_of(&status)) {
                leader.ended = true;
                ended.push((leader.child, exit));
            }
        }
        self.check = true;
        ended
    }

    /// Lets go of the zombies whose groups have nothing alive in them, and of orphans, but not of `helpers`, who may
    /// still be killed by their numbers. After the machine had its say.
    pub fn release(&mut self, helpers: &[i32]) {
        if !std::mem::take(&mut self.check) {
            return;
        }
        let zombies: Vec<i32> = self.leaders.iter().filter(|(_, leader)| leader.ended).map(|(pid, _)| *pid).collect();
        let processes = sweep::processes();
        for pid in zombies {
            if !processes.iter().any(|process| process.group == pid && !process.is_dead()) {
                self.let_go(pid);
            }
        }
        let own = std::process::id() as i32;
        for orphan in processes.iter().filter(|process| process.parent == own && process.is_dead()) {
            if !self.leaders.contains_key(&orphan.pid) && !helpers.contains(&orphan.pid) {
                reap_one(orphan.pid);
            }
        }
    }

    fn let_go(&mut self, pid: i32) {
        reap_one(pid);
        if let Some(leader) = self.leaders.remove(&pid) {
            self.pids.remove(&leader.child);
        }
    }

    /// Whether a zombie is kept for its group, so that somebody must look again.
    pub fn keeps_zombies(&self) -> bool {
        self.leaders.values().any(|leader| leader.ended)
    }

    /// Look at the groups again at the next release.
    pub fn look_again(&mut self) {
        self.check = true;
    }
}

/// How a child ended, without reaping it.
fn peek(id: WaitId<'_>) -> Option<WaitIdStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    rustix::process::waitid(id, options).ok().flatten()
}

fn reap_one(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

fn exit_of(status: &WaitIdStatus) -> Option<Exit> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Exit::Code(code)),
        (None, Some(signal)) => Some(Exit::Signal(Signal(signal))),
        (None, None) => None,
    }
}

/// All that can be made ready before the process exists.
fn prepare(command: &Command) -> Result<Process, String> {
    let Some((program, arguments)) = command.argv.split_first() else {
        return Err("no program to start".to_owned());
    };
    let mut process = Process::new(program);
    process.args(arguments).process_group(0);
    if let Some(cwd) = &command.cwd {
        let there = if command.make_cwd { make_dir(cwd) } else { std::fs::metadata(cwd).map(drop) };
        there.map_err(|error| format!("{}: {}", cwd.display(), plain(&error)))?;
        process.current_dir(cwd);
    }
    for variable in OF_THE_MANAGER {
        process.env_remove(variable);
    }
    process.envs(command.env.iter().map(|(key, value)| (key, value)));
    if command.arete_on_path
        && let Some(path) = extended_path(&command.env)
    {
        process.env("PATH", path);
    }
    process.stdin(input(command.stdin.as_deref())?);
    let (stdout, stderr) = outputs(command.stdout.as_deref(), command.stderr.as_deref())?;
    process.stdout(stdout).stderr(stderr);
    prepare_child(&mut process, command.dies_with_us);
    Ok(process)
}

/// What only the new process itself can do.
fn prepare_child(process: &mut Process, dies_with_us: bool) {
    let limit = ORIGINAL_LIMIT.get().copied();
    let own = rustix::process::getpid();
    let prepare = move || -> io::Result<()> {
        if let Some(limit) = limit {
            setrlimit(Resource::Nofile, limit)?;
        }
        if dies_with_us {
            set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
            // We may have died before the line above.
            if getppid() != Some(own) {
                return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes plain system calls on copied values; it allocates nothing, takes
    // no lock, and touches no memory that another thread could have left half-changed.
    #[allow(unsafe_code)]
    unsafe {
        process.pre_exec(prepare);
    }
}

/// The PATH of a command, with the directory of the arete binary in front.
fn extended_path(env: &[(String, String)]) -> Option<std::ffi::OsString> {
    let own = std::env::current_exe().ok()?.parent()?.to_owned();
    let given = env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.into());
    let old: std::ffi::OsString = given.or_else(|| std::env::var_os("PATH")).unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&old))).ok()
}

fn input(bytes: Option<&[u8]>) -> Result<Stdio, String> {
    let Some(bytes) = bytes else { return Ok(Stdio::null()) };
    let fill = || -> io::Result<File> {
        let mut file = File::from(rustix::fs::memfd_create("stdin", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file)
    };
    fill().map(Stdio::from).map_err(|error| format!("standard input: {}", plain(&error)))
}

fn outputs(stdout: Option<&Path>, stderr: Option<&Path>) -> Result<(Stdio, Stdio), String> {
    let open = |path: Option<&Path>| path.map(create_output).transpose();
    let out = open(stdout)?;
    let err = match &out {
        Some(file) if stderr == stdout => {
            Some(file.try_clone().map_err(|error| format!("standard error: {}", plain(&error)))?)
        }
        _ => open(stderr)?,
    };
    Ok((out.map_or_else(Stdio::null, Stdio::from), err.map_or_else(Stdio::null, Stdio::from)))
}

/// A new, empty file that everybody who has it open appends to.
fn create_output(path: &Path) -> Result<File, String> {
    let attempt = || -> io::Result<File> {
        make_parent(path)?;
        // A FIFO that nobody reads is an error, not the end of the loop; the command itself may wait.
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(flags).open(path)?;
        rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        Ok(file)
    };
    attempt().map_err(|error| format!("{}: {}", path.display(), plain(&error)))
}
