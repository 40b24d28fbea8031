//! The messages and their framing.
//!
//! One JSON object a line, `"type"` its first key; unknown keys are ignored, unknown types are an error. Times are
//! integers, microseconds on the clock that the field names; bytes are base64. `arete-protocol(7)` lists every message
//! for people who write a peer in another language: it changes in the same commit as this file.
//!
//! The facts that a slave states ([`Notify`], [`Report`], [`Output`], [`State`]) can be said again on any later
//! connection: each carries a total, a number or an offset, so that saying it twice counts once. What each may cost its
//! hearer: [`costs`].

mod code;
mod command;
#[doc = include_str!("wire/costs.md")]
pub mod costs {}
mod frame;
mod happened;
mod note;
pub mod operate;
pub mod readiness;
pub mod rendezvous;
pub mod room;
mod schedule;
mod times;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::code::Code;
pub use self::command::{Done, Failure, NotifyRequest, PokeRequest, ReadyRequest, WaitRequest};
pub use self::happened::{Happened, PokedBy};
pub use self::note::Note;
pub use self::times::TIME_MAX;
pub use frame::{
    Bound, Cut, Frames, LINE_AROUND_VALUES, LINE_MAX, LINE_MAX_BEFORE_HELLO, LINE_MAX_OF_VALUE, LINE_MOST_OF_VALUE,
};
pub use schedule::{Action, After, Entry, Expect, Outcome, Policy, Resource, Shell};

use self::operate::{
    AskFiles, AskRuns, AskSlaves, Cancel, Denied, Files, Get, Look, Measured, Operate, Piece, Runs, Seen, Slaves,
    Submit, Unfit, Upload, Wanted,
};
use self::rendezvous::{
    Alive, Arrive, BarrierRequest, Check, Elsewhere, Give, Gone, Heard, Map, Met, RoundVerdict, SyncRequest, Waits,
};
use self::room::{Create, Created, Delete, Join, List, Listing, Watch};
use crate::machine::{Bytes, Time};

/// The version of the protocol that this arete speaks. Both ends must speak the same.
pub const PROTOCOL: u32 = 1;

/// How many bytes of a file one [`Chunk`] or [`Output`] carries at most.
pub const CHUNK_MAX: usize = 256 * 1024;

/// The messages that carry values or name who shall meet: what bounds them is said beside the values' own bounds.
const CARRY_VALUES: [&str; 7] = ["arrive", "give", "map", "barrier", "sync", "triggered", "done"];

/// Why a line is not a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message that can be put on a line.
pub trait Message: Serialize {
    const TYPE: &'static str;

    /// Appends the message as one line to `line`.
    fn write_to(&self, line: &mut Vec<u8>) {
        let start = line.len();
        line.extend_from_slice(b"{\"type\":\"");
        line.extend_from_slice(Self::TYPE.as_bytes());
        line.push(b'"');
        let brace = line.len();
        serde_json::to_writer(&mut *line, self).expect("a message of plain fields always encodes");
        debug_assert_eq!(line[brace], b'{', "a message is an object: {}", Self::TYPE);
        if line[brace + 1] == b'}' {
            line.remove(brace);
        } else {
            line[brace] = b',';
        }
        line.push(b'\n');
        let bound = if CARRY_VALUES.contains(&Self::TYPE) { usize::MAX } else { LINE_MAX };
        debug_assert!(line.len() - start <= bound, "{} fits a line", Self::TYPE);
    }

    /// The message as a line that many connections can share.
    fn encode(&self) -> Bytes {
        let mut line = Vec::with_capacity(128);
        self.write_to(&mut line);
        Bytes::from(line)
    }
}

/// Declares what one end can hear: an enum with a variant a message, and its decoder. `or` names a quick reader of the
/// usual form of a message that comes often.
macro_rules! heard_by {
    ($(#[$doc:meta])* $name:ident { $($kind:literal => $message:ident $(or $quick:path)?,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name<'a> {
            $($message($message<'a>),)*
        }

        impl<'a> $name<'a> {
            /// The words of their field `type`.
            pub const TYPES: &'static [&'static str] = &[$($kind,)*];

            /// Decodes one line, without its newline.
            pub fn decode(line: &'a [u8]) -> Result<Self, Malformed> {
                $($(if let Some(message) = $quick(line) {
                    return Ok($name::$message(message));
                })?)*
                match frame::type_of(line)? {
                    $($kind => frame::fields(line).map($name::$message),)*
                    other => Err(Malformed(format!("unknown message type {:?}", frame::excerpt(other)))),
                }
            }

            /// The message as its author would say it.
            pub fn encode(&self) -> Bytes {
                match self {
                    $($name::$message(message) => message.encode(),)*
                }
            }
        }
    };
}

macro_rules! messages {
    ($($kind:literal => $message:ident,)*) => {
        $(impl Message for $message<'_> {
            const TYPE: &'static str = $kind;
        })*
    };
}

heard_by! {
    /// What a slave, a client that has joined a room, or an operator says to its controller.
    FromSlave {
        "hello" => Hello,
        "ping" => Ping,
        "state" => State,
        "ready" => Ready,
        "unready" => Unready,
        "fetch" => Fetch,
        "notify" => Notify or frame::usual_notify,
        "report" => Report,
        "output" => Output,
        "stopped" => Stopped,
        "arrive" => Arrive,
        "give" => Give,
        "gone" => Gone,
        "waits" => Waits,
        "heard" => Heard,
        "alive" => Alive,
        "bye" => Bye,
        "join" => Join,
        "watch" => Watch,
        "create" => Create,
        "delete" => Delete,
        "list" => List,
        "operate" => Operate,
        "submit" => Submit,
        "upload" => Upload,
        "look" => Look,
        "cancel" => Cancel,
        "slaves" => AskSlaves,
        "runs" => AskRuns,
        "files" => AskFiles,
        "get" => Get,
    }
}

heard_by! {
    /// What a controller says to a slave, a client or an operator.
    FromController {
        "welcome" => Welcome,
        "pong" => Pong,
        "prepare" => Prepare,
        "chunk" => Chunk,
        "start" => Start,
        "triggered" => Triggered,
        "noted" => Noted,
        "refused" => Refused,
        "recorded" => Recorded,
        "kept" => Kept,
        "stop" => Stop,
        "dismissed" => Dismissed,
        "map" => Map,
        "verdict" => RoundVerdict,
        "check" => Check,
        "elsewhere" => Elsewhere,
        "created" => Created,
        "listing" => Listing,
        "wanted" => Wanted,
        "unfit" => Unfit,
        "seen" => Seen,
        "denied" => Denied,
        "slaves" => Slaves,
        "runs" => Runs,
        "files" => Files,
        "piece" => Piece,
        "bye" => Bye,
    }
}

heard_by! {
    /// What a command says to the slave that runs it, on the slave's control socket: one request a connection.
    FromCommand {
        "poke" => PokeRequest,
        "notify" => NotifyRequest,
        "wait" => WaitRequest,
        "ready" => ReadyRequest,
        "barrier" => BarrierRequest,
        "sync" => SyncRequest,
    }
}

heard_by! {
    /// What a slave answers on its control socket.
    FromSocket {
        "done" => Done,
        "error" => Failure,
        "map" => Map,
        "met" => Met,
    }
}

messages! {
    "hello" => Hello,
    "ping" => Ping,
    "state" => State,
    "ready" => Ready,
    "unready" => Unready,
    "fetch" => Fetch,
    "notify" => Notify,
    "report" => Report,
    "output" => Output,
    "stopped" => Stopped,
    "bye" => Bye,
    "welcome" => Welcome,
    "pong" => Pong,
    "prepare" => Prepare,
    "chunk" => Chunk,
    "start" => Start,
    "triggered" => Triggered,
    "noted" => Noted,
    "refused" => Refused,
    "recorded" => Recorded,
    "kept" => Kept,
    "stop" => Stop,
    "dismissed" => Dismissed,
    "arrive" => Arrive,
    "give" => Give,
    "gone" => Gone,
    "waits" => Waits,
    "heard" => Heard,
    "alive" => Alive,
    "map" => Map,
    "verdict" => RoundVerdict,
    "check" => Check,
    "elsewhere" => Elsewhere,
    "join" => Join,
    "watch" => Watch,
    "create" => Create,
    "delete" => Delete,
    "list" => List,
    "created" => Created,
    "listing" => Listing,
    "operate" => Operate,
    "submit" => Submit,
    "wanted" => Wanted,
    "upload" => Upload,
    "unfit" => Unfit,
    "look" => Look,
    "seen" => Seen,
    "denied" => Denied,
    "cancel" => Cancel,
    "slaves" => AskSlaves,
    "slaves" => Slaves,
    "runs" => AskRuns,
    "runs" => Runs,
    "files" => AskFiles,
    "files" => Files,
    "get" => Get,
    "piece" => Piece,
    "barrier" => BarrierRequest,
    "sync" => SyncRequest,
    "met" => Met,
    "poke" => PokeRequest,
    "notify" => NotifyRequest,
    "wait" => WaitRequest,
    "ready" => ReadyRequest,
    "done" => Done,
    "error" => Failure,
}

/// The first message on a connection, from the slave. Answered by [`Welcome`] or [`Bye`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The slave's program and version, for people: `arete 0.1.0`.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// The slave's name in the test.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Drawn at random when the slave's process starts: 1 to 64 letters, digits, `-` and `_`.
    #[serde(borrow)]
    pub incarnation: Cow<'a, str>,
    /// The run that this process is in, if any.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Cow<'a, str>>,
    /// What the slave is: `arch`, `os`, and what its configuration says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What to add to its clock to get microseconds since 1970 in UTC, when it began; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc: Option<i64>,
    /// What a controller that has started the slave itself has told it, and nobody else.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Cow<'a, str>>,
}

/// The answer to [`Hello`]: the slave is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome<'a> {
    pub protocol: u32,
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// The run that the controller has for this slave now, if any. A slave that is in another run has missed its end:
    /// it stops and forgets that run.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Cow<'a, str>>,
    /// The last [`Report`] of this incarnation in this run that the controller has, 0 for none. The slave sends those
    /// after it again.
    #[serde(default)]
    pub recorded: u64,
    /// The controller has its slaves launched: this one ends with the run, and at once if there is none for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leave: bool,
}

/// Asks for a [`Pong`]; sent by the slave, at least every [`PING_EVERY`](crate::session::PING_EVERY).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ping<'a> {
    /// The slave's clock; comes back unchanged.
    pub time: Time,
    /// What the slave knows of its clock, once it has measured it; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// The answer to [`Ping`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pong<'a> {
    /// As the ping had it.
    pub time: Time,
    /// The controller's clock.
    pub now: Time,
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// Hands a slave its part of a run. Said again after a reconnect if the slave's hello did not name the run.
/// Answered, when the resources are there, by [`Ready`] or [`Unready`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Prepare<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// The test's name.
    #[serde(borrow)]
    pub test: Cow<'a, str>,
    /// The slave's name in the test, if it is not its own: the test has asked for any that is as this one.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub serve_as: Option<Cow<'a, str>>,
    pub entries: Vec<Entry>,
    /// What this slave's entries use.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// Every trigger of the test.
    #[serde(default)]
    pub triggers: Vec<String>,
    /// The timeouts, in microseconds, that the test declares for barriers and syncs, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timeouts: BTreeMap<String, u64>,
    /// The addresses of the slaves that this slave's commands name in `@{NAME.address}`.
    #[serde(default)]
    pub addresses: BTreeMap<String, String>,
    /// The trigger that ends the run when it fires, if the test ends so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_trigger: Option<String>,
    /// How long, in microseconds, what runs at the end has between SIGTERM and SIGKILL.
    pub grace: u64,
}

/// The slave has its resources and its directory, knows its clock's offset, and waits for [`Start`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
}

/// The slave cannot take part. The run fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unready<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// Asks for a piece of a resource. Answered by [`Chunk`], or by [`Stop`] when the resource vanished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fetch<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    #[serde(borrow)]
    pub resource: Cow<'a, str>,
    /// Where the piece begins, in bytes.
    pub offset: u64,
}

/// A piece of a resource, [`CHUNK_MAX`] bytes or up to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    #[serde(borrow)]
    pub resource: Cow<'a, str>,
    pub offset: u64,
    #[serde(with = "frame::base64_bytes")]
    pub data: Vec<u8>,
}

/// Names the instant at which the run starts. Said again after a reconnect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// On the controller's clock.
    pub at: Time,
}

/// What a slave in a run says first after a reconnect's [`Welcome`]: its totals and what it has heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// For each trigger how often this incarnation has notified it in this run.
    #[serde(default)]
    pub notified: BTreeMap<String, u64>,
    /// The triggers that it was told have fired.
    #[serde(default)]
    pub triggered: Vec<String>,
}

/// A slave has notified a trigger. Answered by [`Noted`] or [`Refused`]; one answer may cover several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notify<'a> {
    /// The run.
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    /// How often this incarnation has notified this trigger in this run, this time included: 1, 2, 3, ...
    #[serde(deserialize_with = "times::counted")]
    pub count: u64,
    /// What those who wait for the trigger shall read, at most [`rendezvous::NOTE_MAX`] bytes of JSON.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Note<'a>>,
}

/// The answer to [`Notify`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noted<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    /// The notify that is answered, and all before it.
    pub count: u64,
    /// What is left of the trigger's count; 0: it has fired.
    pub left: u64,
    /// Only so many came before it had fired; nobody is told what the later ones carry. Absent: all did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_time: Option<u64>,
}

/// A notify that means nothing: there is no such trigger or room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    pub code: Code,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// A trigger has fired. `notes` is who notified with what, in order, of the notifies that had data. Told to every slave of the run; told again after a reconnect, which changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Triggered<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    /// A list of objects `{"from": member, "data": ...}`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Note<'a>>,
}

/// Something happened at the slave. Answered by [`Recorded`]; one answer may cover several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// 1 for the incarnation's first report in this run, then one more each.
    pub seq: u64,
    /// When it happened, on the controller's clock as the slave knows it.
    pub time: Time,
    #[serde(flatten, borrow)]
    pub what: Happened<'a>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Passed,
    Failed,
    Interrupted,
}

/// The answer to [`Report`]: this one and all before it are on the controller's disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    pub seq: u64,
}

/// A piece of a file for the results directory. Answered by [`Kept`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// `ENTRY.out`, `ENTRY.err`, or `ENTRY.files/PATH` for what `collect` brings; `ENTRY.2.out` for its second run.
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    /// Where the piece begins; at most what the controller has kept of the file.
    pub offset: u64,
    /// At most [`CHUNK_MAX`] bytes.
    #[serde(with = "frame::base64_bytes")]
    pub data: Vec<u8>,
}

/// The answer to [`Output`]: so many bytes of the file have been written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    /// The length of the file as the controller has it.
    pub length: u64,
    /// Why no more of this file is taken, if so.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Cow<'a, str>>,
}

/// The run's end has begun. First, a passing run lets its jobs [finish](Manner::Finish). Then the slave stops what
/// runs, runs its `finally` entries, leaves no process behind, ships what is left, and says [`Stopped`]. Said again
/// after a reconnect. The slave forgets a run that it has not started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    pub how: Manner,
}

/// How a run ends on a slave, each more urgent than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manner {
    /// Nothing begins any more. Jobs and services go on: the slave reports that it is idle when its last job has exited.
    Finish,
    /// What runs is stopped. That is no fault of theirs.
    Stop,
    /// What runs is stopped. A job among it had its time to finish and has failed; a slave that has heard
    /// [finish](Manner::Finish) later, or not on this connection, gives it the rest of that time.
    Cut,
    /// Kill at once, run no `finally` entry and ship nothing more.
    Now,
}

/// Nothing of the run is left on the slave, and all its reports and output have been answered. Said again after a
/// reconnect until [`Dismissed`] answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopped<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// The slave was stopped, and has ended its part before it heard that the run ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_itself: bool,
}

/// The slave may forget the run and remove its directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dismissed<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    pub verdict: Verdict,
}

/// The last message before the connection is closed, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bye<'a> {
    /// Absent: `leaves`.
    #[serde(default)]
    pub code: Code,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Trying again cannot help: another protocol, a wrong incarnation, a name that is not in the test.
    #[serde(default)]
    pub fatal: bool,
}
