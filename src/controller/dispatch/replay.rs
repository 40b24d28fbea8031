//! Keeping a ledger, and continuing from that of an earlier controller.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::ledger::rounds::{arrivals_of, map_of, past_round, round_fact};
use crate::controller::ledger::{Damage, Fact, FileError, Keep, Ledger, LedgerError, Past, TimeLine};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{Act, Outcome, PastRound, Process};
use crate::controller::room::room::Room;
use crate::controller::run::record::By;
use crate::controller::run::run::Run;
use crate::controller::run::runs::RunNr;
use crate::controller::session::processes::{Processes, Speaker};
use crate::exit_code;
use crate::machine::{Bytes, Effect, Outbox, Stream, Time};

/// Outcomes by room, kind of meeting, round and reason.
type Rulings = BTreeMap<(String, Meeting, u64, String), Rc<Outcome>>;

/// The state of a replay.
#[derive(Default)]
struct Replay {
    /// The run that the ledger belongs to.
    run: Option<RunNr>,
    /// The map of the next round.
    map: Option<Bytes>,
    /// The last outcome.
    last: Option<Rc<Outcome>>,
    /// The outcomes of a ledger that was rewritten, until its last piece.
    outcomes: Option<Rulings>,
}

impl Controller {
    /// Adds a ledger, so that the controller can be killed and continued.
    pub fn keeping(mut self, keep: Keep) -> Controller {
        self.keeper.keep(keep);
        self
    }

    /// Continues an earlier controller from its ledger, and repairs the time line of its run, if it has one. Fails if the
    /// ledger contradicts itself: the error names the place.
    pub fn resumed(mut self, past: &Past, time_line: &mut dyn TimeLine) -> Result<Controller, LedgerError> {
        let path = self.keeper.resume(past);
        let nr = self.runs.first_mut().map(|(nr, run)| {
            run.restore_files(past);
            nr
        });
        self.replay_all(past, &path, nr, time_line)?;
        self.rooms.number_on();
        Ok(self)
    }

    /// Replays the ledger of an earlier controller. `time_line` gets what the replay records in the time line.
    pub(in crate::controller) fn replay_all(
        &mut self,
        past: &Past,
        path: &Path,
        run: Option<RunNr>,
        time_line: &mut dyn TimeLine,
    ) -> Result<(), LedgerError> {
        let (mut replay, mut out) = (Replay { run, ..Replay::default() }, Outbox::new());
        let mut repaired = Ok(());
        past.each_line(path, |line| {
            for fact in &line.facts {
                self.replay(line.at, fact, &mut replay, &mut out)?;
            }
            if let Some(run) = run.and_then(|nr| self.runs.get_mut(nr)) {
                let by = line.facts.iter().find_map(|fact| by(fact, &self.processes)).unwrap_or(By::Other);
                run.replay_charge(by, line.end);
            }
            put_all(&mut out, time_line, &mut repaired);
            Ok(())
        })?;
        if let Some(run) = run.and_then(|nr| self.runs.get_mut(nr)) {
            run.event_log.replayed(&mut out);
            put_all(&mut out, time_line, &mut repaired);
            if run.event_log.has_begun() {
                repaired = repaired.and_then(|()| time_line.end());
            }
            run.not_rebuilt = repaired.err();
        }
        self.keeper.goes_on_after(past.last());
        Ok(())
    }

    /// Continues an earlier controller from now on. Every peer has as long to return as if its connection had just been lost.
    pub(in crate::controller) fn go_on(&mut self, now: Time) {
        if self.ledger_is_of_rooms() {
            self.keeper.write_resumed();
        }
        self.processes.disconnect_all(now);
        self.rooms.touch_all(&self.runs);
    }

    /// Handles that a file of no run could not be written. A controller of rooms that cannot write its ledger ends before
    /// anything of this turn is sent, so that a service manager starts it again when there is space.
    pub(in crate::controller) fn ledger_failed(&mut self, path: &Path, error: &str, out: &mut Outbox) {
        if self.keeper.write_failed(path) {
            let why = format!(
                "arete: cannot write {}: {error}: the controller answers nothing that is not kept",
                path.display()
            );
            out.print(Stream::Err, format!("{why}\n"));
            out.halt(exit_code::FAILED);
        }
    }

    fn replay(&mut self, at: Time, fact: &Fact<'_>, replay: &mut Replay, out: &mut Outbox) -> Result<(), Damage> {
        match fact {
            Fact::Process { room, process, slave, member, incarnation } => {
                let (speaker, rejoin) = match slave {
                    Some(ix) => {
                        let run = self.runs_member(replay.run, *ix)?;
                        (Speaker::Slave(*ix, Rc::from(&*run.roster.get(*ix).name)), run.lost_after)
                    }
                    None => (Speaker::Client(member.as_deref().map(Rc::from)), self.rejoin),
                };
                let (process, room) = (Process(*process), self.room_named(room).name.clone());
                self.processes.restore(process, &room, speaker, incarnation, rejoin);
                if let Some(ix) = slave {
                    self.runs_member(replay.run, *ix)?.roster.get_mut(*ix).process = Some(process);
                }
            }
            Fact::LastRound(round) => self.rooms.restore_last_round(*round),
            Fact::Map(map) => replay.map = Some(Bytes::from([map.get().as_bytes(), b"\n"].concat())),
            Fact::Rewriting => replay.outcomes = Some(BTreeMap::new()),
            Fact::Rewritten => replay.outcomes = None,
            of_a_trigger @ (Fact::Notified { .. }
            | Fact::Created { .. }
            | Fact::Deleted { .. }
            | Fact::Trigger { .. }) => {
                self.replay_trigger(at, of_a_trigger, out)?;
            }
            of_a_meeting @ (Fact::Round { .. }
            | Fact::Unheard { .. }
            | Fact::Late { .. }
            | Fact::FailedRoundDropped { .. }
            | Fact::Heard { .. }) => self.replay_meeting(at, of_a_meeting, replay)?,
            of_the_run => {
                if let Some(ix) = slave_of(of_the_run) {
                    self.runs_member(replay.run, ix)?;
                }
                if let Some(run) = replay.run.and_then(|nr| self.runs.get_mut(nr)) {
                    run.apply(at, of_the_run, out);
                }
            }
        }
        Ok(())
    }

    fn replay_trigger(&mut self, at: Time, fact: &Fact<'_>, out: &mut Outbox) -> Result<(), Damage> {
        match fact {
            Fact::Notified { room, process, from, trigger, total, notes } => {
                let (counts, process) = ((&**trigger, *total), Process(*process));
                let counted = self.room_named(room).notified(at, process, from, counts, notes);
                let counted = counted
                    .ok_or_else(|| Damage::NoTrigger { room: room.to_string(), trigger: trigger.to_string() })?;
                if let Some(run) = self.runs.by_id_mut(room) {
                    run.replay_notify(at, from, trigger, counted, out);
                }
            }
            Fact::Created { room, trigger, count } => {
                self.room_named(room).triggers.create(None, trigger, *count)?;
            }
            Fact::Deleted { room, trigger } => {
                self.room_named(room).triggers.delete(trigger);
            }
            Fact::Trigger { room, trigger, initial, notified, fired, totals, notes } => {
                let triggers = &mut self.room_named(room).triggers;
                triggers.restore(trigger, (*initial, *notified), *fired, totals);
                notes.iter().for_each(|(from, note)| triggers.add_note(trigger, (None, &**from), note));
            }
            _ => {}
        }
        Ok(())
    }

    fn replay_meeting(&mut self, at: Time, fact: &Fact<'_>, replay: &mut Replay) -> Result<(), Damage> {
        match fact {
            Fact::Round { room, kind, meeting, round, reason, .. } => {
                let past = past_round(fact, replay.map.take());
                let outcome = self.room_named(room).restore(*kind, meeting, past, at);
                if let Some(outcomes) = &mut replay.outcomes {
                    outcomes.insert((room.to_string(), *kind, *round, reason.to_string()), outcome.clone());
                }
                replay.last = Some(outcome);
            }
            Fact::Unheard { room, kind, round, reason, arrivals } => {
                let key = (room.to_string(), *kind, *round, reason.to_string());
                let outcome = replay.outcomes.as_ref().and_then(|outcomes| outcomes.get(&key));
                let outcome = outcome.ok_or_else(|| Damage::NoRound { room: room.to_string(), round: *round })?.clone();
                self.room_named(room).restore_unheard(*kind, &arrivals_of(arrivals), &outcome, at);
            }
            Fact::Late { room, kind, meeting, member, process, id, ends } => {
                let (member, arrival) = (Rc::from(&**member), (Process(*process), *id));
                let last = replay.last.clone().filter(|_| *ends);
                self.room_named(room).restore_late((*kind, meeting), &member, arrival, last, at);
            }
            Fact::FailedRoundDropped { room, kind, meeting } => self.room_named(room).restore_dropped(*kind, meeting),
            Fact::Heard { room, process, ids } => {
                self.room_named(room).confirm(Process(*process), ids);
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns whether the controller's ledger is of rooms alone. Only such a ledger is rewritten when it is long.
    pub(in crate::controller) fn ledger_is_of_rooms(&self) -> bool {
        self.runs.values().all(|run| !run.ledger.is(self.keeper.ledger()))
    }

    /// Writes the next piece of a ledger of rooms that is being rewritten, or begins to rewrite it if it is long.
    pub(in crate::controller) fn rewrite_if_long(&mut self, now: Time, out: &mut Outbox) {
        self.keeper.rewrite_if_long(now, self.ledger_is_of_rooms(), (&self.processes, &self.rooms), out);
    }

    /// Returns the ledger for what happens in a room.
    pub(in crate::controller) fn ledger_of(&self, room: &str) -> Ledger {
        self.runs.by_id(room).map_or(self.keeper.ledger(), |run| &run.ledger).clone()
    }

    /// Returns the run that the ledger belongs to. Fails if it has no such slave.
    fn runs_member(&mut self, run: Option<RunNr>, ix: usize) -> Result<&mut Run, Damage> {
        let run = run.and_then(|nr| self.runs.get_mut(nr)).filter(|run| ix < run.roster.len());
        run.ok_or(Damage::NoSlave(ix))
    }

    /// Returns a room of the earlier controller. It is restored if this is the first fact about it.
    fn room_named(&mut self, name: &str) -> &mut Room {
        if self.runs.find(name).is_none() {
            self.rooms.restore(name, self.limits, &self.budget);
        }
        self.rooms.of(&mut self.runs, name).expect("it was just made if it was not there")
    }

    /// Writes the decision of a room to its ledger.
    pub(in crate::controller) fn enter_act(&self, room: &str, kind: Meeting, act: &Act) {
        let ledger = self.ledger_of(room);
        if !ledger.is_open() {
            return;
        }
        let room = Cow::from(room);
        match act {
            Act::Over { meeting, outcome, arrivals, audience, .. } => {
                let past = PastRound::new(outcome, arrivals.clone(), audience.clone());
                if let Some(map) = map_of(&past) {
                    ledger.write_raw("map", map);
                }
                ledger.write(&round_fact(&room, kind, meeting, &past));
            }
            Act::Late { meeting, member, arrival, ends } => ledger.write(&Fact::Late {
                room,
                kind,
                meeting: Cow::from(&**meeting),
                member: Cow::from(&**member),
                process: arrival.0.0,
                id: arrival.1,
                ends: *ends,
            }),
            Act::FailedRoundDropped { meeting } => {
                ledger.write(&Fact::FailedRoundDropped { room, kind, meeting: Cow::from(&**meeting) });
            }
            _ => {}
        }
    }
}

/// Appends what was recorded to the time line, unless that has failed before.
fn put_all(out: &mut Outbox, time_line: &mut dyn TimeLine, repaired: &mut Result<(), FileError>) {
    for effect in out.drain() {
        if let (Effect::Append { bytes, .. }, Ok(())) = (effect, &repaired) {
            *repaired = time_line.put(&bytes);
        }
    }
}

/// Returns which peer caused a fact.
fn by(fact: &Fact<'_>, processes: &Processes) -> Option<By> {
    let process = match fact {
        Fact::Process { process, .. } | Fact::Notified { process, .. } => process,
        Fact::Late { process, .. } | Fact::Heard { process, .. } => process,
        other => return slave_of(other).map(By::Slave),
    };
    match processes.get(Process(*process))?.speaker {
        Speaker::Slave(ix, _) => Some(By::Slave(ix)),
        Speaker::Client(_) => Some(By::Client),
    }
}

/// Returns which slave a fact is about.
fn slave_of(fact: &Fact<'_>) -> Option<usize> {
    match fact {
        Fact::Joined { slave, .. } | Fact::Ready { slave } | Fact::Report { slave, .. } => Some(*slave),
        Fact::Disconnected { slave, .. } | Fact::Lost { slave, .. } | Fact::Stopped { slave } => Some(*slave),
        Fact::Failed { slave, .. } => *slave,
        _ => None,
    }
}
