//! What a slave is told about itself and its surroundings, and what of that can change while it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::{Address, ListenerId};

/// A slave whose controller is gone for so long stops what it runs and forgets the run, unless it was told another time.
pub const ORPHAN_AFTER: Duration = Duration::from_secs(5 * 60);

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
    /// How long its controller may be gone until the slave stops what it runs and forgets the run.
    pub orphan_after: Duration,
    /// Exit after one run, or when the controller says a fatal `bye`.
    pub once: bool,
    /// Whether it ends when it is told to leave.
    pub leave: Leave,
    /// Leave each run's directory where it is.
    pub keep: bool,
    /// What the machine is, for tests that ask for slaves by that.
    pub labels: BTreeMap<String, String>,
    /// What to add to a [`Time`] to get microseconds since 1970 in UTC, for people.
    pub utc: Option<i64>,
    /// What the controller that has started this slave wants to hear from it.
    pub secret: Option<String>,
    /// The user that it runs as, whose processes may ask something of it.
    pub uid: u32,
}

/// Whether a slave ends with a run whose controller has its slaves launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leave {
    /// If the controller says that it has.
    #[default]
    WhenTold,
    /// It was launched itself, and says so: it also ends when it finds no controller.
    Launched,
    /// It is there for any run, whatever a controller says.
    Never,
}

/// What of a slave's configuration can change while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Said with the next hello.
    pub labels: BTreeMap<String, String>,
    /// In microseconds; of absences that begin later.
    pub orphan_after: u64,
}

impl Config {
    /// Takes over settings that were read while the slave runs. Text that is not valid settings changes nothing.
    pub(super) fn reload(&mut self, settings: &[u8]) {
        match serde_json::from_slice::<Settings>(settings) {
            Ok(Settings { labels, orphan_after }) => {
                self.labels = labels;
                self.orphan_after = Duration::from_micros(orphan_after);
            }
            Err(error) => log::error!("invalid settings: {error}"),
        }
    }
}
