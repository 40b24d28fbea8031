//! Applies the facts of a run, live and in a replay of the ledger. No decision is made here, and nothing is sent.

use std::rc::Rc;

use crate::controller::ledger::Fact;
use crate::controller::run::failures::{Failure, FailureKind};
use crate::controller::run::roster::{Idle, RunEnd, Stage};
use crate::controller::run::run::{Cause, Phase, Run, Timer};
use crate::machine::faults::{Fault, injected};
use crate::machine::{Outbox, Time};
use crate::testfile::End;
use crate::timeline::event::{self, Event};
use crate::wire::{self, SlaveEvent};

impl Run {
    /// Records a fact in the ledger, before any peer can see it, and applies it.
    pub fn enter(&mut self, now: Time, fact: Fact<'_>, out: &mut Outbox) {
        self.ledger.write(&fact);
        self.apply(now, &fact, out);
    }

    /// Applies a fact. Facts of rooms do not concern the run.
    pub fn apply(&mut self, now: Time, fact: &Fact<'_>, out: &mut Outbox) {
        match fact {
            Fact::Joined { slave, incarnation, address, ip, again, machine } => {
                if let Some(machine) = machine {
                    self.assign(*slave, machine);
                }
                let moved = self.joined(*slave, (!again).then_some(&**incarnation), *ip);
                let (address, machine) = ((&**address).into(), self.roster.get(*slave).machine.clone());
                let event = match again {
                    true => Event::Rejoined { address },
                    false => Event::Joined { address, machine: machine.as_deref().map(Into::into) },
                };
                self.record(now, *slave, &event, out);
                if moved {
                    self.unready_users_of(*slave);
                }
            }
            Fact::Assigned { machines } => {
                machines.iter().enumerate().take(self.roster.len()).for_each(|(ix, machine)| self.assign(ix, machine));
                self.phase = Phase::Gathering;
            }
            Fact::Ready { slave } => {
                self.roster.get_mut(*slave).stage = Stage::Ready;
                self.record(now, *slave, &Event::Ready, out);
            }
            Fact::Start { at, wall_clock } => self.starts(*at, wall_clock, out),
            Fact::Report { slave, seq, at, event } => self.reported(*slave, (*seq, *at), event, out),
            Fact::Disconnected { slave, reason } => {
                self.record(now, *slave, &Event::Disconnected { reason: (&**reason).into() }, out)
            }
            Fact::Lost { slave, reason } => self.on_lost(now, *slave, reason, out),
            Fact::Refused { name, address, reason } => {
                self.refusals.add(name, reason);
                let event =
                    Event::Refused { name: (&**name).into(), address: (&**address).into(), reason: (&**reason).into() };
                self.event_log.record(now, None, &event, out);
            }
            Fact::Failed { kind, slave, entry, why } => {
                let failure = self.failure(now, *kind, (*slave, entry.as_deref()), why);
                self.failures.add(failure);
            }
            Fact::Stopped { slave } => {
                self.roster.get_mut(*slave).stage = Stage::Stopped;
                self.record(now, *slave, &Event::Stopped, out);
            }
            Fact::Resumed { .. } => self.event_log.record(now, None, &Event::Resumed, out),
            Fact::Event(event) => self.event_log.put(now, event.get().as_bytes().to_vec(), out),
            fact => self.apply_end(now, fact, out),
        }
    }

    /// Applies a fact about the end of the run.
    fn apply_end(&mut self, now: Time, fact: &Fact<'_>, out: &mut Outbox) {
        match fact {
            Fact::Finishing { why } => {
                self.timers.clear();
                self.timers.set(Timer::Finish, now + self.test.grace);
                self.event_log.record(now, None, &Event::Finishing { why: (&**why).into() }, out);
                self.phase = Phase::Finishing(why.to_string());
            }
            Fact::Ending { verdict, why, cut } => {
                self.timers.clear();
                self.event_log.record(now, None, &Event::Ending { verdict: *verdict, why: (&**why).into() }, out);
                self.phase = Phase::Ending(Cause { verdict: *verdict, why: why.to_string(), cut: *cut });
            }
            Fact::Interrupted { why } => {
                self.interrupts += 1;
                if let (1, Phase::Ending(cause)) = (self.interrupts, &mut self.phase) {
                    *cause = Cause { verdict: wire::Verdict::Interrupted, why: why.to_string(), cut: false };
                }
            }
            Fact::Ended { verdict, why } => self.on_ended(now, *verdict, why, out),
            _ => {}
        }
    }

    /// Records the machine that serves as a slave.
    fn assign(&mut self, ix: usize, machine: &str) {
        self.slots.give(ix, machine);
        let member = self.roster.get_mut(ix);
        member.machine = (member.name != machine).then(|| Rc::from(machine));
    }

    fn on_lost(&mut self, now: Time, ix: usize, reason: &str, out: &mut Outbox) {
        self.roster.get_mut(ix).stage = Stage::Lost;
        self.absent.lose(ix, reason);
        self.record(now, ix, &Event::Lost { reason: reason.into() }, out);
        if !self.goes_on_without_the_lost() {
            let lost = self.lost(now, ix, reason);
            self.failures.add(lost);
        }
    }

    /// Records that a slave has connected. Returns whether its address has changed.
    fn joined(&mut self, ix: usize, incarnation: Option<&str>, ip: Option<std::net::IpAddr>) -> bool {
        let member = self.roster.get_mut(ix);
        if let Some(incarnation) = incarnation {
            member.begin_incarnation(incarnation);
            self.absent.begin_incarnation(ix);
        }
        let member = self.roster.get_mut(ix);
        if member.stage == Stage::Absent {
            member.stage = Stage::Joined;
        }
        let moved = ip.is_some() && member.address != ip;
        member.address = ip.or(member.address);
        moved
    }

    /// Applies a report of a slave, and records its event as the slave has reported it.
    fn reported(&mut self, ix: usize, (seq, at): (u64, Time), event: &SlaveEvent<'_>, out: &mut Outbox) {
        self.absent.report(ix, self.roster.get(ix), at, event);
        if let Some(failure) = self.failure_in(at, ix, event) {
            self.failures.add(failure);
        }
        let member = self.roster.get_mut(ix);
        (member.recorded, member.reported) = (seq, at);
        match event {
            SlaveEvent::Begun { late, uncertain } => {
                (member.begun, member.idle) = (Some((*late, *uncertain)), None);
            }
            SlaveEvent::Spawned { entry, nr, pid } => {
                member.idle = None;
                member.spawned(at, entry, *nr, *pid);
            }
            SlaveEvent::EntryReady { entry, nr, .. } => member.entry_ready(entry, *nr),
            SlaveEvent::Exited { entry, nr, exit, outcome, attempt, why, .. } => {
                member.exited(
                    entry,
                    *nr,
                    RunEnd { at, exit: *exit, outcome: *outcome, attempt: *attempt, why: None },
                    why.as_deref(),
                );
            }
            SlaveEvent::Tail { entry, nr, text } => self.failures.tail(&member.name, entry, *nr, text),
            SlaveEvent::Heard { .. } => member.idle = None,
            SlaveEvent::Settled { trigger } => {
                member.settled |= matches!(&self.test.end, End::Trigger { trigger: end, .. } if end == trigger);
            }
            SlaveEvent::Idle { heard, services } => member.idle = Some(Idle { heard: *heard, services: *services }),
            SlaveEvent::Cleared => member.cleared = true,
            SlaveEvent::Warning { text } => member.warn(text),
            SlaveEvent::Measured { .. } => {
                self.measurements.add(ix, event);
                if injected(Fault::MeasuredAgain) && self.event_log.is_replaying() {
                    self.measurements.add(ix, event);
                }
            }
            SlaveEvent::Poked { .. }
            | SlaveEvent::End { .. }
            | SlaveEvent::Fault { .. }
            | SlaveEvent::Trouble { .. } => {}
        }
        self.record(at, ix, &Event::Reported(event.clone()), out);
    }

    fn on_ended(&mut self, now: Time, verdict: wire::Verdict, why: &str, out: &mut Outbox) {
        if !self.event_log.has_begun() {
            self.event_log.begin(now, out);
        }
        self.event_log.record(now, None, &Event::Ended { verdict, why: why.into() }, out);
        self.event_log.close(out);
        self.times.end(now);
        if let Phase::Ending(cause) = &self.phase {
            self.phase = Phase::Writing(cause.clone());
        }
        self.timers.clear();
    }

    /// Before the start: makes slaves that have received the old address of this slave prepare again.
    fn unready_users_of(&mut self, ix: usize) {
        if self.phase != Phase::Gathering {
            return;
        }
        let Run { addresses, roster, .. } = self;
        let name = roster.get(ix).name.clone();
        for &other in addresses.users_of(&name) {
            let member = roster.get_mut(other);
            if other != ix && member.stage == Stage::Ready {
                member.stage = Stage::Joined;
            }
        }
    }

    fn starts(&mut self, at: Time, wall_clock: &str, out: &mut Outbox) {
        self.timers.cancel(&Timer::Wait);
        let (End::Duration(limit) | End::Trigger { limit, .. } | End::Idle { limit }) = self.test.end;
        self.timers.set(Timer::End, at + limit);
        self.event_log.begin(at, out);
        self.times.start(at, wall_clock.to_owned());
        let (slaves, wall_clock) = (self.roster.len(), wall_clock.to_owned());
        self.event_log.record(at, None, &Event::Started { slaves, wall_clock }, out);
        self.absent.start(&self.test);
        self.phase = Phase::Running;
    }

    /// Records that a stranger was refused. Repeated refusals of one peer are recorded once.
    pub fn record_refusal(&mut self, now: Time, name: &str, address: &str, reason: &str, out: &mut Outbox) {
        if self.refusals.takes(name, reason) && !self.event_log.is_closed() {
            let (name, address, reason) = (name.into(), address.into(), reason.into());
            self.enter(now, Fact::Refused { name, address, reason }, out);
        }
    }

    /// Records an event that changes no state.
    pub fn note(&mut self, now: Time, event: &Event<'_>, out: &mut Outbox) {
        if !self.event_log.is_closed() {
            let encoded = event::encode(None, event);
            self.ledger.write_raw("event", &encoded);
            self.event_log.record_encoded(now, None, event, encoded, out);
        }
    }

    /// Adds a failure of the run, or of a slave or of an entry in it.
    pub(in crate::controller) fn failure(
        &self,
        now: Time,
        kind: FailureKind,
        (slave, entry): (Option<usize>, Option<&str>),
        reason: &str,
    ) -> Failure {
        let slave = slave.map(|ix| self.roster.get(ix).name.clone());
        let entry = entry.map(|entry| (entry.to_owned(), 1));
        Failure { slave, entry, ..Failure::of_run(kind, now, reason.to_owned()) }
    }

    pub(in crate::controller) fn lost(&self, now: Time, ix: usize, reason: &str) -> Failure {
        self.failure(now, FailureKind::SlaveLost, (Some(ix), None), reason)
    }
}
