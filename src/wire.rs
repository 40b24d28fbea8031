//! The messages of all peers, and their framing.
//!
//! A message is one JSON object on a line, with `"type"` as its first key. Unknown keys are ignored; an unknown type is
//! an error. Times are integers, in microseconds on the clock that the field names; spans in a [`SlaveEvent`] are in
//! seconds; bytes are base64.
//! `arete-protocol(7)` lists every message for people who write a peer in another language. It must change in the same
//! commit as the messages.
//!
//! This file owns the lists of who may send what, one entry for each message; the files in `wire/` own the messages. A
//! slave can repeat the facts that it states ([`Notify`], [`Report`], [`Output`], [`State`]) on any later connection,
//! because each carries a total, a number or an offset: a repeated fact must count once. [`costs`] lists what each
//! message may cost its receiver.

mod code;
mod command;
mod fault;
mod names;
#[doc = include_str!("wire/costs.md")]
pub mod costs {}
mod frame;
mod greeting;
mod limits;
mod message;
pub mod operate;
mod quick;
mod raw_json;
pub mod readiness;
pub mod rendezvous;
pub mod room;
mod run;
mod schedule;
mod seconds;
mod slave_event;
mod times;
mod trigger;
mod verdict;

pub use self::code::Code;
pub use self::command::{
    Done, Failure, Measurement, NotifyRequest, PokeRequest, ReadyRequest, RecordRequest, WaitRequest,
};
pub use self::fault::{Conditions, FaultState, Harm, Injection};
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
pub use self::schedule::{Action, After, Condition, Entry, Expect, Policy, Resource, Retries, Shell, When};
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

/// Declares the messages that one end can receive: an enum with a variant for each message, its decoder, and the types
/// of the messages. `or` names a fast decoder for the usual form of a frequent message. A group is an enum of its own,
/// for the messages that only one kind of peer sends. `; again` lists messages that another end, declared above, also
/// receives.
macro_rules! messages {
    ($(#[$doc:meta])* $name:ident {
        $($kind:literal => $message:ident $(or $quick:path)?,)*
        $($(#[$about:meta])* $group:ident($part:ident) { $($part_kind:literal => $part_message:ident $(or $part_quick:path)?,)* })*
        $(; again $($again_kind:literal => $again:ident,)*)?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name<'a> {
            $(#[doc = concat!("`", $kind, "`.")] $message($message<'a>),)*
            $($(#[$about])* $group($part<'a>),)*
            $($(#[doc = concat!("`", $again_kind, "`.")] $again($again<'a>),)*)?
        }

        $($(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $part<'a> {
            $(#[doc = concat!("`", $part_kind, "`.")] $part_message($part_message<'a>),)*
        })*

        impl<'a> $name<'a> {
            /// The values of the field `type` of these messages.
            pub const TYPES: &'static [&'static str] =
                &[$($kind,)* $($($part_kind,)*)* $($($again_kind,)*)?];

            /// Decodes one line, without its newline. Fails if the line is not one of these messages.
            pub fn decode(line: &'a [u8]) -> Result<Self, Malformed> {
                $($(if let Some(message) = $quick(line) {
                    return Ok($name::$message(message));
                })?)*
                $($($(if let Some(message) = $part_quick(line) {
                    return Ok($name::$group($part::$part_message(message)));
                })?)*)*
                match frame::type_of(line)? {
                    $($kind => frame::fields(line).map($name::$message),)*
                    $($($part_kind => frame::fields(line).map($part::$part_message).map($name::$group),)*)*
                    $($($again_kind => frame::fields(line).map($name::$again),)*)?
                    other => Err(Malformed(format!("unknown message type {:?}", frame::excerpt(other)))),
                }
            }

            /// Encodes the message as its sender does.
            pub fn encode(&self) -> Bytes {
                match self {
                    $($name::$message(message) => message.encode(),)*
                    $($($name::$group($part::$part_message(message)) => message.encode(),)*)*
                    $($($name::$again(message) => message.encode(),)*)?
                }
            }
        }

        $(impl Message for $message<'_> {
            const TYPE: &'static str = $kind;
        })*
        $($(impl Message for $part_message<'_> {
            const TYPE: &'static str = $part_kind;
        })*)*
    };
}

messages! {
    /// The messages to a controller. Those outside of the groups have several kinds of senders.
    ToController {
        "hello" => Hello,
        "join" => Join,
        "operate" => Operate,
        "ping" => Ping,
        "notify" => Notify or quick::notify,
        "bye" => Bye,

        /// What only a slave of a run sends.
        Slave(FromSlave) {
            "state" => State,
            "ready" => Ready,
            "unready" => Unready,
            "fetch" => Fetch,
            "report" => Report,
            "output" => Output,
            "stopped" => Stopped,
            "waits" => Waits,
        }

        /// What a member of barriers and syncs sends: a slave of a run, or a client.
        Member(FromMember) {
            "arrive" => Arrive or quick::arrive,
            "give" => Give,
            "gone" => Gone,
            "heard" => Heard or quick::heard,
            "alive" => Alive or quick::alive,
        }

        /// What only a client of a room sends.
        Client(FromClient) {
            "watch" => Watch,
            "create" => Create,
            "delete" => Delete,
            "list" => List,
        }

        /// What only an operator sends.
        Operator(FromOperator) {
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
}

messages! {
    /// What a controller sends to a slave, a client or an operator.
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
        ; again
        "bye" => Bye,
    }
}

messages! {
    /// What a command sends to the slave that runs it, on the slave's control socket: one request for each connection.
    ControlRequest {
        "poke" => PokeRequest,
        "notify" => NotifyRequest,
        "wait" => WaitRequest,
        "ready" => ReadyRequest,
        "record" => RecordRequest,
        "barrier" => BarrierRequest,
        "sync" => SyncRequest,
    }
}

messages! {
    /// What a slave answers on its control socket.
    ControlReply {
        "done" => Done,
        "error" => Failure,
        "met" => Met,
        ; again
        "map" => Map,
    }
}
