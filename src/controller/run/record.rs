//! The limit for what a run records in its ledger and its time line, and how much each cause has used.
//!
//! The files that slaves ship have a separate limit. This one is for everything else that slaves and clients make a
//! controller write: reports, notifies, connections and disconnections.

use std::fmt;

use crate::controller::room::sync::RECORD_MAX;

/// The share of one slave, and of all clients together: 1/4 of the limit.
const SHARE: u64 = 4;

/// The end of a run that has recorded too much may add 1/8 of the limit.
const FOR_THE_END: u64 = 8;

/// The cause of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Slave(usize),
    Client,
    /// Time, strangers, or an unknown cause.
    Other,
}

/// Whose share is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Slave(usize),
    Clients,
    Run,
}

/// A cause of records that has used its share, which is in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareUsed {
    Slave { share: u64 },
    Clients { run: String, share: u64 },
}

impl fmt::Display for ShareUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = match self {
            ShareUsed::Slave { share } => {
                f.write_str("it has")?;
                share
            }
            ShareUsed::Clients { run, share } => {
                write!(f, "the clients of run {run} have")?;
                share
            }
        };
        write!(f, " made it record more than {share} bytes, a quarter of --record-max of the controller")
    }
}

impl std::error::Error for ShareUsed {}

/// The bytes that a run has recorded.
#[derive(Debug)]
pub struct Record {
    most: u64,
    seen: u64,
    slaves: Vec<u64>,
    clients: u64,
}

impl Record {
    pub fn of(slaves: usize) -> Record {
        Record { most: RECORD_MAX, seen: 0, slaves: vec![0; slaves], clients: 0 }
    }

    pub fn set_max(&mut self, most: u64) {
        self.most = most;
    }

    /// Returns the limit, in bytes.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Returns the share of one slave, or of all clients, in bytes.
    pub fn share(&self) -> u64 {
        self.most / SHARE
    }

    /// Updates the total, in bytes, and charges what is new to its cause. Returns which share or limit is exceeded now.
    pub fn charge(&mut self, by: By, all: u64) -> Option<Over> {
        let new = all.saturating_sub(self.seen);
        self.seen = all;
        if new == 0 {
            return None;
        }
        let share = self.share();
        // Above the limit, the end of the run is still recorded, because otherwise its slaves would continue
        // unrecorded.
        let closing = all > self.most + self.most / FOR_THE_END;
        match by {
            By::Slave(ix) => {
                let own = self.slaves.get_mut(ix)?;
                *own += new;
                if *own > share || closing {
                    return Some(Over::Slave(ix));
                }
            }
            By::Client => {
                self.clients += new;
                if self.clients > share || closing {
                    return Some(Over::Clients);
                }
            }
            By::Other => {}
        }
        (all > self.most).then_some(Over::Run)
    }

    /// Checks whether clients may cause more records.
    pub fn takes_clients(&self, run: &str) -> Result<(), ShareUsed> {
        match self.clients > self.share() {
            true => Err(ShareUsed::Clients { run: run.to_owned(), share: self.share() }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slave_and_all_clients_have_their_share_and_the_run_has_its_end() {
        let mut record = Record::of(5);
        record.set_max(1_000);
        assert_eq!(record.charge(By::Slave(0), 250), None);
        assert_eq!(record.charge(By::Slave(0), 250), None, "nothing is new");
        assert_eq!(record.charge(By::Other, 260), None);
        assert_eq!(record.charge(By::Slave(0), 261), Some(Over::Slave(0)));
        assert_eq!(record.charge(By::Client, 511), None);
        assert!(record.takes_clients("r").is_ok());
        assert_eq!(record.charge(By::Client, 512), Some(Over::Clients));
        assert!(record.takes_clients("r").is_err());
        assert_eq!(record.charge(By::Slave(1), 700), None, "other slaves are not affected");
        assert_eq!(record.charge(By::Slave(2), 950), None);
        assert_eq!(record.charge(By::Slave(3), 1_001), Some(Over::Run));
        assert_eq!(record.charge(By::Slave(3), 1_125), Some(Over::Run));
        assert_eq!(record.charge(By::Slave(3), 1_126), Some(Over::Slave(3)), "the end of the run is still recorded");
        assert_eq!(record.charge(By::Other, 1_200), Some(Over::Run));
    }
}
