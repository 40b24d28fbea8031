//! The configuration of a controller of one run.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::testfile::Test;

/// The configuration of a controller. Besides it, only inputs reach the controller.
#[derive(Debug, Clone)]
pub struct Config {
    /// The test that the run executes.
    pub test: Rc<Test>,
    /// The run's id: a name.
    pub run: String,
    /// The run's own directory, which contains `test.json`.
    pub results: PathBuf,
    /// How long to wait until all slaves are ready; `None`: without a limit.
    pub wait: Option<Duration>,
    /// How long a slave may be disconnected before it is lost.
    pub lost_after: Duration,
    /// The slaves that the controller starts itself, on this machine.
    pub local: Option<Local>,
    /// The address that is shown to people; `None` if no person needs it.
    pub listening: Option<String>,
    /// Show the output of the commands.
    pub follow: bool,
    /// The terminal's columns and rows, if standard output is one.
    pub terminal: Option<(u16, u16)>,
    /// Whether a terminal gets colours.
    pub colors: bool,
    /// The offset from a [`Time`](crate::machine::Time) to microseconds since 1970 in UTC, for people.
    pub wall_offset: i64,
}

/// How to start the slaves of an embedded run.
#[derive(Debug, Clone)]
pub struct Local {
    /// The program.
    pub arete: PathBuf,
    /// Where the controller listens.
    pub address: String,
    /// The directory in which each slave has a subdirectory with its name.
    pub dir: PathBuf,
    /// Keep the slaves' directories after the run.
    pub keep: bool,
    /// The secret that admits these slaves and excludes other users of this machine; `None` if other peers may join.
    pub secret: Option<String>,
    /// How they prove their names if the controller requires it.
    pub security: LocalSecurity,
}

/// How slaves of this machine connect to the controller that starts them.
#[derive(Debug, Clone, Default)]
pub enum LocalSecurity {
    /// Without TLS, over the loopback interface.
    #[default]
    Loopback,
    /// Without TLS, over any address.
    Insecure,
    /// With TLS; each uses the certificate in the subdirectory of its name.
    Tls(PathBuf),
}
