//! Why somebody is turned away or something is not done, for programs: they decide by the code, and the words beside it are for
//! people.

use serde::{Deserialize, Serialize};

/// One of a closed list, for [`Bye`](super::Bye), [`Refused`](super::Refused) and [`Denied`](super::operate::Denied).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Whoever says it has nothing more to say.
    #[default]
    Leaves,
    /// A controller that could be spoken to: what was said first is no greeting.
    FirstMessage,
    /// A message that cannot be read, or that does not belong there.
    Malformed,
    /// Another version of the protocol.
    Protocol,
    /// TLS is spoken at one end only.
    Tls,
    /// The peer has not proven that it may do this.
    Stranger,
    /// What is said cannot be a name, an incarnation or a label.
    Name,
    /// Another slave of that name is connected.
    Taken,
    /// The test has no place for this slave.
    NoPlace,
    /// There is no run for this slave, or none any more.
    NoRun,
    /// This controller takes no tests.
    NoTests,
    /// A limit is reached.
    Full,
    /// The peer has said nothing for too long.
    Silent,
    /// A newer connection of the same peer has taken its place.
    Replaced,
    /// There is no run of that name.
    NoSuchRun,
    /// Several runs are called so.
    Ambiguous,
    /// There is no such submission.
    NoSuchSubmission,
    /// The results have no such file.
    NoSuchFile,
    /// A file of the results cannot be read.
    Unreadable,
    /// The room named is not the one that was joined.
    WrongRoom,
    /// The run has not started, or is over.
    NotGoing,
    /// The trigger is not there, or does not take this.
    Trigger,
}
