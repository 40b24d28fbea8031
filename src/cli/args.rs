//! The command line: the subcommands, and which options each has.
//!
//! The options are defined in the file of the subcommand that reads them. This file must not run anything.

use std::path::PathBuf;

use clap::{Args, Command, Parser, Subcommand};

use crate::cli::client::meet;
use crate::cli::client::record::RecordOptions;
use crate::cli::client::trigger::{At, NotifyOptions, TriggerSub, WaitOptions};
use crate::cli::ring;
use crate::cli::run::compare::CompareOptions;
use crate::cli::run::matrix::MatrixOptions;
use crate::cli::run::options::RunOptions;
use crate::cli::run::params::ParamOptions;
use crate::cli::run::remote;
use crate::cli::service::options::{ControllerOptions, SlaveOptions};
use crate::cli::tls::pki;

/// Run one test over many machines.
#[derive(Parser)]
#[command(name = "arete", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "exit status: 0 passed; 1 failed; 2 wrong usage or a wrong test file; 3 a time limit passed; \
                        4 a barrier was aborted; 5 a member was lost; 6 no verdict arrived in time; 7 the test is not to blame, or an address is in use; \
                        130 interrupted\nmanual: arete help TOPIC opens a page, such as arete help run or arete help test; arete help lists the topics")]
pub struct Arguments {
    #[command(subcommand)]
    pub subcommand: Sub,
}

#[derive(Subcommand)]
pub enum Sub {
    /// Run a test on this machine, with slaves that connect, or at a permanent controller
    Run(Box<RunOptions>),
    /// Take part in the runs of a controller
    Slave(SlaveOptions),
    /// Write a test to start from
    Init {
        /// The name of the test, which is written to NAME.yaml
        #[arg(default_value = "first", value_name = "NAME")]
        name: String,
    },
    /// Report all errors in test files
    Check {
        /// The test files; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        params: ParamOptions,
        #[command(flatten)]
        matrix: MatrixOptions,
    },
    /// In a command of a slave: start its poke entries
    Poke {
        /// Start only this entry
        entry: Option<String>,
    },
    /// In a command of a slave: report that the command is ready
    Ready,
    /// In a command of a slave: record a measurement, which the results have
    Record(RecordOptions),
    /// Decrement a trigger, and wait until the controller has counted it
    Notify(NotifyOptions),
    /// Wait until a trigger has fired, and print who notified it with which data
    Wait(WaitOptions),
    /// Wait for the other members at a barrier
    Barrier(meet::BarrierOptions),
    /// Give a value, and get the values of all members as one JSON object
    Sync(meet::SyncOptions),
    /// Start a permanent controller, which runs tests that operators hand in, and serves rooms
    Controller(ControllerOptions),
    /// Follow a run of a controller from its start
    Attach(remote::AttachOptions),
    /// End a run of a controller, and wait until it is over
    Stop(remote::StopOptions),
    /// Fetch the results of a run of a controller, as far as they exist
    Results(remote::ResultsOptions),
    /// List the runs of a controller: first those that run or wait, then the others, the latest first
    Runs(remote::RunsOptions),
    /// Compare the results of two runs: verdicts, durations, entries and measurements
    Compare(CompareOptions),
    /// Show the slaves of a controller, what they run, and which runs wait
    Status(remote::StatusOptions),
    /// Create, list or delete the triggers of a room
    Trigger {
        #[command(subcommand)]
        sub: TriggerSub,
        #[command(flatten)]
        at: At,
    },
    /// Create the certificates of a lab
    Pki {
        #[command(subcommand)]
        sub: pki::PkiSub,
    },
    /// Run a node of a token ring, which is independent of tests
    Ring(ring::RingOptions),
    /// Open a page of the manual
    Help(HelpOptions),
    /// Print the completion script of a shell; for packages
    #[command(hide = true)]
    Completions { shell: clap_complete::Shell },
    #[command(hide = true)]
    Fault { words: Vec<String> },
    #[command(hide = true)]
    Lookup { host: String },
}

/// Returns the command line of one of the subcommands that scripts call in loops. Preparing the options of all subcommands
/// takes longer than such a subcommand itself.
pub fn of_script_command(name: &str) -> Option<Command> {
    let (name, add_options): (_, fn(Command) -> Command) = match name {
        "notify" => ("notify", NotifyOptions::augment_args),
        "wait" => ("wait", WaitOptions::augment_args),
        "barrier" => ("barrier", meet::BarrierOptions::augment_args),
        "sync" => ("sync", meet::SyncOptions::augment_args),
        "ready" => ("ready", |command| command),
        "record" => ("record", RecordOptions::augment_args),
        _ => return None,
    };
    Some(Command::new("arete").subcommand(add_options(Command::new(name))))
}

#[derive(Args)]
pub struct HelpOptions {
    /// A subcommand or another topic, such as test or security [default: list the topics]
    pub topic: Option<String>,
    /// Further words, such as demo; they are ignored
    #[arg(hide = true)]
    pub below: Vec<String>,
    /// Print the source of the page, in mdoc, instead of showing the page
    #[arg(long, requires = "topic")]
    pub source: bool,
}
