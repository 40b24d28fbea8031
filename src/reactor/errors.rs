//! Errors of the system, as machines and people get them.
//!
//! Every message about a failed call of the system is made here, so that all are worded alike.

use std::io::{self, ErrorKind};

use crate::machine::{Cause, Reason, SystemError};

/// Returns the reason why a connection is gone or could not be made.
pub fn reason(error: &io::Error) -> Reason {
    let cause = match error.kind() {
        ErrorKind::ConnectionRefused => Cause::Refused,
        ErrorKind::NotFound => Cause::NoSocket,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Cause::NoAnswer
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Cause::HungUp,
        _ => Cause::Other,
    };
    Reason::new(cause, plain(error))
}

/// Returns the reason that the other end has closed the connection.
pub fn hung_up() -> Reason {
    Reason::new(Cause::HungUp, "the peer closed the connection")
}

/// Returns an error as machines get it.
pub fn system_error(error: &io::Error) -> SystemError {
    SystemError::new(error.kind(), plain(error))
}

/// The next step if a disk is full.
const MAKE_ROOM: &str = "make room there, or name another directory";

/// Returns an error in words, without the number that the system gives it.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    let text = match chars.next() {
        // "Connection refused" becomes "connection refused"; "I/O error" stays.
        Some(head) if chars.clone().next().is_some_and(char::is_lowercase) => {
            head.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    };
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("{text}: {MAKE_ROOM}"),
        _ => text,
    }
}
