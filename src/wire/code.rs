//! Why a peer is turned away or a request is refused, for programs.
//!
//! Programs decide by the code. The words next to it are for people, and may change at any time.

use serde::{Deserialize, Serialize};

/// A reason in [`Bye`](super::Bye), [`Refused`](super::Refused) or [`Denied`](super::operate::Denied). The list is
/// closed: a receiver treats an unknown code as a malformed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The sender has nothing more to send.
    #[default]
    Leaves,
    /// The first message of a connection is not a greeting.
    FirstMessage,
    /// The message cannot be read, or is not allowed at this point.
    Malformed,
    /// The peer speaks another version of the protocol.
    Protocol,
    /// Only one end of the connection uses TLS.
    Tls,
    /// The peer has not proven that it may do this.
    Stranger,
    /// A name, an incarnation or a label is not valid.
    Name,
    /// Another slave with this name is connected.
    Taken,
    /// The test has no place for this slave.
    NoPlace,
    /// The controller has no run for this slave, or the run is over.
    NoRun,
    /// This controller accepts no tests.
    NoTests,
    /// A limit is reached.
    Full,
    /// No message arrived from the peer within the time limit.
    Silent,
    /// A newer connection of the same peer has replaced this one.
    Replaced,
    /// No run has this name.
    NoSuchRun,
    /// Several runs match this name.
    Ambiguous,
    /// No such submission exists.
    NoSuchSubmission,
    /// The results have no such file.
    NoSuchFile,
    /// A file of the results cannot be read.
    Unreadable,
    /// The message names another room than the one that the client has joined.
    WrongRoom,
    /// The run has not started, or is over.
    NotGoing,
    /// The trigger does not exist, or does not accept this request.
    Trigger,
}
