//! How a subcommand fails: the sentence for people and the exit status, both from the variant.
//!
//! Every message to standard error that is not a log line goes through [`complain`].

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arete::exit_code;
use arete::reactor::plain;
use arete::text::{self, harmless};

use crate::cli::ci::defused;
use crate::cli::journal::logs_to_journal;
use crate::cli::owned::Foreign;

/// Why a subcommand failed.
#[derive(Debug)]
pub enum Error {
    /// The command line, a configuration file or a test file is wrong.
    Usage(String),
    /// The request cannot be fulfilled.
    Failed(String),
    /// The system refused an action, such as `lock /var/lib/arete`. The advice may be empty.
    System { action: String, error: io::Error, advice: String },
    /// Another user could change a path. The subject, such as `--tls: `, may be empty.
    Foreign { subject: String, path: PathBuf, foreign: Foreign },
    /// An address or a port cannot be listened on.
    Listen { subject: String, error: ListenError, advice: String },
    /// The value of `--data` was not complete in time. `command` is such as `sync session-7`.
    LateValue { command: String, is_sync: bool, limit: Duration, why: String },
    /// `arete run` failed.
    Run(Box<Error>),
    /// An error about one option or one part of a configuration, such as its work directory.
    Part(String, Box<Error>),
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub enum ListenError {
    /// It is not an address, for this reason.
    NotAnAddress(String),
    /// The host name has no address.
    NoAddress,
    /// The system refuses this address.
    Refused(SocketAddr, io::Error),
    /// The system refuses the path or the port that the subject names.
    Other(io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::NotAnAddress(why) => f.write_str(why),
            ListenError::NoAddress => f.write_str("the name has no address"),
            ListenError::Refused(address, error) => write!(f, "cannot listen on {address}: {}", plain(error)),
            ListenError::Other(error) => f.write_str(&plain(error)),
        }
    }
}

impl std::error::Error for ListenError {}

/// Turns an error of the system into one of this program.
pub type FromIo = Box<dyn Fn(io::Error) -> Error>;

impl Error {
    pub fn usage(message: impl fmt::Display) -> Error {
        Error::Usage(message.to_string())
    }

    pub fn failed(message: impl fmt::Display) -> Error {
        Error::Failed(message.to_string())
    }

    /// Returns what turns an error of the system into `cannot ACTION: ERROR`.
    pub fn cannot(action: impl fmt::Display) -> FromIo {
        Error::cannot_so(action, "")
    }

    /// Like [`Error::cannot`], with advice for the user.
    pub fn cannot_so(action: impl fmt::Display, advice: impl fmt::Display) -> FromIo {
        let (action, advice) = (action.to_string(), advice.to_string());
        Box::new(move |error| Error::System { action: action.clone(), error, advice: advice.clone() })
    }

    /// Returns what turns the reason why a path cannot be trusted into an error.
    pub fn foreign(subject: &str, path: &Path) -> impl Fn(Foreign) -> Error + use<> {
        let (subject, path) = (subject.to_owned(), path.to_owned());
        move |foreign| Error::Foreign { subject: subject.clone(), path: path.clone(), foreign }
    }

    /// Returns this error with the option or the part that it is about.
    pub fn of(self, part: impl fmt::Display) -> Error {
        Error::Part(part.to_string(), Box::new(self))
    }

    /// Returns the exit status.
    pub fn code(&self) -> u8 {
        match self {
            Error::Usage(_) | Error::Listen { error: ListenError::NotAnAddress(_), .. } => exit_code::USAGE,
            Error::Failed(_) | Error::System { .. } | Error::Foreign { .. } => exit_code::FAILED,
            Error::Listen { .. } => exit_code::INFRASTRUCTURE,
            Error::LateValue { is_sync: true, .. } => exit_code::NO_VERDICT,
            Error::LateValue { is_sync: false, .. } => exit_code::TIME_LIMIT,
            // A run exits with 1 only if the test itself failed.
            Error::Run(error) if error.code() == exit_code::FAILED => exit_code::INFRASTRUCTURE,
            Error::Run(error) | Error::Part(_, error) => error.code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(message) | Error::Failed(message) => f.write_str(message),
            Error::System { action, error, advice } => {
                write!(f, "cannot {action}: {}", plain(error))?;
                if advice.is_empty() { Ok(()) } else { write!(f, "; {advice}") }
            }
            Error::Foreign { subject, path, foreign } => write!(f, "{subject}{}", foreign.of(path)),
            Error::Listen { subject, error, advice } => write!(f, "{subject}: {error}; {advice}"),
            Error::LateValue { command, limit, why, .. } => write!(
                f,
                "{command}: the value was not complete within {}, so nothing was sent: {why}; allow more time with --timeout",
                text::duration(*limit)
            ),
            Error::Run(error) => error.fmt(f),
            Error::Part(part, error) => write!(f, "{part}: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Prints an error or a warning to standard error, each line with the name of the program. If standard error cannot be
/// written, nothing more can be done.
pub fn complain(message: impl fmt::Display) {
    let before = if logs_to_journal() { "<3>" } else { "arete: " };
    for line in message.to_string().lines() {
        let _ = writeln!(io::stderr(), "{before}{}", defused(&harmless(line)));
    }
}

/// The most characters of a wrong name that a message repeats.
const SHOWN_MAX: usize = 80;

/// Returns a name in quotes, shortened, for a message.
pub fn shown(name: &str) -> String {
    format!("{:?}", text::cut(name, SHOWN_MAX))
}
