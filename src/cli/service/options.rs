//! The options of `arete controller` and `arete slave`, which a configuration file can give too.

use std::path::PathBuf;
use std::time::Duration;

use arete::controller::Keeping;
use arete::testfile;
use clap::Args;

use crate::cli::limits::{EVENTS_MOST, LimitOptions};
use crate::cli::service::labels::Labels;
use crate::cli::service::origin::Origin;
use crate::cli::tls::identity::Security;
use crate::cli::values::{count, size, time};

#[derive(Args)]
pub struct ControllerOptions {
    /// Serve at this address
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Listen here too, for the operators of this machine: the controller's user and group
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// A client whose connection is gone for so long is lost [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5s", hide_default_value = true)]
    pub rejoin: Duration,
    /// Take tests, and keep them, their results and the rooms in this directory, so that they live through a restart
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Those with a certificate for one of these names may hand in tests, and look after them
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "state_dir")]
    pub operators: Vec<String>,
    /// A slave whose connection is gone for so long is lost to its run [default: 1min]
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1min", hide_default_value = true)]
    pub lost_after: Duration,
    /// Keep the results of so many runs, or of those that have been over for no longer than a time [default: all]
    #[arg(long, value_name = "N|TIME", value_parser = keeping, requires = "state_dir")]
    pub keep: Option<Keeping>,
    /// Remove the results of the oldest runs when all that are kept take more than this [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX), requires = "state_dir")]
    pub keep_max: Option<usize>,
    /// How much the slaves of a run may ship to its results together [default: 64GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    pub output_max: Option<usize>,
    /// How many events to record before a run fails [default: 10000000]
    #[arg(long, value_name = "N", value_parser = |text: &str| count(text, EVENTS_MOST))]
    pub events_max: Option<u64>,
    /// How much to record of what slaves and clients do before a run fails [default: 8GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    pub record_max: Option<usize>,
    /// Have what is kept on the disk itself before anybody can see its effect
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
    /// The most bytes that the results of finished runs take together.
    pub fn keep_max(&self) -> Option<u64> {
        self.keep_max.map(|bytes| bytes as u64)
    }
}

/// The options about the configuration file.
#[derive(Args)]
pub struct Configuration {
    /// Read the options that are not given here from this file [default: /etc/arete/controller.json or slave.json]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say everything that is wrong with the configuration, and what is right, and exit
    #[arg(long)]
    pub check: bool,
}

#[derive(Args)]
pub struct SlaveOptions {
    /// The controller's address, HOST or HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub controller: Option<String>,
    /// This slave's name in the tests [default: that of the Slurm node, or the host name]
    #[arg(long)]
    pub name: Option<String>,
    /// Where it works, with one subdirectory a run [default: one of its own, by its name]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Stop what a run has started here when the controller is gone for so long [default: 5min]
    #[arg(long, value_name = "TIME", default_value = "5min", hide_default_value = true, value_parser = time)]
    pub orphan_after: Duration,
    /// What this slave is, for tests that ask for slaves by that; arch and os are said too
    #[arg(long, value_name = "KEY=VALUE[,...]")]
    pub labels: Vec<Labels>,
    /// Exit after one run
    #[arg(long)]
    pub once: bool,
    /// Was started for one run: exit after it, and when the controller cannot be reached for the time of --orphan-after
    #[arg(long, conflicts_with_all = ["once", "stay"])]
    pub launched: bool,
    /// Stay for further runs, also when a controller that launches its slaves says that this one shall leave
    #[arg(long, conflicts_with = "once")]
    pub stay: bool,
    /// Leave the directories of the runs
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub security: Security,
    /// Read from standard input what the controller that starts this slave wants to hear from it
    #[arg(long, hide = true)]
    pub secret: bool,
    #[command(flatten)]
    pub configuration: Configuration,
    #[arg(skip)]
    pub origin: Origin,
}

/// Reads `--keep`: a number of runs, or the time for which a run is kept after its end.
fn keeping(text: &str) -> Result<Keeping, String> {
    match text.parse::<usize>() {
        Ok(count) => Ok(Keeping::Count(count)),
        Err(_) => match testfile::time::from_text(text) {
            Ok(age) => Ok(Keeping::Age(age)),
            Err(_) => Err("write how many runs to keep, such as 100, or for how long, such as 720h".to_owned()),
        },
    }
}
