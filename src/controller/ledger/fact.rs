//! The contents of a ledger: its first line and its facts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::controller::room::meeting::Meeting;
use crate::controller::room::sync::Limits;
use crate::controller::run::failures;
use crate::machine::faults::{Fault, injected};
use crate::machine::{Time, path_text};
use crate::testfile::Shipped;
use crate::text;
use crate::wire::rendezvous::{OutcomeKind, Party};
use crate::wire::{SlaveEvent, Verdict};

/// The format of the ledger. A ledger of another format is not read.
pub const FORMAT: u32 = 1;

/// The name of the ledger, in the results of a run and in the state of a controller.
pub const FILE: &str = "state.jsonl";

/// The name of a rewritten ledger, until it replaces [`FILE`].
pub const NEW: &str = "state.jsonl.new";

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// The format of the ledger, see [`FORMAT`].
    pub format: u32,
    /// The program that wrote it, for people.
    pub by: String,
    /// The offset from the times here to microseconds since 1970 in UTC.
    pub wall_offset: i64,
    /// When the controller began.
    pub begun: Time,
    /// The boot of the system that the clock counts from.
    pub boot: String,
    /// How far the controller's clock was ahead of the system's, in microseconds.
    #[serde(default)]
    pub shift: i64,
    /// The run; `None` for a controller of rooms only.
    pub run: Option<Terms>,
}

/// All that is needed to repeat the start of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Terms {
    /// The run's id.
    pub id: String,
    /// The test file's text.
    pub test: String,
    /// The files of the resources, by their names in the test file.
    pub shipped: BTreeMap<String, Shipped>,
    /// Where the controller listens; `None` if the run starts its slaves itself.
    pub listen: Option<String>,
    /// The directory in which such slaves work, unless it is to be kept.
    #[serde(with = "path_text::option", default)]
    pub work: Option<PathBuf>,
    /// The launcher of the slaves, as `--launch` has it.
    #[serde(default)]
    pub launch: Option<String>,
    /// How long the run waits for its slaves, in microseconds.
    pub wait: Option<u64>,
    /// How long a slave may be disconnected before it is lost, in microseconds.
    pub lost_after: u64,
    /// The limits for what slaves and members can make grow.
    pub limits: Limits,
    /// Files are synced to the disk.
    pub fsync: bool,
    /// The directory of the controller's certificates; `None` without TLS.
    #[serde(with = "path_text::option", default)]
    pub tls: Option<PathBuf>,
    /// Peers need no certificates.
    pub insecure: bool,
    /// The highest number of connections.
    pub connections: Option<usize>,
    /// The id of the submission, at a permanent controller.
    #[serde(default)]
    pub submission: Option<String>,
    /// When it was submitted, as UTC.
    #[serde(default)]
    pub submitted: String,
    /// Its place among submissions of the same instant.
    #[serde(default)]
    pub place: u64,
}

/// A fact: something that has happened and is known from then on. `slave` is a place in the test, `process` a number
/// that `Processes` in `session/processes.rs` has assigned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact<'a> {
    /// A process acts for a slave or for a client.
    Process {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The number of the process.
        process: u64,
        /// The slave's place in the test, if the process is a slave.
        slave: Option<usize>,
        /// The member that a client acts for.
        #[serde(borrow)]
        member: Option<Cow<'a, str>>,
        /// The incarnation of the process.
        #[serde(borrow)]
        incarnation: Cow<'a, str>,
    },
    /// A slave has connected.
    Joined {
        /// The slave's place in the test.
        slave: usize,
        /// The incarnation of the process.
        #[serde(borrow)]
        incarnation: Cow<'a, str>,
        /// Where it connects from, for people.
        #[serde(borrow)]
        address: Cow<'a, str>,
        /// The IP address that it connects from.
        ip: Option<IpAddr>,
        /// The process is the same as before.
        again: bool,
        /// The machine that serves as the slave, if the test selects it by labels.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        machine: Option<Cow<'a, str>>,
    },
    /// The machines that serve as the slaves were assigned.
    Assigned {
        /// The names of the machines, in the order of the slaves.
        machines: Vec<Cow<'a, str>>,
    },
    /// A slave is ready for the start.
    Ready {
        /// The slave's place in the test.
        slave: usize,
    },
    /// The instant of the start was set.
    Start {
        /// The instant of the start.
        at: Time,
        /// The same instant as UTC, for people.
        #[serde(borrow)]
        wall_clock: Cow<'a, str>,
    },
    /// A slave has sent a report.
    Report {
        /// The slave's place in the test.
        slave: usize,
        /// The report's number.
        seq: u64,
        /// When it happened, as the results record it.
        at: Time,
        /// The event in the report.
        #[serde(borrow)]
        event: SlaveEvent<'a>,
    },
    /// A process has notified a trigger `total` times in all.
    Notified {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The number of the process.
        process: u64,
        /// The name of the slave or member; empty if the client has none.
        #[serde(borrow)]
        from: Cow<'a, str>,
        /// The trigger's name.
        #[serde(borrow)]
        trigger: Cow<'a, str>,
        /// How many notifies of this trigger the process has stated in total.
        total: u64,
        /// The data of the new notifies that counted.
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<&'a RawValue>,
    },
    /// The connection of a slave has ended.
    Disconnected {
        /// The slave's place in the test.
        slave: usize,
        /// Why, for people.
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// A slave is lost to the run.
    Lost {
        /// The slave's place in the test.
        slave: usize,
        /// Why, for people.
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// A slave was refused.
    Refused {
        /// The name that it used.
        #[serde(borrow)]
        name: Cow<'a, str>,
        /// Where it connects from, for people.
        #[serde(borrow)]
        address: Cow<'a, str>,
        /// Why, for people.
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// The test has failed for a reason that no other fact states.
    Failed {
        /// The kind of the failure.
        kind: failures::FailureKind,
        /// The slave that failed it, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slave: Option<usize>,
        /// The entry that failed it.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        entry: Option<Cow<'a, str>>,
        /// Why, for people.
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// The end condition of the test holds, and its jobs may finish.
    Finishing {
        /// Why, for people.
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// The end of the run has begun.
    Ending {
        /// The verdict of the run.
        verdict: Verdict,
        /// Why, for people.
        #[serde(borrow)]
        why: Cow<'a, str>,
        /// Jobs that still ran count as failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut: bool,
    },
    /// The run was interrupted.
    Interrupted {
        /// Why, for people.
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// A slave has stopped its part of the run.
    Stopped {
        /// The slave's place in the test.
        slave: usize,
    },
    /// The run is over.
    Ended {
        /// The verdict of the run.
        verdict: Verdict,
        /// Why, for people.
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// The controller was killed and has continued.
    Resumed {
        /// The boot of the system.
        #[serde(borrow)]
        boot: Cow<'a, str>,
        /// How far the controller's clock is ahead of the system's, in microseconds.
        shift: i64,
    },
    /// An event that changes nothing else, as `events.jsonl` has it.
    Event(#[serde(borrow)] &'a RawValue),
    /// A client created a trigger.
    Created {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The trigger's name.
        #[serde(borrow)]
        trigger: Cow<'a, str>,
        /// The number of notifies after which it fires.
        count: u64,
    },
    /// A client removed a trigger.
    Deleted {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The trigger's name.
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// The map of the round in the next fact, as its members receive it.
    Map(#[serde(borrow)] &'a RawValue),
    /// A trigger of a client, in a rewritten ledger.
    Trigger {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The trigger's name.
        #[serde(borrow)]
        trigger: Cow<'a, str>,
        /// The number of notifies after which it fires.
        initial: u64,
        /// How many notifies have counted.
        notified: u64,
        /// When it fired.
        fired: Option<Time>,
        /// For each process its total, and the part that counted in time.
        totals: Vec<(u64, u64, u64)>,
        /// The data of the notifies, with their senders.
        #[serde(borrow)]
        notes: Vec<(Cow<'a, str>, &'a RawValue)>,
    },
    /// The highest number of a round until now.
    LastRound(u64),
    /// The following facts were written by a rewrite, up to [`Fact::Rewritten`].
    Rewriting,
    /// The rewrite ends here.
    Rewritten,
    /// More arrivals that have not confirmed the outcome of a round, in a rewritten ledger.
    Unheard {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// A barrier or a sync.
        kind: Meeting,
        /// The round's number.
        round: u64,
        /// Why, for people.
        #[serde(borrow)]
        reason: Cow<'a, str>,
        /// The arrivals, by process.
        arrivals: Vec<(u64, Vec<u64>)>,
    },
    /// A round is over for these arrivals.
    Round {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// A barrier or a sync.
        kind: Meeting,
        /// The name of the barrier or sync.
        #[serde(borrow)]
        meeting: Cow<'a, str>,
        /// The round's number.
        round: u64,
        /// How the round ended.
        verdict: OutcomeKind,
        /// The members that were missing, were lost or disagreed.
        who: Vec<String>,
        /// Why, for people.
        #[serde(borrow)]
        reason: Cow<'a, str>,
        /// The instant of a harmonized release.
        at: Option<Time>,
        /// The arrivals, by process.
        arrivals: Vec<(u64, Vec<u64>)>,
        /// The members for which the failed round is kept.
        audience: Option<Audience>,
    },
    /// A late member gets the outcome of the failed round of a meeting.
    Late {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// A barrier or a sync.
        kind: Meeting,
        /// The name of the barrier or sync.
        #[serde(borrow)]
        meeting: Cow<'a, str>,
        /// The member's name.
        #[serde(borrow)]
        member: Cow<'a, str>,
        /// The number of the process.
        process: u64,
        /// The id of the arrival.
        id: u64,
    },
    /// A failed round was dropped.
    FailedRoundDropped {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// A barrier or a sync.
        kind: Meeting,
        /// The name of the barrier or sync.
        #[serde(borrow)]
        meeting: Cow<'a, str>,
    },
    /// Arrivals have confirmed their outcomes.
    Heard {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The number of the process.
        process: u64,
        /// The ids of the arrivals.
        ids: Vec<u64>,
    },
}

/// The members for which a failed round is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audience {
    /// The party of the round.
    pub party: Party,
    /// The members that were present.
    pub informed: Vec<String>,
    /// The other party, if a member disagreed.
    pub other: Option<Party>,
    /// When the failed round is dropped.
    pub until: Time,
}

/// The length of most lines, in bytes.
const USUAL: usize = 512;

/// Adds an item to the line of one input. Starts the line if the last one has ended.
pub(in crate::controller) fn item(line: &mut Vec<u8>, now: Time, write: impl FnOnce(&mut Vec<u8>)) {
    if line.is_empty() || line.ends_with(b"\n") {
        line.reserve(USUAL);
        line.push(b'[');
        text::push_number(line, now.as_micros(), 1);
        line.extend_from_slice(b",[");
    } else {
        line.push(b',');
    }
    write(line);
}

pub(in crate::controller) fn encode(line: &mut Vec<u8>, fact: &Fact<'_>) {
    let begin = line.len();
    serde_json::to_writer(&mut *line, fact).expect("a fact of plain fields always encodes");
    // The text is made harmless because a person may show a ledger on a terminal, and parts come from peers.
    text::make_harmless(line, begin);
}

/// Adds the first line. The text of a test in it is made harmless too.
pub(in crate::controller) fn encode_header(line: &mut Vec<u8>, header: &Header) {
    serde_json::to_writer(&mut *line, header).expect("a header of plain fields always encodes");
    text::make_harmless(line, 0);
    line.push(b'\n');
}

pub(in crate::controller) fn encode_raw(line: &mut Vec<u8>, kind: &str, json: &[u8]) {
    line.extend_from_slice(b"{\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\":");
    line.extend_from_slice(json);
    line.push(b'}');
}

/// Returns whether an injected fault omits this fact.
pub fn is_left_out(fact: &Fact<'_>) -> bool {
    match fact {
        Fact::Notified { .. } => injected(Fault::NotifyUnwritten),
        Fact::Report { event: SlaveEvent::Measured { .. }, .. } => {
            injected(Fault::MeasurementUnwritten) || injected(Fault::ReportUnwritten)
        }
        Fact::Report { .. } => injected(Fault::ReportUnwritten),
        Fact::Round { .. } => injected(Fault::RoundUnwritten),
        Fact::Ending { .. } => injected(Fault::EndingUnwritten),
        _ => false,
    }
}
