//! The state of a run for the live picture below its time line.

use crate::controller::run::roster::{self, RunSlave};
use crate::controller::run::run::{self, Run};
use crate::machine::Time;
use crate::testfile::End;
use crate::timeline::progress::{self, Phase, Progress, Slave, Stage, Trigger};
use crate::timeline::view::{Picture, run_name};

/// Returns the picture of the run at this instant.
pub fn picture(run: &Run, now: Time) -> Picture {
    let mut progress = Progress::new(&run.test.name);
    progress.phase = match &run.phase {
        run::Phase::Queued => Phase::Queued,
        run::Phase::Gathering => Phase::Gathering,
        run::Phase::Running => Phase::Running,
        run::Phase::Finishing(_) => Phase::Finishing,
        run::Phase::Ending(_) => Phase::Ending,
        run::Phase::Writing(_) | run::Phase::Over { .. } => Phase::Over,
    };
    progress.start = run.started();
    progress.end = Some(match &run.test.end {
        End::Duration(time) => (progress::End::Duration, *time),
        End::Trigger { trigger, limit } => (progress::End::Trigger(trigger.clone()), *limit),
        End::Idle { limit } => (progress::End::Idle, *limit),
    });
    if let Some(first) = run.failures.first() {
        progress.set_failures(first.headline(run.started()), run.failures.count());
    }
    for (kind, open) in run.room.open() {
        progress.add_meeting(&format!("{} {}", kind.noun(), open.name), open.there, open.wanted, &open.missing);
    }
    for (name, trigger) in run.room.triggers.iter() {
        let (left, initial) = (Some(trigger.left()), Some(trigger.initial));
        progress.add_trigger(name, Trigger { left, initial, fired: trigger.fired.is_some() });
    }
    progress.slaves_wanted = run.roster.len();
    run.roster.iter().for_each(|member| progress.add_slave(&member.name, slave(member)));
    progress.picture(now)
}

fn slave(member: &RunSlave) -> Slave {
    let stage = match member.stage {
        roster::Stage::Absent => Stage::Absent,
        roster::Stage::Joined => Stage::Joined,
        roster::Stage::Ready => Stage::Ready,
        roster::Stage::Stopped => Stage::Stopped,
        roster::Stage::Lost => Stage::Lost,
    };
    Slave {
        connected: member.conn.is_some(),
        stage,
        running: member.running().map(|entry| run_name(&entry.entry, entry.nr)).collect(),
        idle: member.idle.is_some(),
    }
}
