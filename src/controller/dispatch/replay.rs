//! Continuing from the ledger of an earlier controller: each fact is applied as the live controller applied it.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::ledger::rounds::{arrivals_of, decision_of};
use crate::controller::ledger::{Damage, Fact, FileError, LedgerError, Past, TimeLine};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{Decision, Outcome, PastRound, Process};
use crate::controller::room::room::Room;
use crate::controller::run::record::By;
use crate::controller::run::run::Run;
use crate::controller::run::runs::RunNr;
use crate::controller::session::processes::{Processes, Speaker};
use crate::machine::{Bytes, Effect, Outbox, Time};

/// Outcomes by room, kind of meeting, round and reason.
type Rulings = BTreeMap<(String, Meeting, u64, String), Rc<Outcome>>;

/// The state of a replay.
#[derive(Default)]
struct Replay {
    /// The run that the ledger belongs to.
    run: Option<RunNr>,
    /// The map of the next round.
    map: Option<Bytes>,
    /// The outcomes of a ledger that was rewritten, until its last piece.
    outcomes: Option<Rulings>,
}

impl Controller {
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
            let has_begun = run.end_replay(&mut out);
            put_all(&mut out, time_line, &mut repaired);
            if has_begun {
                repaired = repaired.and_then(|()| time_line.end());
            }
            run.time_line_rebuilt(repaired);
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

    fn replay(&mut self, at: Time, fact: &Fact<'_>, replay: &mut Replay, out: &mut Outbox) -> Result<(), Damage> {
        match fact {
            Fact::Process { room, process, slave, member, incarnation } => {
                let (speaker, rejoin) = match slave {
                    Some(ix) => {
                        let run = self.runs_member(replay.run, *ix)?;
                        (Speaker::Slave(*ix as u32, Rc::from(&*run.roster.get(*ix).name)), run.lost_after)
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
            Fact::Notified { room, process, from, trigger, total, notes } => {
                let triggers = &mut self.room_named(room).triggers;
                let counted = triggers.notified(at, *process, from, (&**trigger, *total), notes);
                let counted = counted
                    .ok_or_else(|| Damage::NoTrigger { room: room.to_string(), trigger: trigger.to_string() })?;
                if let Some(run) = self.runs.by_id_mut(room) {
                    run.replay_notify(at, from, trigger, counted, out);
                }
            }
            Fact::Created { room, trigger, count } => self.room_named(room).triggers.create(None, trigger, *count)?,
            Fact::Deleted { room, trigger } => drop(self.room_named(room).triggers.delete(trigger)),
            Fact::Trigger { room, trigger, initial, notified, fired, totals, notes } => {
                let triggers = &mut self.room_named(room).triggers;
                triggers.restore(trigger, (*initial, *notified), *fired, totals, notes);
            }
            Fact::Round { .. } | Fact::Late { .. } | Fact::FailedRoundDropped { .. } => {
                let decided = decision_of(fact, replay.map.take(), &self.budget);
                let Some((room, kind, meeting, decision)) = decided else { return Ok(()) };
                if let (Some(outcomes), Decision::Over(past)) = (&mut replay.outcomes, &decision) {
                    let key = (room.to_owned(), kind, past.outcome.round, past.outcome.reason.clone());
                    outcomes.insert(key, past.outcome.clone());
                }
                self.room_named(room).apply(kind, meeting, &decision, at);
            }
            // A long list of arrivals is written in pieces. A live controller has them all when the round is over.
            Fact::Unheard { room, kind, round, reason, arrivals } => {
                let key = (room.to_string(), *kind, *round, reason.to_string());
                let outcome = replay.outcomes.as_ref().and_then(|outcomes| outcomes.get(&key));
                let outcome = outcome.ok_or_else(|| Damage::NoRound { room: room.to_string(), round: *round })?.clone();
                // A round without an audience changes no meeting, whatever its name.
                let past = PastRound { outcome, arrivals: arrivals_of(arrivals), audience: None };
                self.room_named(room).apply(*kind, "", &Decision::Over(Rc::new(past)), at);
            }
            Fact::Heard { room, process, ids } => drop(self.room_named(room).confirm(Process(*process), ids)),
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
    match processes.get(Process(*process))?.identity.speaker {
        Speaker::Slave(ix, _) => Some(By::Slave(ix as usize)),
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
