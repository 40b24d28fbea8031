//! Why an arrival is refused.

use std::fmt;

use super::arrivals::{ARRIVALS_MAX, CLIENT_ARRIVALS_MAX, MEETINGS_MAX, SLAVE_ARRIVALS_MAX};
use crate::controller::session::budget::Shortage;
use crate::session::{WORDS_MAX, words_rule};
use crate::testfile::MEMBERS_MAX;

/// Why an arrival is refused. The round continues without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrivalError {
    /// The name of the meeting is not valid.
    Name,
    /// The process is in another room.
    WrongRoom { room: String, named: String },
    /// The process is not known, because it has sent no hello or join.
    NotJoined,
    /// The process may not act as this member.
    OtherMember { process: String, member: String },
    /// The client has joined without a member.
    NoMember,
    /// The run has not started, or is over.
    NotGoing { run: String },
    /// The room has the name of a run that is over.
    Over { run: String },
    /// The slave is lost to the run.
    SlaveLost { slave: String, run: String },
    /// The party has an unknown group.
    NoGroup { group: String, room: String },
    /// The party has a name that no member can have. Here is its beginning.
    NotAMember { name: String },
    /// The test declares no party, and no member has named one.
    NoParty { meeting: String },
    /// The party has no members or too many.
    PartySize(usize),
    /// The member is not part of the party that it names.
    NotInOwnParty { member: String },
    /// The member is not part of the party of the round.
    NotInParty { member: String, party: String },
    /// The value is too long; its length is unknown if its line was cut off. In bytes.
    Value { max: usize, length: Option<usize> },
    /// All values of the session together would be too long, in bytes.
    Session { max: usize, given: usize, length: usize },
    /// There is no memory for it.
    Memory(Shortage),
    /// Lines of other members use the memory for values, in bytes.
    Crowded { max: usize },
    /// The process has too many arrivals.
    TooMany { slave: bool },
    /// The room has too many meetings or arrivals.
    RoomFull,
    /// Another process acts as this member, and is alive.
    Held { meeting: String, member: String },
    /// Another process contends for the name.
    Contended { member: String },
    /// Another process has taken the name of this arrival.
    Replaced { meeting: String, member: String },
    /// The round was released with another process of this name.
    Released { meeting: String, member: String },
}

impl fmt::Display for ArrivalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArrivalError::Name => write!(f, "of a barrier or a session the {}", words_rule()),
            ArrivalError::WrongRoom { room, named } => write!(f, "you are in room {room:?}, not in {named:?}"),
            ArrivalError::NotJoined => f.write_str("you have not joined"),
            ArrivalError::OtherMember { process, member } => write!(f, "{process} cannot act as {member:?}"),
            ArrivalError::NoMember => f.write_str("you have joined without a name: say which member you are"),
            ArrivalError::NotGoing { run } => write!(f, "run {run:?} is not going on"),
            ArrivalError::Over { run } => write!(f, "run {run:?} is over"),
            ArrivalError::SlaveLost { slave, run } => write!(f, "slave {slave} is lost to run {run:?}"),
            ArrivalError::NoGroup { group, room } => write!(f, "there is no group {group:?} in room {room:?}"),
            ArrivalError::NotAMember { name } => write!(
                f,
                "{name:?} cannot be a member: a member is HOST or HOST#TAG, each of at most {WORDS_MAX} bytes without control \
                 characters"
            ),
            ArrivalError::NoParty { meeting } => write!(
                f,
                "the members of {meeting:?} are not known: give --members or --count, or wait until a member that gives them \
                 has arrived"
            ),
            ArrivalError::PartySize(size) => write!(f, "1 to {MEMBERS_MAX} members can meet, not {size}"),
            ArrivalError::NotInOwnParty { member } => write!(f, "{member} is not among the members that it names"),
            ArrivalError::NotInParty { member, party } => {
                write!(f, "{member} is not a member; the members are {party}")
            }
            ArrivalError::Value { max, length } => {
                write!(f, "a value has at most {max} bytes (--value-max of the controller), this one has ")?;
                match length {
                    Some(length) => length.fmt(f),
                    None => f.write_str("more"),
                }
            }
            ArrivalError::Session { max, given, length } => write!(
                f,
                "the values of a session have at most {max} bytes together (--session-max of the controller); {given} \
                 bytes were given, and this one has {length}"
            ),
            ArrivalError::Memory(shortage) => shortage.fmt(f),
            ArrivalError::Crowded { max } => write!(
                f,
                "the controller may hold {max} bytes of its members (--memory-max), and they are taken: try again"
            ),
            ArrivalError::TooMany { slave } => {
                let (who, most) = if *slave { ("slave", SLAVE_ARRIVALS_MAX) } else { ("client", CLIENT_ARRIVALS_MAX) };
                write!(f, "one {who} may have {most} arrivals at once, including those without a confirmed outcome")
            }
            ArrivalError::RoomFull => {
                write!(f, "this room is full: it holds {MEETINGS_MAX} meetings and {ARRIVALS_MAX} arrivals at most")
            }
            ArrivalError::Held { meeting, member } => write!(f, "another process waits at {meeting:?} as {member}"),
            ArrivalError::Contended { member } => write!(f, "other processes claim the name {member} already"),
            ArrivalError::Replaced { meeting, member } => {
                write!(f, "another process has taken the place of {member} at {meeting:?}")
            }
            ArrivalError::Released { meeting, member } => {
                write!(f, "another process was released at {meeting:?} as {member}")
            }
        }
    }
}

impl std::error::Error for ArrivalError {}

impl From<Shortage> for ArrivalError {
    fn from(shortage: Shortage) -> ArrivalError {
        ArrivalError::Memory(shortage)
    }
}
