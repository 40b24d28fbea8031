//! The ledger: what a controller must still know when it is killed and started again, in one file that only grows.
//!
//! A slave and a client that lives states its facts again. What they cannot say is written here before anybody can have
//! seen its effect: what was answered (reports, notifies), what was decided (the start, rulings of rounds, the end), and
//! what nobody alive can say (the test, the history, the clients that have gone).
//!
//! The first line says whose ledger it is. Each line after it is what one input brought, `[TIME,[FACT,...]]`: it is
//! there as a whole or not at all, so that no decision is ever parted from its cause. A line that a crash has torn is
//! the last one, and is cut off. The format is arete's own; a controller reads that of its own version.

mod past;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::past::{Past, ReadLine, Source, TimeLine};
use crate::controller::Limits;
use crate::controller::rewrite::Rewrite;
use crate::controller::run::failures;
use crate::machine::faults::{Fault, injected};
use crate::machine::{Outbox, Time, path_text};
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

/// Something that happened and that is known from then on. `slave` is a place in the test, `process` a number of
/// [`Processes`](crate::controller::session::processes::Processes).
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
        sync: bool,
        round: u64,
        #[serde(borrow)]
        reason: Cow<'a, str>,
        arrivals: Vec<(u64, Vec<u64>)>,
    },
    /// A round is over for these arrivals.
    Round {
        #[serde(borrow)]
        room: Cow<'a, str>,
        sync: bool,
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
        sync: bool,
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
        sync: bool,
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

/// Where a controller keeps its ledger, and what it was told of the world for it.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    pub path: PathBuf,
    /// The boot of the system, by its name.
    pub boot: String,
    /// As in [`Config`](crate::controller::Config).
    pub wall_offset: i64,
    pub terms: Option<Terms>,
    /// How long a ledger of rooms becomes before it is written anew; `None`: as is usual.
    pub rewrite_from: Option<u64>,
}

/// Writes the ledger. All who write share it; without a file nothing is written.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Rc<RefCell<Book>>);

#[derive(Debug, Default)]
struct Book {
    path: Option<PathBuf>,
    now: Time,
    /// The line of this input.
    line: Vec<u8>,
    /// It could not be written: nothing more is, for a gap would be worse than an end.
    broken: bool,
    /// How long the file is, and how long it may become before it is written anew.
    length: u64,
    bound: u64,
    bound_min: u64,
    /// The one that shall take its place.
    anew: Option<Rewrite>,
}

impl Ledger {
    /// Writes to this file from now on, which has so many bytes, and which is worth being written anew when it has so many.
    pub fn open(&self, path: PathBuf, length: u64, bound: u64) {
        let mut book = self.0.borrow_mut();
        (book.path, book.length, book.bound_min) = (Some(path), length, bound);
        book.bound = bound.max(2 * length);
    }

    /// Whether it has become so long that most of it may be dead, and is not being written anew.
    pub fn is_long(&self) -> bool {
        let book = self.0.borrow();
        book.path.is_some() && !book.broken && book.length > book.bound && book.anew.is_none()
    }

    /// How much has been written, with what this input has brought.
    pub fn recorded(&self) -> u64 {
        let book = self.0.borrow();
        book.length + book.line.len() as u64
    }

    /// It is being written anew, and what comes from now on stands in both.
    pub fn rewrite(&self, anew: Rewrite) {
        self.0.borrow_mut().anew = Some(anew);
    }

    pub fn take_rewrite(&self) -> Option<Rewrite> {
        self.0.borrow_mut().anew.take()
    }

    /// When more of the new one is to be written.
    pub fn rewrite_due(&self) -> Option<Time> {
        self.0.borrow().anew.as_ref().map(Rewrite::due)
    }

    /// The new one takes its place.
    pub fn rewritten(&self, anew: PathBuf, length: u64, out: &mut Outbox) {
        let mut book = self.0.borrow_mut();
        let Some(path) = book.path.clone() else { return };
        book.length = length;
        book.bound = book.bound_min.max(2 * length);
        out.install(path, anew, length);
    }

    /// The new one could not be written: it is tried again when this one has doubled.
    pub fn keep_the_old(&self, path: &Path) {
        let mut book = self.0.borrow_mut();
        if book.anew.take_if(|anew| anew.is_at(path)).is_some() {
            book.bound = 2 * book.length;
        }
    }

    pub fn is_open(&self) -> bool {
        let book = self.0.borrow();
        book.path.is_some() && !book.broken
    }

    /// Whether it is the same.
    pub fn is(&self, other: &Ledger) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub fn is_at(&self, path: &Path) -> bool {
        self.0.borrow().path.as_deref() == Some(path)
    }

    pub fn give_up(&self) {
        self.0.borrow_mut().broken = true;
    }

    /// An input comes.
    pub fn turn(&self, now: Time) {
        self.0.borrow_mut().now = now;
    }

    pub fn write(&self, fact: &Fact<'_>) {
        if !is_left_out(fact) {
            let anew = |anew: &Rewrite| anew.takes(fact);
            self.item(anew, |line| encode(line, fact));
        }
    }

    /// Writes a fact of this kind that is JSON already.
    pub fn write_raw(&self, kind: &str, json: &[u8]) {
        self.item(|_| true, |line| encode_raw(line, kind, json));
    }

    /// Writes a fact here, and in the new ledger if it belongs there.
    fn item(&self, anew: impl FnOnce(&Rewrite) -> bool, write: impl FnOnce(&mut Vec<u8>)) {
        let mut book = self.0.borrow_mut();
        if book.path.is_none() || book.broken {
            return;
        }
        let Book { line, now, anew: other, .. } = &mut *book;
        let mut begin = 0;
        item(line, *now, |line| {
            begin = line.len();
            write(line);
        });
        if let Some(other) = other.as_mut().filter(|other| anew(other)) {
            other.add(*now, &line[begin..]);
        }
    }

    /// The first line of a new ledger.
    pub fn head(&self, header: &Header) {
        let mut book = self.0.borrow_mut();
        debug_assert!(book.line.is_empty(), "the header comes first");
        serde_json::to_writer(&mut book.line, header).expect("a header of plain fields always encodes");
        book.line.push(b'\n');
    }

    /// Ends the line of this input; it comes before whatever else was asked for since `mark`.
    pub fn flush(&self, mark: usize, out: &mut Outbox) {
        let mut book = self.0.borrow_mut();
        if book.line.is_empty() {
            return;
        }
        let mut line = std::mem::take(&mut book.line);
        if !line.ends_with(b"\n") {
            line.extend_from_slice(b"]]\n");
        }
        book.length += line.len() as u64;
        if let Some(path) = book.path.clone().filter(|_| !book.broken) {
            out.append_at(mark, path, line);
        }
    }
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
fn is_left_out(fact: &Fact<'_>) -> bool {
    match fact {
        Fact::Notified { .. } => injected(Fault::NotifyUnwritten),
        Fact::Report { .. } => injected(Fault::ReportUnwritten),
        Fact::Round { .. } => injected(Fault::RoundUnwritten),
        Fact::Ending { .. } => injected(Fault::EndingUnwritten),
        _ => false,
    }
}
