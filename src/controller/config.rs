//! What a controller of one run is told when it starts.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::testfile::Test;

/// What a controller is told when it starts. Nothing else of the world reaches it but its inputs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The test that the run executes.
    pub test: Rc<Test>,
    /// The run's id: a name.
    pub run: String,
    /// The run's own directory; `test.json` stands there already.
    pub results: PathBuf,
    /// How long to wait for all slaves to be ready; `None`: for ever.
    pub wait: Option<Duration>,
    /// How long a slave's connection may be gone before the slave is lost.
    pub lost_after: Duration,
    /// The slaves that the controller starts itself, on this machine.
    pub local: Option<Local>,
    /// Where it listens, to be told to people; `None` when nobody needs to know.
    pub listening: Option<String>,
    /// Show the output of the commands.
    pub follow: bool,
    /// The terminal's columns and rows, if standard output is one.
    pub terminal: Option<(u16, u16)>,
    /// Whether a terminal gets colours.
    pub colors: bool,
    /// What to add to a [`Time`](crate::machine::Time) to get microseconds since 1970 in UTC, for people.
    pub wall_offset: i64,
}

/// How to start the slaves of an embedded run.
#[derive(Debug, Clone)]
pub struct Local {
    /// The program.
    pub arete: PathBuf,
    /// Where the controller listens.
    pub address: String,
    /// Each slave works in a subdirectory of its name.
    pub dir: PathBuf,
    /// Leave the slaves' directories where they are.
    pub keep: bool,
    /// What they say to be let in, so that nobody else on this machine is; none if others shall be.
    pub secret: Option<String>,
    /// How they prove who they are, where the controller asks for it.
    pub security: LocalSecurity,
}

/// How slaves of this machine come to the controller that starts them.
#[derive(Debug, Clone, Default)]
pub enum LocalSecurity {
    /// Plainly, over the loopback interface.
    #[default]
    Loopback,
    /// Plainly, over any address.
    Insecure,
    /// Each with the certificate in the subdirectory of its name.
    Tls(PathBuf),
}
