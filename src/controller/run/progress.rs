//! The live picture of a run below its time line.

use std::time::Duration;

use crate::controller::room::rendezvous::Open;
use crate::controller::run::roster::{RunSlave, Stage};
use crate::controller::run::run::{Phase, Run, Timer};
use crate::machine::Time;
use crate::testfile::End;
use crate::text;
use crate::timeline::view::{Picture, Row, rows_of_slaves, run_name};

/// The state of the run in a few lines: what is wrong first, then what is waited for.
pub fn of(run: &Run, now: Time) -> Picture {
    let connected = run.roster.connected().count();
    let running: usize = run.roster.iter().map(|member| member.running().count()).sum();
    let state = match (&run.phase, run.started()) {
        (Phase::Queued, _) => "waiting in the queue".to_owned(),
        (Phase::Gathering, _) => "gathering".to_owned(),
        (_, Some(at)) if at > now => "starting".to_owned(),
        (phase, at) => {
            let elapsed = now.since(at.unwrap_or(now)).as_secs_f64();
            let word = match phase {
                Phase::Running => "running",
                Phase::Finishing(_) => "finishing",
                _ => "ending",
            };
            format!("{word} {elapsed:.1} s{}", time_left(run, now))
        }
    };
    let title =
        format!("{}: {state}, {connected} of {} slaves connected, {running} running", run.test.name, run.roster.len());
    let mut rows: Vec<Row> = failed(run).into_iter().chain(waits_for(run)).collect();
    rows.extend(run.room.open().map(|(kind, open)| meeting(kind.noun(), &open)));
    rows.extend(run.room.triggers.iter().map(|(name, trigger)| {
        let state = match trigger.fired {
            Some(_) => "fired".to_owned(),
            None => format!("{} of {} left", trigger.left(), trigger.initial),
        };
        Row::new(name, state)
    }));
    rows.extend(rows_of_slaves(run.roster.iter().map(|member| {
        let (state, alarm) = slave(member);
        (member.name.clone(), state, alarm)
    })));
    Picture { title, rows }
}

/// How long the run can still last, as far as the test says.
fn time_left(run: &Run, now: Time) -> String {
    let left = |at: Time| text::duration(Duration::from_secs(at.since(now).as_secs_f64().ceil() as u64));
    match (&run.phase, run.timers.get(&Timer::End)) {
        (Phase::Running, Some(at)) => match run.test.end {
            End::Duration(_) => format!(" ({} left)", left(at)),
            End::Trigger { .. } | End::Idle { .. } => format!(" (at most {} left)", left(at)),
        },
        _ => String::new(),
    }
}

/// What has failed so far.
fn failed(run: &Run) -> Option<Row> {
    let first = run.failures.first()?.headline(run.started());
    let state = match run.failures.count() {
        1 => first,
        count => format!("{count} failures; first {first}"),
    };
    let state = text::harmless(&state).into_owned();
    Some(Row { alarm: true, ..Row::new("failed", state) })
}

/// What the run waits for.
fn waits_for(run: &Run) -> Option<Row> {
    let what = match (&run.phase, &run.test.end) {
        (Phase::Gathering, _) => {
            let absent = run.roster.names(|member| member.stage < Stage::Ready);
            format!("{} to be ready", text::list(&absent))
        }
        (Phase::Running, End::Duration(_)) => "its time to be over".to_owned(),
        (Phase::Running, End::Trigger { trigger, .. }) => match run.room.triggers.get(trigger)? {
            state if state.fired.is_some() => format!("what {trigger} set off to exit"),
            state => format!("trigger {trigger}: {} of {} left", state.left(), state.initial),
        },
        (Phase::Running, End::Idle { .. }) => {
            let busy = run.roster.names(|member| member.stage != Stage::Lost && member.idle.is_none());
            format!("{} to be idle", text::list(&busy))
        }
        (Phase::Finishing(_), _) => {
            let busy = run.roster.names(|member| member.stage < Stage::Stopped && member.idle.is_none());
            format!("the jobs of {} to exit", text::list(&busy))
        }
        (Phase::Ending(_), _) => {
            let left = run.roster.names(|member| member.stage < Stage::Stopped);
            format!("{} to stop", text::list(&left))
        }
        (Phase::Queued | Phase::Writing(_) | Phase::Over { .. }, _) => return None,
    };
    Some(Row::new("waits for", what))
}

/// Who is at a barrier or in a sync, and who is missing.
fn meeting(kind: &str, open: &Open<'_>) -> Row {
    let missing = match open.missing[..] {
        [] => String::new(),
        _ => format!("; missing: {}", text::harmless(&text::list(&open.missing))),
    };
    let name = format!("{kind} {}", text::harmless(open.name));
    Row::new(name, format!("{} of {} there{missing}", open.there, open.wanted))
}

/// The state of a slave, and whether that is wrong.
fn slave(member: &RunSlave) -> (String, bool) {
    let running: Vec<_> = member.running().map(|entry| run_name(&entry.entry, entry.nr)).collect();
    match (member.conn, member.stage) {
        (_, Stage::Lost) => ("lost".to_owned(), true),
        (_, Stage::Stopped) => ("stopped".to_owned(), false),
        (None, Stage::Absent) => ("not connected".to_owned(), false),
        (None, _) => ("connection gone".to_owned(), true),
        (Some(_), Stage::Joined) => ("getting ready".to_owned(), false),
        (Some(_), _) if running.is_empty() => ("waiting".to_owned(), false),
        (Some(_), _) => (running.join(" "), false),
    }
}
