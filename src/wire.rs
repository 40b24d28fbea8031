//! The messages of all peers, and their framing.
//!
//! A message is one JSON object on a line, with `"type"` as its first key. Unknown keys are ignored; an unknown type is
//! an error. Times are integers, in microseconds on the clock that the field names; bytes are base64.
//! `arete-protocol(7)` lists every message for people who write a peer in another language. It must change in the same
//! commit as the messages.
//!
//! This file owns the lists of who may send what; the files in `wire/` own the messages. A slave can repeat the facts
//! that it states ([`Notify`], [`Report`], [`Output`], [`State`]) on any later connection, because each carries a
//! total, a number or an offset: a repeated fact must count once. [`costs`] lists what each message may cost its
//! receiver.

mod code;
mod command;
#[doc = include_str!("wire/costs.md")]
pub mod costs {}
mod frame;
mod greeting;
mod limits;
mod message;
pub mod operate;
mod raw_json;
pub mod readiness;
pub mod rendezvous;
pub mod room;
mod run;
mod schedule;
mod slave_event;
mod times;
mod trigger;
mod verdict;

pub use self::code::Code;
pub use self::command::{Done, Failure, NotifyRequest, PokeRequest, ReadyRequest, WaitRequest};
pub use self::frame::{Bound, Cut, Frames};
pub use self::greeting::{Bye, Hello, Ping, Pong, Welcome};
pub use self::limits::{
    CHUNK_MAX, LINE_AROUND_VALUES, LINE_MAX, LINE_MAX_BEFORE_HELLO, LINE_MAX_OF_VALUE, LINE_MOST_OF_VALUE, PROTOCOL,
};
pub use self::message::{Malformed, Message};
pub use self::raw_json::RawJson;
pub use self::run::{
    Chunk, Dismissed, Fetch, Kept, Manner, Output, Prepare, Ready, Recorded, Report, Start, State, Stop, Stopped,
    Unready,
};
pub use self::schedule::{Action, After, Entry, Expect, Policy, Resource, Shell};
pub use self::slave_event::{PokedBy, SlaveEvent};
pub use self::times::TIME_MAX;
pub use self::trigger::{Noted, Notify, Refused, Triggered};
pub use self::verdict::{EntryOutcome, Verdict};

use self::operate::{
    AskFiles, AskRuns, AskSlaves, Cancel, Denied, Files, Get, Look, Operate, Piece, Runs, Seen, Slaves, Submit, Unfit,
    Upload, Wanted,
};
use self::rendezvous::{
    Alive, Arrive, BarrierRequest, Check, Elsewhere, Give, Gone, Heard, Map, Met, RoundVerdict, SyncRequest, Waits,
};
use self::room::{Create, Created, Delete, Join, List, Listing, Watch};
use crate::machine::Bytes;

/// Declares the messages that one kind of receiver understands: an enum with a variant for each message, and its decoder.
/// `or` names a fast reader for the usual form of a frequent message.
macro_rules! heard_by {
    ($(#[$doc:meta])* $name:ident { $($kind:literal => $message:ident $(or $quick:path)?,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name<'a> {
            $(
                #[doc = concat!("The message `", $kind, "`.")]
                $message($message<'a>),
            )*
        }

        impl<'a> $name<'a> {
            /// The values of the key `type` of these messages.
            pub const TYPES: &'static [&'static str] = &[$($kind,)*];

            /// Decodes one line, without its newline. Fails if the line is not one of these messages.
            pub fn decode(line: &'a [u8]) -> Result<Self, Malformed> {
                $($(if let Some(message) = $quick(line) {
                    return Ok($name::$message(message));
                })?)*
                match frame::type_of(line)? {
                    $($kind => frame::fields(line).map($name::$message),)*
                    other => Err(Malformed(format!("unknown message type {:?}", frame::excerpt(other)))),
                }
            }

            /// Returns the message as a line, as its sender writes it.
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
    /// The messages to a controller, from a slave, a client or an operator.
    ToController {
        "hello" => Hello,
        "ping" => Ping,
        "state" => State,
        "ready" => Ready,
        "unready" => Unready,
        "fetch" => Fetch,
        "notify" => Notify or trigger::usual_notify,
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
    /// The messages from a controller, to a slave, a client or an operator.
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
    /// The requests of a command to the slave that runs it, on the slave's control socket: one request per connection.
    ControlRequest {
        "poke" => PokeRequest,
        "notify" => NotifyRequest,
        "wait" => WaitRequest,
        "ready" => ReadyRequest,
        "barrier" => BarrierRequest,
        "sync" => SyncRequest,
    }
}

heard_by! {
    /// The answers of a slave on its control socket.
    ControlReply {
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
