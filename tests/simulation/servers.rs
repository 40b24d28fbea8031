//! Entries that become ready in each possible way, and entries that wait for that.

use arete::wire::readiness::{Readiness, ReadyCheck};
use arete::wire::{Action, After, Condition, Entry, Policy, When};

use super::{Draft, at, entry, shell, trigger_name};

/// Far more than any of them needs, in microseconds.
const IN_TIME: u64 = 20_000_000;

impl Draft<'_> {
    /// Adds a server in some tests, and a client that runs when the server is ready.
    pub(super) fn server(&mut self, entries: &mut Vec<Entry>) {
        let begins = self.rng.u64(200_000..1_500_000);
        match self.rng.u8(0..60) {
            0 => {
                self.fails_from(begins);
                let check = self.check().0;
                entries.push(at("never", begins, awaited(shell("never", "forever"), check, 300_000, None)));
            }
            1..20 => {
                let (check, how) = self.check();
                let steps = format!("sleep {}; ready {how}; sleep {}", self.rng.u64(0..100), self.rng.u64(250..300));
                let trigger = self.rng.bool().then(|| self.rng.usize(0..self.sure.len()));
                if let Some(trigger) = trigger {
                    self.sure[trigger] += 1;
                }
                let action = awaited(shell("server", &steps), check, IN_TIME, trigger.map(trigger_name));
                entries.push(at("server", begins, action));
                let after = After {
                    of: vec![Condition { entry: "server".to_owned(), when: When::Ready }],
                    any: false,
                    delay: 0,
                };
                entries.push(entry("client", Policy::After(after), shell("client", "out it is there; sleep 20")));
            }
            _ => {}
        }
    }

    /// A check of readiness, and the step that makes a server ready by it.
    fn check(&mut self) -> (ReadyCheck, &'static str) {
        match self.rng.u8(0..5) {
            0 => (ReadyCheck::Port { port: 80, host: None }, "listens 80"),
            1 => (ReadyCheck::Log("^it is up$".to_owned()), "logs"),
            2 => (ReadyCheck::Shell { command: "have up".to_owned(), every: 50_000 }, "touches"),
            3 => (ReadyCheck::Notify, "asks"),
            _ => (ReadyCheck::Notify, "notifies"),
        }
    }
}

fn awaited(action: Action, check: ReadyCheck, within: u64, trigger: Option<String>) -> Action {
    let Action::Shell(mut shell) = action else { return action };
    shell.ready = Some(Readiness { check, within, trigger });
    Action::Shell(shell)
}
