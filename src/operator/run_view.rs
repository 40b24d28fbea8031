//! What the events of a run say of its slaves and triggers, for the live picture.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::Time;
use crate::testfile::Test;
use crate::timeline::event::Event;
use crate::timeline::view::{Picture, Row, describe, rows_of_slaves, run_name};
use crate::wire::EntryOutcome;
use crate::wire::operate::{RunState, RunStatus};

/// How many slaves, triggers and running entries are kept in sight; a test has fewer.
const SEEN_MAX: usize = 100_000;

#[derive(Debug, Default)]
struct SlaveView {
    connected: bool,
    state: State,
    running: BTreeSet<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Absent,
    Joined,
    Ready,
    Stopped,
    Lost,
}

#[derive(Debug)]
struct TriggerView {
    left: Option<u64>,
    initial: Option<u64>,
    fired: bool,
}

/// A run from afar.
#[derive(Debug, Default)]
pub struct RunView {
    slaves: BTreeMap<String, SlaveView>,
    triggers: BTreeMap<String, TriggerView>,
    running: usize,
    /// What failed first, and how much has.
    failed: Option<String>,
    failures: usize,
    /// When it started, on our clock.
    start: Option<Time>,
}

impl RunView {
    /// What the test file says.
    pub fn of(test: &Test) -> RunView {
        let slaves = test.slaves.iter().map(|slave| (slave.name.clone(), SlaveView::default()));
        let trigger = |(name, &count): (&String, &u64)| {
            (name.clone(), TriggerView { left: Some(count), initial: Some(count), fired: false })
        };
        let triggers = test.triggers.iter().map(trigger).collect();
        RunView { slaves: slaves.collect(), triggers, ..RunView::default() }
    }

    /// What the controller says of the run.
    pub fn set_status(&mut self, now: Time, state: &RunState) {
        if let Some(seconds) = state.seconds.filter(|seconds| (0.0..1e12).contains(seconds)) {
            self.start = Some(now.offset(-((seconds * 1e6) as i64)));
        }
    }

    /// Something has happened.
    pub fn event(&mut self, slave: Option<&str>, event: &Event<'_>) {
        let fails = matches!(event, Event::Exited { outcome: EntryOutcome::Failed, .. } | Event::Trouble { .. });
        if let (true, Some(what)) = (fails, describe(event)) {
            self.failures += 1;
            self.failed.get_or_insert_with(|| format!("{} {what}", slave.unwrap_or_default()));
        }
        match event {
            Event::Notified { trigger, left, .. } => {
                if let Some(seen) = self.trigger(trigger) {
                    seen.left = Some(*left);
                }
            }
            Event::Triggered { trigger } => {
                if let Some(seen) = self.trigger(trigger) {
                    seen.fired = true;
                }
            }
            _ => {
                if let Some(slave) = slave {
                    self.of_slave(slave, event);
                }
            }
        }
    }

    fn trigger(&mut self, name: &str) -> Option<&mut TriggerView> {
        if !self.triggers.contains_key(name) && self.triggers.len() < SEEN_MAX {
            self.triggers.insert(name.to_owned(), TriggerView { left: None, initial: None, fired: false });
        }
        self.triggers.get_mut(name)
    }

    fn of_slave(&mut self, name: &str, event: &Event<'_>) {
        if !self.slaves.contains_key(name) {
            if self.slaves.len() >= SEEN_MAX {
                return;
            }
            self.slaves.insert(name.to_owned(), SlaveView::default());
        }
        let Some(slave) = self.slaves.get_mut(name) else { return };
        match event {
            Event::Joined { .. } => (slave.connected, slave.state) = (true, State::Joined),
            Event::Rejoined { .. } => slave.connected = true,
            Event::Disconnected { .. } => slave.connected = false,
            Event::Ready => slave.state = State::Ready,
            Event::Stopped => slave.state = State::Stopped,
            Event::Lost { .. } => {
                self.running -= slave.running.len();
                slave.running.clear();
                slave.state = State::Lost;
            }
            Event::Spawned { entry, nr, .. } if self.running < SEEN_MAX => {
                self.running += usize::from(slave.running.insert(run_name(entry, *nr)));
            }
            Event::Exited { entry, nr, .. } => {
                self.running -= usize::from(slave.running.remove(&run_name(entry, *nr)));
            }
            _ => {}
        }
    }

    /// The run in a few lines, as the controller's own terminal would show it.
    pub fn picture(&self, now: Time, state: &RunState) -> Picture {
        let elapsed = || format!("{:.1} s", now.since(self.start.unwrap_or(now)).as_secs_f64());
        let standing = match state.state {
            RunStatus::Queued => "queued".to_owned(),
            RunStatus::Gathering => "gathering".to_owned(),
            RunStatus::Running => format!("running {}", elapsed()),
            RunStatus::Ending => format!("ending {}", elapsed()),
            RunStatus::Over => "over".to_owned(),
        };
        let connected = match state.state {
            RunStatus::Queued | RunStatus::Gathering => state.connected,
            _ => self.slaves.values().filter(|slave| slave.connected).count(),
        };
        let (test, of, running) = (&state.test, state.slaves, self.running);
        let title = format!("{test}: {standing}, {connected} of {of} slaves connected, {running} running");
        let title = crate::text::harmless(&title).into_owned();
        if matches!(state.state, RunStatus::Queued | RunStatus::Gathering) {
            return Picture { title, rows: Vec::new() };
        }
        let harmless = |text: &str| crate::text::harmless(text).into_owned();
        let mut rows: Vec<Row> = self.failed.iter().map(|first| self.failed_row(harmless(first))).collect();
        rows.extend(
            self.triggers.iter().map(|(name, trigger)| Row::new(harmless(name), harmless(&trigger.in_words()))),
        );
        let slaves = self.slaves.iter();
        rows.extend(rows_of_slaves(
            slaves.map(|(name, slave)| (harmless(name), harmless(&slave.in_words()), slave.state == State::Lost)),
        ));
        Picture { title, rows }
    }

    fn failed_row(&self, first: String) -> Row {
        let state = if self.failures > 1 { format!("{} failures; first {first}", self.failures) } else { first };
        Row { alarm: true, ..Row::new("failed", state) }
    }
}

impl TriggerView {
    fn in_words(&self) -> String {
        match (self.fired, self.left, self.initial) {
            (true, ..) => "fired".to_owned(),
            (_, Some(left), Some(initial)) => format!("{left} of {initial} left"),
            (_, Some(left), None) => format!("{left} left"),
            (_, None, _) => String::new(),
        }
    }
}

impl SlaveView {
    fn in_words(&self) -> String {
        match (self.connected, self.state) {
            (_, State::Lost) => "lost".to_owned(),
            (_, State::Stopped) => "stopped".to_owned(),
            (false, State::Absent) => "not connected".to_owned(),
            (false, _) => "connection gone".to_owned(),
            (true, State::Joined) => "getting ready".to_owned(),
            (true, _) if self.running.is_empty() => "waiting".to_owned(),
            (true, _) => self.running.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
        }
    }
}
