//! Signals to all descendants of this process, which are found by their parents.
//!
//! A process that is not a descendant must never get a signal.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::procfs::{Handle, Process, processes};
use super::unseen::Unseen;
use crate::machine::Signal;

/// A process that was listed, with its parent. `None`: the parent is this process.
struct SeenProcess {
    process: Process,
    parent: Option<Rc<Parent>>,
}

struct Parent {
    process: Process,
    handle: Handle,
}

impl Parent {
    /// Whether it is still alive, so that its number has meant no other process since it was listed.
    fn lives(&self) -> bool {
        self.handle.look().is_some_and(|now| now.is(&self.process))
    }
}

/// The most further lists of the processes, which find those that were forked in the meantime.
const LOOKS_MAX: usize = 8;

/// Signals all living descendants of this process except `helpers` and their descendants, each once, and returns their number;
/// [`Signal::NONE`] only counts. Fails if the processes cannot be listed; then no process got the signal.
pub fn sweep(signal: Signal, helpers: &[i32]) -> Result<usize, Unseen> {
    let mut known = BTreeSet::new();
    look(signal, helpers, &mut known)?;
    // A process may have forked after it was listed and before its signal arrived.
    for _ in 0..LOOKS_MAX {
        let before = known.len();
        if signal == Signal::NONE || look(signal, helpers, &mut known).is_err() || known.len() == before {
            break;
        }
    }
    Ok(known.len())
}

/// Signals the descendants that are not `known` yet.
fn look(signal: Signal, helpers: &[i32], known: &mut BTreeSet<(i32, u64)>) -> Result<(), Unseen> {
    let mut by_parent: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in processes()? {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut take = |pid: i32, parent: Option<&Rc<Parent>>| {
        let children = by_parent.remove(&pid).unwrap_or_default().into_iter();
        let others = children.filter(|child| !helpers.contains(&child.pid));
        others.map(|process| SeenProcess { process, parent: parent.cloned() }).collect::<Vec<_>>()
    };
    let own = std::process::id() as i32;
    let mut open = take(own, None);
    while let Some(seen) = open.pop() {
        let pid = seen.process.pid;
        let Some(handle) = hold(&seen, own) else { continue };
        if !seen.process.is_dead()
            && known.insert(seen.process.identity())
            && signal != Signal::NONE
            && let Err(error) = handle.signal(signal)
        {
            log::debug!("{} to process {pid}: {error}", signal.name());
        }
        let parent = Rc::new(Parent { process: seen.process, handle });
        open.extend(take(pid, Some(&parent)));
    }
    Ok(())
}

/// Opens a process that was listed, if it is still the same and a child of the same parent. Since it was listed, it may have
/// ended, and another process may have its number.
fn hold(seen: &SeenProcess, own: i32) -> Option<Handle> {
    let handle = Handle::open(seen.process.pid).ok()?;
    let now = handle.look().filter(|now| now.is(&seen.process))?;
    // A child of this process is a descendant, whatever its parent was before: orphans become our children.
    let of_the_same = |parent: &Rc<Parent>| now.parent == parent.process.pid && parent.lives();
    (now.parent == own || seen.parent.as_ref().is_some_and(of_the_same)).then_some(handle)
}
