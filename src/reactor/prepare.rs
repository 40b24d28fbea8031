//! The start of a process: the preparation in this process, and the steps of the new process before it executes its program.
//!
//! An error must name the call that the system has refused, because "operation not permitted" alone helps no reader.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::OnceLock;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, OFlags};
use rustix::process::{Resource, Rlimit, chdir, getppid, set_parent_process_death_signal, setrlimit, setsid};

use super::errors::{plain, system_error};
use super::files::{make_dir, make_parent};
use super::kernel;
use crate::machine::{Command, SystemError};

/// The limit of open files that this process was started with. Its commands get it back. `None`: it cannot be read.
static ORIGINAL_LIMIT: OnceLock<Option<Rlimit>> = OnceLock::new();

/// The assumed limit if it cannot be read.
const USUAL_LIMIT: u64 = 1024;

/// Raises the limit of open files as far as the system lets us, and returns it.
pub fn raise_limit() -> u64 {
    let original = *ORIGINAL_LIMIT.get_or_init(|| {
        let limit = kernel::limit_of_open_files();
        limit.inspect_err(|error| log::warn!("the limit of open files cannot be read: {}", plain(error))).ok()
    });
    let Some(original) = original else { return USUAL_LIMIT };
    let raised = Rlimit { current: original.maximum, maximum: original.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::debug!("raising the limit of open files: {error}");
    }
    kernel::limit_of_open_files().map_or(USUAL_LIMIT, |limit| limit.current.unwrap_or(u64::MAX))
}

/// The variables of a service manager that children do not get. With them they could report as this process, or take over its
/// sockets.
pub const OF_THE_MANAGER: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// The null device.
const NULL: &str = "/dev/null";

/// The steps of a new process before its program, in this order. The process counts each completed step.
const STEPS: [&str; 5] = ["fork", "setsid", "prlimit of the open files", "prctl of the parent's death", "chdir"];

/// Starts a process. Fails with the name of the system call that was refused.
pub fn start(command: &Command) -> Result<Child, SystemError> {
    let program = command.argv.first().map_or("", String::as_str);
    let cannot = |error: SystemError| error.of(format_args!("cannot start {program}"));
    let progress = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let progress = progress.map_err(|error| cannot(system_error(&error.into()).of("eventfd")))?;
    let mut process = prepare(command)?;
    prepare_child(&mut process, command, &progress).map_err(|error| cannot(system_error(&error)))?;
    process.spawn().map_err(|error| {
        let error = system_error(&error);
        cannot(match STEPS.get(steps_done(&progress)) {
            Some(&"chdir") => {
                let cwd = command.cwd.as_deref().unwrap_or(Path::new(""));
                error.of(format_args!("chdir {}", cwd.display()))
            }
            Some(step) => error.of(step),
            None if error.kind == ErrorKind::NotFound => error,
            None => error.of("exec"),
        })
    })
}

/// Returns the number of steps that a new process has completed.
fn steps_done(progress: &OwnedFd) -> usize {
    let mut count = [0; 8];
    match rustix::io::read(progress, &mut count) {
        Ok(_) => usize::try_from(u64::from_ne_bytes(count)).unwrap_or(usize::MAX),
        Err(_) => 0,
    }
}

/// Makes everything ready that can be before the process exists.
fn prepare(command: &Command) -> Result<Process, SystemError> {
    let Some((program, arguments)) = command.argv.split_first() else {
        return Err(SystemError::new(ErrorKind::InvalidInput, "no program to start"));
    };
    let mut process = Process::new(program);
    process.args(arguments);
    if let Some(cwd) = &command.cwd {
        let there = if command.make_cwd { make_dir(cwd) } else { std::fs::metadata(cwd).map(drop) };
        there.map_err(|error| system_error(&error).of(format_args!("the working directory {}", cwd.display())))?;
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
    Ok(process)
}

/// Adds the steps that only the new process itself can do.
fn prepare_child(process: &mut Process, command: &Command, progress: &OwnedFd) -> io::Result<()> {
    let limit = ORIGINAL_LIMIT.get().copied().flatten();
    let own = rustix::process::getpid();
    let cwd = command.cwd.as_ref().map(|cwd| CString::new(cwd.as_os_str().as_bytes())).transpose()?;
    let dies_with_us = command.dies_with_us;
    let progress = progress.try_clone()?;
    kernel::before_exec(process, move || {
        kernel::reset_dispositions();
        let done = || step_is_done(progress.as_fd());
        done()?;
        // Without a terminal, a program that asks for a password fails. With one it would be stopped for good.
        setsid()?;
        done()?;
        if let Some(limit) = limit {
            setrlimit(Resource::Nofile, limit)?;
        }
        done()?;
        if dies_with_us {
            set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
            // The parent may have died before the line above.
            if getppid() != Some(own) {
                return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
            }
        }
        done()?;
        if let Some(cwd) = &cwd {
            chdir(cwd.as_c_str())?;
        }
        done()
    });
    Ok(())
}

fn step_is_done(progress: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::write(progress, &1u64.to_ne_bytes())?;
    Ok(())
}

/// Returns the PATH of a command, with the directory of the arete binary first.
fn extended_path(env: &[(String, String)]) -> Option<std::ffi::OsString> {
    let own = std::env::current_exe().ok()?.parent()?.to_owned();
    let given = env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.into());
    let old: std::ffi::OsString = given.or_else(|| std::env::var_os("PATH")).unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&old))).ok()
}

fn input(bytes: Option<&[u8]>) -> Result<Stdio, SystemError> {
    let Some(bytes) = bytes else { return null(OpenOptions::new().read(true)) };
    let fill = || -> io::Result<File> {
        let mut file = File::from(rustix::fs::memfd_create("stdin", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file)
    };
    fill().map(Stdio::from).map_err(|error| system_error(&error).of("standard input"))
}

fn outputs(stdout: Option<&Path>, stderr: Option<&Path>) -> Result<(Stdio, Stdio), SystemError> {
    let open = |path: Option<&Path>| path.map(create_output).transpose();
    let out = open(stdout)?;
    let err = match &out {
        Some(file) if stderr == stdout => {
            Some(file.try_clone().map_err(|error| system_error(&error).of("standard error"))?)
        }
        _ => open(stderr)?,
    };
    let or_null =
        |file: Option<File>| file.map_or_else(|| null(OpenOptions::new().write(true)), |file| Ok(file.into()));
    Ok((or_null(out)?, or_null(err)?))
}

/// Opens the null device. The standard library would open it too, but its error would look like a missing program.
pub fn null(options: &OpenOptions) -> Result<Stdio, SystemError> {
    options.open(NULL).map(Stdio::from).map_err(|error| system_error(&error).of(NULL))
}

/// Creates an empty file to which every process that has it open appends.
fn create_output(path: &Path) -> Result<File, SystemError> {
    let attempt = || -> io::Result<File> {
        make_parent(path)?;
        // A FIFO without a reader must not block the loop, so opening it fails. The command itself may wait for a reader.
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(flags).open(path)?;
        rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        Ok(file)
    };
    attempt().map_err(|error| system_error(&error).of(path.display()))
}
