//! A run, from the hello of its first slave to the dismissal of its last. It owns the phase, the timers and the
//! verdict. What must never happen: a verdict changes after a peer has received it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::controller::config::{Config, Local};
use crate::controller::ledger::{Fact, Ledger};
use crate::controller::room::rendezvous::ArrivalError;
use crate::controller::room::room::Room;
use crate::controller::room::sync::Limits;
use crate::controller::run::absent::Absent;
use crate::controller::run::addresses::Addresses;
use crate::controller::run::entry_index::EntryIndex;
use crate::controller::run::event_log::EventLog;
use crate::controller::run::failures::{FailureKind, Failures};
use crate::controller::run::launch::Launch;
use crate::controller::run::measurements::Measurements;
use crate::controller::run::outcome_files::OutcomeFiles;
use crate::controller::run::preparation::Preparation;
use crate::controller::run::record::{Record, ShareUsed};
use crate::controller::run::refusals::Refusals;
use crate::controller::run::resources::Resources;
use crate::controller::run::roster::{Roster, RunSlave, Stage};
use crate::controller::run::shipped::Shipped;
use crate::controller::run::slots::Slots;
use crate::controller::run::times::Times;
use crate::controller::session::budget::Budget;
use crate::controller::session::processes::Speaker;
use crate::machine::{Bytes, ConnId, Outbox, Time, Timers};
use crate::testfile::{End, OnFail, OnLost, Test};
use crate::text;
use crate::timeline::event::Event;
use crate::timeline::view::View;
use crate::wire::rendezvous::Check;
use crate::wire::{Dismissed, Manner, Message, Start, Stop, Verdict};

/// How far in the future the start is, so that every slave receives it in time.
const START_LEAD: Duration = Duration::from_millis(100);

/// The extra lead for each slave, because they receive it one after another.
const START_LEAD_PER_SLAVE: Duration = Duration::from_micros(20);

/// How long a slave may be silent while it stops, in addition to three times the grace, before it is lost.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// How long slaves have to end when the controller stops waiting for a clean end.
pub(in crate::controller) const END_AT_ONCE_WITHIN: Duration = Duration::from_secs(2);

/// How many bytes about triggers are sent to a reconnected slave before it must have read them.
const TRIGGERS_SENT_MAX: usize = 2 * 1024 * 1024;

/// The time line of a run, in its results directory.
pub const EVENTS: &str = "events.jsonl";

/// The state of a submitted run.
#[derive(Debug, Clone, Default)]
pub struct Hosted {
    /// The id of its submission.
    pub submission: String,
    /// When it was submitted, as wall-clock time.
    pub submitted: String,
    /// The length of its test file, in bytes.
    pub size: usize,
    /// The size of its files at the last check, in bytes.
    pub seen: u64,
}

/// The deadlines of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// All slaves must be ready.
    Wait,
    /// The test's duration or limit.
    End,
    /// The jobs must have exited on their own.
    Finish,
    /// The slaves must have stopped.
    Stop,
    /// The slaves of an embedded run must have exited.
    Exit,
    /// The processes that slaves of an embedded run have left behind must be gone.
    Sweep,
    /// The next check which slaves of an embedded run have connected.
    Arrivals,
}

/// The phase of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Some of its slaves are not connected, or serve another run.
    Queued,
    /// Slaves connect and prepare.
    Gathering,
    /// The start was set.
    Running,
    /// The end condition of the test holds, for this reason, and jobs still run.
    Finishing(String),
    /// The slaves stop.
    Ending(Cause),
    /// The outcome is being written; no peer has received it.
    Writing(Cause),
    /// Everything is written; the slaves of an embedded run exit.
    Over { code: u8, verdict: Verdict, why: String },
}

/// Why a run ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    pub verdict: Verdict,
    pub why: String,
    /// Jobs that still ran had used up their time to finish.
    pub cut: bool,
}

/// One run.
pub struct Run {
    /// It never changes.
    pub id: String,
    /// It never changes.
    pub test: Rc<Test>,
    pub roster: Roster,
    /// The places for machines that are selected by labels.
    pub(super) slots: Slots,
    pub(super) addresses: Addresses,
    pub(super) entries: EntryIndex,
    pub(in crate::controller) preparation: Preparation,
    pub room: Room,
    /// The analysis of lost slaves, and whether the run has come to a standstill.
    pub(super) absent: Absent,
    /// The triggers that have fired and that waiting clients have not received yet.
    fired: Vec<String>,
    pub(super) resources: Resources,
    pub(super) event_log: EventLog,
    pub(super) phase: Phase,
    pub(super) timers: Timers<Timer>,
    pub(super) results: PathBuf,
    pub(super) launch: Launch,
    /// Where its facts are written: a room's own, or shared by all.
    pub(in crate::controller) ledger: Ledger,
    pub(super) record: Record,
    pub(super) local: Option<Local>,
    pub(super) wait: Option<Duration>,
    /// How long a slave may be disconnected before it is lost.
    pub lost_after: Duration,
    pub(super) times: Times,
    pub(super) failures: Failures,
    pub(super) measurements: Measurements,
    pub(super) interrupts: u32,
    pub(super) shipped: Shipped,
    pub(super) refusals: Refusals,
    /// The state of a submission, if the controller is permanent.
    pub(super) hosted: Option<Hosted>,
    /// The connections of slaves that are lost to the run, with the reasons. They are closed, and the slaves reconnect
    /// without a run.
    parting: Vec<(ConnId, String)>,
    pub(super) outcome: OutcomeFiles,
    /// When an earlier process of the controller began the run, and whether it had started the slaves itself.
    pub(super) begun: Option<Time>,
    pub(super) embedded: bool,
}

impl Run {
    pub fn new(config: Config, budget: &Budget) -> Run {
        let name_width = config.test.slaves.iter().map(|slave| slave.name.len()).max().unwrap_or(1);
        let view = View::new(config.follow, config.terminal, config.colors, name_width);
        let view = view.of_slaves(config.test.slaves.len());
        Run {
            roster: Roster::new(&config.test, budget),
            slots: Slots::new(&config.test),
            addresses: Addresses::new(&config.test),
            entries: EntryIndex::new(&config.test),
            preparation: Preparation::new(budget),
            room: Room::of_run(&config.run, config.test.clone(), budget),
            absent: Absent::default(),
            fired: Vec::new(),
            resources: Resources::new(config.test.clone(), config.run.clone()),
            event_log: EventLog::new(config.results.join(EVENTS), view),
            phase: Phase::Gathering,
            timers: Timers::default(),
            launch: Launch::default(),
            ledger: Ledger::default(),
            record: Record::of(config.test.slaves.len()),
            local: config.local,
            wait: config.wait,
            lost_after: config.lost_after,
            times: Times::new(config.wall_offset),
            failures: Failures::default(),
            measurements: Measurements::new(budget),
            interrupts: 0,
            refusals: Refusals::default(),
            shipped: Shipped::default(),
            hosted: None,
            parting: Vec::new(),
            outcome: OutcomeFiles::default(),
            begun: None,
            embedded: false,
            id: config.run,
            test: config.test,
            results: config.results,
        }
    }

    /// Makes this a submitted run: it waits for its slaves in the queue, and operators can watch it.
    pub fn hosted(mut self, hosted: Hosted) -> Run {
        self.phase = Phase::Queued;
        self.event_log.view = View::silent();
        self.hosted = Some(hosted);
        self
    }

    /// Prints neither events nor a report.
    pub fn be_silent(&mut self) {
        self.event_log.view = View::silent();
    }

    /// Sets the limits for what its slaves and clients can make grow.
    pub fn limit(&mut self, limits: Limits) {
        self.room.set_limits(limits);
        self.event_log.set_events_max(limits.events);
        self.record.set_max(limits.record);
        self.shipped.limit(limits.output);
    }

    /// Starts to wait for the slaves, or starts them.
    pub fn begin(&mut self, now: Time, out: &mut Outbox) {
        if let Some(wait) = self.wait {
            self.timers.set(Timer::Wait, now + wait);
        }
        if let Some(local) = &self.local {
            for (ix, member) in self.roster.iter().enumerate() {
                self.launch.start(local, ix, &member.name, &self.results, out);
            }
            self.await_arrivals(now);
        } else {
            self.launch.start_absent(&self.roster, &self.results, out);
        }
    }

    /// Returns the length of a growing file of its results, in bytes.
    pub fn length_of(&self, file: &str) -> u64 {
        if file == EVENTS {
            return self.event_log.length();
        }
        let member = file.split_once('/').and_then(|(slave, file)| Some((self.roster.find(slave)?, file)));
        member.and_then(|(ix, file)| self.roster.get(ix).files.get(file)).copied().unwrap_or(0)
    }

    /// Returns the name of the submission that began it, or "" if it ends with its controller.
    pub fn submission(&self) -> &str {
        self.hosted.as_ref().map_or("", |hosted| &hosted.submission)
    }

    /// Returns the length of the test that was submitted, in bytes.
    pub fn size(&self) -> usize {
        self.hosted.as_ref().map_or(0, |hosted| hosted.size)
    }

    /// Returns whether it was submitted. Any other run ends with its controller, has a terminal, and launches slaves.
    pub fn is_hosted(&self) -> bool {
        self.hosted.is_some()
    }

    /// Returns whether a file is one of its results.
    pub fn has_file(&self, path: &Path) -> bool {
        path.starts_with(&self.results)
    }

    /// Returns a file of its results.
    pub fn file(&self, name: &str) -> PathBuf {
        self.results.join(name)
    }

    /// Checks whether clients may cause more records.
    pub fn takes_clients(&self) -> Result<(), ShareUsed> {
        self.record.takes_clients(&self.id)
    }

    /// Returns whether the test names this member or its host: as a slave, as the machine that serves as a slave, or as a
    /// guest.
    pub fn invites(&self, member: &str) -> bool {
        let host = member.split_once('#').map_or(member, |(host, _)| host);
        let guests = &self.test.guests;
        let serves = self.roster.find(host).is_some() || self.slots.of(host).is_some();
        serves || guests.contains(host) || guests.contains(member)
    }

    /// Returns whether its files have grown since the last call.
    pub fn has_grown(&mut self) -> bool {
        let there = self.event_log.length() + self.shipped.bytes();
        self.hosted.as_mut().is_some_and(|hosted| std::mem::replace(&mut hosted.seen, there) != there)
    }

    /// Returns whether its verdict is final, or is about to be.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Writing(_) | Phase::Over { .. })
    }

    /// Returns whether it waits in the queue.
    pub fn is_queued(&self) -> bool {
        self.phase == Phase::Queued
    }

    /// Returns whether it has started, and its end has not begun.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Returns the instant of the start, if it was set.
    pub fn started(&self) -> Option<Time> {
        self.times.started().map(|(at, _)| at)
    }

    /// Records an event of a slave.
    pub fn record(&mut self, at: Time, ix: usize, event: &Event<'_>, out: &mut Outbox) {
        self.event_log.record(at, Some(&self.roster.get(ix).name), event, out);
    }

    /// Marks a slave as ready. When all are, the start is set.
    pub fn ready(&mut self, now: Time, ix: usize, out: &mut Outbox) {
        // A slave that gets another part reports again that it is ready.
        if self.phase != Phase::Gathering || self.preparation.awaits(ix) {
            return;
        }
        if self.roster.get(ix).stage == Stage::Joined {
            self.enter(now, Fact::Ready { slave: ix }, out);
        }
        let ready = |member: &RunSlave| member.stage == Stage::Ready && member.conn.is_some();
        if self.roster.iter().all(ready) {
            self.name_the_start(now, out);
        }
    }

    fn name_the_start(&mut self, now: Time, out: &mut Outbox) {
        let slaves = self.roster.len();
        let at = now + START_LEAD + START_LEAD_PER_SLAVE * slaves as u32;
        self.enter(now, Fact::Start { at, wall_clock: self.times.utc(at).into() }, out);
        let line = Start { run: Cow::from(&self.id), at }.encode();
        for conn in self.roster.connected() {
            out.send(conn, line.clone());
        }
    }

    /// Sends a reconnected slave what it may have missed.
    pub fn resend(&mut self, ix: usize, out: &mut Outbox) {
        let Some(conn) = self.roster.get(ix).conn else { return };
        let id = self.id.clone();
        let run = Cow::from(&id);
        if let Some(at) = self.started() {
            out.send(conn, Start { run: run.clone(), at }.encode());
        }
        self.roster.get_mut(ix).owed = self.room.triggers.fired().to_vec().into();
        self.resend_triggers(ix, out);
        if let Some(line) = self.stop_line() {
            out.send(conn, line);
        } else if let Phase::Over { verdict, .. } = self.phase {
            out.send(conn, Dismissed { run, verdict }.encode());
        }
    }

    /// Returns whether a slave has still to receive triggers.
    pub fn owes(&self, ix: usize) -> bool {
        !self.roster.get(ix).owed.is_empty()
    }

    /// Sends a reconnected slave more triggers that it may have missed. A part fits its queue besides other messages;
    /// the next part follows when the slave has answered a check.
    pub fn resend_triggers(&mut self, ix: usize, out: &mut Outbox) {
        let Some(conn) = self.roster.get(ix).conn else { return };
        let mut sent = 0;
        while sent < TRIGGERS_SENT_MAX {
            let Some(trigger) = self.roster.get_mut(ix).owed.pop_front() else { return };
            let line = self.room.triggered(&trigger);
            sent += line.len();
            out.send(conn, line);
        }
        if !self.roster.get(ix).owed.is_empty() {
            out.send(conn, Check { lifetime: Default::default() }.encode());
        }
    }

    /// Handles that a trigger has fired: every connected slave receives it now, the others after their reconnect.
    pub fn send_triggered(&mut self, now: Time, trigger: &str, out: &mut Outbox) {
        self.event_log.record(now, None, &Event::Triggered { trigger: trigger.into() }, out);
        self.fired.push(trigger.to_owned());
        let line = self.room.triggered(trigger);
        for conn in self.roster.connected() {
            out.send(conn, line.clone());
        }
    }

    /// Takes the triggers that have fired since the last call.
    pub fn take_fired(&mut self) -> Vec<String> {
        std::mem::take(&mut self.fired)
    }

    /// Takes the connections of slaves that were lost since the last call, with the reasons.
    pub fn take_parting(&mut self) -> Vec<(ConnId, String)> {
        std::mem::take(&mut self.parting)
    }

    /// Returns whether a submitted run is over, and its outcome is written.
    pub fn is_done(&self) -> bool {
        self.hosted.is_some() && matches!(self.phase, Phase::Over { .. })
    }

    /// Returns whether members may arrive.
    pub fn takes_members(&self) -> bool {
        matches!(self.phase, Phase::Gathering | Phase::Running | Phase::Finishing(_))
    }

    /// Checks whether this speaker may bring members.
    pub fn takes_members_of(&self, speaker: &Speaker) -> Result<(), ArrivalError> {
        match speaker {
            Speaker::Slave(ix, name) if self.roster.get(*ix as usize).stage == Stage::Lost => {
                Err(ArrivalError::SlaveLost { slave: name.to_string(), run: self.id.clone() })
            }
            _ if self.takes_members() => Ok(()),
            _ => Err(ArrivalError::NotGoing { run: self.id.clone() }),
        }
    }

    /// Records that an entry failed.
    pub fn entry_failed(&mut self, now: Time, why: String, out: &mut Outbox) {
        if self.test.on_fail == OnFail::End {
            self.end(now, Verdict::Failed, why, out);
        }
    }

    /// Fails the run as a whole.
    pub fn abort(&mut self, now: Time, kind: FailureKind, why: String, out: &mut Outbox) {
        self.abort_for(now, kind, (None, None), &why, out);
    }

    /// Fails the run because of a slave, or of an entry of the slave.
    pub fn abort_for(
        &mut self,
        now: Time,
        kind: FailureKind,
        (slave, entry): (Option<usize>, Option<&str>),
        why: &str,
        out: &mut Outbox,
    ) {
        if matches!(self.phase, Phase::Over { .. }) {
            return;
        }
        self.enter(now, Fact::Failed { kind, slave, entry: entry.map(Cow::from), why: Cow::from(why) }, out);
        let why = self.failure(now, kind, (slave, entry), why).in_words();
        self.end(now, Verdict::Failed, why, out);
    }

    /// Begins the end of the run, unless it has begun.
    pub fn end(&mut self, now: Time, verdict: Verdict, why: String, out: &mut Outbox) {
        self.end_with(now, Cause { verdict, why, cut: false }, out);
    }

    fn end_with(&mut self, now: Time, cause: Cause, out: &mut Outbox) {
        if !matches!(self.phase, Phase::Queued | Phase::Gathering | Phase::Running | Phase::Finishing(_)) {
            return;
        }
        let Cause { verdict, why, cut } = cause;
        self.enter(now, Fact::Ending { verdict, why: why.into(), cut }, out);
        self.send_stop(out);
        self.stopping(now);
        self.finish_if_stopped(now, out);
    }

    pub(in crate::controller) fn send_stop(&self, out: &mut Outbox) {
        let Some(line) = self.stop_line() else { return };
        for conn in self.roster.connected() {
            out.send(conn, line.clone());
        }
    }

    /// Returns the message that ends the run for slaves, if it is ending.
    fn stop_line(&self) -> Option<Bytes> {
        let (why, how) = match &self.phase {
            Phase::Finishing(why) => (why, Manner::Finish),
            Phase::Ending(cause) if self.interrupts > 1 => (&cause.why, Manner::Now),
            Phase::Ending(cause) if cause.cut => (&cause.why, Manner::Cut),
            Phase::Ending(cause) => (&cause.why, Manner::Stop),
            _ => return None,
        };
        Some(Stop { run: Cow::from(&self.id), reason: Cow::from(why), how }.encode())
    }

    /// Handles that the end condition of the test holds. Jobs that still run may finish, because each may still fail.
    pub(in crate::controller) fn finish_jobs(&mut self, now: Time, why: String, out: &mut Outbox) {
        if !matches!(self.phase, Phase::Running | Phase::Finishing(_)) {
            return;
        }
        if self.no_job_is_left() {
            return self.pass(now, why, out);
        }
        if self.phase == Phase::Running {
            self.enter(now, Fact::Finishing { why: Cow::from(&why) }, out);
            self.send_stop(out);
        }
    }

    /// Ends the run with success: no job is left, or the time of the remaining ones is over. Jobs that a poke starts
    /// meanwhile are left to their slave.
    pub(in crate::controller) fn pass(&mut self, now: Time, why: String, out: &mut Outbox) {
        self.end_with(now, Cause { verdict: Verdict::Passed, why, cut: true }, out);
    }

    /// Waits longer for the slaves to stop, because one of them has sent something.
    pub fn stopping(&mut self, now: Time) {
        if matches!(self.phase, Phase::Ending(_)) && self.interrupts < 2 {
            self.timers.set(Timer::Stop, now + STOP_WITHIN + self.test.grace * 3);
        }
    }

    /// Handles that a slave has stopped.
    pub fn stopped(&mut self, now: Time, ix: usize, by_itself: bool, out: &mut Outbox) {
        let finishing = matches!(self.phase, Phase::Finishing(_));
        let too_early = finishing || by_itself && matches!(self.phase, Phase::Ending(_));
        if self.phase == Phase::Running || too_early && self.roster.get(ix).begun.is_some() {
            return self.lose(
                now,
                ix,
                "it has ended its part by itself: it, or its service, was stopped or restarted",
                out,
            );
        }
        if !finishing && !matches!(self.phase, Phase::Ending(_)) || self.roster.get(ix).stage == Stage::Stopped {
            return;
        }
        self.enter(now, Fact::Stopped { slave: ix }, out);
        self.end_if_done(now, out);
        self.finish_if_stopped(now, out);
    }

    /// Marks a slave as lost to this run.
    pub fn lose(&mut self, now: Time, ix: usize, reason: &str, out: &mut Outbox) {
        if self.roster.get(ix).stage >= Stage::Stopped {
            return;
        }
        self.enter(now, Fact::Lost { slave: ix, reason: Cow::from(reason) }, out);
        if let Some(conn) = self.roster.get(ix).conn.filter(|_| self.hosted.is_some()) {
            self.parting
                .push((conn, format!("slave {} is lost to run {}: {reason}", self.roster.get(ix).name, self.id)));
        }
        if self.goes_on_without_the_lost() {
            self.end_if_done(now, out);
        } else {
            let why = self.lost(now, ix, reason).in_words();
            self.end(now, Verdict::Failed, why, out);
        }
        self.finish_if_stopped(now, out);
    }

    /// Marks slaves as lost that have been disconnected for too long.
    pub fn lose_absent(&mut self, now: Time, out: &mut Outbox) {
        // Before the start, the person who runs an embedded run is present, and decides how long to wait.
        let counts = self.started().is_some() || self.hosted.is_some();
        let away = |ix: &usize| {
            let member = self.roster.get(*ix);
            (counts || self.launch.has_left(*ix))
                && member.stage < Stage::Stopped
                && member.gone.is_some_and(|gone| now.since(gone) >= self.lost_after)
        };
        for ix in (0..self.roster.len()).filter(away).collect::<Vec<_>>() {
            let reason = format!("its connection has been gone for {}", text::duration(self.lost_after));
            self.lose(now, ix, &reason, out);
        }
    }

    pub(in crate::controller) fn goes_on_without_the_lost(&self) -> bool {
        self.test.on_lost == OnLost::Continue && self.started().is_some() && self.slaves_left().next().is_some()
    }

    /// Returns the slaves that are not lost.
    pub(in crate::controller) fn slaves_left(&self) -> impl Iterator<Item = &RunSlave> {
        self.roster.iter().filter(|member| member.stage != Stage::Lost)
    }

    /// Ends the run if the state of its slaves requires it.
    pub fn end_if_done(&mut self, now: Time, out: &mut Outbox) {
        match (&self.phase, &self.test.end) {
            (Phase::Finishing(why), _) if self.no_job_is_left() => {
                let why = why.clone();
                self.pass(now, why, out);
            }
            (Phase::Running, End::Trigger { trigger, .. }) => {
                let Some(state) = self.room.triggers.get(trigger) else { return };
                if state.fired.is_some() && self.slaves_left().all(|member| member.settled) {
                    self.finish_jobs(now, format!("{trigger} fired, and what it set off has exited"), out);
                } else if state.fired.is_none() && self.nothing_can_notify() {
                    let why = format!(
                        "trigger {trigger} can no longer fire ({} of {} left): no job and no service runs, and nothing can start any more",
                        state.left(),
                        state.initial
                    );
                    self.abort(now, FailureKind::Stuck, why, out);
                }
            }
            (Phase::Running, End::Idle { .. }) if self.no_job_is_left() => {
                self.pass(now, "no job runs and none can start any more".to_owned(), out);
            }
            _ => {}
        }
    }

    /// Returns whether no job runs on any slave, and only a poke could start one.
    fn no_job_is_left(&self) -> bool {
        let fired = self.room.triggers.fired().len() as u64;
        let done =
            |member: &RunSlave| member.stage == Stage::Stopped || member.idle.is_some_and(|idle| idle.heard == fired);
        self.slaves_left().all(done)
    }

    /// Returns whether no trigger can fire any more: no command or leftover process runs, and no client is connected.
    fn nothing_can_notify(&self) -> bool {
        let quiet = |member: &RunSlave| member.idle.is_some_and(|idle| !idle.services) && member.cleared;
        self.no_job_is_left() && self.slaves_left().all(quiet) && self.room.clients.is_empty()
    }
}
