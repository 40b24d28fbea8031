//! The processes of this system as `/proc` tells them, and those that descend from us.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::machine::Signal;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    state: char,
    /// When it was started, in ticks since the boot: with the process id, its identity.
    started: u64,
}

impl Process {
    /// A zombie, or less.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// All processes, in no order.
pub fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        log::warn!("/proc cannot be read: processes that left their group are not found");
        return Vec::new();
    };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

fn process(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Takes `/proc/PID/stat` apart. The name stands in parentheses and may hold anything, parentheses too.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Process {
        pid: pid.parse().ok()?,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// The living descendants of a process, except for `helpers` and theirs.
fn descendants(of: i32, helpers: &[i32]) -> Vec<Process> {
    let mut by_parent: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in processes() {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for process in by_parent.remove(&parent).unwrap_or_default() {
            if !helpers.contains(&process.pid) {
                open.push(process.pid);
                found.push(process);
            }
        }
    }
    found.retain(|process| !process.is_dead());
    found
}

/// Signals all living descendants of this process except for `helpers`, and counts them; no signal only counts.
pub fn sweep(signal: Signal, helpers: &[i32]) -> usize {
    let left = descendants(std::process::id() as i32, helpers);
    match known(signal) {
        Some(signal) => left.iter().for_each(|process| send(process, signal)),
        None if signal == Signal::NONE => {}
        None => log::warn!("{} cannot be sent", signal.name()),
    }
    left.len()
}

/// Signals a process, but nobody who has got its number since it was found.
fn send(found: &Process, signal: rustix::process::Signal) {
    let Some(pid) = Pid::from_raw(found.pid) else { return };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    // The handle means whoever has the number now, for good; so who is that?
    if process(found.pid).is_some_and(|now| now.started == found.started)
        && let Err(error) = pidfd_send_signal(&handle, signal)
    {
        log::debug!("signalling process {}: {error}", found.pid);
    }
}

/// A signal in the form in which the system takes it.
pub fn known(signal: Signal) -> Option<rustix::process::Signal> {
    rustix::process::Signal::from_named_raw(signal.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_name_holds_parentheses_is_read_right() {
        let stat = "42 (a) S (b) R 7 41 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9999 11 12";
        let process = parse(stat).expect("it parses");
        assert_eq!((process.pid, process.parent, process.group), (42, 7, 41));
        assert_eq!((process.state, process.started), ('R', 9999));
    }

    #[test]
    fn what_is_no_stat_line_is_no_process() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("1 (x) S"), None);
    }

    #[test]
    fn this_process_is_found_among_all() {
        let own = std::process::id() as i32;
        assert!(processes().iter().any(|process| process.pid == own && !process.is_dead()));
    }
}
