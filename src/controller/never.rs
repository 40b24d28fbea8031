//! The entries of a run that never began, and what each waited for.

use super::failures::Kind;
use super::roster::{Member, Stage};
use super::run::Run;
use crate::spoken;
use crate::wire::{Entry, Policy};
use std::time::Duration;

/// How many lines tell of them at most.
const LINES_MAX: usize = 20;

/// A line for each entry that never began and for each reason, with the slaves that it is true of: `node[1-3] client (waits
/// for trigger up: 1 of 1 left)`. Entries that only the end begins are left out, and those that only a poke begins too,
/// unless the run could not go on without one.
pub fn lines(run: &Run) -> Vec<String> {
    let mut found: Vec<(String, String, Vec<&str>)> = Vec::new();
    let left = run.roster.iter().enumerate().filter(|(_, member)| member.stage != Stage::Lost);
    for (ix, member) in left {
        let entries = &run.test.slaves[ix].entries;
        for entry in entries.iter().filter(|entry| !member.counts.contains_key(&entry.name)) {
            let Some(why) = waits_for(run, entries, entry, member) else { continue };
            match found.iter().position(|(name, other, _)| *name == entry.name && *other == why) {
                Some(known) => found[known].2.push(&member.name),
                None if found.len() > LINES_MAX => {}
                None => found.push((entry.name.clone(), why, vec![&member.name])),
            }
        }
    }
    let more = found.len() > LINES_MAX;
    found.truncate(LINES_MAX);
    let line = |(entry, why, slaves): &(String, String, Vec<&str>)| format!("{} {entry} ({why})", spoken::list(slaves));
    let mut lines: Vec<String> = found.iter().map(line).collect();
    lines.extend(more.then(|| "and more".to_owned()));
    lines
}

fn is_stuck(run: &Run) -> bool {
    run.failures.kept().iter().any(|failure| failure.kind == Kind::Stuck)
}

/// What an entry that has not begun waits for. `None`: for nothing that the run needs.
fn waits_for(run: &Run, entries: &[Entry], entry: &Entry, member: &Member) -> Option<String> {
    let mut entry = entry;
    let mut chain = String::new();
    // As many steps as there are entries: no entry waits for itself.
    for _ in 0..entries.len() {
        let what = match &entry.policy {
            Policy::Poke if is_stuck(run) => "waits for a poke".to_owned(),
            Policy::Finally | Policy::Poke => return None,
            Policy::At(micros) => {
                format!("waits for its time, {} after the start", spoken::duration(Duration::from_micros(*micros)))
            }
            Policy::Trigger(trigger) => match run.room.triggers.get(trigger)? {
                state if state.fired.is_some() => format!("trigger {trigger} fired when nothing began any more"),
                state => format!("waits for trigger {trigger}: {} of {} left", state.left(), state.initial),
            },
            Policy::After(after) => {
                let ran = member.counts.contains_key(&after.entry);
                let exit = after.exit.map(|exit| format!(" with {exit}")).unwrap_or_default();
                chain += &format!("after {}{exit}; ", after.entry);
                if ran {
                    let runs = member.running().any(|run| run.entry == after.entry);
                    let what = if runs { "it had not exited" } else { "it exited otherwise" };
                    return Some(format!("{chain}{what}"));
                }
                entry = entries.iter().find(|other| other.name == after.entry)?;
                continue;
            }
        };
        return Some(format!("{chain}{what}"));
    }
    None
}
