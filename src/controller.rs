//! The controller: the connections of the slaves, and the run.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::machine::{Input, Machine, Outbox, Time};
use crate::testfile::Test;

/// What a controller is told when it starts. Nothing else of the world reaches it but its inputs.
#[derive(Debug, Clone)]
pub struct Config {
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
    /// Show the output of the commands.
    pub follow: bool,
    /// The terminal's columns and rows, if standard output is one.
    pub terminal: Option<(u16, u16)>,
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
}

/// A controller.
pub struct Controller {
    config: Config,
}

impl Controller {
    pub fn new(config: Config) -> Controller {
        Controller { config }
    }
}

impl Machine for Controller {
    fn handle(&mut self, _now: Time, _input: Input<'_>, _out: &mut Outbox) {
        let _ = &self.config;
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}
