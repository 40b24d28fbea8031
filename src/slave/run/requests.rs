//! Handles the requests on the control socket.

use crate::machine::ConnId;
use crate::slave::members::{MeetKind, MeetRequest};
use crate::slave::notifies::Waiter;
use crate::slave::refusal::Refusal;
use crate::slave::run::Run;
use crate::slave::schedule::Occasion;
use crate::slave::shorten::listed;
use crate::slave::turn::Turn;
use crate::wire::rendezvous::{NOTE_MAX, Party};
use crate::wire::{ControlRequest, Measurement, PokedBy, Policy, RecordRequest, SlaveEvent};

impl Run {
    /// Carries out a request. Fails if it is refused. If the controller must answer first, the reply is sent later.
    pub(in crate::slave) fn answer(
        &mut self,
        conn: ConnId,
        request: &ControlRequest<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
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
                    return Err(Refusal::LongData);
                }
                if self.notifies.full() {
                    return Err(Refusal::UncountedNotifies);
                }
                turn.control.counts(conn);
                self.notify(&notify.trigger, notify.data, command, turn);
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
            ControlRequest::RecordRequest(record) => {
                self.in_progress()?;
                self.record(record, turn)?;
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

    /// Runs this `poke` entry, or all of them. Fails if there is none, or the run is not in progress.
    pub(in crate::slave) fn poke(
        &mut self,
        entry: Option<&str>,
        by: PokedBy,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        self.in_progress()?;
        if !self.running() {
            return Err(Refusal::Ending);
        }
        if self.reports.full() {
            return Err(Refusal::UnrecordedPokes);
        }
        let entries = Occasion::Poke(entry).entries(&self.part.entries);
        if let Some(name) = entry.filter(|_| entries.is_empty()) {
            return Err(self.not_pokable(name));
        }
        self.reports.push(SlaveEvent::Poked { entry: entry.map(Into::into), by }, turn);
        self.queue.add(entries, None);
        Ok(())
    }

    /// Reports the measurements of a command. They are facts from then on, whatever becomes of the connection.
    fn record(&mut self, record: &RecordRequest<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        if let Some(entry) = record.entry.as_deref().filter(|entry| self.part.index_of(entry).is_none()) {
            return Err(Refusal::NoEntry { entry: entry.to_owned() });
        }
        if self.reports.full() {
            return Err(Refusal::UnrecordedMeasurements);
        }
        self.measurements.admit(&record.measurements)?;
        for Measurement { name, value, unit, lower_is_better } in &record.measurements {
            let (entry, name, unit) = (record.entry.as_deref(), &**name, unit.as_deref());
            let event = SlaveEvent::Measured {
                entry: entry.map(Into::into),
                nr: record.nr,
                name: name.into(),
                value: *value,
                unit: unit.map(Into::into),
                lower_is_better: *lower_is_better,
            };
            self.reports.push(event, turn);
        }
        Ok(())
    }

    fn not_pokable(&self, name: &str) -> Refusal {
        let schedule = &self.part.entries;
        let exists = self.part.index_of(name).is_some();
        let pokable = schedule.iter().filter(|entry| entry.policy == Policy::Poke).map(|entry| entry.name.as_str());
        Refusal::NotPokable { entry: name.to_owned(), exists, pokable: listed(pokable) }
    }

    /// Fails unless the run has started and has not ended.
    fn in_progress(&self) -> Result<(), Refusal> {
        if !self.begun() {
            Err(Refusal::NotStarted)
        } else if self.shipping() || self.stopped() {
            Err(Refusal::Ended)
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
