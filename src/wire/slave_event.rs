//! The events of a slave's part of a run, as it reports them, and as `events.jsonl` has them.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::FaultState;
use super::seconds;
use super::verdict::{EntryOutcome, Verdict};
use crate::machine::Exit;

/// What happened, in the field `event` of a [`Report`](super::Report) and the fields next to it. The controller copies
/// these fields to a line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum SlaveEvent<'a> {
    /// The slave has started its `at` entries.
    Begun {
        /// The time between the agreed start and the first entry, on the slave's clock.
        #[serde(with = "seconds")]
        late: Duration,
        /// The largest error of the slave's idea of the controller's clock: half its best round trip.
        #[serde(with = "seconds")]
        uncertain: Duration,
    },
    /// A run of an entry has begun.
    Spawned {
        /// The entry.
        #[serde(borrow)]
        entry: Cow<'a, str>,
        /// The number of the run of this entry on this slave: 1, 2, 3, ...
        nr: u32,
        /// The process id of the command. Absent for a built-in action.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    /// A run of an entry has become ready.
    EntryReady {
        /// The entry.
        #[serde(borrow)]
        entry: Cow<'a, str>,
        /// As in [`Spawned`](SlaveEvent::Spawned).
        nr: u32,
        /// The time since it was started.
        #[serde(with = "seconds")]
        after: Duration,
    },
    /// A run of an entry has ended, or could not begin.
    Exited {
        /// The entry.
        #[serde(borrow)]
        entry: Cow<'a, str>,
        /// As in [`Spawned`](SlaveEvent::Spawned).
        nr: u32,
        /// How its process ended. Absent if no process ran.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        /// The result of the run.
        outcome: EntryOutcome,
        /// The number of this attempt at a job that is run again if it fails. Absent: 1.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        attempt: u32,
        /// It failed because it still ran when its time to finish was over at the end of the run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut_off: bool,
        /// Why it failed, or what stopped it. Absent: nothing to add.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        why: Option<Cow<'a, str>>,
    },
    /// The last lines of a failed command's output, at most 10 lines and 2 KiB. Reported after the `exited` of the command.
    Tail {
        /// The entry.
        #[serde(borrow)]
        entry: Cow<'a, str>,
        /// As in [`Spawned`](SlaveEvent::Spawned).
        nr: u32,
        /// The lines, separated by newlines.
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    /// A fault that an entry injects has begun, or is undone.
    Fault {
        /// The entry.
        #[serde(borrow)]
        entry: Cow<'a, str>,
        /// As in [`Spawned`](SlaveEvent::Spawned).
        nr: u32,
        /// What has become of it.
        state: FaultState,
        /// What it is, for people.
        #[serde(borrow)]
        what: Cow<'a, str>,
    },
    /// The slave was poked.
    Poked {
        /// The entry that the poke names. Absent: all `poke` entries.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        entry: Option<Cow<'a, str>>,
        /// The origin of the poke.
        by: PokedBy,
    },
    /// The slave has received that this trigger has fired, and has started the entries that wait for it.
    Heard {
        /// The trigger.
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// All entries that this trigger has started on this slave, directly or by `after`, have exited.
    Settled {
        /// The trigger.
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// No job runs on this slave, and only a trigger or a poke can start one. A later report of an entry that began
    /// cancels it. It is reported again when the last service has ended.
    Idle {
        /// The number of triggers that the slave knows to have fired.
        heard: u64,
        /// Whether services run, or will start without a trigger or a poke.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        services: bool,
    },
    /// No process of a command runs, also none that a command has left behind. A later `spawned` with a pid cancels it.
    Cleared,
    /// A command has recorded a measurement.
    Measured {
        /// The entry that runs the command. Absent: the command was not started by an entry.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        entry: Option<Cow<'a, str>>,
        /// As in [`Spawned`](SlaveEvent::Spawned). Absent: as for the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nr: Option<u32>,
        /// What was measured.
        #[serde(borrow)]
        name: Cow<'a, str>,
        /// The value.
        value: f64,
        /// The unit of the value. Absent: it has none.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        unit: Option<Cow<'a, str>>,
        /// A lower value is better than a higher one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lower_is_better: bool,
    },
    /// The action `end` of an entry requests the end of the run.
    End {
        /// The entry.
        #[serde(borrow)]
        entry: Cow<'a, str>,
        /// The verdict that the entry requests.
        verdict: Verdict,
    },
    /// Something that a person should know; the verdict does not depend on it.
    Warning {
        /// What happened, in a sentence.
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    /// Something went wrong that no entry has caused; the run fails.
    Trouble {
        /// What happened, in a sentence.
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
}

fn first() -> u32 {
    1
}

fn is_first(attempt: &u32) -> bool {
    *attempt == first()
}

/// The origin of a poke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PokedBy {
    /// SIGUSR1. The kernel may have merged several signals into one.
    Signal,
    /// `arete poke`.
    Command,
}
