//! The subcommands of the program, from the command line to the exit status.
//!
//! All access to the system before and after the loop is here, in a folder for each kind of subcommand: `run` runs tests,
//! `service` has the controller and the slave, `client` acts as a member, `ring` has the token ring, and `tls` holds the
//! identity of the process. All folders use the files next to them. Those files must not import from the folders, except
//! `args`, which lists the options of all subcommands.

mod address;
mod args;
mod ci;
mod client;
mod clock;
mod completions;
mod directory;
mod drive;
mod environment;
mod error;
mod fault;
mod github;
mod help;
mod journal;
mod ledger;
mod limits;
mod listen;
mod lock;
mod log_limit;
mod owned;
mod random;
mod remove;
mod ring;
mod run;
mod service;
mod source;
mod stdout;
mod tls;
mod values;
mod work_dir;

use std::ffi::OsString;
use std::io::Write;

use arete::machine::Time;
use arete::text::harmless;
use arete::{exit_code, reactor};
use clap::error::ErrorKind;

use args::{Arguments, Sub};
use client::{meet, record, trigger};
use error::Error;
pub use error::complain;
use log_limit::Limited;
use run::{check, compare, init, remote};
use service::{config, controller, preflight, slave};
use tls::pki;

/// Resets what the parent process did to signals. Returns the current time, from which the time limits of the command line
/// count.
pub fn begin() -> Time {
    reactor::undo_inherited();
    if ci::is_github() {
        reactor::break_commands();
    }
    reactor::now()
}

/// Parses the command line. Exits with 2 if it is wrong, and with 0 after printing the help or the version.
pub fn parse() -> Arguments {
    let given: Vec<OsString> = std::env::args_os().collect();
    config::parse(&given).unwrap_or_else(|error| match error {
        config::ConfigError::CommandLine(error) => {
            let text = error.render();
            if error.use_stderr() {
                let text = text.to_string();
                let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
                let before = if is_help { "" } else { "arete: " };
                let _ = write!(std::io::stderr(), "{before}{}", text.strip_prefix("error: ").unwrap_or(&text));
                std::process::exit(error.exit_code())
            }
            let text = if reactor::shows_colors() { text.ansi().to_string() } else { text.to_string() };
            std::process::exit(match stdout::print(text) {
                Ok(()) => error.exit_code(),
                Err(error) => {
                    complain(&error);
                    error.code().into()
                }
            })
        }
        config::ConfigError::File(problems) => {
            problems.iter().for_each(complain);
            std::process::exit(problems.iter().map(Error::code).max().unwrap_or(exit_code::USAGE).into())
        }
    })
}

/// Runs the subcommand. The process was started at `begun`.
pub fn run(arguments: Arguments, begun: Time) -> Result<u8, Error> {
    match arguments.subcommand {
        Sub::Run(options) => run::run(*options, begun).map_err(|error| Error::Run(Box::new(error))),
        Sub::Slave(options) if options.configuration.check => preflight::slave(&options),
        Sub::Slave(options) if options.heal => slave::heal(&options),
        Sub::Slave(options) => slave::run(options),
        Sub::Init { name } => init::run(&name),
        Sub::Check { files, params, matrix } => check::run(&files, &params, &matrix),
        Sub::Poke { entry } => trigger::poke(entry),
        Sub::Ready => trigger::ready(),
        Sub::Record(options) => record::record(&options, begun),
        Sub::Notify(options) => trigger::notify(options, begun),
        Sub::Wait(options) => trigger::wait(options, begun),
        Sub::Barrier(options) => meet::barrier(options, begun),
        Sub::Sync(options) => meet::sync(options, begun),
        Sub::Controller(options) if options.configuration.check => preflight::controller(&options),
        Sub::Controller(options) => controller::run(options),
        Sub::Trigger { sub, at } => trigger::trigger(sub, at, begun),
        Sub::Attach(options) => remote::attach(options, begun),
        Sub::Stop(options) => remote::stop(options, begun),
        Sub::Results(options) => remote::results(options, begun),
        Sub::Compare(options) => compare::run(&options),
        Sub::Runs(options) => remote::runs(&options, begun),
        Sub::Status(options) => remote::status(&options, begun),
        Sub::Pki { sub } => pki::run(sub),
        Sub::Ring(options) => ring::run(options),
        Sub::Help(options) => help::run(options),
        Sub::Completions { shell } => completions::run(shell),
        Sub::Fault { words } => fault::run(&words),
        Sub::Lookup { host } => stdout::print(reactor::looked_up(&host)).map(|()| exit_code::PASSED),
    }
}

/// Starts the logger, whose level is in `RUST_LOG`. It never makes the loop wait for a slow reader.
pub fn start_logger(arguments: &Arguments) {
    let to_journal = journal::logs_to_journal();
    let level = match arguments.subcommand {
        Sub::Slave(_) => "info",
        Sub::Controller(_) if to_journal => "info",
        _ => "warn",
    };
    let environment = env_logger::Env::default().default_filter_or(level);
    let logger = env_logger::Builder::from_env(environment)
        // Texts of peers may be in a line, so their control characters are made harmless.
        .format(move |line, record| match record.level() {
            // The journal adds the time and the name of the program.
            level if to_journal => {
                let priority = journal::priority(level);
                writeln!(line, "<{priority}>{}", harmless(&record.args().to_string()))
            }
            log::Level::Debug | log::Level::Trace => {
                writeln!(line, "{} arete: {}", line.timestamp_millis(), harmless(&record.args().to_string()))
            }
            _ => writeln!(line, "arete: {}", harmless(&record.args().to_string())),
        })
        .target(env_logger::Target::Pipe(Box::new(reactor::LogPipe::new())))
        .build();
    log::set_max_level(logger.filter());
    // This cannot fail, because no other logger was set.
    let _ = log::set_boxed_logger(Box::new(Limited::new(logger)));
}

/// Writes what is still queued, and returns the exit status.
pub fn finish(code: u8) -> u8 {
    log::logger().flush();
    stdout::finish(code)
}
