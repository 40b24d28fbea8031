//! The program: parse the arguments, start the logger, run one subcommand, map the error to an exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    let begun = cli::begin();
    let arguments = cli::parse();
    cli::start_logger(&arguments);
    let code = cli::run(arguments, begun).unwrap_or_else(|error| {
        cli::complain(&error.message);
        error.code
    });
    ExitCode::from(cli::finish(code))
}
