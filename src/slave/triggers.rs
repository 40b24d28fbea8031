//! Which triggers of the run have fired, with what data, and which of them set off something that may still go on.
//! Each fires once, although the controller may say so again after a reconnect.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use crate::machine::faults::{Fault, injected};

#[derive(Debug, Default)]
pub(super) struct Triggers {
    fired: BTreeSet<String>,
    /// Who notified them with what, of those that had data.
    notes: BTreeMap<String, Box<RawValue>>,
    /// Those that fired before this slave's start.
    early: Vec<String>,
    /// Those that set off something that may still go on.
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

    /// The run starts: the triggers that have fired before, in order.
    pub(super) fn take_early(&mut self) -> Vec<String> {
        std::mem::take(&mut self.early)
    }

    /// A trigger fires. Returns whether that is news.
    pub(super) fn fire(&mut self, trigger: &str) -> bool {
        self.fired.insert(trigger.to_owned()) || injected(Fault::TriggeredActsAgain)
    }

    pub(super) fn has_fired(&self, trigger: &str) -> bool {
        self.fired.contains(trigger)
    }

    pub(super) fn fired(&self) -> &BTreeSet<String> {
        &self.fired
    }

    /// A trigger has set off entries.
    pub(super) fn set_unsettled(&mut self, trigger: &str) {
        self.unsettled.insert(trigger.to_owned());
    }

    /// Takes the triggers of which nothing goes on any more.
    pub(super) fn take_settled(&mut self, goes_on: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let (unsettled, settled) =
            std::mem::take(&mut self.unsettled).into_iter().partition(|trigger| goes_on(trigger.as_str()));
        self.unsettled = unsettled;
        settled
    }
}
