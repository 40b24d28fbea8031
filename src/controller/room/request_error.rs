//! Why a request about a trigger is refused, and the code that its peer receives.

use std::fmt;

use crate::controller::room::trigger::TriggerError;
use crate::controller::session::authorization::Stranger;
use crate::controller::session::budget::Shortage;
use crate::session::NameError;
use crate::wire::Code;

/// Why a request about a trigger is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// The process is not known, because it has sent no hello or join.
    NotJoined,
    /// The client is in another room.
    WrongRoom { room: String, named: String },
    /// The peer has not proven that it may notify here.
    Stranger(Stranger),
    /// The run has not started, or is over.
    NotGoing { run: String },
    /// The run of this room is over.
    Over { run: String },
    /// The room has no such trigger. `of_run`: its triggers are those of a test file.
    Unknown { trigger: String, room: String, of_run: bool },
    /// The trigger to delete does not exist.
    Gone { trigger: String, room: String },
    /// The trigger was deleted while the client waited for it.
    Deleted { trigger: String },
    /// Only the test file of a run creates and deletes its triggers.
    OfTest { run: String },
    /// The name of the trigger is not valid, for this reason.
    Name(NameError),
    /// The trigger refuses it.
    Trigger(TriggerError),
}

impl RequestError {
    /// Returns the code that the peer receives.
    pub fn code(&self) -> Code {
        match self {
            RequestError::NotJoined => Code::FirstMessage,
            RequestError::WrongRoom { .. } => Code::WrongRoom,
            RequestError::Stranger(_) => Code::Stranger,
            RequestError::NotGoing { .. } | RequestError::Over { .. } => Code::NotGoing,
            RequestError::Unknown { .. } | RequestError::Gone { .. } | RequestError::Deleted { .. } => Code::Trigger,
            RequestError::OfTest { .. } => Code::Trigger,
            RequestError::Name(_) => Code::Name,
            RequestError::Trigger(error) => match error {
                TriggerError::Exists { .. } | TriggerError::Count(_) | TriggerError::Note { .. } => Code::Trigger,
                TriggerError::Notes { .. } | TriggerError::RoomFull | TriggerError::Memory(_) => Code::Full,
            },
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::NotJoined => f.write_str("you have not joined"),
            RequestError::WrongRoom { room, named } => write!(f, "you are in room {room:?}, not in {named:?}"),
            RequestError::Stranger(stranger) => stranger.fmt(f),
            RequestError::NotGoing { run } => write!(f, "run {run:?} is not going on"),
            RequestError::Over { run } => {
                write!(f, "run {run} is over: name a run that goes on, or another room, with --room")
            }
            RequestError::Unknown { trigger, room, of_run } => {
                write!(f, "there is no trigger {trigger:?} in room {room:?}: ")?;
                match of_run {
                    true => f.write_str("a run has only the triggers of its test file"),
                    false => write!(f, "make it with arete trigger create NAME COUNT --room {room}"),
                }
            }
            RequestError::Gone { trigger, room } => write!(f, "there is no trigger {trigger:?} in room {room:?}"),
            RequestError::Deleted { trigger } => write!(f, "the trigger {trigger:?} was deleted"),
            RequestError::OfTest { run } => write!(f, "{run} is a run: its triggers are those of its test file"),
            RequestError::Name(why) => why.fmt(f),
            RequestError::Trigger(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<TriggerError> for RequestError {
    fn from(error: TriggerError) -> RequestError {
        RequestError::Trigger(error)
    }
}

impl From<Shortage> for RequestError {
    fn from(shortage: Shortage) -> RequestError {
        RequestError::Trigger(TriggerError::Memory(shortage))
    }
}

impl From<Stranger> for RequestError {
    fn from(stranger: Stranger) -> RequestError {
        RequestError::Stranger(stranger)
    }
}
