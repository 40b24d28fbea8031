//! Why a ledger cannot be used after a restart.

use std::fmt;
use std::path::PathBuf;

use super::fact::FORMAT;
use crate::controller::room::trigger::TriggerError;

/// The text of a system error about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError(pub String);

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileError {}

/// Why a ledger cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerError {
    /// The file cannot be read.
    Unreadable {
        /// The ledger.
        path: PathBuf,
        /// Why.
        error: FileError,
    },
    /// The file has no line, because the controller was killed before it wrote the first one.
    Empty {
        /// The ledger.
        path: PathBuf,
    },
    /// A line is wrong; the first line has number 1.
    Line {
        /// The ledger.
        path: PathBuf,
        /// The number of the line.
        number: usize,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The test in it is not valid, for this reason.
    Test(String),
}

/// The damage of a line in a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// It is not the first line of a ledger, for this reason.
    NotALedger(String),
    /// The ledger has another format.
    Format(u32),
    /// It is not a list of facts, for this reason.
    NoFacts(String),
    /// The ledger does not belong to a run.
    NoRun,
    /// A fact names a slave that the test does not have.
    NoSlave(usize),
    /// A fact names an unknown trigger.
    NoTrigger {
        /// The name of the room.
        room: String,
        /// The name of the trigger.
        trigger: String,
    },
    /// A fact names an unknown round.
    NoRound {
        /// The name of the room.
        room: String,
        /// The number of the round.
        round: u64,
    },
    /// A trigger cannot be created again.
    Trigger(TriggerError),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerError::Unreadable { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            LedgerError::Empty { path } => {
                write!(f, "{} is empty: the controller was killed before it had begun; start it again", path.display())
            }
            LedgerError::Line { path, number, damage } => write!(f, "{}:{number}: {damage}", path.display()),
            LedgerError::Test(problem) => f.write_str(problem),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::NotALedger(error) => write!(f, "this is not the ledger of a controller: {error}"),
            Damage::Format(format) => {
                write!(f, "it has format {format}, this arete reads format {FORMAT}: use the arete that wrote it")
            }
            Damage::NoFacts(error) => write!(f, "this line is damaged: {error}"),
            Damage::NoRun => f.write_str("this is not the ledger of a run"),
            Damage::NoSlave(ix) => write!(f, "the test has no slave number {ix}"),
            Damage::NoTrigger { room, trigger } => write!(f, "there is no trigger {trigger:?} in room {room:?}"),
            Damage::NoRound { room, round } => write!(f, "there is no round {round} in room {room:?}"),
            Damage::Trigger(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LedgerError {}

impl std::error::Error for Damage {}

impl From<TriggerError> for Damage {
    fn from(error: TriggerError) -> Damage {
        Damage::Trigger(error)
    }
}
