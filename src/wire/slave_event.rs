//! What a slave reports of its part of a run.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::verdict::{EntryOutcome, Verdict};
use crate::machine::Exit;

/// What a [`Report`](super::Report) reports, in its field `what` and those beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum SlaveEvent<'a> {
    /// The slave has started its `at` entries.
    Begun {
        /// How long after the agreed instant, in microseconds, by the slave's clock.
        late: u64,
        /// How wrong the slave's idea of the controller's clock can be, in microseconds: half its best round trip.
        uncertain: u64,
    },
    /// A run of an entry began. A built-in action has no pid.
    Spawned {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        /// 1 for the entry's first run on this slave, then one more each.
        nr: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    /// A run of an entry has become ready.
    EntryReady {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        nr: u32,
        /// How long it took, in microseconds.
        after: u64,
    },
    /// A run of an entry is over, or could not begin.
    Exited {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        nr: u32,
        /// How its process ended; absent when none ran.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        outcome: EntryOutcome,
        /// It failed because it still ran when the end of the run had waited for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut_off: bool,
        /// Why it failed, or who stopped it.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        why: Option<Cow<'a, str>>,
    },
    /// The last lines that a failed command wrote, at most 10 and 2 KiB. Reported after its `exited`.
    Tail {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        nr: u32,
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    /// The slave was poked.
    Poked {
        /// Which entry was asked for; absent: all `poke` entries.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        entry: Option<Cow<'a, str>>,
        by: PokedBy,
    },
    /// The slave has heard that this trigger has fired, and has started what it sets off.
    Heard {
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// Everything that this trigger set off on this slave, directly or by `after`, has exited.
    Settled {
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// No job runs on this slave, and only a trigger or a poke could start one. Any later report of something that
    /// began takes it back. Reported again when the last service has ended.
    Idle {
        /// How many triggers the slave has heard.
        heard: u64,
        /// Whether services run, or will by themselves.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        services: bool,
    },
    /// No process runs that a command has started or left behind. A later `spawned` with a pid takes it back.
    Cleared,
    /// An entry's action `end` asks for the run's end.
    End {
        #[serde(borrow)]
        entry: Cow<'a, str>,
        verdict: Verdict,
    },
    /// Something that a person should know and that fails nothing.
    Warning {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    /// Something went wrong that is no entry's fault; the run fails.
    Trouble {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
}

/// By what a slave was poked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PokedBy {
    /// SIGUSR1; several may have become one.
    Signal,
    /// `arete poke`.
    Command,
}
