//! The entries of a run that never began, and what each waited for.

use std::time::Duration;

use crate::controller::run::failures::Kind;
use crate::controller::run::roster::{Member, RunEnd, Stage};
use crate::controller::run::run::Run;
use crate::spoken;
use crate::wire::{After, Entry, Outcome, Policy};

/// How many lines tell of them at most.
const LINES_MAX: usize = 20;

/// A line for each entry that never began and for each reason, with the slaves that it is true of: `node[1-3] client (waits
/// for trigger up: 1 of 1 left)`. Entries that only the end begins are left out, and those that only a poke begins too,
/// unless the run could not go on without one.
/// A run that has `passed` may leave out what waits for one of several exits.
pub fn lines(run: &Run, passed: bool) -> Vec<String> {
    let mut found: Vec<(String, String, Vec<&str>)> = Vec::new();
    let left = run.roster.iter().enumerate().filter(|(_, member)| member.stage != Stage::Lost);
    for (ix, member) in left {
        let entries = &run.test.slaves[ix].entries;
        for entry in entries.iter().filter(|entry| !member.counts.contains_key(&entry.name)) {
            if passed && is_branch(entry) {
                continue;
            }
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

/// Whether an entry waits for one exit of several, which a good run need not have.
fn is_branch(entry: &Entry) -> bool {
    matches!(&entry.policy, Policy::After(After { exit: Some(_), .. }))
}

/// What became of an entry that ran and did not let another one begin.
fn became_of(member: &Member, after: &After) -> String {
    let name = &after.entry;
    let last = member.runs.iter().rev().find(|run| run.entry == *name);
    match last.and_then(|run| run.end.as_ref()) {
        _ if after.ready => format!("{name} never was"),
        Some(end) if end.outcome == Outcome::Stopped => format!("{name} was stopped"),
        Some(RunEnd { exit: Some(exit), .. }) if after.exit.is_some() => format!("{name}: {exit}"),
        Some(_) => format!("{name} exited when nothing began any more"),
        None => format!("{name} had not exited"),
    }
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
            Policy::At(_) if run.started().is_none() => "the run did not start".to_owned(),
            Policy::At(micros) => {
                format!("waits for its time, {} after the start", spoken::duration(Duration::from_micros(*micros)))
            }
            Policy::Trigger(trigger) => match run.room.triggers.get(trigger)? {
                state if state.fired.is_some() => format!("trigger {trigger} fired when nothing began any more"),
                state => format!("waits for trigger {trigger}: {} of {} left", state.left(), state.initial),
            },
            Policy::After(after) => {
                let ran = member.counts.contains_key(&after.entry);
                let how = match after.exit {
                    Some(exit) => format!("exits with {exit}"),
                    None if after.ready => "is ready".to_owned(),
                    None => "exits".to_owned(),
                };
                chain += &format!("waits until {} {how}; ", after.entry);
                if ran {
                    return Some(chain + &became_of(member, after));
                }
                entry = entries.iter().find(|other| other.name == after.entry)?;
                continue;
            }
        };
        return Some(format!("{chain}{what}"));
    }
    None
}
