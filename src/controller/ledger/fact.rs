//! What is written in a ledger: its first line, and the facts.

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

/// The format of the ledger. Another one is not read.
pub const FORMAT: u32 = 1;

/// The ledger's name in the directory of a run's results, and in that of a controller's state.
pub const FILE: &str = "state.jsonl";

/// One that is written anew, until it takes the place of that.
pub const NEW: &str = "state.jsonl.new";

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// The format of the ledger, see [`FORMAT`].
    pub format: u32,
    /// The program that wrote it, for people.
    pub by: String,
    /// What to add to the times here to get microseconds since 1970 in UTC.
    pub wall_offset: i64,
    /// When the controller began.
    pub begun: Time,
    /// The boot of the system that the clock counts from.
    pub boot: String,
    /// How far our clock was ahead of the system's.
    #[serde(default)]
    pub shift: i64,
    /// The run; none of a controller of rooms alone.
    pub run: Option<Terms>,
}

/// All that is needed to begin a run again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Terms {
    /// The run's id.
    pub id: String,
    /// The test file's text.
    pub test: String,
    /// What is known of the resources' files, by their names in the test file.
    pub shipped: BTreeMap<String, Shipped>,
    /// Where the controller listens; none of a run that starts its slaves itself.
    pub listen: Option<String>,
    /// The directory in which such slaves work, unless it is to be kept.
    #[serde(with = "path_text::option", default)]
    pub work: Option<PathBuf>,
    /// What starts the slaves, as `--launch` has it.
    #[serde(default)]
    pub launch: Option<String>,
    /// In microseconds.
    pub wait: Option<u64>,
    /// How long a slave may be away before it is lost, in microseconds.
    pub lost_after: u64,
    /// The bounds for what slaves and members can make grow.
    pub limits: Limits,
    /// Files are synced to the disk.
    pub fsync: bool,
    /// The directory of its certificates, or that it has none and needs none.
    #[serde(with = "path_text::option", default)]
    pub tls: Option<PathBuf>,
    /// It needs no certificates.
    pub insecure: bool,
    /// How many connections it may have.
    pub connections: Option<usize>,
    /// What it was handed in as, and when, to a controller that stays.
    #[serde(default)]
    pub submission: Option<String>,
    /// When the run was handed in, as UTC.
    #[serde(default)]
    pub submitted: String,
    /// Its place among those that were handed in at one instant.
    #[serde(default)]
    pub place: u64,
}

/// Something that happened and that is known from then on. `slave` is a place in the test, `process` a number that
/// `Processes` in `session/processes.rs` has assigned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact<'a> {
    /// A process speaks for a slave or for a client.
    Process {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// The number of the process.
        process: u64,
        /// The slave's place in the test, if the process is a slave.
        slave: Option<usize>,
        /// The member that a client speaks for.
        #[serde(borrow)]
        member: Option<Cow<'a, str>>,
        /// The incarnation of the process.
        #[serde(borrow)]
        incarnation: Cow<'a, str>,
    },
    /// A slave has connected; `again`: the same process as before.
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
        /// The machine that serves as the slave, if the test asks for one by its labels.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        machine: Option<Cow<'a, str>>,
    },
    /// The machines that serve as the slaves, in their order, are there and free.
    Assigned {
        /// The names of the machines.
        machines: Vec<Cow<'a, str>>,
    },
    /// A slave is ready for the start.
    Ready {
        /// The slave's place in the test.
        slave: usize,
    },
    /// The start was named.
    Start {
        /// The instant of the start.
        at: Time,
        /// The same as UTC, for people.
        #[serde(borrow)]
        wall_clock: Cow<'a, str>,
    },
    /// A slave has reported something.
    Report {
        /// The slave's place in the test.
        slave: usize,
        /// The report's number.
        seq: u64,
        /// When it happened, as it is recorded.
        at: Time,
        /// What the slave reported.
        #[serde(borrow)]
        what: SlaveEvent<'a>,
    },
    /// A process has notified a trigger so often, all in all; `notes` is what the new ones carried that counted.
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
        /// What the notifies carried.
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
    /// Something made the test fail that no other fact says.
    Failed {
        /// What kind of failure it is.
        kind: failures::FailureKind,
        /// The slave and the entry that failed it, if it is theirs.
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
    /// The run's end has begun.
    Ending {
        /// The verdict of the run.
        verdict: Verdict,
        /// Why, for people.
        #[serde(borrow)]
        why: Cow<'a, str>,
        /// The jobs that still run have failed.
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
    /// The controller was killed and has gone on, on a clock that is so much ahead of the system's.
    Resumed {
        /// The boot of the system.
        #[serde(borrow)]
        boot: Cow<'a, str>,
        /// How far the clock is ahead of the clock of the system, in microseconds.
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
    /// The map of the round that comes next, as its members get it.
    Map(#[serde(borrow)] &'a RawValue),
    /// A trigger that clients have made, as it is.
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
        /// What each process has stated: all, and what of it came in time.
        totals: Vec<(u64, u64, u64)>,
        /// What the notifies carried.
        #[serde(borrow)]
        notes: Vec<(Cow<'a, str>, &'a RawValue)>,
    },
    /// The highest number of a round that there has been.
    LastRound(u64),
    /// This ledger was written anew from here on, to where it says that it was.
    Rewriting,
    /// The rewrite ends here.
    Rewritten,
    /// More of those who have not heard the ruling of a round, while it was.
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
        /// The members that were missing, lost or did not agree.
        who: Vec<String>,
        /// Why, for people.
        #[serde(borrow)]
        reason: Cow<'a, str>,
        /// The common instant of the release.
        at: Option<Time>,
        /// By process.
        arrivals: Vec<(u64, Vec<u64>)>,
        /// The members that the failed round still concerns.
        audience: Option<Audience>,
    },
    /// An arrival that was not there gets the ruling of the last round of a meeting.
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
        /// It ended the round itself.
        ends: bool,
    },
    /// A failed round stands no longer.
    StoodDown {
        /// The room's name.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// A barrier or a sync.
        kind: Meeting,
        /// The name of the barrier or sync.
        #[serde(borrow)]
        meeting: Cow<'a, str>,
    },
    /// Arrivals have heard their rulings.
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

/// For whom a failed round stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audience {
    /// Who should have met.
    pub party: Party,
    /// Who was there.
    pub told: Vec<String>,
    /// The party that one wanted who did not agree.
    pub other: Option<Party>,
    /// When the round no longer concerns them.
    pub until: Time,
}

/// Adds an item to what one input has brought, behind a line that has ended or in one that has not.
pub(in crate::controller) fn item(line: &mut Vec<u8>, now: Time, write: impl FnOnce(&mut Vec<u8>)) {
    if line.is_empty() || line.ends_with(b"\n") {
        let begin = format!("[{},[", now.as_micros());
        line.extend_from_slice(begin.as_bytes());
    } else {
        line.push(b',');
    }
    write(line);
}

pub(in crate::controller) fn encode(line: &mut Vec<u8>, fact: &Fact<'_>) {
    let begin = line.len();
    serde_json::to_writer(&mut *line, fact).expect("a fact of plain fields always encodes");
    // A person may read a ledger on a terminal, and what peers said stands in it.
    text::make_harmless(line, begin);
}

/// The first line. It holds the text of a test, which a terminal must not obey either.
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

/// Whether a fault keeps this fact from being written.
pub fn is_left_out(fact: &Fact<'_>) -> bool {
    match fact {
        Fact::Notified { .. } => injected(Fault::NotifyUnwritten),
        Fact::Report { .. } => injected(Fault::ReportUnwritten),
        Fact::Round { .. } => injected(Fault::RoundUnwritten),
        Fact::Ending { .. } => injected(Fault::EndingUnwritten),
        _ => false,
    }
}
