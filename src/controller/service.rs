//! What a controller says of itself to whoever watches over its process, and what it can be told anew while it runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Controller, Limits, Who};
use crate::machine::Outbox;

/// What of a controller's configuration can change while it runs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Settings {
    /// How long a client's connection may be gone before the client is lost, in microseconds; of those that connect later.
    pub rejoin: u64,
    /// What is held already stays, also if it is more than may be held now.
    pub limits: Limits,
}

impl Controller {
    /// The configuration was read anew.
    pub(super) fn reloaded(&mut self, settings: &[u8]) {
        match serde_json::from_slice::<Settings>(settings) {
            Ok(Settings { rejoin, limits }) => {
                self.rejoin = Duration::from_micros(rejoin);
                // Those of a run are its own.
                self.limits = Limits { output: self.limits.output, events: self.limits.events, ..limits };
                self.budget.set_max(limits.memory);
                self.rooms.values_mut().for_each(|room| room.set_limits(self.limits));
            }
            Err(error) => log::error!("these are no settings of a controller: {error}"),
        }
    }

    /// Says how things stand, if that has changed. It is looked at as often as the peers are.
    pub(super) fn tell_status(&mut self, out: &mut Outbox) {
        let line = self.status_line();
        if line != self.status {
            out.status(line.as_str());
            self.status = line;
        }
    }

    /// `12 slaves, 1 run`.
    fn status_line(&self) -> String {
        let count = |what: fn(Who) -> bool| self.sessions.values().filter(|session| what(session.who)).count();
        let slaves = count(|who| matches!(who, Who::Slave(..)));
        let clients = count(|who| matches!(who, Who::Client(_)));
        let mut line = format!("{}, {}", several(slaves, "slave"), several(usize::from(self.run.is_some()), "run"));
        if clients > 0 {
            line = format!("{line}, {}", several(clients, "client"));
        }
        line
    }
}

fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
