//! The state of a run for operators.

use crate::controller::run::roster::Stage;
use crate::controller::run::run::{Phase, Run};
use crate::machine::Time;
use crate::text;
use crate::wire::operate::{RunState, RunStatus};

/// The maximum length of what a run waits for, or why it ends, in characters.
const WHY_MAX: usize = 4_000;

impl Run {
    /// Returns the state of the run for operators. `waits_for`: what it waits for in the queue.
    pub(in crate::controller) fn state(&self, now: Time, waits_for: &str) -> RunState {
        let (standing, verdict, code) = match &self.phase {
            Phase::Queued => (RunStatus::Queued, None, None),
            Phase::Gathering => (RunStatus::Gathering, None, None),
            Phase::Running => (RunStatus::Running, None, None),
            Phase::Finishing(_) | Phase::Ending(_) | Phase::Writing(_) => (RunStatus::Ending, None, None),
            Phase::Over { code, verdict, .. } => (RunStatus::Over, Some(*verdict), Some(*code)),
        };
        let why = match &self.phase {
            Phase::Queued => format!("waits for {waits_for}"),
            Phase::Gathering => {
                let unready = self.roster.names(|member| member.stage < Stage::Ready);
                format!("waits for {} to be ready", text::list(&unready))
            }
            Phase::Running => String::new(),
            Phase::Finishing(why) | Phase::Over { why, .. } => why.clone(),
            Phase::Ending(cause) | Phase::Writing(cause) => cause.why.clone(),
        };
        RunState {
            run: self.id.clone(),
            test: self.test.name.clone(),
            state: standing,
            submitted: self.hosted.as_ref().map(|hosted| hosted.submitted.clone()).unwrap_or_default(),
            started: self.times.started().map(|(_, wall_clock)| wall_clock.to_owned()),
            seconds: self.times.seconds(now),
            why: why.chars().take(WHY_MAX).collect(),
            verdict,
            code,
            slaves: self.roster.len(),
            connected: self.roster.connected().count(),
        }
    }
}
