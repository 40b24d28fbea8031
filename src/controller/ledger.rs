//! The ledger: what a controller must still know when it is killed and started again, in one file that only grows.
//!
//! A slave and a client that lives states its facts again. What they cannot say is written here before anybody can have
//! seen its effect: what was answered (reports, notifies), what was decided (the start, rulings of rounds, the end), and
//! what nobody alive can say (the test, the history, the clients that have gone).
//!
//! The first line says whose ledger it is. Each line after it is what one input brought, `[TIME,[FACT,...]]`: it is
//! there as a whole or not at all, so that no decision is ever parted from its cause. A line that a crash has torn is
//! the last one, and is cut off. The format is arete's own; a controller reads that of its own version.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Limits;
use super::failures;
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
/// [`Processes`](super::presence::Processes).
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

/// The ledger of a former life.
#[derive(Debug, Clone)]
pub struct Past {
    pub header: Header,
    bytes: Rc<[u8]>,
    /// How much of the file is whole: the rest was torn by a crash and is cut off.
    whole: usize,
    /// The last instant in it.
    last: Time,
    /// The boots that its lives were in, with how far their clocks were ahead of the system's.
    clocks: BTreeMap<String, i64>,
    ended: bool,
    /// What lies beside it: the files of a run's slaves, with their lengths.
    files: Vec<(String, u64)>,
}

impl Past {
    /// By what the runs of a controller that stays are put in the order in which they were handed in.
    pub fn place_in_queue(&self) -> (Time, u64) {
        (self.header.begun, self.header.run.as_ref().map_or(0, |terms| terms.place))
    }

    /// Reads a ledger. `path` is what an error calls it.
    pub fn read(path: &Path, bytes: Vec<u8>) -> Result<Past, String> {
        let subject = path.display();
        let mut whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let Some(first) = memchr::memchr(b'\n', &bytes[..whole]) else {
            return Err(format!("{subject} is empty: the controller was killed before it had begun; start it anew"));
        };
        let header = read_header(&bytes[..first]).map_err(|why| format!("{subject}:{why}"))?;
        let (mut last, mut ended) = (header.begun, false);
        let mut clocks = BTreeMap::from([(header.boot.clone(), header.shift)]);
        let mut begin = first + 1;
        for (index, line) in bytes[begin..whole].split(|&byte| byte == b'\n').enumerate() {
            let end = begin + line.len() + 1;
            let (at, facts) = match parse(line) {
                Ok(line) => line,
                // A crash of the whole system may leave a last line that ends and is not what was written.
                Err(_) if end >= whole => {
                    whole = begin.min(whole);
                    break;
                }
                Err(error) => return Err(format!("{subject}:{}: this line is damaged: {error}", index + 2)),
            };
            last = last.max(at);
            for fact in facts {
                match fact {
                    Fact::Resumed { boot, shift } => drop(clocks.insert(boot.into_owned(), shift)),
                    Fact::Ended { .. } => ended = true,
                    _ => {}
                }
            }
            begin = end;
        }
        Ok(Past { header, bytes: bytes.into(), whole, last, clocks, ended, files: Vec::new() })
    }

    /// The same with what lies in the directory of the results, relative to it, and how long it is.
    pub fn beside(self, files: Vec<(String, u64)>) -> Past {
        Past { files, ..self }
    }

    pub(super) fn files(&self) -> &[(String, u64)] {
        &self.files
    }

    /// How long the file is without what a crash has torn.
    pub fn whole(&self) -> u64 {
        self.whole as u64
    }

    /// Whether its run is over.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The last instant in it.
    pub(super) fn last(&self) -> Time {
        self.last
    }

    /// The lines after the first, with their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, Line<'_>)> {
        let lines = self.bytes[..self.whole].split(|&byte| byte == b'\n').enumerate().skip(1);
        lines.filter_map(|(index, line)| Some((index + 1, parse(line).ok()?)))
    }

    /// How far ahead of the system's clock the controller's goes on. In the same boot as before that is what it was; in
    /// another the wall clock says how much time has passed.
    pub(super) fn shift(&self, boot: &str, wall_offset: i64) -> i64 {
        self.clocks.get(boot).copied().unwrap_or_else(|| wall_offset.wrapping_sub(self.header.wall_offset))
    }
}

fn read_header(line: &[u8]) -> Result<Header, String> {
    /// What every format says.
    #[derive(Deserialize)]
    struct AnyFormat {
        format: u32,
    }
    let damaged = |error: serde_json::Error| format!("1: this is not the ledger of a controller: {error}");
    let AnyFormat { format } = serde_json::from_slice(line).map_err(damaged)?;
    if format != FORMAT {
        return Err(format!(
            "1: it has format {format}, this arete reads format {FORMAT}: use the arete that wrote it"
        ));
    }
    serde_json::from_slice(line).map_err(damaged)
}

/// What one input brought, and when.
pub(super) type Line<'a> = (Time, Vec<Fact<'a>>);

fn parse(line: &[u8]) -> Result<Line<'_>, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// Where a controller keeps its ledger, and what it was told of the world for it.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    pub path: PathBuf,
    /// The boot of the system, by its name.
    pub boot: String,
    /// As in [`Config`](super::Config).
    pub wall_offset: i64,
    pub terms: Option<Terms>,
    /// How long a ledger of rooms becomes before it is written anew; `None`: as is usual.
    pub rewrite_from: Option<u64>,
}

/// How long the ledger of a run may be for more clients to join its room, in bytes: it is never written anew, and what slaves
/// add to it has bounds of its own.
pub const FOR_CLIENTS_MAX: u64 = 1 << 30;

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
}

impl Ledger {
    /// Writes to this file from now on, which has so many bytes, and which is worth being written anew when it has so many.
    pub fn open(&self, path: PathBuf, length: u64, bound: u64) {
        let mut book = self.0.borrow_mut();
        (book.path, book.length, book.bound_min) = (Some(path), length, bound);
        book.bound = bound.max(2 * length);
    }

    /// Whether it has become so long that most of it may be dead.
    pub fn is_long(&self) -> bool {
        let book = self.0.borrow();
        book.path.is_some() && !book.broken && book.length > book.bound
    }

    /// Whether it has no room for more clients of a run.
    pub fn is_full(&self) -> bool {
        self.0.borrow().length >= FOR_CLIENTS_MAX
    }

    /// Writes it anew: what was written since the last flush is all that there is to know.
    pub fn replace(&self, header: &Header, out: &mut Outbox) {
        let mut book = self.0.borrow_mut();
        let Some(path) = book.path.clone() else { return };
        let mut bytes = serde_json::to_vec(header).expect("a header of plain fields always encodes");
        bytes.push(b'\n');
        bytes.append(&mut book.line);
        bytes.extend_from_slice(b"]]\n");
        book.length = bytes.len() as u64;
        book.bound = book.bound_min.max(2 * book.length);
        out.persist(path, bytes);
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
        if is_left_out(fact) {
            return;
        }
        self.item(|line| {
            let begin = line.len();
            serde_json::to_writer(&mut *line, fact).expect("a fact of plain fields always encodes");
            // A person may read a ledger on a terminal, and what peers said stands in it.
            spoken::make_harmless(line, begin);
        });
    }

    /// Writes a fact of this kind that is JSON already.
    pub fn write_raw(&self, kind: &str, json: &[u8]) {
        self.item(|line| {
            line.extend_from_slice(b"{\"");
            line.extend_from_slice(kind.as_bytes());
            line.extend_from_slice(b"\":");
            line.extend_from_slice(json);
            line.push(b'}');
        });
    }

    fn item(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut book = self.0.borrow_mut();
        if book.path.is_none() || book.broken {
            return;
        }
        // Behind the first line of a new ledger too.
        if book.line.is_empty() || book.line.ends_with(b"\n") {
            let begin = format!("[{},[", book.now.as_micros());
            book.line.extend_from_slice(begin.as_bytes());
        } else {
            book.line.push(b',');
        }
        write(&mut book.line);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Effect;

    fn ledger() -> Vec<u8> {
        let (ledger, mut out) = (Ledger::default(), Outbox::new());
        ledger.open(FILE.into(), 0, 0);
        let (by, boot) = ("arete".to_owned(), "boot".to_owned());
        ledger.head(&Header {
            format: FORMAT,
            by,
            wall_offset: 7,
            begun: Time::from_micros(1),
            boot,
            shift: 0,
            run: None,
        });
        ledger.flush(0, &mut out);
        for now in [10, 20] {
            let mark = out.mark();
            out.exit(0);
            ledger.turn(Time::from_micros(now));
            ledger.write(&Fact::Ready { slave: 1 });
            ledger.write_raw("map", br#"{"type":"map","map":{"a": [ ]}}"#);
            ledger.flush(mark, &mut out);
        }
        let effects: Vec<Effect> = out.drain().collect();
        assert!(matches!(effects[1], Effect::Append { .. }), "what is kept comes before what is done");
        let text = |effect: &Effect| match effect {
            Effect::Append { bytes, .. } => bytes.clone(),
            _ => Vec::new(),
        };
        effects.iter().flat_map(text).collect()
    }

    fn facts(past: &Past) -> Vec<(u64, String)> {
        let shown = |facts: Vec<Fact<'_>>| serde_json::to_string(&facts).expect("it was read");
        past.lines().map(|(_, (at, facts))| (at.as_micros(), shown(facts))).collect()
    }

    #[test]
    fn what_was_written_is_read_and_what_a_crash_has_torn_is_cut_off() {
        let bytes = ledger();
        let ends: Vec<usize> = memchr::memchr_iter(b'\n', &bytes).map(|at| at + 1).collect();
        let all = facts(&Past::read(Path::new(FILE), bytes.clone()).expect("it is whole"));
        let line = r#"[{"ready":{"slave":1}},{"map":{"type":"map","map":{"a": [ ]}}}]"#.to_owned();
        assert_eq!(all, [(10, line.clone()), (20, line)]);
        for end in 0..bytes.len() {
            let whole = ends.iter().filter(|at| **at <= end).count();
            match Past::read(Path::new(FILE), bytes[..end].to_vec()) {
                Err(why) => assert!(whole == 0 && why.contains("before it had begun"), "{end}: {why}"),
                Ok(past) => {
                    assert_eq!((past.whole() as usize, facts(&past)), (ends[whole - 1], all[..whole - 1].to_vec()));
                }
            }
        }
        let mut blank = bytes.clone();
        blank.extend_from_slice(b"\0\0\0\n");
        assert_eq!(Past::read(Path::new(FILE), blank).expect("the last line is cut off").whole(), bytes.len() as u64);
    }

    #[test]
    fn a_damaged_line_is_named_and_so_is_another_format() {
        let text = String::from_utf8(ledger()).expect("JSON is text");
        let read = |text: String| Past::read(Path::new(FILE), text.into_bytes()).unwrap_err();
        let why = read(text.replace("[10,[{\"ready\"", "[10,[{\"reedy\""));
        assert!(why.starts_with("state.jsonl:2: this line is damaged"), "{why}");
        let why = read(text.replace("\"format\":1", "\"format\":2"));
        assert!(why.starts_with("state.jsonl:1: it has format 2") && why.contains("reads format 1"), "{why}");
        assert!(read("{}\n".to_owned()).starts_with("state.jsonl:1: this is not the ledger"));
    }
}
