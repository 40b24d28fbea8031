//! The configuration of a slave, and the settings in it that can change while it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::{Address, ListenerId};

/// The default of [`Config::orphan_after`].
pub const ORPHAN_AFTER: Duration = Duration::from_secs(5 * 60);

/// The configuration of a slave. Besides its inputs, this is all that the slave knows of the system.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of the slave.
    pub name: String,
    /// The address of the controller.
    pub controller: Address,
    /// A random text that distinguishes this process from earlier ones of the same name.
    pub incarnation: String,
    /// The seed for the jitter of reconnects.
    pub seed: u64,
    /// This process's id.
    pub pid: u32,
    /// The working directory, with a subdirectory for each run that has the id of the run.
    pub dir: PathBuf,
    /// The path of the control socket, for `ARETE_SOCKET`.
    pub socket: PathBuf,
    /// The listener of that socket.
    pub control: ListenerId,
    /// If the controller is away for longer than this, the slave stops and forgets the run.
    pub orphan_after: Duration,
    /// Whether to exit after one run, or when the controller sends a fatal `bye`.
    pub once: bool,
    /// Whether to exit when the controller asks for that.
    pub leave: Leave,
    /// Whether to keep the directories of runs.
    pub keep: bool,
    /// The properties of the machine, by which tests choose slaves.
    pub labels: BTreeMap<String, String>,
    /// The difference between microseconds since 1970 in UTC and a [`Time`](crate::machine::Time), for people.
    pub utc: Option<i64>,
    /// The secret that proves to the controller that it has started this slave itself.
    pub secret: Option<String>,
    /// Whether tests may crash this machine.
    pub allow_crash: bool,
    /// The user of the slave. Processes of this user and of root may use the control socket.
    pub uid: u32,
}

/// Whether a slave exits after a run if its controller launches slaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leave {
    /// If the controller asks for that.
    #[default]
    WhenTold,
    /// It was launched itself. It also exits if it finds no controller.
    Launched,
    /// It stays for other runs, even if a controller asks for its exit.
    Never,
}

/// The settings that can change while a slave runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// As [`Config::labels`], from the next connection on.
    pub labels: BTreeMap<String, String>,
    /// As [`Config::orphan_after`], in microseconds, for absences that begin later.
    pub orphan_after: u64,
}

impl Config {
    /// Takes over new settings. If they are not valid, nothing changes.
    pub(super) fn reload(&mut self, settings: &[u8]) {
        match serde_json::from_slice::<Settings>(settings) {
            Ok(Settings { labels, orphan_after }) => {
                self.labels = labels;
                self.orphan_after = Duration::from_micros(orphan_after);
            }
            Err(error) => log::error!("the new settings of the slave are not valid: {error}"),
        }
    }
}
