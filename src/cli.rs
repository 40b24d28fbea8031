//! The subcommands and their options. What touches the world before and after the loop is below, a file a subcommand.

mod address;
mod certificate;
mod check;
mod command;
mod completions;
mod config;
mod data;
mod drive;
mod help;
mod host;
mod identity;
mod inspect;
mod labels;
mod launch;
mod load;
mod lock;
mod meet;
mod operator;
mod pki;
mod place;
mod reach;
mod remove;
mod results;
mod resume;
mod ring;
mod room;
mod run;
mod service;
mod slave;
mod socket;
mod source;
mod state;
mod stdout;
mod tls_words;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use address::{PORT, with_port};
use arete::controller::Limits;
use arete::machine::{Signal, Time};
use arete::spoken::harmless;
use arete::testfile::{BYTE_ORDER_MARK, TRIGGER_MAX};
use arete::wire::rendezvous::{SESSION_MOST, VALUE_MOST};
use arete::{exit_code, reactor, session, testfile};
use clap::{Args, Parser, Subcommand};
use config::Origin;
use identity::Security;
use labels::Labels;
use place::{Patience, Place};

/// What some editors put before a text, in UTF-8.
const MARK_BYTES: &[u8] = "\u{feff}".as_bytes();

/// The most events that a run may be told to record.
const EVENTS_MOST: u64 = 1 << 40;

/// The most connections that a controller may be told to keep.
const CONNECTIONS_MOST: u64 = 1 << 20;

/// Why a subcommand ends without having done its work.
#[derive(Debug, Clone)]
pub struct Error {
    pub code: u8,
    pub message: String,
}

impl Error {
    fn usage(message: impl Into<String>) -> Error {
        Error { code: exit_code::USAGE, message: message.into() }
    }

    fn failed(message: impl Into<String>) -> Error {
        Error { code: exit_code::FAILED, message: message.into() }
    }

    /// The same of `arete run`, which exits with 1 only if the test itself has failed.
    fn of_a_run(self) -> Error {
        let code = if self.code == exit_code::FAILED { exit_code::INFRASTRUCTURE } else { self.code };
        Error { code, ..self }
    }
}

/// Run one test over many machines.
#[derive(Parser)]
#[command(name = "arete", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "exit status: 0 passed; 1 failed; 2 wrong usage or a wrong test file; 3 a time limit passed; \
                        4 a barrier was aborted; 5 a member was lost; 6 no verdict was heard in time; 7 a run failed for no fault of its test; \
                        130 interrupted\nmanual: arete help TOPIC opens a page, such as arete help run or arete help test; arete help lists them")]
pub struct Arguments {
    #[command(subcommand)]
    subcommand: Sub,
}

#[derive(Subcommand)]
enum Sub {
    /// Run a test, on this machine alone, with the slaves that connect, or at a controller
    Run(Box<RunOptions>),
    /// Take part in the runs of a controller
    Slave(SlaveOptions),
    /// Say everything that is wrong with a test file
    Check {
        /// The test files; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Inside a command: run the slave's poke entries
    Poke {
        /// Run only this one
        entry: Option<String>,
    },
    /// Inside a command: say that it is ready
    Ready,
    /// Take one off a trigger, and wait until the controller has counted it
    Notify(NotifyOptions),
    /// Wait until a trigger has fired, and show who notified with what
    Wait(WaitOptions),
    /// Wait for the other members at a barrier
    Barrier(meet::BarrierOptions),
    /// Give a value, and get the values of all members as one JSON object
    Sync(meet::SyncOptions),
    /// Stay: run the tests that are handed in, and serve rooms in which members meet outside of any run
    Controller(ControllerOptions),
    /// Follow a run of a controller, from its beginning
    Attach(operator::AttachOptions),
    /// End a run of a controller, and wait until it is over
    Stop(operator::StopOptions),
    /// Fetch what there is of the results of a controller's run
    Results(operator::ResultsOptions),
    /// List the runs of a controller: those that go on or wait, then the others, the last one first
    Runs(operator::RunsOptions),
    /// Show the slaves of a controller, what they run, and which runs wait
    Status(operator::StatusOptions),
    /// Make, list or remove the triggers of a room
    Trigger {
        #[command(subcommand)]
        sub: TriggerSub,
        #[command(flatten)]
        at: At,
    },
    /// Make the certificates of a lab
    Pki {
        #[command(subcommand)]
        sub: pki::PkiSub,
    },
    /// Be a node of a token ring: nodes of one network that pass a token round
    Ring(ring::RingOptions),
    /// Open a page of the manual
    Help(HelpOptions),
    /// Print what a shell needs to complete the command line; for packages
    #[command(hide = true)]
    Completions { shell: clap_complete::Shell },
    #[command(hide = true)]
    Lookup { host: String },
}

#[derive(Args)]
struct NotifyOptions {
    trigger: String,
    /// What those who wait for the trigger shall read: JSON if it parses, else a string; @FILE or - for standard input
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    data: Option<OsString>,
    /// At a controller: who notifies, HOST or HOST#TAG
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Give up after so long [default: at the end of the run]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct WaitOptions {
    trigger: String,
    /// Give up after so long [default: at the end of the run]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum TriggerSub {
    /// Make a trigger that fires when it was notified so often
    Create {
        trigger: String,
        #[arg(value_parser = |text: &str| count(text, TRIGGER_MAX))]
        count: u64,
    },
    /// Show the triggers of the room, with what is left of their counts
    List,
    /// Remove a trigger
    Delete { trigger: String },
}

/// How long the values of syncs may be, and how much is held of members.
#[derive(Args)]
struct LimitOptions {
    /// The longest value that a member may give to a sync, in bytes, or with KiB, MiB or GiB [default: 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, VALUE_MOST))]
    value_max: Option<usize>,
    /// The longest values of a session together [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, SESSION_MOST))]
    session_max: Option<usize>,
    /// How much to hold of all members together; a session takes its values twice [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    memory_max: Option<usize>,
    /// How many connections there may be [default: what the limit of open files allows]
    #[arg(long, value_name = "N", value_parser = |text: &str| count(text, CONNECTIONS_MOST))]
    connections_max: Option<u64>,
}

impl LimitOptions {
    fn limits(&self) -> Limits {
        Limits::new(self.value_max, self.session_max, self.memory_max)
    }

    fn connections(&self) -> Option<usize> {
        self.connections_max.and_then(|most| usize::try_from(most).ok())
    }
}

#[derive(Args)]
struct ControllerOptions {
    /// Serve at this address
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Listen here too, for the operators of this machine: the controller's user and group
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// A client whose connection is gone for so long is lost [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5s", hide_default_value = true)]
    rejoin: Duration,
    /// Take tests, and keep them, their results and the rooms in this directory, so that they live through a restart
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Those with a certificate for one of these names may hand in tests, and look after them
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "state_dir")]
    operators: Vec<String>,
    /// A slave whose connection is gone for so long is lost to its run [default: 1min]
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1min", hide_default_value = true)]
    lost_after: Duration,
    /// Keep the results of so many runs, or of those that have been over for no longer than a time [default: all]
    #[arg(long, value_name = "N|TIME", value_parser = host::keeping, requires = "state_dir")]
    keep: Option<arete::controller::Keeping>,
    /// How much the slaves of a run may ship to its results together [default: 64GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    output_max: Option<usize>,
    /// How many events to record before a run fails [default: 10000000]
    #[arg(long, value_name = "N", value_parser = |text: &str| count(text, EVENTS_MOST))]
    events_max: Option<u64>,
    /// Have what is kept on the disk itself before anybody can see its effect
    #[arg(long, requires = "state_dir")]
    fsync: bool,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    security: Security,
    #[command(flatten)]
    configuration: Configuration,
    #[arg(skip)]
    origin: Origin,
}

/// What is said of a configuration itself.
#[derive(Args)]
struct Configuration {
    /// Read the options that are not given here from this file [default: /etc/arete/controller.json or slave.json]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say everything that is wrong with the configuration, and what is right, and exit
    #[arg(long)]
    check: bool,
}

/// Where the triggers are.
#[derive(Args)]
struct At {
    /// The controller
    #[arg(long, value_name = "ADDRESS", global = true)]
    controller: Option<String>,
    /// The room [default: default]
    #[arg(long, value_name = "NAME", global = true)]
    room: Option<String>,
    /// Give up after so long [default: never]
    #[arg(long, value_name = "TIME", value_parser = time_limit, global = true)]
    timeout: Option<Duration>,
    #[command(flatten)]
    security: Security,
}

#[derive(Args)]
struct RunOptions {
    /// The test file; - is standard input
    #[arg(required_unless_present = "resume")]
    file: Option<PathBuf>,
    /// Go on with the run of this results directory, whose controller was killed; if it has ended, say how
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "wait", "results", "lost_after", "keep"])]
    #[arg(conflicts_with_all = ["value_max", "session_max", "memory_max", "connections_max", "output_max", "events_max"])]
    resume: Option<PathBuf>,
    /// Hand the test to this controller, HOST, HOST:PORT or the path of its socket, and follow the run there
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["listen", "keep", "fsync", "value_max", "session_max"])]
    #[arg(conflicts_with_all = ["memory_max", "connections_max", "output_max", "events_max", "resume", "launch"])]
    controller: Option<String>,
    /// Print the id of the run as soon as the controller has it, and leave it alone
    #[arg(long, requires = "controller", conflicts_with_all = ["results", "follow"])]
    detach: bool,
    /// Wait for the slaves to connect to this address instead of starting them here
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Start the slaves with this: local, ssh, srun or a command with {name}, {address} and {controller}
    #[arg(long, value_name = "COMMAND", conflicts_with = "resume")]
    launch: Option<String>,
    /// Give up when not all slaves are ready after so long [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    wait: Option<Duration>,
    /// The directory for this run's results, new or empty [default: results/NAME-UTCTIME]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// A slave whose connection is gone for so long is lost [default: 1min]
    #[arg(long, value_name = "TIME", value_parser = time)]
    lost_after: Option<Duration>,
    /// Show what the commands write, behind the slave's name
    #[arg(long)]
    follow: bool,
    /// Leave the directories of the slaves that are started here
    #[arg(long, conflicts_with = "listen")]
    keep: bool,
    /// Have every event on the disk itself before anybody can see its effect
    #[arg(long)]
    fsync: bool,
    #[command(flatten)]
    limits: LimitOptions,
    /// How much the slaves may ship to the results together [default: 64GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    output_max: Option<usize>,
    /// How many events to record before the run fails [default: 10000000]
    #[arg(long, value_name = "N", value_parser = |text: &str| count(text, EVENTS_MOST))]
    events_max: Option<u64>,
    #[command(flatten)]
    security: Security,
}

#[derive(Args)]
struct SlaveOptions {
    /// The controller's address, HOST or HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    controller: Option<String>,
    /// This slave's name in the tests [default: that of the Slurm node, or the host name]
    #[arg(long)]
    name: Option<String>,
    /// Where it works, with one subdirectory a run [default: one of its own, by its name]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Stop what a run has started here when the controller is gone for so long [default: 5min]
    #[arg(long, value_name = "TIME", default_value = "5min", hide_default_value = true, value_parser = time)]
    orphan_after: Duration,
    /// What this slave is, for tests that ask for slaves by that; arch and os are said too
    #[arg(long, value_name = "KEY=VALUE[,...]")]
    labels: Vec<Labels>,
    /// Exit after one run
    #[arg(long)]
    once: bool,
    /// Was started for one run: exit after it, and when the controller cannot be reached for the time of --orphan-after
    #[arg(long, conflicts_with_all = ["once", "stay"])]
    launched: bool,
    /// Stay for further runs, also when a controller that launches its slaves says that this one shall leave
    #[arg(long, conflicts_with = "once")]
    stay: bool,
    /// Leave the directories of the runs
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    security: Security,
    /// Read from standard input what the controller that starts this slave wants to hear from it
    #[arg(long, hide = true)]
    secret: bool,
    #[command(flatten)]
    configuration: Configuration,
    #[arg(skip)]
    origin: Origin,
}

#[derive(Args)]
struct HelpOptions {
    /// A command or another topic, such as test or security; without one the topics are listed
    topic: Option<String>,
    /// What is below it, such as demo: it stands on the same page
    #[arg(hide = true)]
    below: Vec<String>,
    /// Print the page as it is written, in mdoc, instead of showing it
    #[arg(long, requires = "topic")]
    source: bool,
}

/// The instant from which every time limit of the command line counts: now. Whatever the parent did to signals is undone
/// before anything else.
pub fn begin() -> Time {
    reactor::undo_inherited();
    reactor::now()
}

/// Reads the command line. What is wrong with it is said as arete says everything, and exits with 2; help and version
/// are shown and exit with 0.
pub fn parse() -> Arguments {
    let given: Vec<OsString> = std::env::args_os().collect();
    config::parse(&given).unwrap_or_else(|wrong| match wrong {
        config::Wrong::CommandLine(error) => {
            let (text, code) = (error.render(), error.exit_code());
            if !error.use_stderr() {
                let text = if reactor::shows_colors() { text.ansi().to_string() } else { text.to_string() };
                std::process::exit(stdout::print(text).map_or_else(said, |()| code))
            }
            let text = text.to_string();
            let _ = write!(std::io::stderr(), "arete: {}", text.strip_prefix("error: ").unwrap_or(&text));
            std::process::exit(code)
        }
        config::Wrong::File(problems) => {
            problems.iter().for_each(|problem| complain(&problem.message));
            std::process::exit(i32::from(problems.iter().map(|problem| problem.code).max().unwrap_or(exit_code::USAGE)))
        }
    })
}

/// Runs the subcommand, which was started at that instant.
pub fn run(arguments: Arguments, begun: Time) -> Result<u8, Error> {
    match arguments.subcommand {
        Sub::Run(options) => run::run(*options, begun).map_err(Error::of_a_run),
        Sub::Slave(options) if options.configuration.check => inspect::slave(&options),
        Sub::Slave(options) => slave::run(options),
        Sub::Check { files } => check::run(&files),
        Sub::Poke { entry } => command::poke(entry),
        Sub::Ready => command::ready(),
        Sub::Notify(options) => command::notify(options, begun),
        Sub::Wait(options) => command::wait(options, begun),
        Sub::Barrier(options) => meet::barrier(options, begun),
        Sub::Sync(options) => meet::sync(options, begun),
        Sub::Controller(options) if options.configuration.check => inspect::controller(&options),
        Sub::Controller(options) => room::run(options),
        Sub::Trigger { sub, at } => {
            let controller = at.controller.map_or_else(place::from_environment, |named| Ok(Some(named)))?;
            if controller.is_none() {
                return Err(Error::usage(
                    "arete trigger: say at which controller with --controller ADDRESS or ARETE_CONTROLLER",
                ));
            }
            let place = Place { controller, room: at.room, security: at.security };
            command::trigger(sub, &place, Patience { begun, timeout: at.timeout })
        }
        Sub::Attach(options) => operator::attach(options, begun),
        Sub::Stop(options) => operator::stop(options, begun),
        Sub::Results(options) => operator::results(options, begun),
        Sub::Runs(options) => operator::runs(&options, begun),
        Sub::Status(options) => operator::status(&options, begun),
        Sub::Pki { sub } => pki::run(sub),
        Sub::Ring(options) => ring::run(options),
        Sub::Help(options) => help::run(options),
        Sub::Completions { shell } => completions::run(shell),
        Sub::Lookup { host } => stdout::print(reactor::looked_up(&host)).map(|()| exit_code::PASSED),
    }
}

/// Starts the logger. What it writes goes out without ever making the loop wait; `RUST_LOG` chooses what it writes.
pub fn start_logger(arguments: &Arguments) {
    let to_journal = service::logs_to_journal();
    let of_service = matches!(arguments.subcommand, Sub::Controller(_)) && to_journal;
    let level = if matches!(arguments.subcommand, Sub::Slave(_)) || of_service { "info" } else { "warn" };
    let environment = env_logger::Env::default().default_filter_or(level);
    env_logger::Builder::from_env(environment)
        .format(move |line, record| match record.level() {
            // The journal knows the time and who speaks.
            level if to_journal => {
                let priority = service::priority(level);
                writeln!(line, "<{priority}>{}", harmless(&record.args().to_string()))
            }
            log::Level::Debug | log::Level::Trace => {
                writeln!(line, "{} arete: {}", line.timestamp_millis(), harmless(&record.args().to_string()))
            }
            // What a peer has said may stand in it.
            _ => writeln!(line, "arete: {}", harmless(&record.args().to_string())),
        })
        .target(env_logger::Target::Pipe(Box::new(reactor::LogPipe::new())))
        .init();
}

/// Lets out what waits, and returns how to exit.
pub fn finish(code: u8) -> u8 {
    stdout::finish(code)
}

/// Says what went wrong, and returns how to exit.
fn said(error: Error) -> i32 {
    complain(&error.message);
    error.code.into()
}

/// Says what went wrong, a line each, if anybody listens.
pub fn complain(message: &str) {
    let before = if service::logs_to_journal() { "<3>" } else { "arete: " };
    for line in message.lines() {
        let _ = writeln!(std::io::stderr(), "{before}{}", harmless(line));
    }
}

/// A time of the command line: as in a test file, or a number of seconds.
fn time(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => testfile::time::from_seconds(seconds),
        Err(_) => testfile::time::from_text(text),
    }
}

/// A time after which a command gives up. Nothing can be asked and answered in no time.
fn time_limit(text: &str) -> Result<Duration, String> {
    match time(text) {
        Ok(time) if time.is_zero() => Err("it must be longer than 0, such as 5s; or leave it out".to_owned()),
        other => other,
    }
}

/// A number of bytes, `64KiB` or `16MiB`, up to `max`.
fn size(text: &str, max: usize) -> Result<usize, String> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("{unit:?} is no unit: write bytes, KiB, MiB or GiB")),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    let bytes = bytes.filter(|bytes| (1..=max).contains(bytes));
    bytes.ok_or_else(|| format!("a size is a number from 1 to {max} bytes"))
}

/// A number from 1 on.
fn count(text: &str, max: u64) -> Result<u64, String> {
    let number = text.parse::<u64>().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("it is a number from 1 to {max}"))
}

/// A number that nobody guesses or draws twice.
fn random() -> u64 {
    let mut bytes = [0; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    debug_assert_eq!(filled, Ok(bytes.len()), "the system always gives a few random bytes at once");
    u64::from_ne_bytes(bytes)
}

/// The signals that end a loop in order.
const ENDING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// The name of this machine, if it can name a slave.
fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    session::is_name(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_has_units() {
        assert_eq!(time("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("2min"), Ok(Duration::from_secs(120)));
        assert!(time("soon").is_err() && time("-1").is_err());
        assert_eq!((time("0"), time_limit("1ms")), (Ok(Duration::ZERO), Ok(Duration::from_millis(1))));
        assert!(["0", "0s", "0.0000001", "soon"].iter().all(|wrong| time_limit(wrong).is_err()));
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_a_unit() {
        assert_eq!(size("17", 20), Ok(17));
        assert_eq!(size("64KiB", 1 << 20), Ok(65_536));
        assert_eq!(size("1MiB", 1 << 20), Ok(1 << 20));
        assert_eq!(size("2GiB", 1 << 31), Ok(1 << 31));
        for wrong in ["", "0", "2MiB", "1GB", "x", "99999999999999999999"] {
            assert!(size(wrong, 1 << 20).is_err(), "{wrong:?}");
        }
    }
}
