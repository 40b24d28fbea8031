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
use crate::spoken;
use crate::testfile::Shipped;
use crate::wire::rendezvous::{Kind, Party};
use crate::wire::{Happened, Verdict};

/// The format of the ledger. Another one is not read.
pub const FORMAT: u32 = 1;

/// The ledger's name in the directory of a run's results, and in that of a controller's state.
pub const FILE: &str = "state.jsonl";

/// One that is written anew, until it takes the place of that.
pub const NEW: &str = "state.jsonl.new";

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
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
    pub lost_after: u64,
    pub limits: Limits,
    pub fsync: bool,
    /// The directory of its certificates, or that it has none and needs none.
    #[serde(with = "path_text::option", default)]
    pub tls: Option<PathBuf>,
    pub insecure: bool,
    /// How many connections it may have.
    pub connections: Option<usize>,
    /// What it was handed in as, and when, to a controller that stays.
    #[serde(default)]
    pub submission: Option<String>,
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
        #[serde(borrow)]
        room: Cow<'a, str>,
        process: u64,
        slave: Option<usize>,
        #[serde(borrow)]
        member: Option<Cow<'a, str>>,
        #[serde(borrow)]
        incarnation: Cow<'a, str>,
    },
    /// A slave has connected; `again`: the same process as before.
    Joined {
        slave: usize,
        #[serde(borrow)]
        incarnation: Cow<'a, str>,
        #[serde(borrow)]
        address: Cow<'a, str>,
        ip: Option<IpAddr>,
        again: bool,
        /// The machine that serves as the slave, if the test asks for one by its labels.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        machine: Option<Cow<'a, str>>,
    },
    /// The machines that serve as the slaves, in their order, are there and free.
    Assigned {
        machines: Vec<Cow<'a, str>>,
    },
    Ready {
        slave: usize,
    },
    /// The start was named.
    Start {
        at: Time,
        #[serde(borrow)]
        wall_clock: Cow<'a, str>,
    },
    Report {
        slave: usize,
        seq: u64,
        /// When it happened, as it is recorded.
        at: Time,
        #[serde(borrow)]
        what: Happened<'a>,
    },
    /// A process has notified a trigger so often, all in all; `notes` is what the new ones carried that counted.
    Notified {
        #[serde(borrow)]
        room: Cow<'a, str>,
        process: u64,
        #[serde(borrow)]
        from: Cow<'a, str>,
        #[serde(borrow)]
        trigger: Cow<'a, str>,
        total: u64,
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<&'a RawValue>,
    },
    Disconnected {
        slave: usize,
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    Lost {
        slave: usize,
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    Refused {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(borrow)]
        address: Cow<'a, str>,
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    /// Something made the test fail that no other fact says.
    Failed {
        kind: failures::Kind,
        /// The slave and the entry that failed it, if it is theirs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slave: Option<usize>,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        entry: Option<Cow<'a, str>>,
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// The end condition of the test holds, and its jobs may finish.
    Finishing {
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// The run's end has begun.
    Ending {
        verdict: Verdict,
        #[serde(borrow)]
        why: Cow<'a, str>,
        /// The jobs that still run have failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut: bool,
    },
    Interrupted {
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    Stopped {
        slave: usize,
    },
    Ended {
        verdict: Verdict,
        #[serde(borrow)]
        why: Cow<'a, str>,
    },
    /// The controller was killed and has gone on, on a clock that is so much ahead of the system's.
    Resumed {
        #[serde(borrow)]
        boot: Cow<'a, str>,
        shift: i64,
    },
    /// An event that changes nothing else, as `events.jsonl` has it.
    Event(#[serde(borrow)] &'a RawValue),
    Created {
        #[serde(borrow)]
        room: Cow<'a, str>,
        #[serde(borrow)]
        trigger: Cow<'a, str>,
        count: u64,
    },
    Deleted {
        #[serde(borrow)]
        room: Cow<'a, str>,
        #[serde(borrow)]
        trigger: Cow<'a, str>,
    },
    /// The map of the round that comes next, as its members get it.
    Map(#[serde(borrow)] &'a RawValue),
    /// A trigger that clients have made, as it is.
    Trigger {
        #[serde(borrow)]
        room: Cow<'a, str>,
        #[serde(borrow)]
        trigger: Cow<'a, str>,
        initial: u64,
        notified: u64,
        fired: Option<Time>,
        /// What each process has stated: all, and what of it came in time.
        totals: Vec<(u64, u64, u64)>,
        #[serde(borrow)]
        notes: Vec<(Cow<'a, str>, &'a RawValue)>,
    },
    /// The highest number of a round that there has been.
    LastRound(u64),
    /// This ledger was written anew from here on, to where it says that it was.
    Rewriting,
    Rewritten,
    /// More of those who have not heard the ruling of a round, while it was.
    Unheard {
        #[serde(borrow)]
        room: Cow<'a, str>,
        kind: Meeting,
        round: u64,
        #[serde(borrow)]
        reason: Cow<'a, str>,
        arrivals: Vec<(u64, Vec<u64>)>,
    },
    /// A round is over for these arrivals.
    Round {
        #[serde(borrow)]
        room: Cow<'a, str>,
        kind: Meeting,
        #[serde(borrow)]
        meeting: Cow<'a, str>,
        round: u64,
        verdict: Kind,
        who: Vec<String>,
        #[serde(borrow)]
        reason: Cow<'a, str>,
        at: Option<Time>,
        /// By process.
        arrivals: Vec<(u64, Vec<u64>)>,
        stands: Option<Stands>,
    },
    /// An arrival that was not there gets the ruling of the last round of a meeting.
    Late {
        #[serde(borrow)]
        room: Cow<'a, str>,
        kind: Meeting,
        #[serde(borrow)]
        meeting: Cow<'a, str>,
        #[serde(borrow)]
        member: Cow<'a, str>,
        process: u64,
        id: u64,
        /// It ended the round itself.
        ends: bool,
    },
    /// A failed round stands no longer.
    StoodDown {
        #[serde(borrow)]
        room: Cow<'a, str>,
        kind: Meeting,
        #[serde(borrow)]
        meeting: Cow<'a, str>,
    },
    /// Arrivals have heard their rulings.
    Heard {
        #[serde(borrow)]
        room: Cow<'a, str>,
        process: u64,
        ids: Vec<u64>,
    },
}

/// For whom a failed round stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stands {
    /// Who should have met.
    pub party: Party,
    /// Who was there.
    pub told: Vec<String>,
    /// The party that one wanted who did not agree.
    pub other: Option<Party>,
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
    spoken::make_harmless(line, begin);
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
