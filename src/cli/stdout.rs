//! Standard output, by one rule for every subcommand: what cannot be written is a failure, with a message. A reader that has
//! left wants no more: that is no failure, and nothing is printed about it.

use std::io::{ErrorKind, Write};

use arete::exit_code;
use arete::reactor::{flush_console, unwritten};

use crate::cli::error::{Error, complain};

/// How long the last words wait for a reader that does not read, in milliseconds.
const FLUSH_MILLIS: u64 = 10_000;

/// Prints all of it, however slowly it is read.
pub fn print(bytes: impl AsRef<[u8]>) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::failed(cannot(&unwritten(&error)))),
        _ => Ok(()),
    }
}

/// Lets out what waits, the log too. Returns how a program exits that would exit with `code`: not with success if what the
/// loop has printed could not be written.
pub fn finish(code: u8) -> u8 {
    let Some(why) = flush_console(FLUSH_MILLIS) else { return code };
    complain(&cannot(&why));
    if code == exit_code::PASSED { exit_code::FAILED } else { code }
}

fn cannot(why: &str) -> String {
    format!("cannot write to standard output: {why}")
}
