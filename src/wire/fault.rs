//! The faults that an entry injects on purpose, as the test file declares them.

use serde::{Deserialize, Serialize};

/// A fault, and how long it lasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Injection {
    /// The fault.
    pub what: Harm,
    /// The time after which it is undone, in microseconds. Absent: it stays until the end of the run, or until a `kill` of
    /// its entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<u64>,
}

/// What is done to the machine of the slave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Harm {
    /// Stops the process groups of all running runs of another entry of the slave.
    Pause {
        /// The other entry.
        entry: String,
    },
    /// Cuts the slave from the slaves of other sides.
    Partition {
        /// The slaves of each side.
        sides: Vec<Vec<String>>,
        /// Only what the first side sends to the others is dropped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        one_way: bool,
    },
    /// Makes the network worse for what the slave sends.
    Network(Conditions),
    /// Fills a file system.
    Fill {
        /// A directory of the file system; may hold variables.
        path: String,
        /// The number of bytes that are left.
        leave: u64,
    },
    /// Moves the wall clock.
    Clock {
        /// By this many microseconds, backwards if negative.
        step: i64,
    },
    /// Restarts the machine at once, without writing anything to its disks.
    Crash,
}

/// The conditions of a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Conditions {
    /// How much later each packet is sent, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<u64>,
    /// How much the delay varies to either side, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<u64>,
    /// How many packets of a million are lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<u32>,
    /// How many bits are sent in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// The slaves to which this applies. Empty: everything that is sent, but for the connection to the controller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
}

impl Harm {
    /// Returns the key of its action in a test file.
    pub fn key(&self) -> &'static str {
        match self {
            Harm::Pause { .. } => "pause",
            Harm::Partition { .. } => "partition",
            Harm::Network(_) => "network",
            Harm::Fill { .. } => "fill",
            Harm::Clock { .. } => "clock",
            Harm::Crash => "crash",
        }
    }

    /// Returns the slaves whose addresses it needs.
    pub fn slaves(&self) -> impl Iterator<Item = &String> {
        let (sides, to) = match self {
            Harm::Partition { sides, .. } => (sides.as_slice(), [].as_slice()),
            Harm::Network(conditions) => ([].as_slice(), conditions.to.as_slice()),
            _ => ([].as_slice(), [].as_slice()),
        };
        sides.iter().flatten().chain(to)
    }
}

/// What has become of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultState {
    /// It is in effect.
    Began,
    /// It is not in effect any more.
    Undone,
    /// It could not be undone.
    Left,
}
