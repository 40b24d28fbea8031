//! Hands the slaves of a run their parts before the start.
//!
//! A part is a line of up to a megabyte, and a run can have thousands of slaves. Therefore a slave that needs its part is
//! only marked, and the parts of marked slaves are sent in pieces, within the [`Pace`] of the controller.
//!
//! A marked slave is not ready, whatever it says: the start must never be named while a slave lacks its part. Nothing of
//! this is written to the ledger. A slave without its part names no run in its next hello, and is then marked again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::controller::run::pace::Pace;
use crate::controller::run::run::{Phase, Run};
use crate::machine::faults::{Fault, injected};
use crate::machine::{Bytes, Outbox, Time};
use crate::testfile::{self, End, resources_of};
use crate::wire::{Entry, Message, Prepare, Resource};

/// How long the next line waits if there is no room for it.
const ROOM_AGAIN: Duration = Duration::from_millis(10);

/// The cost of a slave beyond the bytes of its line, in bytes that could be sent instead.
const COST: usize = 2 * 1024;

impl Run {
    /// Sends the parts of marked slaves, as far as the pace permits.
    pub fn prepare_marked(&mut self, now: Time, pace: &mut Pace, out: &mut Outbox) {
        if self.preparation.is_empty() {
            return;
        }
        if self.phase != Phase::Gathering {
            return self.preparation.clear();
        }
        if self.preparation.first().is_some() {
            self.preparation.sweep();
        }
        let mut unknown = BTreeSet::new();
        while let Some(ix) = self.preparation.first() {
            if pace.is_used_up(now) {
                if injected(Fault::PrepareLeftOut) {
                    self.preparation.clear();
                }
                return;
            }
            let list = self.test.slaves[ix].entries.as_ptr();
            if let Some(conn) = self.roster.get(ix).conn.filter(|_| !unknown.contains(&list)) {
                let shares = self.preparation.shared(list).is_some_and(|(_, has_index)| !has_index)
                    && self.roster.get(ix).machine.is_none();
                if !shares && self.preparation.is_full() {
                    return pace.retry_after(now, ROOM_AGAIN);
                }
                match self.part_of(ix, pace) {
                    Some(line) => {
                        pace.sends(line.len());
                        out.send(conn, line);
                    }
                    None => drop(unknown.insert(list)),
                }
            }
            pace.sends(COST);
            self.preparation.unmark(ix);
        }
    }

    /// Returns the line with the part of a slave, or `None` if an address in it is not known yet.
    fn part_of(&mut self, ix: usize, pace: &mut Pace) -> Option<Bytes> {
        let list = self.test.slaves[ix].entries.as_ptr();
        let (shared, has_index) = match self.preparation.shared(list) {
            Some(shared) => shared,
            None => {
                let bytes = self.encode_part(ix)?;
                let has_index = self.test.slaves[ix].entries.iter().any(testfile::uses_index);
                pace.encodes(bytes.len());
                self.preparation.share(list, bytes.clone(), has_index);
                (bytes, has_index)
            }
        };
        let member = self.roster.get(ix);
        if member.machine.is_none() && !has_index {
            return Some(shared);
        }
        let serve_as = member.machine.as_ref().map(|_| member.name.as_str());
        let own = Prepare::of_slave(&shared, serve_as, has_index.then_some(ix as u32 + 1));
        self.preparation.count(own.clone());
        Some(own)
    }

    /// Encodes the part of the slaves that have the entries of this one. Each gets its name apart.
    fn encode_part(&self, ix: usize) -> Option<Bytes> {
        let entries = &self.test.slaves[ix].entries;
        let mut addresses: BTreeMap<String, String> = BTreeMap::new();
        for name in self.addresses.named_by(ix) {
            let address = self.roster.find(name).and_then(|other| self.roster.get(other).address)?;
            addresses.insert(name.clone(), address.to_string());
        }
        let end_trigger = match &self.test.end {
            End::Trigger { trigger, .. } => Some(trigger.clone()),
            End::Duration(_) | End::Idle { .. } => None,
        };
        let prepare = Prepare {
            run: Cow::from(&self.id),
            test: Cow::from(&self.test.name),
            serve_as: None,
            entries: Cow::from(&**entries),
            resources: self.used_by(entries),
            triggers: self.test.triggers.keys().cloned().collect(),
            timeouts: self.declared_timeouts(),
            params: self.test.params.clone(),
            addresses,
            index: 0,
            count: self.test.slaves.len() as u32,
            end_trigger,
            grace: self.test.grace.as_micros() as u64,
        };
        Some(prepare.encode())
    }

    /// Returns the timeouts that the test declares for barriers and syncs, in microseconds, by name.
    fn declared_timeouts(&self) -> BTreeMap<String, u64> {
        let declared = self.test.syncs.iter().chain(&self.test.barriers);
        let micros = |timeout: Duration| timeout.as_micros() as u64;
        declared.filter_map(|(name, declared)| Some((name.clone(), micros(declared.timeout?)))).collect()
    }

    fn used_by(&self, entries: &[Entry]) -> Vec<Resource> {
        let used: BTreeSet<&str> = entries.iter().flat_map(resources_of).collect();
        used.iter().filter_map(|name| self.test.resources.get(*name)).map(|(_, resource)| resource.clone()).collect()
    }
}
