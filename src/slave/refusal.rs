//! Why this slave does not do what a command or an entry asks of it.

use std::fmt;

use crate::measure::{VALUE_MAX, unit};
use crate::session::{name_rule, words_rule};
use crate::slave::shorten::clip;
use crate::wire::rendezvous::NOTE_MAX;
use crate::wire::{Bound, Malformed};

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The request is not a valid message.
    Malformed(Malformed),
    /// The request is too long.
    TooLong(Bound),
    /// This many requests wait already, which is the limit.
    TooMany(usize),
    /// The connection has sent no request, and others need its place.
    Silent,
    /// No run is in progress.
    NoRun,
    /// The run has not started.
    NotStarted,
    /// Nothing begins any more.
    Ending,
    /// The run has ended.
    Ended,
    /// The test has no such trigger. `known` lists its triggers.
    NoTrigger { trigger: String, known: String },
    /// The schedule has no such entry.
    NoEntry { entry: String },
    /// The schedule has no such entry, or its policy is another one. `pokable` lists the `poke` entries.
    NotPokable { entry: String, exists: bool, pokable: String },
    /// The data of a notify is too long.
    LongData,
    /// The controller has not counted the notifies so far.
    UncountedNotifies,
    /// The controller has not recorded the reports so far.
    UnrecordedPokes,
    /// A barrier or a sync cannot have this name.
    MeetingName(String),
    /// A member cannot have this tag.
    Tag(String),
    /// The values that wait for their syncs would be longer than this together, in bytes.
    Values { most: usize },
    /// The entry does not report its readiness itself.
    NotAwaited { entry: String },
    /// That run of the entry has ended.
    NotRunning { entry: String, nr: u32 },
    /// The report comes after the entry's time to become ready.
    NotReadyInTime { entry: String },
    /// This many runs of entries go on already, which is the limit.
    Runs { most: usize },
    /// This many runs of entries wait for the end of their delays, which is the limit.
    Delays { most: usize },
    /// A request records nothing, or more than this many measurements.
    MeasurementCount { most: usize },
    /// A measurement cannot have this name.
    MeasurementName(String),
    /// This is not a unit.
    MeasurementUnit(String),
    /// The value of this measurement is not finite, or too large.
    MeasurementValue(String),
    /// This slave has recorded the same name in a unit that measures something else.
    UnitsDiffer { name: String, first: Option<String>, now: Option<String> },
    /// This slave has recorded as many measurements in this run as it may.
    Measurements { most: usize },
    /// The controller has not recorded the reports so far.
    UnrecordedMeasurements,
    /// The controller has refused the request, for this reason.
    Controller(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed(malformed) => malformed.fmt(to),
            Refusal::TooLong(bound) => bound.fmt(to),
            Refusal::TooMany(most) => write!(to, "{most} requests wait already; try again later"),
            Refusal::Silent => write!(to, "the connection has sent no request, and other connections need its place"),
            Refusal::NoRun => write!(to, "no run is in progress on this slave"),
            Refusal::NotStarted => write!(to, "the run has not started yet"),
            Refusal::Ending => write!(to, "the run is ending"),
            Refusal::Ended => write!(to, "the run has ended"),
            Refusal::NoTrigger { trigger, known } => {
                write!(to, "the test has no trigger {trigger:?}; its triggers: {known}")
            }
            Refusal::NoEntry { entry } => write!(to, "this slave has no entry {:?}", clip(entry)),
            Refusal::NotPokable { entry, exists: true, pokable } => {
                write!(to, "entry {:?} is not a poke entry; the poke entries of this slave: {pokable}", clip(entry))
            }
            Refusal::NotPokable { entry, exists: false, pokable } => {
                write!(to, "this slave has no entry {:?}; its poke entries: {pokable}", clip(entry))
            }
            Refusal::LongData => write!(to, "the data of a notify is at most {NOTE_MAX} bytes long"),
            Refusal::UncountedNotifies => {
                write!(to, "the controller has been away for too long to count more notifies; try again later")
            }
            Refusal::UnrecordedPokes => {
                write!(to, "the controller has been away for too long to note more pokes; try again later")
            }
            Refusal::MeetingName(name) => {
                write!(to, "{:?} cannot name a barrier or a sync: a {}", clip(name), words_rule())
            }
            Refusal::Tag(tag) => {
                write!(to, "{:?} is not a valid tag: it is too long, or has control characters", clip(tag))
            }
            Refusal::Values { most } => {
                write!(to, "the values that wait on this slave have at most {most} bytes together")
            }
            Refusal::NotAwaited { entry } => write!(to, "entry {entry:?} has no \"ready\": {{\"notify\": true}}"),
            Refusal::NotRunning { entry, nr } => write!(to, "run {nr} of entry {entry:?} is not running"),
            Refusal::NotReadyInTime { entry } => write!(to, "entry {entry:?} was not ready in time"),
            Refusal::Runs { most } => write!(to, "{most} runs of entries go on already on this slave"),
            Refusal::Delays { most } => write!(to, "{most} runs of entries wait for the end of their delays already"),
            Refusal::MeasurementCount { most } => {
                write!(to, "one request records 1 to {most} measurements: use several requests")
            }
            Refusal::MeasurementName(name) => {
                write!(to, "{:?} cannot name a measurement: a {}", clip(name), name_rule())
            }
            Refusal::MeasurementUnit(text) => write!(to, "{:?} is not a unit: a {}", clip(text), unit::rule()),
            Refusal::MeasurementValue(name) => {
                write!(to, "the value of {name} is not a number from -{VALUE_MAX:e} to {VALUE_MAX:e}")
            }
            Refusal::UnitsDiffer { name, first, now } => {
                let (first, now) = (unit::of_record(first.as_deref()), unit::of_record(now.as_deref()));
                write!(to, "{name} was recorded {first} before, and now {now}: use one unit, or another name")
            }
            Refusal::Measurements { most } => {
                write!(to, "this slave has recorded {most} measurements in this run already, which is the limit")
            }
            Refusal::UnrecordedMeasurements => {
                write!(to, "the controller has been away for too long to record more measurements; try again later")
            }
            Refusal::Controller(reason) => to.write_str(reason),
        }
    }
}

impl std::error::Error for Refusal {}
