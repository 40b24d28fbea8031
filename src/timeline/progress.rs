//! The state of a run in a few lines, as the live picture shows it.
//!
//! A [`Progress`] holds what the picture needs and nothing else. The controller fills one in from its run whenever it
//! draws. An operator keeps one and feeds it the events that it reads. The picture is made here for both, so that the
//! same state looks the same on both terminals.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::Event;
use super::view::{Picture, Row, describe, rows_of_slaves, run_name};
use crate::machine::Time;
use crate::text::{self, harmless};
use crate::wire::operate::{RunState, RunStatus};
use crate::wire::{EntryOutcome, SlaveEvent};

/// The most slaves, triggers and running entries that events can add. A test has fewer.
const ADDED_MAX: usize = 100_000;

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// It waits in the queue.
    #[default]
    Queued,
    /// Its slaves connect and get ready.
    Gathering,
    /// It has an instant of the start, which may be ahead.
    Running,
    /// The end condition of the test holds, and jobs still run.
    Finishing,
    /// The slaves stop.
    Ending,
    /// Nothing of it is left.
    Over,
}

/// How far a slave is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It has not connected yet.
    #[default]
    Absent,
    /// It has its part of the test and gets ready.
    Joined,
    /// It waits for the start, or has started.
    Ready,
    /// Nothing of the run is left on it.
    Stopped,
    /// It will not return to this run.
    Lost,
}

/// A slave of the run.
#[derive(Debug, Default)]
pub struct Slave {
    /// Whether it is connected to the controller.
    pub connected: bool,
    /// How far it is.
    pub stage: Stage,
    /// The runs of entries that go on, as results name them.
    pub running: BTreeSet<String>,
    /// Whether it has reported that no job runs.
    pub idle: bool,
}

/// A trigger of the run.
#[derive(Debug, Default)]
pub struct Trigger {
    /// How many notifies it still needs, if that is known.
    pub left: Option<u64>,
    /// How many it needed first, if that is known.
    pub initial: Option<u64>,
    /// Whether it has fired.
    pub fired: bool,
}

/// How the test ends, without the time that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// When its time is over.
    Duration,
    /// When this trigger has fired and what it started has exited.
    Trigger(String),
    /// When no job runs and none can start.
    Idle,
}

/// The state of one run.
#[derive(Debug, Default)]
pub struct Progress {
    /// The name of the test.
    pub test: String,
    /// How far the run is.
    pub phase: Phase,
    /// The instant of the start, on the clock of this process.
    pub start: Option<Time>,
    /// How the test ends, and the time that it has from the start on, if the test is known.
    pub end: Option<(End, Duration)>,
    /// How many slaves the test has.
    pub slaves_wanted: usize,
    /// How many slaves are connected, if `slaves` does not show that yet.
    connected: Option<usize>,
    slaves: Vec<(String, Slave)>,
    places: BTreeMap<String, usize>,
    triggers: BTreeMap<String, Trigger>,
    meetings: Vec<Row>,
    /// The first failure in words, and the number of failures.
    failed: Option<(String, usize)>,
    running: usize,
}

impl Progress {
    /// Returns the state of a run of this test that has no slaves and no triggers yet.
    pub fn new(test: &str) -> Progress {
        Progress { test: test.to_owned(), ..Progress::default() }
    }

    /// Adds a slave after the ones that were added before.
    pub fn add_slave(&mut self, name: &str, slave: Slave) {
        self.running += slave.running.len();
        self.places.insert(name.to_owned(), self.slaves.len());
        self.slaves.push((name.to_owned(), slave));
    }

    /// Adds a trigger.
    pub fn add_trigger(&mut self, name: &str, trigger: Trigger) {
        self.triggers.insert(name.to_owned(), trigger);
    }

    /// Adds a barrier or a sync at which members wait. `subject` is its kind and its name.
    pub fn add_meeting(&mut self, subject: &str, there: usize, wanted: usize, missing: &[&str]) {
        let missing = if missing.is_empty() { String::new() } else { format!("; missing: {}", text::list(missing)) };
        self.meetings.push(Row::new(subject, format!("{there} of {wanted} there{missing}")));
    }

    /// Sets the first failure, in words, and how many there were.
    pub fn set_failures(&mut self, first: String, count: usize) {
        self.failed = Some((first, count));
    }

    /// Sets the start. `seconds` is how long the run has lasted up to now; `None` if it has not started.
    pub fn set_seconds(&mut self, now: Time, seconds: Option<f64>) {
        if let Some(seconds) = seconds.filter(|seconds| (0.0..1e12).contains(seconds)) {
            self.start = Some(now.offset(-((seconds * 1e6) as i64)));
        }
    }

    /// Takes over the state of the run that the controller has sent.
    pub fn set_status(&mut self, state: &RunState) {
        self.phase = match state.state {
            RunStatus::Queued => Phase::Queued,
            RunStatus::Gathering => Phase::Gathering,
            // Only the events tell these two apart.
            RunStatus::Running if self.phase == Phase::Finishing => Phase::Finishing,
            RunStatus::Running => Phase::Running,
            RunStatus::Ending => Phase::Ending,
            RunStatus::Over => Phase::Over,
        };
        self.test.clone_from(&state.test);
        self.slaves_wanted = state.slaves;
        // The events of the time before the start are written at the start.
        let gathers = matches!(self.phase, Phase::Queued | Phase::Gathering);
        self.connected = gathers.then_some(state.connected);
    }

    /// Takes over what an event changes. `micros` is its time since the start, if it has one.
    pub fn event(&mut self, micros: Option<i64>, slave: Option<&str>, event: &Event<'_>) {
        let fails = matches!(
            event,
            Event::Reported(SlaveEvent::Exited { outcome: EntryOutcome::Failed, .. } | SlaveEvent::Trouble { .. })
        );
        if let (true, Some(what)) = (fails, describe(event)) {
            let at = micros.map(|micros| format!("at {:.3} s, ", micros as f64 / 1e6)).unwrap_or_default();
            let first = || (format!("{at}{} {what}", slave.unwrap_or_default()), 0);
            self.failed.get_or_insert_with(first).1 += 1;
        }
        match event {
            Event::Notified { trigger, left, .. } => {
                if let Some(known) = self.trigger(trigger) {
                    known.left = Some(*left);
                }
            }
            Event::Triggered { trigger } => {
                if let Some(known) = self.trigger(trigger) {
                    known.fired = true;
                }
            }
            Event::Finishing { .. } if self.phase == Phase::Running => self.phase = Phase::Finishing,
            _ => {
                if let Some(slave) = slave {
                    self.slave_event(slave, event);
                }
            }
        }
    }

    fn trigger(&mut self, name: &str) -> Option<&mut Trigger> {
        if !self.triggers.contains_key(name) && self.triggers.len() < ADDED_MAX {
            self.add_trigger(name, Trigger::default());
        }
        self.triggers.get_mut(name)
    }

    fn slave_event(&mut self, name: &str, event: &Event<'_>) {
        if !self.places.contains_key(name) {
            if self.slaves.len() >= ADDED_MAX {
                return;
            }
            self.add_slave(name, Slave::default());
        }
        let Some((_, slave)) = self.places.get(name).and_then(|&place| self.slaves.get_mut(place)) else { return };
        match event {
            Event::Joined { .. } => (slave.connected, slave.stage) = (true, Stage::Joined),
            Event::Rejoined { .. } => slave.connected = true,
            Event::Disconnected { .. } => slave.connected = false,
            Event::Ready => slave.stage = Stage::Ready,
            Event::Stopped => slave.stage = Stage::Stopped,
            Event::Lost { .. } => {
                self.running -= slave.running.len();
                slave.running.clear();
                slave.stage = Stage::Lost;
            }
            Event::Reported(SlaveEvent::Idle { .. }) => slave.idle = true,
            Event::Reported(SlaveEvent::Begun { .. } | SlaveEvent::Heard { .. }) => slave.idle = false,
            Event::Reported(SlaveEvent::Spawned { entry, nr, .. }) => {
                slave.idle = false;
                if self.running < ADDED_MAX {
                    self.running += usize::from(slave.running.insert(run_name(entry, *nr)));
                }
            }
            Event::Reported(SlaveEvent::Exited { entry, nr, .. }) => {
                self.running -= usize::from(slave.running.remove(&run_name(entry, *nr)));
            }
            _ => {}
        }
    }

    /// Returns the picture at this instant: what is wrong first, then what the run waits for, then triggers, meetings
    /// and slaves.
    pub fn picture(&self, now: Time) -> Picture {
        let connected = self.slaves.iter().filter(|(_, slave)| slave.connected).count();
        let title = format!(
            "{}: {}, {} of {} slaves connected, {} running",
            self.test,
            self.phase_in_words(now),
            self.connected.unwrap_or(connected),
            self.slaves_wanted,
            self.running
        );
        let mut picture = Picture { title: harmless(&title).into_owned(), rows: Vec::new() };
        if self.connected.is_some() {
            return picture;
        }
        let rows = &mut picture.rows;
        rows.extend(self.failed.as_ref().map(|(first, count)| {
            let state = if *count > 1 { format!("{count} failures; first {first}") } else { first.clone() };
            Row { alarm: true, ..Row::new("failed", state) }
        }));
        rows.extend(self.waits_for().map(|what| Row::new("waits for", what)));
        rows.extend(self.meetings.iter().cloned());
        rows.extend(self.triggers.iter().map(|(name, trigger)| Row::new(name, trigger.in_words())));
        rows.extend(rows_of_slaves(self.slaves.iter().map(|(name, slave)| {
            let (state, alarm) = slave.in_words();
            (name.clone(), state, alarm)
        })));
        for row in rows {
            *row = Row { name: harmless(&row.name).into_owned(), state: harmless(&row.state).into_owned(), ..*row };
        }
        picture
    }

    fn phase_in_words(&self, now: Time) -> String {
        let word = match self.phase {
            Phase::Queued => return "queued".to_owned(),
            Phase::Gathering => return "gathering".to_owned(),
            Phase::Over => return "over".to_owned(),
            Phase::Running if self.start.is_some_and(|at| at > now) => return "starting".to_owned(),
            Phase::Running => "running",
            Phase::Finishing => "finishing",
            Phase::Ending => "ending",
        };
        let elapsed = now.since(self.start.unwrap_or(now)).as_secs_f64();
        format!("{word} {elapsed:.1} s{}", self.time_left(now))
    }

    /// Returns how long the run can still last, in words; empty if the test does not limit that now.
    fn time_left(&self, now: Time) -> String {
        let (Phase::Running, Some(start), Some((end, time))) = (self.phase, self.start, &self.end) else {
            return String::new();
        };
        let seconds = (start + *time).since(now).as_secs_f64().ceil();
        let left = text::duration(Duration::from_secs(seconds as u64));
        if *end == End::Duration { format!(" ({left} left)") } else { format!(" (at most {left} left)") }
    }

    fn waits_for(&self) -> Option<String> {
        let names = |which: &dyn Fn(&Slave) -> bool| {
            let names: Vec<&str> =
                self.slaves.iter().filter(|(_, slave)| which(slave)).map(|(name, _)| &**name).collect();
            text::list(&names)
        };
        Some(match (self.phase, self.end.as_ref().map(|(end, _)| end)) {
            (Phase::Gathering, _) => format!("{} to be ready", names(&|slave| slave.stage < Stage::Ready)),
            (Phase::Running, Some(End::Duration)) => "the end of its time".to_owned(),
            (Phase::Running, Some(End::Trigger(name))) => match self.triggers.get(name)? {
                trigger if trigger.fired => format!("the exit of what {name} has started"),
                trigger => format!("trigger {name}: {}", trigger.in_words()),
            },
            (Phase::Running, Some(End::Idle)) => {
                format!("{} to be idle", names(&|slave| slave.stage != Stage::Lost && !slave.idle))
            }
            (Phase::Finishing, _) => {
                format!("the jobs of {} to exit", names(&|slave| slave.stage < Stage::Stopped && !slave.idle))
            }
            (Phase::Ending, _) => format!("{} to stop", names(&|slave| slave.stage < Stage::Stopped)),
            (Phase::Queued | Phase::Running | Phase::Over, _) => return None,
        })
    }
}

impl Trigger {
    fn in_words(&self) -> String {
        match (self.fired, self.left, self.initial) {
            (true, ..) => "fired".to_owned(),
            (_, Some(left), Some(initial)) => format!("{left} of {initial} left"),
            (_, Some(left), None) => format!("{left} left"),
            (_, None, _) => String::new(),
        }
    }
}

impl Slave {
    /// Returns the state, and whether it is a problem.
    fn in_words(&self) -> (String, bool) {
        let word = match (self.connected, self.stage) {
            (_, Stage::Lost) => return ("lost".to_owned(), true),
            (_, Stage::Stopped) => "stopped",
            (false, Stage::Absent) => "not connected",
            (false, _) => return ("connection gone".to_owned(), true),
            (true, Stage::Joined) => "getting ready",
            (true, _) if self.running.is_empty() => "waiting",
            (true, _) => return (self.running.iter().map(String::as_str).collect::<Vec<_>>().join(" "), false),
        };
        (word.to_owned(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(progress: &Progress) -> Vec<(String, String)> {
        progress.picture(Time::default()).rows.into_iter().map(|row| (row.name, row.state)).collect()
    }

    fn row(name: &str, state: &str) -> (String, String) {
        (name.to_owned(), state.to_owned())
    }

    #[test]
    fn events_change_the_picture_as_the_state_of_a_controller_does() {
        let mut fed = Progress { phase: Phase::Running, ..Progress::new("t") };
        fed.end = Some((End::Idle, Duration::from_secs(60)));
        fed.event(None, Some("a"), &Event::Joined { address: "h".into(), machine: None });
        fed.event(None, Some("a"), &Event::Ready);
        fed.event(Some(1), Some("a"), &Event::Reported(SlaveEvent::Spawned { entry: "x".into(), nr: 1, pid: None }));
        fed.event(Some(2), Some("b"), &Event::Lost { reason: "gone".into() });
        let mut filled = Progress { phase: Phase::Running, end: fed.end.clone(), ..Progress::new("t") };
        let running = BTreeSet::from(["x".to_owned()]);
        filled.add_slave("a", Slave { connected: true, stage: Stage::Ready, running, idle: false });
        filled.add_slave("b", Slave { stage: Stage::Lost, ..Slave::default() });
        assert_eq!(fed.picture(Time::default()), filled.picture(Time::default()));
        assert_eq!(rows(&fed), [row("waits for", "a to be idle"), row("a", "x"), row("b", "lost")]);
    }

    #[test]
    fn the_first_failure_is_shown_with_its_time_and_the_rest_are_counted() {
        let mut progress = Progress { phase: Phase::Running, ..Progress::new("t") };
        for (at, text) in [(1_500_000, "no disk"), (2_000_000, "no\u{1b} memory")] {
            progress.event(Some(at), Some("a"), &Event::Reported(SlaveEvent::Trouble { text: text.into() }));
        }
        assert_eq!(rows(&progress)[0], row("failed", "2 failures; first at 1.500 s, a trouble: no disk"));
    }

    #[test]
    fn an_operator_sees_only_the_count_of_a_run_that_gathers() {
        let mut progress = Progress::new("t");
        let state = serde_json::json!({
            "run": "t-1", "test": "t", "state": "gathering", "submitted": "", "slaves": 3, "connected": 2
        });
        progress.set_status(&serde_json::from_value(state).unwrap());
        let picture = progress.picture(Time::default());
        assert_eq!(picture.title, "t: gathering, 2 of 3 slaves connected, 0 running");
        assert!(picture.rows.is_empty());
    }
}
