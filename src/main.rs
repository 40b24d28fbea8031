//! The program: parses the arguments, starts the logger, runs one subcommand, and maps its error to an exit status.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    let begun = cli::begin();
    let arguments = cli::parse();
    cli::start_logger(&arguments);
    let code = cli::run(arguments, begun).unwrap_or_else(|error| {
        cli::complain(&error);
        error.code()
    });
    ExitCode::from(cli::finish(code))
}
