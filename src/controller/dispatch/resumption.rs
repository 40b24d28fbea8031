//! Keeping a ledger, and going on from that of a former life.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::ledger::rounds::{arrivals_of, former, map_of, round_fact};
use crate::controller::ledger::{Damage, FORMAT, Fact, FileError, Header, Keep, Ledger, LedgerError, Past, TimeLine};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{Act, Outcome, PastRound, Process};
use crate::controller::room::room::Room;
use crate::controller::run::record::By;
use crate::controller::run::run::Run;
use crate::controller::run::runs::RunNr;
use crate::controller::session::processes::{Processes, Speaker};
use crate::exit_code;
use crate::machine::{Bytes, Effect, Outbox, Stream, Time};
use crate::session::VERSION;

/// From this length on, in bytes, a ledger of rooms is written anew when it has doubled: most of it is dead by then.
const REWRITE_FROM: u64 = 1024 * 1024;

/// Rulings, of syncs or not, by room, round and reason.
type Rulings = BTreeMap<(String, Meeting, u64, String), Rc<Outcome>>;

/// What is known while a ledger is gone through.
#[derive(Default)]
struct Replay {
    /// The run whose ledger it is.
    run: Option<RunNr>,
    /// The map of the round that comes.
    map: Option<Bytes>,
    /// The last ruling of barriers and of syncs.
    last: Option<Rc<Outcome>>,
    /// While the ledger was written anew.
    outcomes: Option<Rulings>,
}

impl Controller {
    /// The same with a ledger, so that it can be killed and go on.
    pub fn keeping(mut self, keep: Keep) -> Controller {
        self.ledger.open(keep.path.clone(), 0, keep.rewrite_from.unwrap_or(REWRITE_FROM));
        self.keep = Some(keep);
        self
    }

    /// The same with what a former life has left, and whose time line, if it has a run, is mended. An error says what is
    /// wrong with its ledger, and where.
    pub fn resumed(mut self, past: &Past, time_line: &mut dyn TimeLine) -> Result<Controller, LedgerError> {
        let keep = self.keep.take().unwrap_or_default();
        self.shift = past.shift(&keep.boot, keep.wall_offset);
        self.ledger.open(keep.path.clone(), past.whole(), keep.rewrite_from.unwrap_or(REWRITE_FROM));
        self.header = Some(past.header.clone());
        let nr = self.runs.first_mut().map(|(nr, run)| {
            run.restore_files(past);
            nr
        });
        self.replay_all(past, &keep.path, nr, time_line)?;
        self.rooms.number_on();
        self.resumes = true;
        self.keep = Some(keep);
        Ok(self)
    }

    /// Goes through the ledger of a former life. What that says beside, of the time line alone, is taken by this.
    pub(in crate::controller) fn replay_all(
        &mut self,
        past: &Past,
        path: &Path,
        run: Option<RunNr>,
        time_line: &mut dyn TimeLine,
    ) -> Result<(), LedgerError> {
        let (mut replay, mut out) = (Replay { run, ..Replay::default() }, Outbox::new());
        let mut mended = Ok(());
        past.each_line(path, |line| {
            for fact in &line.facts {
                self.replay(line.at, fact, &mut replay, &mut out)?;
            }
            if let Some(run) = run.and_then(|nr| self.runs.get_mut(nr)) {
                let by = line.facts.iter().find_map(|fact| by(fact, &self.processes)).unwrap_or(By::Other);
                run.replay_charge(by, line.end);
            }
            put_all(&mut out, time_line, &mut mended);
            Ok(())
        })?;
        if let Some(run) = run.and_then(|nr| self.runs.get_mut(nr)) {
            run.event_log.replayed(&mut out);
            put_all(&mut out, time_line, &mut mended);
            if run.event_log.has_begun() {
                mended = mended.and_then(|()| time_line.end());
            }
            run.not_rebuilt = mended.err();
        }
        self.resumed_after = self.resumed_after.max(past.last());
        Ok(())
    }

    /// The first thing of all: a ledger begins, or its clock goes on.
    pub(in crate::controller) fn open_ledger(&mut self, now: Time, out: &mut Outbox) {
        let Some(keep) = &self.keep else { return };
        if self.resumes {
            // Whatever the wall clock says, nothing happens before what has happened.
            let behind = self.resumed_after.as_micros() as i64 - (now.as_micros() as i64 + self.shift);
            self.shift += behind.max(0);
            return;
        }
        let (by, boot, run) = (VERSION.to_owned(), keep.boot.clone(), keep.terms.clone());
        let header = Header { format: FORMAT, by, wall_offset: keep.wall_offset, begun: now, boot, shift: 0, run };
        self.ledger.head(&header);
        self.ledger.flush(out.mark(), out);
        self.header = Some(header);
    }

    /// A former life goes on from now: everybody has as long to come back as if the connections had just gone.
    pub(in crate::controller) fn go_on(&mut self, now: Time) {
        if let Some(keep) = self.keep.as_ref().filter(|_| self.is_rewritten(&self.ledger)) {
            self.ledger.write(&Fact::Resumed { boot: Cow::from(&keep.boot), shift: self.shift });
        }
        self.processes.disconnect_all(now);
        self.rooms.touch_all(&self.runs);
    }

    /// A controller of rooms alone cannot write its ledger: what it would say now nobody could rely on. It ends before
    /// anything of this turn is said, so that whoever watches over it starts it again when there is room.
    pub(in crate::controller) fn cannot_keep(&mut self, path: &Path, error: &str, out: &mut Outbox) {
        self.ledger.keep_old(path);
        if self.ledger.is_at(path) {
            self.ledger.stop_writing();
            let why = format!("arete: cannot write {}: {error}; nothing is said that is not kept", path.display());
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
            Fact::LastRound(round) => self.rooms.restore_last_round(*round),
            Fact::Map(map) => replay.map = Some(Bytes::from([map.get().as_bytes(), b"\n"].concat())),
            Fact::Round { room, kind, meeting, round, reason, .. } => {
                let former = former(fact, replay.map.take());
                let outcome = self.room_named(room).restore(*kind, meeting, former, at);
                if let Some(outcomes) = &mut replay.outcomes {
                    outcomes.insert((room.to_string(), *kind, *round, reason.to_string()), outcome.clone());
                }
                replay.last = Some(outcome);
            }
            Fact::Rewriting => replay.outcomes = Some(BTreeMap::new()),
            Fact::Rewritten => replay.outcomes = None,
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

    /// Whether this ledger is of rooms alone, and so written anew when it is long.
    pub(in crate::controller) fn is_rewritten(&self, ledger: &Ledger) -> bool {
        self.runs.values().all(|run| !run.ledger.is(ledger))
    }

    /// The ledger of what happens in a room.
    pub(in crate::controller) fn ledger_of(&self, room: &str) -> Ledger {
        self.runs.by_id(room).map_or(&self.ledger, |run| &run.ledger).clone()
    }

    /// The run that a ledger is of, which has a slave at this place.
    fn runs_member(&mut self, run: Option<RunNr>, ix: usize) -> Result<&mut Run, Damage> {
        let run = run.and_then(|nr| self.runs.get_mut(nr)).filter(|run| ix < run.roster.len());
        run.ok_or(Damage::NoSlave(ix))
    }

    /// A room of a former life: it was there when something happened in it.
    fn room_named(&mut self, name: &str) -> &mut Room {
        if self.runs.find(name).is_none() {
            self.rooms.restore(name, self.limits, &self.budget);
        }
        self.rooms.of(&mut self.runs, name).expect("it was just made if it was not there")
    }

    /// Writes what an act of a room decides.
    pub(in crate::controller) fn enter_act(&self, room: &str, kind: Meeting, act: &Act) {
        let ledger = self.ledger_of(room);
        if !ledger.is_open() {
            return;
        }
        let room = Cow::from(room);
        match act {
            Act::Over { meeting, outcome, arrivals, audience, .. } => {
                let former = PastRound::new(outcome, arrivals.clone(), audience.clone());
                enter_round(&ledger, &room, kind, meeting, &former);
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

/// Writes what a round has decided.
fn enter_round(ledger: &Ledger, room: &str, kind: Meeting, meeting: &str, former: &PastRound) {
    if let Some(map) = map_of(former) {
        ledger.write_raw("map", map);
    }
    ledger.write(&round_fact(room, kind, meeting, former));
}

/// Hands on what was appended, as far as it can be written.
fn put_all(out: &mut Outbox, time_line: &mut dyn TimeLine, mended: &mut Result<(), FileError>) {
    for effect in out.drain() {
        if let (Effect::Append { bytes, .. }, Ok(())) = (effect, &mended) {
            *mended = time_line.put(&bytes);
        }
    }
}

/// Who was the cause of a fact.
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

/// Which slave a fact is about.
fn slave_of(fact: &Fact<'_>) -> Option<usize> {
    match fact {
        Fact::Joined { slave, .. } | Fact::Ready { slave } | Fact::Report { slave, .. } => Some(*slave),
        Fact::Disconnected { slave, .. } | Fact::Lost { slave, .. } | Fact::Stopped { slave } => Some(*slave),
        Fact::Failed { slave, .. } => *slave,
        _ => None,
    }
}
