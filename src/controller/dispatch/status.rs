//! The status for a service manager, and the settings that can change while the controller runs.

use std::time::Duration;

use crate::controller::Controller;
use crate::controller::service::Settings;
use crate::controller::session::session::Role;
use crate::machine::{Outbox, Time};

impl Controller {
    /// Applies the settings of a configuration that was read again.
    pub(in crate::controller) fn reloaded(&mut self, now: Time, settings: &[u8], out: &mut Outbox) {
        match serde_json::from_slice::<Settings>(settings) {
            Ok(Settings { rejoin, limits, operators, lost_after, keeping, keep_max }) => {
                self.rejoin = Duration::from_micros(rejoin);
                // A run keeps the limits that it was handed in with.
                self.limits = limits;
                self.budget.set_max(limits.memory, limits.least());
                self.rooms.set_limits(self.limits);
                if let Some(host) = &mut self.host {
                    host.config.operators = operators;
                    host.config.lost_after = Duration::from_micros(lost_after);
                    host.archive.keep(keeping, keep_max);
                }
                self.part_with_operators(now, out);
            }
            Err(error) => log::error!("the new settings of the controller are not valid: {error}"),
        }
    }

    /// Reports the status if it has changed. This is checked as often as the peers are.
    pub(in crate::controller) fn tell_status(&mut self, out: &mut Outbox) {
        let line = self.status_line();
        if line != self.status {
            out.status(line.as_str());
            self.status = line;
        }
    }

    /// `12 slaves, 1 run`.
    fn status_line(&self) -> String {
        let slaves = self.sessions.count(|who| matches!(who, Role::Slave(..) | Role::Idle));
        let clients = self.sessions.count(|who| matches!(who, Role::Client(_)));
        let queued = self.runs.values().filter(|run| run.is_queued()).count();
        let mut line = format!("{}, {}", several(slaves, "slave"), several(self.runs.len() - queued, "run"));
        if queued > 0 {
            line = format!("{line}, {queued} queued");
        }
        if clients > 0 {
            line = format!("{line}, {}", several(clients, "client"));
        }
        line
    }
}

fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
