//! Why a message of a slave, or a piece of its output, is refused.

use std::fmt;

use super::resources::ResourceError;
use crate::session::files::Unfit;
use crate::wire::CHUNK_MAX;

/// A message that no slave of this version sends. It ends the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlaveError {
    /// An output has more than [`CHUNK_MAX`] bytes.
    LongOutput,
    /// Reports are missing.
    ReportGap { seq: u64, recorded: u64 },
    /// A report of something that cannot happen before the start.
    ReportBeforeStart,
    /// The slave has made more reports than this.
    TooManyReports { max: u64 },
    /// A report names an entry that the slave does not have.
    NotAnEntry(String),
    /// A report names a trigger that the test does not have.
    NotATrigger(String),
    /// A report has a measurement whose name, value or unit is not valid.
    NotAMeasurement(String),
    /// It asks for a resource or a piece that there is not.
    Resource(ResourceError),
}

impl fmt::Display for SlaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlaveError::LongOutput => write!(f, "an output of more than {CHUNK_MAX} bytes"),
            SlaveError::ReportGap { seq, recorded } => write!(f, "report {seq} came after report {recorded}"),
            SlaveError::ReportBeforeStart => f.write_str("a report of a run that has not started"),
            SlaveError::TooManyReports { max } => write!(f, "it made more than {max} reports"),
            SlaveError::NotAnEntry(name) => write!(f, "{name:?} is not the name of an entry of this slave"),
            SlaveError::NotATrigger(name) => write!(f, "{name:?} is not the name of a trigger of the test"),
            SlaveError::NotAMeasurement(name) => write!(f, "{name:?} has a name, a value or a unit that is not valid"),
            SlaveError::Resource(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SlaveError {}

impl From<ResourceError> for SlaveError {
    fn from(error: ResourceError) -> SlaveError {
        SlaveError::Resource(error)
    }
}

/// Why a piece of a file is not kept. The slave gets the reason, and continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputError {
    /// The run has not started. Another process could still take the place of the slave, and the file would remain.
    NotStarted,
    /// The name cannot be the name of a file.
    Name { file: String, error: Unfit },
    /// The slave does not ship a file of this name.
    NotShipped { file: String },
    /// The slave has shipped as many files as it may.
    TooManyFiles { max: usize },
    /// The files of the slave are in as many directories as they may be.
    TooManyDirectories { max: usize },
    /// Bytes before this piece are missing.
    Gap { file: String, offset: u64, length: u64 },
    /// Another file of the slave needs the same name for a directory, or a directory for a file.
    Clash { file: String },
    /// The file has as many bytes as it may.
    LongFile { file: String, max: u64 },
    /// The slaves of the run have shipped `--output-max` bytes.
    OutputMax,
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputError::NotStarted => f.write_str("the run has not started"),
            OutputError::Name { file, error } => write!(f, "{file:?}: {error}"),
            OutputError::NotShipped { file } => write!(f, "{file:?} is not the name of a file that this slave ships"),
            OutputError::TooManyFiles { max } => write!(f, "more than {max} files"),
            OutputError::TooManyDirectories { max } => {
                write!(f, "the files of the slave lie in more than {max} directories")
            }
            OutputError::Gap { file, offset, length } => {
                write!(f, "{file:?} continues at {offset}, but {length} bytes of it have come")
            }
            OutputError::Clash { file } => write!(f, "{file:?} is a file and a directory"),
            OutputError::LongFile { file, max } => write!(f, "{file:?} is longer than {max} bytes"),
            OutputError::OutputMax => {
                f.write_str("the slaves of this run have shipped as much as they may (--output-max of the controller)")
            }
        }
    }
}

impl std::error::Error for OutputError {}
