//! The slave: its connection to the controller, and its part of a run.

use std::path::PathBuf;

use crate::machine::{Address, Input, ListenerId, Machine, Outbox, Time};

/// What a slave is told when it starts. Nothing else of the world reaches it but its inputs.
#[derive(Debug, Clone)]
pub struct Config {
    pub name: String,
    pub controller: Address,
    /// Drawn at random by whoever starts the process.
    pub incarnation: String,
    /// For the jitter of reconnects.
    pub seed: u64,
    /// This process's id.
    pub pid: u32,
    /// Where it works: one subdirectory a run, named by the run's id.
    pub dir: PathBuf,
    /// Where its control socket listens, for `ARETE_SOCKET`.
    pub socket: PathBuf,
    /// The listener of that socket.
    pub control: ListenerId,
    /// Exit after one run, or when the controller says a fatal `bye`.
    pub once: bool,
    /// Leave each run's directory where it is.
    pub keep: bool,
}

/// A slave.
pub struct Slave {
    config: Config,
}

impl Slave {
    pub fn new(config: Config) -> Slave {
        Slave { config }
    }
}

impl Machine for Slave {
    fn handle(&mut self, _now: Time, _input: Input<'_>, _out: &mut Outbox) {
        let _ = &self.config;
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}
