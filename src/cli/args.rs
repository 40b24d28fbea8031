//! The command line: the subcommands, and which options each has.
//!
//! The options are defined beside the subcommand that reads them. This file must not run anything.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::cli::client::meet;
use crate::cli::client::trigger::{At, NotifyOptions, TriggerSub, WaitOptions};
use crate::cli::ring;
use crate::cli::run::options::RunOptions;
use crate::cli::run::remote;
use crate::cli::service::options::{ControllerOptions, SlaveOptions};
use crate::cli::tls::pki;

/// Run one test over many machines.
#[derive(Parser)]
#[command(name = "arete", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "exit status: 0 passed; 1 failed; 2 wrong usage or a wrong test file; 3 a time limit passed; \
                        4 a barrier was aborted; 5 a member was lost; 6 no verdict was heard in time; 7 a run failed for no fault of its test; \
                        130 interrupted\nmanual: arete help TOPIC opens a page, such as arete help run or arete help test; arete help lists them")]
pub struct Arguments {
    #[command(subcommand)]
    pub subcommand: Sub,
}

#[derive(Subcommand)]
pub enum Sub {
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
    Attach(remote::AttachOptions),
    /// End a run of a controller, and wait until it is over
    Stop(remote::StopOptions),
    /// Fetch what there is of the results of a controller's run
    Results(remote::ResultsOptions),
    /// List the runs of a controller: those that go on or wait, then the others, the last one first
    Runs(remote::RunsOptions),
    /// Show the slaves of a controller, what they run, and which runs wait
    Status(remote::StatusOptions),
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
pub struct HelpOptions {
    /// A command or another topic, such as test or security; without one the topics are listed
    pub topic: Option<String>,
    /// What is below it, such as demo: it stands on the same page
    #[arg(hide = true)]
    pub below: Vec<String>,
    /// Print the page as it is written, in mdoc, instead of showing it
    #[arg(long, requires = "topic")]
    pub source: bool,
}
