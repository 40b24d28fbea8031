//! What a slave says of itself to whoever watches over its process, and what it can be told anew while it runs.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Slave;
use super::run::Run;
use crate::machine::Outbox;

/// What of a slave's configuration can change while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Said with the next hello.
    pub labels: BTreeMap<String, String>,
    /// In microseconds; of absences that begin later.
    pub orphan_after: u64,
}

/// What the status was made of when it was said last.
#[derive(Debug, Default)]
pub(super) struct Told {
    said: bool,
    up: bool,
    stops: bool,
    run: Option<String>,
    trouble: Option<String>,
}

impl Slave {
    /// The configuration was read anew.
    pub(super) fn reloaded(&mut self, settings: &[u8]) {
        match serde_json::from_slice::<Settings>(settings) {
            Ok(Settings { labels, orphan_after }) => {
                let config = Rc::make_mut(&mut self.config);
                config.labels = labels;
                config.orphan_after = Duration::from_micros(orphan_after);
            }
            Err(error) => log::error!("these are no settings of a slave: {error}"),
        }
    }

    /// Says how things stand, if that has changed.
    pub(super) fn tell_status(&mut self, out: &mut Outbox) {
        let (up, stops) = (self.link.up(), self.quit.is_some());
        let run = self.run.as_ref().map(Run::id);
        let trouble = self.link.trouble();
        let told = &self.told;
        let same = (told.said, told.up, told.stops) == (true, up, stops);
        if same && told.run.as_deref() == run && told.trouble.as_deref() == trouble {
            return;
        }
        let told = Told { said: true, up, stops, run: run.map(str::to_owned), trouble: trouble.map(str::to_owned) };
        self.told = told;
        out.status(self.status_line());
    }

    fn status_line(&self) -> String {
        let address = &self.config.controller;
        let mut line = match (self.link.up(), self.link.trouble()) {
            (true, _) => format!("connected to {address}"),
            (false, Some(trouble)) if self.link.is_refused() => format!("refused by {address}: {trouble}"),
            (false, Some(trouble)) => format!("no controller at {address}: {trouble}"),
            (false, None) => format!("connecting to {address}"),
        };
        if let Some(run) = &self.run {
            line = format!("{line}, run {}", run.id());
        }
        if self.quit.is_some() { format!("stopping, {line}") } else { line }
    }
}
