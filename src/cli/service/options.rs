//! The options of `arete controller` and `arete slave`. They can also be in a configuration file.

use std::path::PathBuf;
use std::time::Duration;

use arete::controller::Keeping;
use clap::Args;

use crate::cli::limits::LimitOptions;
use crate::cli::service::labels::Labels;
use crate::cli::service::origin::Origin;
use crate::cli::tls::identity::Security;
use crate::cli::values::{keeping, size, time};

#[derive(Args)]
pub struct ControllerOptions {
    /// The address to listen on: HOST or HOST:PORT; port 0 selects a free port
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Also listen at this path, for operators on this machine with the controller's user or group
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// A client without a connection for TIME is lost [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5s", hide_default_value = true)]
    pub rejoin: Duration,
    /// Accept tests, and store them, their results and the rooms in this directory, so that they survive a restart
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Users with a certificate for one of these names can hand in tests and manage runs
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "state_dir")]
    pub operators: Vec<String>,
    /// A slave without a connection for TIME is lost to its run [default: 1min]
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1min", hide_default_value = true)]
    pub lost_after: Duration,
    /// Keep the results of the last N finished runs, or of runs that finished at most TIME ago [default: all]
    #[arg(long, value_name = "N|TIME", value_parser = keeping, requires = "state_dir")]
    pub keep: Option<Keeping>,
    /// Remove the results of the oldest finished runs when all results exceed SIZE [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX), requires = "state_dir")]
    pub keep_max: Option<usize>,
    /// Write everything in --state-dir to the disk before its effect becomes visible
    #[arg(long, requires = "state_dir")]
    pub fsync: bool,
    #[command(flatten)]
    pub limits: LimitOptions,
    #[command(flatten)]
    pub security: Security,
    #[command(flatten)]
    pub configuration: Configuration,
    #[arg(skip)]
    pub origin: Origin,
}

impl ControllerOptions {
    /// Returns the maximum size of all results of finished runs, in bytes.
    pub fn keep_max(&self) -> Option<u64> {
        self.keep_max.map(|bytes| bytes as u64)
    }
}

/// The options about the configuration file.
#[derive(Args)]
pub struct Configuration {
    /// Read options that are not given here from this file [default: controller.json or slave.json in /etc/arete]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Start nothing; report everything that is wrong with the configuration, and what is right
    #[arg(long)]
    pub check: bool,
}

#[derive(Args)]
pub struct SlaveOptions {
    /// The address of the controller: HOST or HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub controller: Option<String>,
    /// The name of this slave in tests [default: the name of the Slurm node, otherwise the host name]
    #[arg(long)]
    pub name: Option<String>,
    /// The directory of this slave, with a subdirectory for each run [default: in $XDG_STATE_HOME, by its name]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Stop all commands of the run if the controller has been away for TIME [default: 5min]
    #[arg(long, value_name = "TIME", default_value = "5min", hide_default_value = true, value_parser = time)]
    pub orphan_after: Duration,
    /// Labels of this slave, by which tests can ask for it; arch and os are added
    #[arg(long, value_name = "KEY=VALUE[,...]")]
    pub labels: Vec<Labels>,
    /// Exit after one run
    #[arg(long)]
    pub once: bool,
    /// Exit after one run, or if no controller is found within the time of --orphan-after
    #[arg(long, conflicts_with_all = ["once", "stay"])]
    pub launched: bool,
    /// Take part in further runs, even if a controller that launches its slaves requests an exit
    #[arg(long, conflicts_with = "once")]
    pub stay: bool,
    /// Keep the subdirectory of each run
    #[arg(long)]
    pub keep: bool,
    /// Allow tests to do this; a crash restarts the machine at once
    #[arg(long, value_name = "FAULT[,...]", value_delimiter = ',', value_parser = ["crash"])]
    pub allow: Vec<String>,
    /// Undo all faults that an earlier slave of this directory has injected, and exit
    #[arg(long, conflicts_with = "check")]
    pub heal: bool,
    #[command(flatten)]
    pub security: Security,
    /// Read a secret for the controller that starts this slave from standard input
    #[arg(long, hide = true)]
    pub secret: bool,
    #[command(flatten)]
    pub configuration: Configuration,
    #[arg(skip)]
    pub origin: Origin,
}
