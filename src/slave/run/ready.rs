//! Connects the readiness of runs of entries with the entries and triggers that wait for it.

use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, EarId, Exit, NoAnswer, ProbeId, ReadId};
use crate::slave::notifies::Waiter;
use crate::slave::process::RunKey;
use crate::slave::readiness::Look;
use crate::slave::refusal::Refusal;
use crate::slave::run::Run;
use crate::slave::schedule::Happened;
use crate::slave::shorten::clip;
use crate::slave::turn::Turn;
use crate::slave::variables::Variables;
use crate::wire::SlaveEvent;

impl Run {
    /// The process of a run of an entry has an id: begins its checks.
    pub(super) fn begin_to_test(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        let Some(run) = self.processes.get(key) else { return };
        let entry = run.entry;
        let files = self.output_of(entry, run.nr).map(|(_, path)| path);
        match self.readies.begin(key, files, turn.now, &mut self.timers) {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => return self.end_early(key, &why.to_string(), self.part.grace, turn),
        }
        if injected(Fault::ReadyTooEarly) {
            self.start_those_after(key, entry, turn);
        }
        self.test(key, turn);
    }

    /// Checks once whether a run is ready.
    pub(super) fn test(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        // Not `self.variables()`, which would borrow the checks and the timers too.
        let Run { config, part, dir, processes, resources, readies, timers, .. } = self;
        readies.test(key, &Variables { config, part, dir, processes, resources }, timers, turn);
    }

    pub(super) fn probed(&mut self, probe: ProbeId, result: Result<(), NoAnswer>, turn: &mut Turn<'_>) {
        if let Some(key) = self.readies.probed(probe, result, turn.now, &mut self.timers) {
            self.becomes_ready(key, turn);
        }
    }

    /// A piece of output was read. Returns whether the read belongs to a check.
    pub(super) fn read_for_ready(&mut self, read: ReadId, bytes: &[u8], turn: &mut Turn<'_>) -> bool {
        match self.readies.read(read, bytes, turn.now, &mut self.timers) {
            None => return false,
            Some(Look::GoesOn) => {}
            Some(Look::ReadOn(key)) => self.test(key, turn),
            Some(Look::Ready(key, exit)) => {
                self.becomes_ready(key, turn);
                exit.into_iter().for_each(|exit| self.process_over(key, exit, turn));
            }
            Some(Look::Exited(key, exit)) => self.process_over(key, exit, turn),
        }
        true
    }

    /// A command has exited, or could not be started. Returns whether it checks another one.
    pub(super) fn checked(&mut self, child: ChildId, exit: Result<Exit, &str>, turn: &mut Turn<'_>) -> bool {
        let checks = self.readies.is_check(child);
        if let Some(key) = self.readies.checked(child, exit, &mut self.timers, turn) {
            self.becomes_ready(key, turn);
        }
        checks
    }

    /// A command has sent a message to its socket.
    pub(super) fn overheard(&mut self, ear: EarId, bytes: &[u8], turn: &mut Turn<'_>) {
        if let Some(key) = self.readies.overheard(ear, bytes) {
            self.becomes_ready(key, turn);
        }
    }

    /// The socket of a command could not be made.
    pub(super) fn deaf(&mut self, ear: EarId, error: &str, turn: &mut Turn<'_>) {
        if let Some(key) = self.readies.deaf(ear) {
            let why = format!("it cannot report that it is ready: {}", clip(error));
            self.end_early(key, &why, self.part.grace, turn);
        }
    }

    /// `arete ready` in a command of a run of an entry.
    pub(super) fn says_ready(&mut self, entry: &str, nr: u32, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let Some(index) = self.part.index_of(entry) else {
            return Err(Refusal::NoEntry { entry: entry.to_owned() });
        };
        if !self.readies.is_told(index) {
            return Err(Refusal::NotAwaited { entry: entry.to_owned() });
        }
        let Some(key) = self.processes.find(index, nr) else {
            return Err(Refusal::NotRunning { entry: entry.to_owned(), nr });
        };
        if self.readies.told(key).map_err(|()| Refusal::NotReadyInTime { entry: entry.to_owned() })? {
            self.becomes_ready(key, turn);
        }
        Ok(())
    }

    /// A run is ready: starts the entries that wait for it.
    fn becomes_ready(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        let Some(ready) = self.readies.finish(key, &mut self.timers, turn) else { return };
        let entries = self.part.entries.clone();
        let entry = &entries[ready.entry];
        let (name, nr, after) = (entry.name.as_str().into(), ready.nr, ready.after);
        self.reports.push(SlaveEvent::EntryReady { entry: name, nr, after }, turn);
        self.start_those_after(key, ready.entry, turn);
        if let Some(trigger) = entry.notifies() {
            self.notify(trigger, None, Waiter::None, turn);
        }
    }

    /// Starts the entries that follow the readiness of this run.
    fn start_those_after(&mut self, key: RunKey, entry: usize, turn: &mut Turn<'_>) {
        if self.running() {
            let entries = self.part.entries.clone();
            let cause = self.processes.get(key).and_then(|run| run.cause.clone());
            let after = self.conditions.happened(&entries[entry].name, Happened::Ready, &entries);
            self.run_after(after, cause.as_deref(), turn);
        }
    }
}
