//! Standard output, with one rule for every subcommand: an error is a failure with a message.
//!
//! The exception is a reader that has exited, as head(1) does. That is not a failure, and nothing is printed about it.

use std::io::{ErrorKind, Write};

use arete::exit_code;
use arete::reactor::{flush_console, unwritten};

use crate::cli::error::{Error, complain};

/// The time that a slow reader has to read the last output, in milliseconds.
const FLUSH_MILLIS: u64 = 10_000;

/// Prints all bytes. Waits for a slow reader.
pub fn print(bytes: impl AsRef<[u8]>) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::failed(cannot(&unwritten(&error)))),
        _ => Ok(()),
    }
}

/// Prints after everything that is still queued. An error is left to the next one who prints, or to [`finish`].
pub fn print_if_possible(text: &str) {
    // Waiting for a slow reader without need would only delay the exit.
    if !text.is_empty() {
        flush_console(FLUSH_MILLIS);
        let _ = print(text);
    }
}

/// Writes what is still queued, including the log. Returns the exit status: `code`, or a failure if the output of the loop
/// could not be written.
pub fn finish(code: u8) -> u8 {
    let Some(why) = flush_console(FLUSH_MILLIS) else { return code };
    complain(cannot(&why));
    if code == exit_code::PASSED { exit_code::FAILED } else { code }
}

fn cannot(why: &str) -> String {
    format!("cannot write to standard output: {why}")
}
