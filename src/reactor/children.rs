//! Child processes: starts them, reports their ends, and signals their process groups.
//!
//! A process group may outlive its leader and must still get signals, but a signal must never reach the group of another
//! program. Therefore the exit of a leader is observed without reaping its zombie: while the zombie exists, the system gives
//! its number to no other process. The zombie is reaped once the machine has handled the exit and no process of the group is
//! alive. Orphans that this process inherits are reaped at once.

use std::collections::BTreeMap;

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus};

use super::procfs::{Process, processes};
use super::unseen::Unseen;
use super::{kernel, prepare, sweep};
use crate::machine::{ChildId, Command, Exit, Signal, SystemError};

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
    /// A child has ended since the last [`Children::release`].
    check: bool,
}

impl Children {
    /// Starts a process, and returns its id. Fails with what the system refused.
    pub fn spawn(&mut self, child: ChildId, command: Command) -> Result<u32, SystemError> {
        let pid = prepare::start(&command)?.id();
        // A process id is a positive i32 on every system that we run on.
        self.leaders.insert(pid as i32, Leader { child, ended: false });
        self.pids.insert(child, pid as i32);
        Ok(pid)
    }

    /// Signals the group of a child, if the group still exists.
    pub fn kill_group(&self, child: ChildId, signal: Signal) {
        if let Some(&group) = self.pids.get(&child) {
            signal_group(group, signal);
        }
    }

    /// Signals all descendants of this process except `helpers`, and returns their number; [`Signal::NONE`] only counts. If the
    /// system's processes cannot be listed, only the groups of the children are signalled, and the reason is returned too.
    pub fn sweep(&self, signal: Signal, helpers: &[i32]) -> (usize, Option<Unseen>) {
        // Orphans become our children, so no descendant is alive if no child is.
        if !lives(WaitId::All) {
            return (0, None);
        }
        match sweep::sweep(signal, helpers) {
            Ok(left) => (left, None),
            Err(unseen) => {
                unseen.warn();
                (self.sweep_groups(signal, helpers), Some(unseen))
            }
        }
    }

    fn sweep_groups(&self, signal: Signal, helpers: &[i32]) -> usize {
        let living: Vec<i32> = self.leaders.keys().copied().filter(|group| lives(group_id(*group))).collect();
        if signal != Signal::NONE {
            living.iter().for_each(|group| signal_group(*group, signal));
        }
        let somebody_else = living.is_empty() && helpers.is_empty() && lives(WaitId::All);
        living.len() + usize::from(somebody_else)
    }

    /// Returns the children that have ended since the last call.
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

    /// Reaps the leaders of groups without a living process, and orphans. `helpers` are kept, because they may still be killed
    /// by their numbers. Called after the machine has handled the exits.
    pub fn release(&mut self, helpers: &[i32]) {
        if !std::mem::take(&mut self.check) {
            return;
        }
        let zombies: Vec<i32> = self.leaders.iter().filter(|(_, leader)| leader.ended).map(|(pid, _)| *pid).collect();
        // The orphans of a subreaper become its children, so no group is alive if no child is.
        let is_subreaper = || rustix::process::child_subreaper().is_ok_and(|on| on.is_some());
        if helpers.is_empty() && !lives(WaitId::All) && is_subreaper() {
            return self.release_unseen(&zombies, helpers);
        }
        let Ok(processes) = processes() else { return self.release_unseen(&zombies, helpers) };
        let in_group = |group: i32| move |process: &Process| process.group == group && !process.is_dead();
        for pid in zombies {
            if !processes.iter().any(in_group(pid)) {
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

    /// Does the same without a list of the system's processes.
    fn release_unseen(&mut self, zombies: &[i32], helpers: &[i32]) {
        for &group in zombies {
            if !lives(group_id(group)) {
                while reap(group_id(group)) {}
                self.let_go(group);
            }
        }
        // Every zombie that is left is an orphan.
        while self.leaders.is_empty() && helpers.is_empty() && reap(WaitId::All) {}
    }

    fn let_go(&mut self, pid: i32) {
        reap_one(pid);
        if let Some(leader) = self.leaders.remove(&pid) {
            self.pids.remove(&leader.child);
        }
    }

    /// Whether a zombie is kept for its group, so that the group must be checked again.
    pub fn keeps_zombies(&self) -> bool {
        self.leaders.values().any(|leader| leader.ended)
    }

    /// Makes the next [`Children::release`] check the groups again.
    pub fn look_again(&mut self) {
        self.check = true;
    }
}

/// Returns how a child ended, without reaping it.
fn peek(id: WaitId<'_>) -> Option<WaitIdStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    rustix::process::waitid(id, options).ok().flatten()
}

/// Signals a group by the number of its leader, which must not have been reaped.
fn signal_group(group: i32, signal: Signal) {
    let follows = signal.asks_to_end().then_some(Signal::CONT);
    for signal in [Some(signal), follows].into_iter().flatten() {
        if let Err(error) = kernel::signal_group(group, signal) {
            log::debug!("{} to group {group}: {error}", signal.name());
        }
    }
}

fn group_id(group: i32) -> WaitId<'static> {
    WaitId::Pgid(Pid::from_raw(group))
}

/// Whether a child of this kind is alive. The system reports no stopped child for a living one, and fails if there are only
/// zombies.
fn lives(id: WaitId<'_>) -> bool {
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    rustix::process::waitid(id, options).is_ok()
}

/// Reaps a zombie. Returns whether there was one.
fn reap(id: WaitId<'_>) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    rustix::process::waitid(id, options).is_ok_and(|status| status.is_some())
}

fn reap_one(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        reap(WaitId::Pid(pid));
    }
}

fn exit_of(status: &WaitIdStatus) -> Option<Exit> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Exit::Code(code)),
        (None, Some(signal)) => Some(Exit::Signal(Signal(signal))),
        (None, None) => None,
    }
}
