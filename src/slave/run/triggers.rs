//! The triggers and notifies of a run: starts entries when a trigger fires, and has the controller count notifies.

use crate::machine::faults::{Fault, injected};
use crate::slave::notifies::Waiter;
use crate::slave::process::EntryRun;
use crate::slave::refusal::Refusal;
use crate::slave::run::{Phase, Run, is_awaited};
use crate::slave::schedule::Occasion;
use crate::slave::shorten::clip;
use crate::slave::turn::Turn;
use crate::wire::{Noted, Notify, RawJson, Refused, SlaveEvent};

impl Run {
    /// A trigger has fired. Acts once, although the controller may send it again.
    pub(super) fn triggered(&mut self, trigger: &str, notes: Option<&RawJson<'_>>, turn: &mut Turn<'_>) {
        if self.part.check_trigger(trigger).is_err() {
            return log::warn!("a trigger fired that the test does not have");
        }
        if let Some(notes) = notes {
            self.triggers.set_notes(trigger, notes.json);
        }
        if !self.begun() {
            return self.triggers.fire_early(trigger);
        }
        if self.stopped() || !self.triggers.fire(trigger) {
            return;
        }
        self.idle = None;
        self.reports.push(SlaveEvent::Heard { trigger: trigger.into() }, turn);
        turn.control.fired(trigger, self.triggers.notes(trigger), turn.out);
        if self.running() {
            self.triggers.set_unsettled(trigger);
            let entries = Occasion::Trigger(trigger).entries(&self.part.entries);
            self.queue.add(entries, Some(trigger));
        }
    }

    /// Counts one notify, and sends the total.
    pub(super) fn notify(&mut self, trigger: &str, data: Option<RawJson<'_>>, waiter: Waiter, turn: &mut Turn<'_>) {
        let count = self.notifies.add(trigger, data.map(|note| note.json), waiter);
        let count = if injected(Fault::NotifyIsADelta) { 1 } else { count };
        turn.say(&Notify { room: self.id().into(), trigger: trigger.into(), count, data });
    }

    pub(super) fn noted(&mut self, noted: &Noted<'_>, turn: &mut Turn<'_>) {
        for (count, waiter) in self.notifies.noted(&noted.trigger, noted.count) {
            let late = noted.in_time.is_some_and(|in_time| in_time < count);
            match waiter {
                Waiter::Entry(key) => self.notify_over(key, Ok(()), turn),
                Waiter::Command(conn) => turn.control.noted(conn, noted.left, late, turn.out),
                Waiter::None => {}
            }
        }
    }

    pub(super) fn refused(&mut self, refused: &Refused<'_>, turn: &mut Turn<'_>) {
        let why = Refusal::Controller(refused.reason.clone().into_owned());
        for waiter in self.notifies.refused(&refused.trigger) {
            match waiter {
                Waiter::Entry(key) => self.notify_over(key, Err(&refused.reason), turn),
                Waiter::Command(conn) => turn.control.fail(conn, &why, turn.out),
                Waiter::None => log::warn!("{}", clip(&refused.reason)),
            }
        }
    }

    /// Reports the triggers with no consequences that still go on.
    pub(super) fn say_settled(&mut self, turn: &mut Turn<'_>) {
        let (part, finishing) = (&self.part, self.phase == Phase::Finishing);
        let (processes, queue) = (&self.processes, &self.queue);
        let settled = self.triggers.take_settled(|trigger| {
            let caused = |run: &EntryRun| run.cause.as_deref() == Some(trigger) && is_awaited(run, part, finishing);
            processes.iter().any(caused) || queue.defers_for(trigger)
        });
        for trigger in settled {
            self.reports.push(SlaveEvent::Settled { trigger: trigger.into() }, turn);
        }
    }
}
