//! The events of a run in words, for people.
//!
//! There is one sentence for each event, so that the view, the folded lines and the report use the same words. Nothing
//! here prints.

use super::event::Event;
use crate::measure::with_unit;
use crate::verdict::RoundResult;
use crate::wire::rendezvous::OutcomeKind;
use crate::wire::{EntryOutcome, FaultState, PokedBy, SlaveEvent};

/// Returns the event in words; `None` for an event that is for programs only.
pub fn describe(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Joined { address, machine: None } => format!("joined from {address}"),
        Event::Joined { address, machine: Some(machine) } => format!("joined from {address}: machine {machine}"),
        Event::Rejoined { address } => format!("reconnected from {address}"),
        Event::Disconnected { reason } => format!("disconnected: {reason}"),
        Event::Refused { name, address, reason } => format!("refused {name:?} from {address}: {reason}"),
        Event::Started { slaves: 1, .. } => "started 1 slave".to_owned(),
        Event::Started { slaves, .. } => format!("started {slaves} slaves"),
        Event::Notified { trigger, count, left, late } => {
            let times = if *count == 1 { String::new() } else { format!(" {count} times") };
            let left = if *late { "it had fired already".to_owned() } else { format!("{left} left") };
            format!("notified {trigger}{times}, {left}")
        }
        Event::Triggered { trigger } => format!("{trigger} fired"),
        Event::Arrived { meeting, member } => format!("{member} arrived at {meeting}"),
        Event::Away { meeting, member } => format!("{member} is away from {meeting}"),
        Event::MemberLost { meeting, member } => format!("{member} is lost to {meeting}"),
        Event::Met { meeting, verdict: OutcomeKind::Released, members, .. } => {
            format!("{meeting} released {members} member{}", if *members == 1 { "" } else { "s" })
        }
        Event::Met { meeting, verdict, who, reason, .. } => {
            let result = RoundResult { verdict: Some(*verdict), who: who.to_vec(), reason: reason.to_string() };
            return result.in_words(&meeting.to_string(), None);
        }
        Event::Stalled { waits } => {
            let waits: Vec<String> = waits.iter().map(ToString::to_string).collect();
            format!("stalled: {}", waits.join("; "))
        }
        Event::Lost { reason } => format!("lost: {reason}"),
        Event::Finishing { why } => format!("finishing: {why}; jobs still run"),
        Event::Ending { why, .. } => format!("ending: {why}"),
        Event::Resumed => "the run continues".to_owned(),
        Event::Ready | Event::Stopped | Event::Ended { .. } => return None,
        Event::Reported(event) => return describe_reported(event),
    })
}

/// As [`describe`], for an event that a slave has reported.
fn describe_reported(event: &SlaveEvent<'_>) -> Option<String> {
    Some(match event {
        SlaveEvent::Spawned { entry, nr, pid: Some(pid) } => format!("{} started (pid {pid})", run_name(entry, *nr)),
        SlaveEvent::EntryReady { entry, nr, after } => {
            format!("{} is ready after {:.3} s", run_name(entry, *nr), after.as_secs_f64())
        }
        SlaveEvent::Exited { entry, nr, exit, outcome, attempt, why, .. } => {
            let outcome = match outcome {
                EntryOutcome::Passed if *attempt > 1 => "passed at last (flaky)",
                EntryOutcome::Passed => "passed",
                EntryOutcome::Failed => "failed",
                EntryOutcome::Retried => "failed, and is run again",
                EntryOutcome::Stopped => "stopped",
            };
            let detail = why.as_deref().map(str::to_owned).or_else(|| exit.map(|exit| exit.to_string()));
            let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
            format!("{} {outcome}{detail}", run_name(entry, *nr))
        }
        SlaveEvent::Poked { entry, by } => {
            let by = if *by == PokedBy::Signal { "SIGUSR1" } else { "arete poke" };
            entry.as_ref().map_or_else(|| format!("poked by {by}"), |entry| format!("poked by {by}: {entry}"))
        }
        SlaveEvent::Fault { entry, nr, state, what } => {
            let state = match state {
                FaultState::Began => "begins",
                FaultState::Undone => "is undone",
                FaultState::Left => "could not be undone",
            };
            format!("fault of {} {state}: {what}", run_name(entry, *nr))
        }
        SlaveEvent::Measured { entry, nr, name, value, unit, .. } => {
            let by = entry.as_deref().map_or_else(String::new, |entry| run_name(entry, nr.unwrap_or(1)) + " ");
            format!("{by}recorded {name} {}", with_unit(*value, unit.as_deref()))
        }
        SlaveEvent::End { entry, .. } => format!("{entry} requests the end of the run"),
        SlaveEvent::Warning { text } => format!("warning: {text}"),
        SlaveEvent::Trouble { text } => format!("trouble: {text}"),
        SlaveEvent::Tail { .. }
        | SlaveEvent::Begun { .. }
        | SlaveEvent::Spawned { .. }
        | SlaveEvent::Heard { .. }
        | SlaveEvent::Settled { .. }
        | SlaveEvent::Idle { .. }
        | SlaveEvent::Cleared => return None,
    })
}

/// Returns the name of a run of an entry: `poke` for the first, `poke.2` for the second.
pub fn run_name(entry: &str, nr: u32) -> String {
    if nr == 1 { entry.to_owned() } else { format!("{entry}.{nr}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::event::Meeting;

    #[test]
    fn a_round_that_failed_is_described_as_its_members_are_told() {
        let met = |verdict, who: &[&str], reason: &'static str| {
            let who = who.iter().map(ToString::to_string).collect::<Vec<_>>().into();
            let meeting = Meeting::barrier("up");
            describe(&Event::Met { meeting, round: 1, verdict, who, reason: reason.into(), members: 2 }).unwrap()
        };
        assert_eq!(met(OutcomeKind::TimedOut, &[], ""), "barrier up: timed out");
        assert_eq!(met(OutcomeKind::Lost, &["b"], ""), "barrier up: a member was lost: b");
        assert_eq!(met(OutcomeKind::TimedOut, &["b"], "timed out; missing: b"), "barrier up: timed out; missing: b");
        assert_eq!(met(OutcomeKind::Released, &[], ""), "barrier up released 2 members");
    }
}
