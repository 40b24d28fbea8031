//! The promises of a node to other nodes, and the grants of other nodes that it has heard of.
//!
//! This file owns the rule by which a node grants an epoch. A node must not grant one while it has promised the present
//! owner that its token is valid, nor soon after a restart, because it may have forgotten such a promise.

use super::memory::Memory;
use crate::machine::Time;
use crate::machine::faults::{Fault, injected};

/// The promises of a node, and the newest epoch.
#[derive(Debug, Default)]
pub struct Grants {
    /// The owner with a lease that this node has confirmed, and the end of that promise.
    promise: Option<(String, Time)>,
    /// The end of every promise that was made before the last restart.
    restart: Option<Time>,
    /// The newest epoch that any node has granted.
    newest: u64,
    /// While another node makes a stronger token, that node answers the weaker ones.
    yield_until: Option<Time>,
}

impl Grants {
    /// Grants no epoch until `until`, because the node was restarted.
    pub fn restarted(&mut self, until: Time) {
        self.restart = Some(until);
    }

    /// Promises an owner to grant no other node an epoch until `until`.
    pub fn promise(&mut self, to: &str, until: Time) {
        self.promise = Some((to.to_owned(), until));
    }

    /// Returns the time until which `candidate` gets no epoch because of a promise to another node.
    pub fn promised_until(&self, now: Time, candidate: &str) -> Option<Time> {
        let promise = self.promise.as_ref().filter(|(to, _)| to != candidate).map(|(_, until)| *until);
        promise.max(self.restart).filter(|until| *until > now)
    }

    /// Whether this node may grant `epoch` to `candidate`.
    pub fn may_grant(&self, now: Time, (epoch, candidate): (u64, &str), memory: &Memory) -> bool {
        let free = epoch > memory.grant.epoch || epoch == memory.grant.epoch && memory.grant.to == candidate;
        let free = free || injected(Fault::GrantsTwice);
        free && epoch > memory.seen.epoch && self.promised_until(now, candidate).is_none()
    }

    /// Notes that some node has granted this epoch.
    pub fn note(&mut self, epoch: u64) {
        self.newest = self.newest.max(epoch);
    }

    /// Returns the newest epoch that any node has granted.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Leaves the answers to weaker candidates to another node until `until`.
    pub fn yield_until(&mut self, until: Time) {
        self.yield_until = Some(until);
    }

    /// Whether another node answers weaker candidates.
    pub fn is_yielding(&self, now: Time) -> bool {
        self.yield_until.is_some_and(|until| until > now)
    }
}
