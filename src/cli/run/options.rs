//! The options of `arete run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::limits::{EVENTS_MOST, LimitOptions};
use crate::cli::tls::identity::Security;
use crate::cli::values::{count, size, time};

#[derive(Args)]
pub struct RunOptions {
    /// The test file; - is standard input
    #[arg(required_unless_present = "resume")]
    pub file: Option<PathBuf>,
    /// Go on with the run of this results directory, whose controller was killed; if it has ended, say how
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "wait", "results", "lost_after", "keep"])]
    #[arg(conflicts_with_all = ["value_max", "session_max", "memory_max", "connections_max", "output_max", "events_max", "record_max"])]
    pub resume: Option<PathBuf>,
    /// Hand the test to this controller, HOST, HOST:PORT or the path of its socket, and follow the run there
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["listen", "keep", "fsync", "value_max", "session_max"])]
    #[arg(conflicts_with_all = ["memory_max", "connections_max", "output_max", "events_max", "record_max", "resume", "launch"])]
    pub controller: Option<String>,
    /// Print the id of the run as soon as the controller has it, and leave it alone
    #[arg(long, requires = "controller", conflicts_with_all = ["results", "follow"])]
    pub detach: bool,
    /// Wait for the slaves to connect to this address instead of starting them here
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Start the slaves with this: local, ssh, srun or a command with {name}, {address} and {controller}
    #[arg(long, value_name = "COMMAND", conflicts_with = "resume")]
    pub launch: Option<String>,
    /// Give up when not all slaves are ready after so long [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub wait: Option<Duration>,
    /// The directory for this run's results, new or empty [default: results/NAME-UTCTIME]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// A slave whose connection is gone for so long is lost [default: 1min]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub lost_after: Option<Duration>,
    /// Show what the commands write, behind the slave's name
    #[arg(long)]
    pub follow: bool,
    /// Leave the directories of the slaves that are started here
    #[arg(long, conflicts_with = "listen")]
    pub keep: bool,
    /// Have every event on the disk itself before anybody can see its effect
    #[arg(long)]
    pub fsync: bool,
    #[command(flatten)]
    pub limits: LimitOptions,
    /// How much the slaves may ship to the results together [default: 64GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    pub output_max: Option<usize>,
    /// How many events to record before the run fails [default: 10000000]
    #[arg(long, value_name = "N", value_parser = |text: &str| count(text, EVENTS_MOST))]
    pub events_max: Option<u64>,
    /// How much to record of what slaves and clients do before the run fails [default: 8GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    pub record_max: Option<usize>,
    #[command(flatten)]
    pub security: Security,
}
