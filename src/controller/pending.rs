//! What a run that cannot go on was still waiting for: the entries that never began, and what each waits for.

use super::room::Room;
use super::roster::{Member, Stage};
use super::run::Run;
use crate::wire::{Entry, Policy};

/// How many entries are named at most.
const NAMED_MAX: usize = 10;

/// `; never began: client fetch (waits for trigger up, 1 of 1 left)`; nothing if every entry has begun.
pub fn in_words(run: &Run) -> String {
    let left = run.roster.iter().enumerate().filter(|(_, member)| member.stage != Stage::Lost);
    let waiting = left.flat_map(|(ix, member)| {
        let never = run.test.slaves[ix].entries.iter().filter(|entry| !member.counts.contains_key(&entry.name));
        never.filter_map(|entry| {
            Some(format!("{} {} ({})", member.name, entry.name, waits_for(entry, member, &run.room)?))
        })
    });
    let mut waiting: Vec<String> = waiting.collect();
    if waiting.is_empty() {
        return String::new();
    }
    let more = waiting.len().saturating_sub(NAMED_MAX);
    waiting.truncate(NAMED_MAX);
    if more > 0 {
        waiting.push(format!("{more} more"));
    }
    format!("; never began: {}", waiting.join(", "))
}

/// What an entry that has not begun waits for. `None`: its time, which no other entry decides.
pub fn waits_for(entry: &Entry, member: &Member, room: &Room) -> Option<String> {
    match &entry.policy {
        Policy::At(_) | Policy::Finally => None,
        Policy::Poke => Some("waits for a poke".to_owned()),
        Policy::Trigger(trigger) => {
            let state = room.triggers.get(trigger)?;
            Some(match state.fired {
                Some(_) => format!("trigger {trigger} fired"),
                None => format!("waits for trigger {trigger}, {} of {} left", state.left(), state.initial),
            })
        }
        Policy::After(after) => {
            let ran = member.counts.contains_key(&after.entry);
            Some(match (&after.exit, ran) {
                (Some(exit), true) => format!("waits for {} to end with {exit}", after.entry),
                _ => format!("waits for {} to exit", after.entry),
            })
        }
    }
}
