//! The few system calls that no safe wrapper offers: dispositions of signals, signals by any number, and what a new
//! process does before it becomes a program. This is the only place of unsafe code.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Rlimit;

use crate::machine::Signal;

/// The highest number of a signal.
const SIGNAL_MAX: i32 = 64;

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Undoes what this process has inherited: unblocks all signals, and stops ignoring SIGCHLD, without which it would not learn
/// how its children end. An ignored SIGHUP stays ignored.
pub fn undo_inherited() {
    // SAFETY: `sigemptyset` initialises the set before it is read. No other thread runs yet, and the default disposition
    // names no function of ours.
    unsafe {
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// A disposition as the kernel has it, large enough for every machine: all zero, it is the default one.
const DEFAULT: [u64; 8] = [0; 8];

/// The length of the kernel's set of signals, in bytes.
const SET_SIZE: usize = 8;

/// Gives every signal its default meaning, because a parent may have ignored any of them. The C library refuses this for the
/// signals that it reserves, so it is a plain system call. SIGKILL and SIGSTOP always have the default meaning.
pub fn reset_dispositions() {
    for number in 1..=SIGNAL_MAX {
        // SAFETY: the kernel only reads the structure, which is not shorter than its own and names no function of ours. A
        // plain system call may be made between fork and exec.
        unsafe {
            let old = std::ptr::null_mut::<libc::c_void>();
            libc::syscall(libc::SYS_rt_sigaction, number, DEFAULT.as_ptr(), old, SET_SIZE);
        }
    }
}

/// Whether this process ignores a signal.
pub fn is_ignored(signal: Signal) -> bool {
    // SAFETY: the call only writes to `action`, which is read when the call has filled it.
    unsafe {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        let asked = libc::sigaction(signal.0, std::ptr::null(), action.as_mut_ptr());
        asked == 0 && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Returns the limit of open files. rustix has this too, but panics if a sandbox refuses the call.
pub fn limit_of_open_files() -> io::Result<Rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call only writes to `limit`.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    let bounded = |limit| (limit != libc::RLIM_INFINITY).then_some(limit);
    Ok(Rlimit { current: bounded(limit.rlim_cur), maximum: bounded(limit.rlim_max) })
}

/// Sends a signal to a process group, by the number of its leader.
pub fn signal_group(group: i32, signal: Signal) -> io::Result<()> {
    // Group 1 and below would mean all processes, or our own group.
    if group <= 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: a plain system call on two numbers.
    checked(unsafe { libc::kill(-group, signal.0) })
}

/// Sends a signal to the process of a descriptor: a pidfd, or the directory of the process in `/proc`.
pub fn signal_process(process: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open while it is borrowed, and a null pointer means the usual information.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal.0, info, 0) };
    checked(sent as libc::c_int)
}

/// Makes a new process call `prepare` before it executes the program of `command`.
///
/// `prepare` makes plain system calls on values of its own: it must not allocate nor take a lock, because another thread
/// may have been in the middle of that.
pub fn before_exec(command: &mut Command, prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: `children`, the only caller, keeps the rule above.
    unsafe {
        command.pre_exec(prepare);
    }
}
