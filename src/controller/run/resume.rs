//! A run goes on that a former life of the controller began.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::controller::ledger::{Fact, Past, Terms};
use crate::controller::run::launch;
use crate::controller::run::results;
use crate::controller::run::roster::Stage;
use crate::controller::run::run::{EVENTS, GIVE_UP_WITHIN, Phase, Run, Timer};
use crate::machine::faults::{Fault, injected};
use crate::machine::{Outbox, Time};
use crate::testfile::End;
use crate::timeline::event::Event;
use crate::timeline::view::run_name;

/// How long after it goes on a run whose limit has passed meanwhile waits for what its slaves have to say.
const HEAR_SLAVES: Duration = Duration::from_secs(5);

/// Why an embedded run ends when its controller goes on.
const DIED_WITH_US: &str = "it ended with the controller that had started it, which was killed";

impl Run {
    /// What a former life has left beside its ledger.
    pub(in crate::controller) fn takes_up(&mut self, past: &Past) {
        self.wall_offset = past.header.wall_offset;
        self.event_log.replay();
        self.begun = Some(past.header.begun);
        let local = |terms: &Terms| terms.listen.is_none() || terms.launch.as_deref() == Some(launch::LOCAL);
        self.embedded = self.hosted.is_none() && past.header.run.as_ref().is_some_and(local);
        let mut kept: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
        for (path, length) in past.files() {
            if let Some((slave, file)) = path.split_once('/') {
                kept.entry(slave).or_default().insert(file.to_owned(), *length);
            }
        }
        self.kept = self.roster.iter().map(|member| kept.remove(&*member.name).unwrap_or_default()).collect();
    }

    /// Notifies of a former life are in the time line, too.
    pub(in crate::controller) fn counted_again(
        &mut self,
        at: Time,
        from: &str,
        trigger: &str,
        counted: crate::controller::room::trigger::Counted,
        out: &mut Outbox,
    ) {
        let from = (!from.is_empty()).then_some(from);
        let event =
            Event::Notified { trigger: trigger.into(), count: counted.new, left: counted.left, late: counted.late };
        self.event_log.record(at, from, &event, out);
        if counted.fires {
            self.event_log.record(at, None, &Event::Triggered { trigger: trigger.into() }, out);
        }
    }

    /// The run goes on, or it is over and says so again.
    pub(in crate::controller) fn resume(&mut self, now: Time, clock: (&str, i64), out: &mut Outbox) {
        self.take_up_again(now, clock, out);
        if let Some(error) = self.not_mended.take() {
            self.write_failed(now, self.results.join(EVENTS), error, out);
        }
    }

    fn take_up_again(&mut self, now: Time, (boot, shift): (&str, i64), out: &mut Outbox) {
        self.know_files();
        if let Phase::Writing(cause) = &self.phase {
            let (verdict, why) = self.judge(cause);
            self.over_before = true;
            return self.begin_summary(verdict, why);
        }
        self.enter(now, Fact::Resumed { boot: Cow::from(boot), shift }, out);
        for ix in 0..self.roster.len() {
            let member = self.roster.get_mut(ix);
            member.gone = (member.stage > Stage::Absent).then_some(now);
        }
        self.begin_outputs(out);
        match self.phase {
            Phase::Queued | Phase::Gathering => {
                if let (Some(wait), Some(begun)) = (self.wait, self.begun) {
                    self.timers.set(Timer::Wait, (begun + wait).max(now + HEAR_SLAVES));
                }
                self.launch.start_the_absent(&self.roster, &self.results, out);
            }
            Phase::Running => self.hear_slaves_first(now),
            Phase::Finishing(_) => self.timers.set(Timer::Finish, now + self.test.grace.max(HEAR_SLAVES)),
            Phase::Ending(_) if self.interrupts > 1 => self.timers.set(Timer::Stop, now + GIVE_UP_WITHIN),
            Phase::Ending(_) | Phase::Writing(_) | Phase::Over { .. } => self.stopping(now),
        }
        if self.embedded {
            for ix in 0..self.roster.len() {
                self.lose(now, ix, DIED_WITH_US, out);
            }
        }
        self.finish_if_stopped(now, out);
    }

    /// A limit that has passed while nobody was there to hear is no failure before the slaves could say what they did.
    fn hear_slaves_first(&mut self, now: Time) {
        let at = self.timers.get(&Timer::End).unwrap_or(now);
        if !matches!(self.test.end, End::Duration(_)) {
            self.timers.set(Timer::End, at.max(now + HEAR_SLAVES));
        }
    }

    /// What was kept of the files of slaves is what lies there.
    fn know_files(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        for (ix, files) in kept.into_iter().enumerate().filter(|_| !injected(Fault::OutputsForgotten)) {
            let entry = |name: &str| self.entries.find(ix, name);
            let ours = files.into_iter().filter(|(file, _)| results::is_results_file(file, entry));
            let member = self.roster.get_mut(ix);
            member.files = ours.collect();
            member.directories = results::directories_of(&member.files);
            self.shipped += member.files.values().sum::<u64>();
        }
    }

    /// A command's files are there from its start on: also when the controller was killed before it had made them.
    fn begin_outputs(&mut self, out: &mut Outbox) {
        for ix in 0..self.roster.len() {
            let started = self.roster.get(ix).runs.iter().filter(|run| run.pid.is_some());
            let names: Vec<String> = started.map(|run| run_name(&run.entry, run.nr)).collect();
            for name in names {
                self.begin_output(ix, &name, out);
            }
        }
    }
}
