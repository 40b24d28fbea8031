//! The faults that slaves inject on purpose, as virtual processes play them: `arete fault inject RECORD`, and the undo.
//!
//! A fault is in effect on a host until the process of its undo has done its work. As in real life, a new slave undoes
//! everything that has a record.

use std::path::{Path, PathBuf};

use arete::machine::Exit;
use arete::slave::{FAULTS, RECORD};

use super::World;

/// Returns the steps of the subcommand `fault` with these words.
pub fn steps_of(words: &[String]) -> Vec<String> {
    let steps: &[&str] = match words {
        [verb, path] if verb == "inject" => &["slow 20", &format!("harm {path}"), "slow 5"],
        [verb, path] if verb == "undo" => &["slow 10", &format!("mend {path}")],
        _ => &["check", "slow 5"],
    };
    steps.iter().map(ToString::to_string).collect()
}

impl World {
    /// A fault is in effect. It may fail in the middle.
    pub fn harm(&mut self, pid: u32, record: &str) {
        let host = self.processes[&pid].host;
        let record = PathBuf::from(record);
        if self.hosts[host].disk.get(&record).is_none() {
            self.unrecorded.push(format!("host {host} injects {} without a record", record.display()));
        }
        self.harms.insert((host, record));
        if self.spawn_fails_one_in > 0 && self.rng.u8(0..4) == 0 {
            self.end_process(pid, Exit::Code(1));
        }
    }

    /// A fault is undone, and its record removed.
    pub fn mend(&mut self, pid: u32, record: &str) {
        let host = self.processes[&pid].host;
        self.harms.remove(&(host, PathBuf::from(record)));
        self.hosts[host].disk.remove_all(Path::new(record));
    }

    /// As the command line does before a slave's machine runs, and after the slave has ended: undoes what has a record.
    pub fn heal_node(&mut self, node: usize) {
        let (host, directory) = (self.nodes[node].host, Path::new("/var").join(&self.nodes[node].name).join(FAULTS));
        let below = self.hosts[host].disk.paths_below(&directory);
        let records: Vec<PathBuf> = below.filter(|path| path.to_string_lossy().ends_with(RECORD)).cloned().collect();
        for record in records {
            self.hosts[host].disk.remove_all(&record);
            self.harms.remove(&(host, record));
        }
    }

    /// The faults that are in effect on the host of a node.
    pub fn harms_of(&self, node: usize) -> Vec<&PathBuf> {
        let host = self.nodes[node].host;
        self.harms.iter().filter(|(on, _)| *on == host).map(|(_, record)| record).collect()
    }
}
