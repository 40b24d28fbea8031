//! `arete completions`: what a shell needs to complete the command line, made from the parser's own table.

use std::io::Write;

use arete::exit_code;
use arete::reactor::plain;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, Error};

pub fn run(shell: Shell) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(), "arete", &mut script);
    let printed = std::io::stdout().lock().write_all(&script);
    printed.map_err(|error| Error::failed(format!("cannot write to standard output: {}", plain(&error))))?;
    Ok(exit_code::PASSED)
}

/// The program's command line without what is hidden: the generators would offer it.
fn shown() -> Command {
    let whole = Arguments::command();
    let subcommands: Vec<_> = whole.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    Command::new("arete").version(env!("CARGO_PKG_VERSION")).subcommands(subcommands)
}
