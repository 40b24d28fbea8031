//! A permanent controller: which slaves are connected, which run each of them serves, and which run begins next.
//!
//! A slave without a run stays connected and waits. A run that was handed in waits in the queue, in order, until machines
//! for all of its places are connected and free. Until then it reserves the machines that it can already have, so that later
//! runs do not take them. When a run is over, its slaves are free again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::controller::host::archive::{Archive, Keeping};
use crate::controller::host::operators::Operator;
use crate::controller::host::scheduler::Queue;
use crate::controller::host::slave::{HostSlave, Labels, Slaves};
use crate::controller::host::unwritten::Unwritten;
use crate::controller::ledger;
use crate::controller::run::runs::{RunNr, Runs};
use crate::machine::{ChildId, ConnId, Exit, ListenerId, Outbox, SystemError, Time, removal};
use crate::text;
use crate::wire::operate::Measured;

/// The most processes that remove directories at once.
const REMOVED_AT_ONCE: usize = 4;

/// The configuration of a permanent controller.
#[derive(Debug, Clone, Default)]
pub struct HostConfig {
    /// The directory that holds the directories of the runs.
    pub runs: PathBuf,
    /// The listeners whose peers may operate the controller, because the system has checked who connects there.
    pub sockets: Vec<ListenerId>,
    /// The other operators, by the names in their certificates.
    pub operators: BTreeSet<String>,
    /// How long a slave's connection may be gone before the slave is lost to its run, unless the run has its own time.
    pub lost_after: Duration,
    /// Which runs that are over are kept.
    pub keeping: Keeping,
    /// How many bytes the runs that are kept may take together.
    pub keep_max: Option<u64>,
    /// The name of the boot of the system.
    pub boot: String,
    /// The difference between a [`Time`] and microseconds since 1970 in UTC.
    pub wall_offset: i64,
}

/// The state of a permanent controller, except its runs.
pub struct Host {
    pub config: HostConfig,
    /// By name.
    pub slaves: Slaves,
    by_conn: BTreeMap<ConnId, Rc<str>>,
    pub operators: BTreeMap<ConnId, Operator>,
    pub archive: Archive,
    /// The runs and submissions whose directories are being removed. A file that is written there now would be removed too.
    removing: BTreeMap<ChildId, String>,
    /// The directories that wait for their removal.
    to_remove: VecDeque<String>,
    pub unwritten: Unwritten,
    queue: Queue,
}

/// The difference between the wall clocks of a slave and the controller from which on a warning is logged.
const CLOCK_OFF_MOST: Duration = Duration::from_secs(10);

impl Host {
    pub fn new(config: HostConfig) -> Host {
        Host {
            archive: Archive::new(config.keeping, config.keep_max),
            config,
            slaves: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            operators: BTreeMap::new(),
            removing: BTreeMap::new(),
            to_remove: VecDeque::new(),
            unwritten: Unwritten::default(),
            queue: Queue::default(),
        }
    }

    /// Removes the directory of a run or of a submission in the background. Its ledger is removed first: without a ledger,
    /// a controller that starts in between does not continue the run.
    pub fn remove(&mut self, id: &str, out: &mut Outbox) {
        if self.removing.len() >= REMOVED_AT_ONCE {
            return self.to_remove.push_back(id.to_owned());
        }
        let ledger = format!("{id}/{}", ledger::FILE);
        let child = out.spawn(removal(&self.config.runs, &[&ledger, id]));
        self.removing.insert(child, id.to_owned());
    }

    /// Returns whether a directory of this name is being removed.
    pub fn removes(&self, id: &str) -> bool {
        self.removing.values().chain(&self.to_remove).any(|removed| removed == id)
    }

    /// Returns how many directories are being removed, or wait for their removal.
    pub fn removals(&self) -> usize {
        self.removing.len() + self.to_remove.len()
    }

    /// A child has exited. Returns whether it was one that removes a directory.
    pub fn removed(&mut self, child: ChildId, end: &Result<Exit, SystemError>, out: &mut Outbox) -> bool {
        let Some(id) = self.removing.remove(&child) else { return false };
        let why = match end {
            Ok(Exit::Code(0)) => None,
            Ok(_) => Some("something in it cannot be removed"),
            Err(error) => Some(&*error.text),
        };
        if let Some(why) = why {
            log::warn!("{} stays: {why}: remove it by hand", self.config.runs.join(id).display());
        }
        if let Some(next) = self.to_remove.pop_front() {
            self.remove(&next, out);
        }
        true
    }

    /// Requests a look at the queue after everything that has arrived was handled.
    pub fn look_at_queue(&mut self, now: Time) {
        self.queue.look(now);
    }

    /// Returns when the next look at the queue is due.
    pub fn queue_due(&self) -> Option<Time> {
        self.queue.due()
    }

    /// Returns what a run in the queue waits for, in words.
    pub fn waits_for(&self, nr: RunNr) -> &str {
        self.queue.waits_for(nr)
    }

    pub fn enters_queue(&mut self, nr: RunNr, runs: &Runs) {
        self.queue.enters(nr, &self.slaves, &self.unwritten.runs(), runs);
    }

    /// The next run of the queue that can begin now, and its machines.
    pub fn next_to_begin(&mut self, now: Time, runs: &Runs) -> Option<(RunNr, Vec<Rc<str>>)> {
        self.queue.next_to_begin(now, &self.slaves, &self.unwritten.runs(), runs)
    }

    #[cfg(test)]
    pub fn queue_work(&self) -> usize {
        self.queue.work()
    }

    /// Returns whether a submission that is being uploaded has this id.
    pub fn is_coming(&self, id: &str) -> bool {
        let mut submissions = self.operators.values().filter_map(|operator| operator.submission.as_ref());
        submissions.any(|submission| submission.handed.id == id)
    }

    /// A slave that served a run before the controller restarted may return to it.
    pub fn expect(&mut self, name: &str, serves: (RunNr, usize)) {
        let slave = HostSlave {
            conn: None,
            incarnation: Box::from(""),
            address: String::new(),
            ip: None,
            version: String::new(),
            since: Time::default(),
            labels: Labels::new(),
            utc: None,
            measured: None,
            serves: Some(serves),
        };
        self.slaves.insert(Rc::from(name), slave);
    }

    /// A slave has reported its clock. A large difference is logged once for each connection.
    pub fn measured(&mut self, conn: ConnId, measured: Option<Measured>, shift: i64) {
        let wall_offset = self.config.wall_offset - shift;
        let Some(name) = self.by_conn.get(&conn) else { return };
        if let Some(slave) = self.slaves.get_mut(name) {
            let first = measured.as_ref().filter(|_| slave.measured.is_none()).zip(slave.utc);
            let off = first.map_or(0, |(measured, utc)| measured.ahead.saturating_add(utc).saturating_sub(wall_offset));
            if off.unsigned_abs() > CLOCK_OFF_MOST.as_micros() as u64 {
                let side = if off < 0 { "behind" } else { "ahead of" };
                let by = text::roughly(Duration::from_micros(off.unsigned_abs()));
                log::warn!("slave {name}: its clock is {by} {side} the controller's: set it");
            }
            slave.measured = measured.or(slave.measured);
        }
    }

    /// A slave has said hello on this connection. Returns the connection that this one replaces.
    pub fn connected(&mut self, conn: ConnId, name: &str, slave: HostSlave) -> Option<ConnId> {
        let name: Rc<str> = Rc::from(name);
        let replaced = self.slaves.insert(name.clone(), slave).and_then(|slave| slave.conn);
        self.by_conn.insert(conn, name);
        if let Some(replaced) = replaced {
            self.by_conn.remove(&replaced);
        }
        replaced
    }

    /// A connection is closed. A slave that serves no run is forgotten.
    pub fn closed(&mut self, conn: ConnId) {
        self.operators.remove(&conn);
        let Some(name) = self.by_conn.remove(&conn) else { return };
        let Some(slave) = self.slaves.get_mut(&name).filter(|slave| slave.conn == Some(conn)) else { return };
        slave.conn = None;
        if slave.serves.is_none() {
            self.slaves.remove(&name);
        }
    }
}
