//! The triggers of the run that have fired, their data, and the ones with consequences that may still go on.
//!
//! A trigger acts once, although the controller may send it again after a reconnect.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use crate::machine::faults::{Fault, injected};

#[derive(Debug, Default)]
pub(super) struct Triggers {
    fired: BTreeSet<String>,
    /// The data of their notifies, as the controller sends it.
    notes: BTreeMap<String, Box<RawValue>>,
    /// The ones that fired before this slave's start.
    early: Vec<String>,
    /// The ones that have started entries which may still run.
    unsettled: BTreeSet<String>,
}

impl Triggers {
    pub(super) fn set_notes(&mut self, trigger: &str, notes: &RawValue) {
        self.notes.insert(trigger.to_owned(), notes.to_owned());
    }

    pub(super) fn notes(&self, trigger: &str) -> Option<&RawValue> {
        self.notes.get(trigger).map(|notes| &**notes)
    }

    /// Keeps a trigger that has fired before the start.
    pub(super) fn fire_early(&mut self, trigger: &str) {
        if !self.early.iter().any(|early| early == trigger) {
            self.early.push(trigger.to_owned());
        }
    }

    /// The run starts: takes the triggers that have fired before, in order.
    pub(super) fn take_early(&mut self) -> Vec<String> {
        std::mem::take(&mut self.early)
    }

    /// A trigger fires. Returns whether it is the first time.
    pub(super) fn fire(&mut self, trigger: &str) -> bool {
        self.fired.insert(trigger.to_owned()) || injected(Fault::TriggeredActsAgain)
    }

    pub(super) fn has_fired(&self, trigger: &str) -> bool {
        self.fired.contains(trigger)
    }

    pub(super) fn fired(&self) -> &BTreeSet<String> {
        &self.fired
    }

    /// A trigger has started entries.
    pub(super) fn set_unsettled(&mut self, trigger: &str) {
        self.unsettled.insert(trigger.to_owned());
    }

    /// Takes the triggers that have started entries of which none `goes_on`.
    pub(super) fn take_settled(&mut self, goes_on: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let (unsettled, settled) =
            std::mem::take(&mut self.unsettled).into_iter().partition(|trigger| goes_on(trigger.as_str()));
        self.unsettled = unsettled;
        settled
    }
}
