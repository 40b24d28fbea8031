//! The program: parse the arguments, start the logger, run one subcommand, map the error to an exit code.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    let arguments = cli::parse();
    cli::start_logger(&arguments);
    match cli::run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            cli::complain(&error.message);
            ExitCode::from(error.code)
        }
    }
}
