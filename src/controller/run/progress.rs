//! What a person sees of a run: its lines, and a live picture below them.

use crate::controller::run::roster::{self, RunSlave};
use crate::controller::run::run::{self, Run};
use crate::machine::{Outbox, Time};
use crate::testfile::End;
use crate::timeline::progress::{self, Phase, Progress, Slave, Stage, Trigger};
use crate::timeline::view::{Picture, run_name};

impl Run {
    /// Returns whether a live picture is shown.
    pub fn is_drawn(&self) -> bool {
        self.event_log.view.is_live()
    }

    /// Returns whether lines wait for more slaves to join them.
    pub fn has_more_to_show(&self) -> bool {
        self.event_log.view.waits()
    }

    /// Shows a line of text.
    pub fn show_line(&mut self, text: &str, out: &mut Outbox) {
        self.event_log.view.line(text, out);
    }

    /// Shows the lines that wait, and the picture at this instant.
    pub fn show(&mut self, now: Time, out: &mut Outbox) {
        self.event_log.view.flush(out);
        if self.is_drawn() {
            let picture = picture(self, now);
            self.event_log.view.draw(&picture, out);
        }
    }

    /// Sets the new size of the terminal.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.event_log.view.resize(columns, rows);
    }
}

fn picture(run: &Run, now: Time) -> Picture {
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
