//! The program: its subcommands, from the command line to the exit code.
//!
//! What touches the world before and after the loop is here, in a file or folder for each kind of subcommand: `run`
//! runs tests, `service` stays until it is told to stop, `client` acts as a member, `tls` is who this process is,
//! `ring` is the token ring. The files beside these folders are used by all of them, and must not import from them,
//! except `args`, which lists the options of all subcommands.

mod address;
mod args;
mod client;
mod clock;
mod completions;
mod directory;
mod drive;
mod environment;
mod error;
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

use args::{Arguments, Sub};
use client::{meet, trigger};
use error::Error;
pub use error::complain;
use log_limit::Limited;
use run::{check, remote};
use service::{config, controller, preflight, slave};
use tls::pki;

/// The instant from which every time limit of the command line counts: now. Whatever the parent did to signals is
/// undone before anything else.
pub fn begin() -> Time {
    reactor::undo_inherited();
    reactor::now()
}

/// Reads the command line. What is wrong with it is said as arete says everything, and exits with 2; help and version
/// are shown and exit with 0.
pub fn parse() -> Arguments {
    let given: Vec<OsString> = std::env::args_os().collect();
    config::parse(&given).unwrap_or_else(|wrong| match wrong {
        config::ConfigError::CommandLine(error) => {
            let (text, code) = (error.render(), error.exit_code());
            if !error.use_stderr() {
                let text = if reactor::shows_colors() { text.ansi().to_string() } else { text.to_string() };
                std::process::exit(stdout::print(text).map_or_else(said, |()| code))
            }
            let text = text.to_string();
            let _ = write!(std::io::stderr(), "arete: {}", text.strip_prefix("error: ").unwrap_or(&text));
            std::process::exit(code)
        }
        config::ConfigError::File(problems) => {
            problems.iter().for_each(|problem| complain(&problem.message));
            std::process::exit(i32::from(problems.iter().map(|problem| problem.code).max().unwrap_or(exit_code::USAGE)))
        }
    })
}

/// Runs the subcommand, which was started at that instant.
pub fn run(arguments: Arguments, begun: Time) -> Result<u8, Error> {
    match arguments.subcommand {
        Sub::Run(options) => run::run(*options, begun).map_err(Error::of_a_run),
        Sub::Slave(options) if options.configuration.check => preflight::slave(&options),
        Sub::Slave(options) => slave::run(options),
        Sub::Check { files } => check::run(&files),
        Sub::Poke { entry } => trigger::poke(entry),
        Sub::Ready => trigger::ready(),
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
        Sub::Runs(options) => remote::runs(&options, begun),
        Sub::Status(options) => remote::status(&options, begun),
        Sub::Pki { sub } => pki::run(sub),
        Sub::Ring(options) => ring::run(options),
        Sub::Help(options) => help::run(options),
        Sub::Completions { shell } => completions::run(shell),
        Sub::Lookup { host } => stdout::print(reactor::looked_up(&host)).map(|()| exit_code::PASSED),
    }
}

/// Starts the logger. What it writes goes out without ever making the loop wait; `RUST_LOG` chooses what it writes.
pub fn start_logger(arguments: &Arguments) {
    let to_journal = journal::logs_to_journal();
    let of_service = matches!(arguments.subcommand, Sub::Controller(_)) && to_journal;
    let level = if matches!(arguments.subcommand, Sub::Slave(_)) || of_service { "info" } else { "warn" };
    let environment = env_logger::Env::default().default_filter_or(level);
    let logger = env_logger::Builder::from_env(environment)
        .format(move |line, record| match record.level() {
            // The journal knows the time and who speaks.
            level if to_journal => {
                let priority = journal::priority(level);
                writeln!(line, "<{priority}>{}", harmless(&record.args().to_string()))
            }
            log::Level::Debug | log::Level::Trace => {
                writeln!(line, "{} arete: {}", line.timestamp_millis(), harmless(&record.args().to_string()))
            }
            // What a peer has said may stand in it.
            _ => writeln!(line, "arete: {}", harmless(&record.args().to_string())),
        })
        .target(env_logger::Target::Pipe(Box::new(reactor::LogPipe::new())))
        .build();
    log::set_max_level(logger.filter());
    // It is the first and the only one.
    let _ = log::set_boxed_logger(Box::new(Limited::new(logger)));
}

/// Lets out what waits, and returns how to exit.
pub fn finish(code: u8) -> u8 {
    log::logger().flush();
    stdout::finish(code)
}

/// Says what went wrong, and returns how to exit.
fn said(error: Error) -> i32 {
    complain(&error.message);
    error.code.into()
}
