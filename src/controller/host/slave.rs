//! A slave of a permanent controller.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use crate::controller::run::run::Run;
use crate::controller::run::runs::{RunNr, Runs};
use crate::machine::{ConnId, Time};
use crate::wire::operate::Measured;

/// The labels that a slave reports of its machine.
pub type Labels = BTreeMap<String, String>;

/// The slaves that are connected, or that serve a run, by name.
pub type Slaves = BTreeMap<Rc<str>, HostSlave>;

/// A slave that is connected, or that serves a run.
pub struct HostSlave {
    pub conn: Option<ConnId>,
    pub incarnation: Box<str>,
    pub address: String,
    pub ip: Option<IpAddr>,
    pub version: String,
    /// Since when it is connected.
    pub since: Time,
    pub labels: Labels,
    /// The difference between its clock and UTC, in microseconds.
    pub utc: Option<i64>,
    pub measured: Option<Measured>,
    /// The run that it serves, and its place in that run.
    pub serves: Option<(RunNr, usize)>,
}

impl HostSlave {
    /// Returns the run that needs this slave, if one does.
    pub fn needed_by<'a>(&self, runs: &'a Runs) -> Option<&'a Run> {
        let (nr, ix) = self.serves?;
        runs.get(nr).filter(|run| run.needs(ix))
    }
}

/// Returns labels as `arch=x86_64 role=client`.
pub fn in_words(labels: &Labels) -> String {
    let words: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    words.join(" ")
}
