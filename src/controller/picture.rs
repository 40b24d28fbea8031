//! The live picture of a run below its time line.

use super::roster::Stage;
use super::run::{Phase, Run};
use super::view::{self, Picture};
use crate::machine::Time;

/// The state of the run in a few lines.
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
            format!("{word} {elapsed:.1} s")
        }
    };
    let title =
        format!("{}: {state}, {connected} of {} slaves connected, {running} running", run.test.name, run.roster.len());
    let triggers = run.room.triggers.iter().map(|(name, trigger)| {
        let state = match trigger.fired {
            Some(_) => "fired".to_owned(),
            None => format!("{} of {} left", trigger.left(), trigger.initial),
        };
        (name.to_owned(), state)
    });
    let slaves = run.roster.iter().map(|member| {
        let running: Vec<_> = member.running().map(|entry| view::run_name(&entry.entry, entry.nr)).collect();
        let state = match (member.conn, member.stage) {
            (_, Stage::Lost) => "lost".to_owned(),
            (_, Stage::Stopped) => "stopped".to_owned(),
            (None, Stage::Absent) => "not connected".to_owned(),
            (None, _) => "connection gone".to_owned(),
            (Some(_), Stage::Joined) => "getting ready".to_owned(),
            (Some(_), _) if running.is_empty() => "waiting".to_owned(),
            (Some(_), _) => running.join(" "),
        };
        (member.name.clone(), state)
    });
    Picture { title, rows: triggers.chain(slaves).collect() }
}
