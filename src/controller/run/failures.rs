//! The failures of a run: what failed, on which slave, when, and the last lines of its output.

use serde::{Deserialize, Serialize};

use crate::controller::run::roster::beginning;
use crate::machine::{Exit, Time};
use crate::timeline::view::run_name;

/// How many failures are kept individually. The rest is only counted.
const KEPT_MAX: usize = 1_000;

/// The bytes of reasons and of last lines that are kept whole in one run.
const TEXTS_KEPT: usize = 1024 * 1024;

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// A run of an entry failed.
    Entry,
    /// A job still ran when its time to finish was over.
    CutOff,
    /// An entry with the action `end` failed the run.
    Asked,
    /// The limit of the test's end passed.
    Limit,
    /// The end trigger of the test can no longer fire.
    Stuck,
    /// There were more events than the controller allows.
    Events,
    /// An assertion about measurements is broken.
    Assertion,
    /// Measurements cannot be summed up, or there are too many.
    Measurement,
    /// A slave cannot return to the run.
    SlaveLost,
    /// A slave cannot take part.
    SlaveUnready,
    /// Not all slaves were ready in time.
    SlavesMissing,
    /// Something failed on a slave outside its entries.
    SlaveTrouble,
    /// A resource could not be read.
    Resource,
    /// The results could not be written.
    Results,
}

impl FailureKind {
    /// Returns whether the test's surroundings failed, and not the test. The exit status then tells a person to check
    /// the lab first.
    pub fn is_infrastructure(self) -> bool {
        match self {
            FailureKind::Entry
            | FailureKind::CutOff
            | FailureKind::Asked
            | FailureKind::Limit
            | FailureKind::Stuck
            | FailureKind::Events
            | FailureKind::Assertion
            | FailureKind::Measurement => false,
            FailureKind::SlaveLost
            | FailureKind::SlaveUnready
            | FailureKind::SlavesMissing
            | FailureKind::SlaveTrouble
            | FailureKind::Resource
            | FailureKind::Results => true,
        }
    }
}

/// One failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub kind: FailureKind,
    pub at: Time,
    /// The slave, if the failure belongs to one.
    pub slave: Option<String>,
    /// The entry and the number of its run.
    pub entry: Option<(String, u32)>,
    /// The exit status of its process, if one ran.
    pub exit: Option<Exit>,
    /// The reason, without the names of the slave and the entry.
    pub reason: String,
    /// The last lines of its output.
    pub tail: Option<String>,
}

impl Failure {
    /// Creates a failure of the run as a whole.
    pub fn of_run(kind: FailureKind, at: Time, reason: String) -> Failure {
        Failure { kind, at, slave: None, entry: None, exit: None, reason, tail: None }
    }

    /// Creates a failure of a slave as a whole.
    pub fn of_slave(kind: FailureKind, at: Time, slave: &str, reason: String) -> Failure {
        Failure { slave: Some(slave.to_owned()), ..Failure::of_run(kind, at, reason) }
    }

    /// Returns the run of the entry, as results name it.
    pub fn run_name(&self) -> Option<String> {
        self.entry.as_ref().map(|(entry, nr)| run_name(entry, *nr))
    }

    /// Returns whether it was found in the measurements, at the end.
    pub fn is_of_measurements(&self) -> bool {
        matches!(self.kind, FailureKind::Assertion | FailureKind::Measurement)
    }

    /// Returns the failure as a line, without its time.
    pub fn in_words(&self) -> String {
        self.of(self.slave.as_deref().unwrap_or_default())
    }

    /// Returns the failure with several slaves that share it.
    pub fn of(&self, slaves: &str) -> String {
        let reason = &self.reason;
        match (self.kind, self.run_name()) {
            (FailureKind::SlaveLost, _) => format!("slave {slaves} was lost: {reason}"),
            (FailureKind::SlaveUnready, _) => format!("slave {slaves} cannot take part: {reason}"),
            (FailureKind::SlaveTrouble, _) => format!("slave {slaves}: {reason}"),
            (FailureKind::Asked, Some(entry)) => format!("{slaves} {entry} {reason}"),
            (_, Some(entry)) => format!("{slaves} {entry} failed: {reason}"),
            (_, None) => reason.clone(),
        }
    }

    /// Returns the failure as the headline of its run, with its time if it belongs to a slave.
    pub fn headline(&self, start: Option<Time>) -> String {
        match (start, &self.slave) {
            // It names the slave, and its time says nothing.
            _ if self.is_of_measurements() => self.in_words(),
            (Some(start), Some(_)) => format!("at {:.3} s, {}", self.at.diff(start) as f64 / 1e6, self.in_words()),
            _ => self.in_words(),
        }
    }
}

/// All failures of a run, in the order in which the controller received them.
#[derive(Debug, Default)]
pub struct Failures {
    kept: Vec<Failure>,
    count: usize,
    /// The bytes of the texts of those that are kept.
    texts: usize,
}

impl Failures {
    /// Counts a failure, and keeps it if it is one of the first. Of a later one only the beginning of its reason may be
    /// kept, but that of the first failure is always whole.
    pub fn add(&mut self, mut failure: Failure) {
        self.count += 1;
        if self.kept.len() < KEPT_MAX {
            failure.reason = self.keep(failure.reason);
            self.kept.push(failure);
        }
    }

    /// Returns a text whole while there is room for it, and otherwise its beginning.
    fn keep(&mut self, text: String) -> String {
        let kept = if self.texts + text.len() > TEXTS_KEPT { beginning(&text) } else { text };
        self.texts += kept.len();
        kept
    }

    /// Returns the first failure.
    pub fn first(&self) -> Option<&Failure> {
        self.kept.first()
    }

    pub fn kept(&self) -> &[Failure] {
        &self.kept
    }

    /// Returns how many failures there are, including those that are not kept.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Sets the last lines of output of a failed run of an entry.
    pub fn tail(&mut self, slave: &str, entry: &str, nr: u32, tail: &str) {
        let is_of = |failure: &&mut Failure| {
            let of_run = failure.entry.as_ref().is_some_and(|(name, number)| name == entry && *number == nr);
            of_run && failure.slave.as_deref() == Some(slave)
        };
        let has_room = self.texts + tail.len() <= TEXTS_KEPT;
        if let Some(failure) = self.kept.iter_mut().rev().find(is_of)
            && failure.tail.is_none()
            && has_room
        {
            self.texts += tail.len();
            failure.tail = Some(tail.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(slave: &str, nr: u32) -> Failure {
        Failure {
            entry: Some(("x".to_owned(), nr)),
            ..Failure::of_slave(FailureKind::Entry, Time::from_micros(1_500_000), slave, "exit status 1".to_owned())
        }
    }

    #[test]
    fn a_failure_names_the_slave_and_the_time() {
        let start = Some(Time::from_micros(1_000_000));
        assert_eq!(entry("a", 2).headline(start), "at 0.500 s, a x.2 failed: exit status 1");
        assert_eq!(entry("a", 1).headline(None), "a x failed: exit status 1");
        let limit = Failure::of_run(FailureKind::Limit, Time::default(), "its limit of 1s passed".to_owned());
        assert_eq!(limit.headline(start), "its limit of 1s passed");
        let lost = Failure::of_slave(FailureKind::SlaveLost, Time::from_micros(3_000_000), "b", "no sign".to_owned());
        assert_eq!(lost.headline(start), "at 2.000 s, slave b was lost: no sign");
    }

    #[test]
    fn the_first_failures_are_kept_and_all_are_counted() {
        let mut failures = Failures::default();
        (0..KEPT_MAX as u32 + 5).for_each(|nr| failures.add(entry("a", nr + 1)));
        assert_eq!((failures.kept().len(), failures.count()), (KEPT_MAX, KEPT_MAX + 5));
        assert_eq!(failures.first(), Some(&entry("a", 1)));
    }

    #[test]
    fn long_texts_of_failures_have_a_bound() {
        let mut failures = Failures::default();
        for nr in 1..=KEPT_MAX as u32 {
            failures.add(Failure { reason: "x".repeat(2_000), ..entry("a", nr) });
            failures.tail("a", "x", nr, &"y".repeat(2_000));
        }
        let length = |failure: &Failure| failure.reason.len() + failure.tail.as_ref().map_or(0, String::len);
        let all: usize = failures.kept().iter().map(length).sum();
        assert!(all <= TEXTS_KEPT + KEPT_MAX * 100, "{all}");
        assert_eq!(failures.kept().iter().filter(|failure| length(failure) == 4_000).count(), TEXTS_KEPT / 4_000);
    }

    #[test]
    fn a_tail_belongs_to_its_own_run_and_is_known_once() {
        let mut failures = Failures::default();
        [entry("a", 1), entry("b", 1), entry("a", 2)].into_iter().for_each(|failure| failures.add(failure));
        failures.tail("b", "x", 1, "no space left");
        failures.tail("b", "x", 1, "later");
        failures.tail("c", "x", 1, "nobody");
        let tails: Vec<_> = failures.kept().iter().map(|failure| failure.tail.as_deref()).collect();
        assert_eq!(tails, [None, Some("no space left"), None]);
    }
}
