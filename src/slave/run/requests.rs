//! What a request on the control socket means to the run.

use crate::machine::ConnId;
use crate::slave::members::{MeetKind, MeetRequest};
use crate::slave::notifies::Waiter;
use crate::slave::run::Run;
use crate::slave::schedule::Occasion;
use crate::slave::shorten::listed;
use crate::slave::turn::Turn;
use crate::wire::rendezvous::{NOTE_MAX, Party};
use crate::wire::{ControlRequest, PokedBy, Policy, SlaveEvent};

impl Run {
    /// Does what a command asks for, or says why not. What takes longer is answered later.
    pub(in crate::slave) fn answer(
        &mut self,
        conn: ConnId,
        request: &ControlRequest<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        let command = Waiter::Command(conn);
        match request {
            ControlRequest::PokeRequest(poke) => {
                self.poke(poke.entry.as_deref(), PokedBy::Command, turn)?;
                turn.control.done(conn, None, turn.out);
            }
            ControlRequest::NotifyRequest(notify) => {
                self.in_progress()?;
                self.part.check_trigger(&notify.trigger)?;
                if notify.data.is_some_and(|data| data.json.get().len() > NOTE_MAX) {
                    return Err(format!("the data of a notify is at most {NOTE_MAX} bytes long"));
                }
                if self.notifies.full() {
                    return Err(
                        "the controller has been away for too long to count more notifies; try again later".to_owned()
                    );
                }
                turn.control.counts(conn);
                self.notify(&notify.trigger, notify.data, Waiter::Command(conn), turn);
            }
            ControlRequest::BarrierRequest(it) => {
                self.in_progress()?;
                let abort = it.abort.as_deref().map(str::to_owned);
                let what = MeetKind::Barrier { fresh: it.fresh, abort, harmonize: it.harmonize };
                let asked =
                    asked(&it.barrier, it.entry.as_deref(), it.tag.as_deref(), it.party.clone(), it.timeout, what);
                self.meet(asked, command, turn)?;
                turn.control.meets(conn);
                self.waits.watch(turn.now, &mut self.timers);
            }
            ControlRequest::SyncRequest(it) => {
                self.in_progress()?;
                let what = MeetKind::Sync { all_alive: it.all_alive, value: it.value.json.to_owned().into() };
                let asked =
                    asked(&it.session, it.entry.as_deref(), it.tag.as_deref(), it.party.clone(), it.timeout, what);
                self.meet(asked, command, turn)?;
                turn.control.meets(conn);
                self.waits.watch(turn.now, &mut self.timers);
            }
            ControlRequest::ReadyRequest(ready) => {
                self.in_progress()?;
                self.says_ready(&ready.entry, ready.nr, turn)?;
                turn.control.done(conn, None, turn.out);
            }
            ControlRequest::WaitRequest(wait) => {
                self.in_progress()?;
                self.part.check_trigger(&wait.trigger)?;
                if self.triggers.has_fired(&wait.trigger) {
                    let notes = self.triggers.notes(&wait.trigger);
                    turn.control.done(conn, notes, turn.out);
                } else {
                    turn.control.waits(conn, &wait.trigger, wait.entry.as_deref().map(str::to_owned));
                    self.waits.watch(turn.now, &mut self.timers);
                }
            }
        }
        Ok(())
    }

    /// Runs this `poke` entry, or all.
    pub(in crate::slave) fn poke(
        &mut self,
        entry: Option<&str>,
        by: PokedBy,
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        self.in_progress()?;
        if !self.running() {
            return Err("the run is ending".to_owned());
        }
        if self.reports.full() {
            return Err("the controller has been away for too long to note more pokes; try again later".to_owned());
        }
        let entries = Occasion::Poke(entry).entries(&self.part.entries);
        if let Some(name) = entry.filter(|_| entries.is_empty()) {
            return Err(self.not_pokable(name));
        }
        self.reports.push(SlaveEvent::Poked { entry: entry.map(Into::into), by }, turn);
        self.queue.add(entries, None);
        Ok(())
    }

    fn not_pokable(&self, name: &str) -> String {
        let schedule = &self.part.entries;
        let wrong = if schedule.iter().any(|entry| entry.name == name) {
            format!("entry {name:?} is no poke entry")
        } else {
            format!("there is no entry {name:?} on this slave")
        };
        let pokable = schedule.iter().filter(|entry| entry.policy == Policy::Poke).map(|entry| entry.name.as_str());
        format!("{wrong}; its poke entries: {}", listed(pokable))
    }

    /// Whether something may be asked of the run.
    fn in_progress(&self) -> Result<(), String> {
        if !self.begun() {
            Err("the run has not started yet".to_owned())
        } else if self.shipping() || self.stopped() {
            Err("the run has ended".to_owned())
        } else {
            Ok(())
        }
    }
}

fn asked(
    name: &str,
    entry: Option<&str>,
    tag: Option<&str>,
    party: Option<Party>,
    timeout: Option<u64>,
    what: MeetKind,
) -> MeetRequest {
    let (entry, tag) = (entry.map(str::to_owned), tag.map(str::to_owned));
    MeetRequest { name: name.to_owned(), tag, party, timeout, entry, what }
}
