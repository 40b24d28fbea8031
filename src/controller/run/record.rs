//! How much a run has recorded, in its ledger and its time line, at whose instance, and how much that may be.
//!
//! The files that slaves ship have a bound of their own. This one is for all else that slaves and clients make a controller
//! write: reports, notifies, comings and goings.

use crate::controller::room::sync::RECORD_MAX;

/// One slave, and all clients together, have a part of so many of it.
const SHARE: u64 = 4;

/// How much more is recorded of the end of a run that has too much: a part of so many of the bound.
const FOR_THE_END: u64 = 8;

/// Who has made a run record something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Slave(usize),
    Client,
    /// Time, strangers, or who cannot be told.
    Other,
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Slave(usize),
    Clients,
    Run,
}

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

    /// How many bytes a run may record in all.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// What one slave, or all clients, may have of it.
    fn share(&self) -> u64 {
        self.most / SHARE
    }

    /// So much has been recorded in all: what is new was because of this one. Whoever has too much now, if anybody.
    pub fn charge(&mut self, by: By, all: u64) -> Option<Over> {
        let new = all.saturating_sub(self.seen);
        self.seen = all;
        if new == 0 {
            return None;
        }
        let share = self.share();
        // The end of the run is recorded, and its slaves do not go on as if it were not.
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

    /// Whether clients have had what they may.
    fn is_full_for_clients(&self) -> bool {
        self.clients > self.share()
    }

    /// Why clients may not go on, if they may not.
    pub fn takes_clients(&self) -> Result<(), String> {
        match self.is_full_for_clients() {
            true => Err(format!("its clients have {}", self.too_much())),
            false => Ok(()),
        }
    }

    /// What one that has had its share has done.
    pub fn too_much(&self) -> String {
        format!("made it record more than {} bytes, a quarter of --record-max of the controller", self.share())
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
        assert!(record.takes_clients().is_ok());
        assert_eq!(record.charge(By::Client, 512), Some(Over::Clients));
        assert!(record.takes_clients().is_err());
        assert_eq!(record.charge(By::Slave(1), 700), None, "others are not disturbed");
        assert_eq!(record.charge(By::Slave(2), 950), None);
        assert_eq!(record.charge(By::Slave(3), 1_001), Some(Over::Run));
        assert_eq!(record.charge(By::Slave(3), 1_125), Some(Over::Run));
        assert_eq!(record.charge(By::Slave(3), 1_126), Some(Over::Slave(3)), "the end of the run is still recorded");
        assert_eq!(record.charge(By::Other, 1_200), Some(Over::Run));
    }
}
