//! The options of `arete run`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arete::controller::ledger::Terms;
use arete::session;
use clap::Args;

use crate::cli::error::Error;
use crate::cli::limits::LimitOptions;
use crate::cli::run::matrix::MatrixOptions;
use crate::cli::run::params::ParamOptions;
use crate::cli::tls::identity::Security;
use crate::cli::values::{number, time, time_limit};

/// The most runs at the same time.
const PARALLEL_MAX: u64 = 100;

/// The most times that a failed test is run again.
const RETRIES_MAX: u64 = 100;

/// A run that is over.
pub struct Done {
    /// Its exit status.
    pub code: u8,
    /// The directory with its results.
    pub results: PathBuf,
}

#[derive(Args)]
pub struct RunOptions {
    /// The test file; - is standard input
    #[arg(required_unless_present = "resume")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub params: ParamOptions,
    #[command(flatten)]
    pub matrix: MatrixOptions,
    /// Run up to N combinations of the matrix at the same time
    #[arg(long, value_name = "N", requires = "controller", conflicts_with = "detach")]
    #[arg(value_parser = |text: &str| number::<usize>(text, PARALLEL_MAX, "number of runs"))]
    pub parallel: Option<usize>,
    /// Run a test that has failed again, up to N times
    #[arg(long, value_name = "N", conflicts_with = "detach")]
    #[arg(value_parser = |text: &str| number::<u32>(text, RETRIES_MAX, "number of retries"))]
    pub retries: Option<u32>,
    /// The time after which the run fails, instead of the limit in the test
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    pub limit: Option<Duration>,
    /// Continue the run in this results directory, whose controller was killed; if the run is over, print how it ended
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "params", "wait", "results", "lost_after", "keep"])]
    #[arg(conflicts_with_all = ["matrix", "retries", "limit"])]
    #[arg(conflicts_with_all = ["value_max", "session_max", "memory_max", "connections_max", "output_max", "events_max", "record_max"])]
    pub resume: Option<PathBuf>,
    /// Hand the test to this controller, and follow the run: HOST, HOST:PORT or the path of its socket
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["listen", "keep", "fsync", "value_max", "session_max"])]
    #[arg(conflicts_with_all = ["memory_max", "connections_max", "output_max", "events_max", "record_max", "resume", "launch"])]
    pub controller: Option<String>,
    /// Print only the id of the run as soon as the controller has the test, and exit
    #[arg(long, requires = "controller", conflicts_with_all = ["results", "follow"])]
    pub detach: bool,
    /// Wait for slaves to connect to this address instead of starting them here
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Start the slaves with local, ssh, srun or a command with {name}, {address} and {controller}
    #[arg(long, value_name = "COMMAND", conflicts_with = "resume")]
    pub launch: Option<String>,
    /// Fail if not all slaves are ready after TIME [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub wait: Option<Duration>,
    /// The directory for the results, new or empty [default: results/NAME-UTCTIME]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Also write the outcome of each entry to this file, as JUnit XML
    #[arg(long, value_name = "FILE", conflicts_with = "detach")]
    pub junit: Option<PathBuf>,
    /// A slave without a connection for TIME is lost [default: 1min]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub lost_after: Option<Duration>,
    /// Print what the commands write, each line after the name of the slave
    #[arg(long)]
    pub follow: bool,
    /// Print only what has failed, and the verdict
    #[arg(long, conflicts_with_all = ["follow", "detach"])]
    pub quiet: bool,
    /// Keep the directories of the slaves that are started here
    #[arg(long, conflicts_with = "listen")]
    pub keep: bool,
    /// Write every event to the disk before its effect becomes visible
    #[arg(long)]
    pub fsync: bool,
    #[command(flatten)]
    pub limits: LimitOptions,
    #[command(flatten)]
    pub security: Security,
}

impl RunOptions {
    /// Returns the test file. Fails if none is named.
    pub fn test_file(&self) -> Result<&Path, Error> {
        self.file.as_deref().ok_or_else(|| Error::usage("arete run: name a test file"))
    }

    /// Returns the options that `--resume` needs.
    pub fn terms(&self) -> Terms {
        Terms {
            wait: self.wait.map(|wait| wait.as_micros() as u64),
            lost_after: self.lost_after.unwrap_or(session::LOST_AFTER).as_micros() as u64,
            launch: self.launch.clone(),
            fsync: self.fsync,
            tls: self.security.directory(),
            insecure: self.security.insecure,
            connections: self.limits.connections(),
            limits: self.limits.limits(),
            ..Terms::default()
        }
    }
}
