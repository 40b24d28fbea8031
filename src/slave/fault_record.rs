//! The record of a fault that a slave injects, which is on the disk before the fault is in effect.
//!
//! The record has everything that is needed to inject the fault and to undo it, because a later process may have to undo
//! it. The machine of the slave only writes it; the subcommand `fault` of the program does the rest.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::wire::Conditions;

/// The directory of the records, in the directory of a slave. No run can have this id.
pub const FAULTS: &str = ".faults";

/// The end of the name of a record.
pub const RECORD: &str = ".json";

/// The digits of a hash in the name of a table.
const DIGITS: usize = 8;

/// A fault that a slave injects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// The run.
    pub run: String,
    /// The entry that injects it.
    pub entry: String,
    /// What it is, for people.
    pub what: String,
    /// What is done.
    pub does: Does,
}

/// What is done to the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Does {
    /// Drops packets by a table of nftables.
    Partition {
        /// The name of the table.
        table: String,
        /// The addresses to which nothing is sent.
        to: Vec<IpAddr>,
        /// The addresses from which nothing is received.
        from: Vec<IpAddr>,
        /// The connection that goes on.
        controller: ControllerAt,
    },
    /// Makes the network worse by netem.
    Network {
        /// The number of its queue, which nothing else uses.
        handle: u16,
        /// The conditions. Their names of slaves do not matter here.
        conditions: Conditions,
        /// The addresses to which this applies. Empty: all.
        to: Vec<IpAddr>,
        /// The connection to which this does not apply.
        controller: ControllerAt,
    },
    /// Fills a file system.
    Fill {
        /// The file that takes the space. It does not exist before.
        file: String,
        /// The number of bytes that are left.
        leave: u64,
    },
    /// Moves the wall clock.
    Clock {
        /// By this many microseconds, backwards if negative.
        step: i64,
    },
    /// Restarts the machine at once.
    Crash,
}

/// The address of the controller, which no fault may cut off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ControllerAt {
    /// `HOST:PORT` of the configuration. Absent: the controller has no such address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// Where it was found last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<SocketAddr>,
    /// It is on this machine, so connections of others to it pass here too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
}

impl ControllerAt {
    /// Returns the address of a controller that was found at `peer` from the address `local`.
    pub fn seen(named: Option<String>, peer: Option<SocketAddr>, local: Option<SocketAddr>) -> ControllerAt {
        let same = |peer: SocketAddr| peer.ip().is_loopback() || local.is_some_and(|local| local.ip() == peer.ip());
        ControllerAt { named, seen: peer, here: peer.is_some_and(same) }
    }
}

/// Returns the beginning of the names of all tables of a slave with this directory.
pub fn table_prefix(dir: &Path) -> String {
    format!("arete-{}-", digits(dir.as_os_str().as_encoded_bytes()))
}

/// Returns the name of the table of a fault, by the name of its record.
pub(super) fn table_name(dir: &Path, record: &str) -> String {
    format!("{}{}", table_prefix(dir), digits(record.as_bytes()))
}

/// Returns the number of the queue of a fault, by the name of its record: a000 to afff.
pub(super) fn queue_handle(record: &str) -> u16 {
    let hash = Sha256::digest(record.as_bytes());
    0xa000 | u16::from_be_bytes([hash[0], hash[1]]) & 0x0fff
}

fn digits(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_is_here_if_it_is_reached_by_loopback_or_by_our_own_address() {
        let at = |address: &str| Some(address.parse().expect("an address"));
        let here = |peer, local| ControllerAt::seen(None, at(peer), at(local)).here;
        assert!(here("127.0.0.1:1", "127.0.0.1:2") && here("[::1]:1", "[::1]:2") && here("10.0.0.1:1", "10.0.0.1:2"));
        assert!(!here("10.0.0.1:1", "10.0.0.2:2") && !ControllerAt::seen(None, None, None).here);
    }

    #[test]
    fn tables_of_different_directories_and_records_have_different_names() {
        let (a, b) = (Path::new("/var/lib/a"), Path::new("/var/lib/b"));
        assert!(table_name(a, "r1-1").starts_with(&table_prefix(a)));
        assert_ne!(table_prefix(a), table_prefix(b));
        assert_ne!(table_name(a, "r1-1"), table_name(a, "r1-2"));
    }
}
