//! The part of this slave in a run, from the first message about the run until nothing is left.
//!
//! [`Run`] connects the owners of its state: `readiness`, `members`, `notifies`, `triggers`, `output` and others. They do
//! not know each other or the run. The files of this folder act on them. When a run has stopped, no process that it
//! started may be left.

mod ending;
mod faults;
mod meetings;
mod prepare;
mod ready;
mod requests;
mod start;
mod triggers;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::machine::{Input, ReadId, Signal, Time, Timers};
use crate::session::is_name;
use crate::slave::assignment::Assignment;
use crate::slave::config::Config;
use crate::slave::fault_record::ControllerAt;
use crate::slave::injections::Injections;
use crate::slave::measurements::Measurements;
use crate::slave::members::Members;
use crate::slave::notifies::Notifies;
use crate::slave::output::{Shipping, TAIL_EVERY};
use crate::slave::process::{Doing, EntryRun, Processes};
use crate::slave::queue::Queue;
use crate::slave::readiness::Readies;
use crate::slave::reports::Reports;
use crate::slave::resources::Resources;
use crate::slave::run_dir::{REST, RunDir};
use crate::slave::schedule::{Conditions, lead_to_a_job};
use crate::slave::shorten::clip;
use crate::slave::strays::Strays;
use crate::slave::sweeps::Sweeps;
use crate::slave::tails::Tails;
use crate::slave::timer::Timer;
use crate::slave::triggers::Triggers;
use crate::slave::turn::Turn;
use crate::slave::variables::Variables;
use crate::slave::waits::ReportedWaits;
use crate::wire::{FromController, Notify, RawJson, SlaveEvent, State};

/// The phase of the run on this slave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The resources are being fetched, and the clock is being measured.
    Preparing,
    /// The slave has reported that it is ready, or cannot be.
    Waiting,
    /// The instant of the start is known.
    Starting,
    Running,
    /// The end condition of the test holds: jobs may finish, nothing begins.
    Finishing,
    /// The end has begun, and commands got SIGTERM or SIGKILL.
    Stopping,
    /// The slave searches for processes that are left, and kills them. The field is the next phase.
    Sweeping(AfterSweep),
    /// No process is left, and the faults are being undone. The field is the next phase.
    Healing(AfterSweep),
    /// The `finally` entries run.
    Finally,
    /// The rest of the output is on its way to the controller.
    Shipping,
    /// Nothing is left.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterSweep {
    Finally,
    Shipping,
}

/// How the run ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ending {
    /// Kill at once, and ship nothing.
    now: bool,
    /// The controller does not wait for the end.
    forget: bool,
    /// This slave has begun the end itself.
    by_itself: bool,
}

/// What a report of idleness says: no job runs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Idle {
    /// Whether services run, or will begin without a trigger or a poke.
    services: bool,
}

/// A run on this slave.
pub(super) struct Run {
    config: Rc<Config>,
    part: Assignment,
    phase: Phase,
    ending: Option<Ending>,
    /// When the controller has announced, on this connection, that jobs may finish.
    told_to_finish: Option<Time>,
    dir: RunDir,
    /// Why the slave cannot take part.
    unready: Option<String>,
    /// The instant of the start, on our clock.
    start: Time,
    timers: Timers<Timer>,
    resources: Resources,
    processes: Processes,
    readies: Readies,
    strays: Strays,
    sweeps: Sweeps,
    injections: Injections,
    /// Where the controller was found last.
    controller: ControllerAt,
    queue: Queue,
    conditions: Conditions,
    notifies: Notifies,
    measurements: Measurements,
    members: Members,
    waits: ReportedWaits,
    triggers: Triggers,
    /// The last report of idleness, if nothing has begun since.
    idle: Option<Idle>,
    reports: Reports,
    output: Shipping,
    tails: Tails,
    /// The working directory of the latest run of each entry with `collect`.
    collects: BTreeMap<usize, PathBuf>,
}

impl Run {
    pub(super) fn new(part: Assignment, config: Rc<Config>) -> Run {
        let dir = RunDir::new(&config.dir, &part.run);
        Run {
            phase: Phase::Preparing,
            ending: None,
            told_to_finish: None,
            unready: None,
            start: Time::default(),
            timers: Timers::default(),
            resources: Resources::new(&part.run, dir.resources(), part.resources.clone()),
            processes: Processes::default(),
            readies: Readies::new(part.entries.clone()),
            strays: Strays::default(),
            sweeps: Sweeps::default(),
            injections: Injections::default(),
            controller: ControllerAt::default(),
            queue: Queue::default(),
            conditions: Conditions::new(&part.entries),
            notifies: Notifies::default(),
            measurements: Measurements::default(),
            members: Members::new(&part.run),
            waits: ReportedWaits::default(),
            triggers: Triggers::default(),
            idle: None,
            reports: Reports::new(&part.run),
            output: Shipping::new(&part.run),
            tails: Tails::default(),
            collects: BTreeMap::new(),
            config,
            part,
            dir,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.part.run
    }

    /// Returns whether `id` is this run, and the run is not being forgotten.
    pub(super) fn is(&self, id: &str) -> bool {
        self.named() == Some(id)
    }

    /// Returns the id of the run, unless the run is being forgotten.
    pub(super) fn named(&self) -> Option<&str> {
        let forgotten = self.ending.is_some_and(|ending| ending.forget);
        (!forgotten).then_some(self.part.run.as_str())
    }

    /// Returns whether the run may have a directory of its own.
    pub(super) fn has_dir(&self) -> bool {
        is_name(&self.part.run)
    }

    /// Returns the output files of run `nr` of an entry, each with its name in the results.
    fn output_of(&self, entry: usize, nr: u32) -> [(String, PathBuf); 2] {
        self.dir.output_of(&self.part.entries[entry].name, nr)
    }

    /// Returns the source of the values of variables.
    fn variables(&self) -> Variables<'_> {
        let Run { config, part, dir, processes, resources, .. } = self;
        Variables { config, part, dir, processes, resources }
    }

    /// Returns whether the run has started.
    pub(super) fn begun(&self) -> bool {
        !matches!(self.phase, Phase::Preparing | Phase::Waiting | Phase::Starting)
    }

    fn running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Returns whether jobs may run: the end has not begun here.
    fn jobs_may_run(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Finishing)
    }

    pub(super) fn shipping(&self) -> bool {
        self.phase == Phase::Shipping
    }

    pub(super) fn stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Returns whether the run has begun here and is being forgotten.
    pub(super) fn orphaned(&self) -> bool {
        self.named().is_none() && self.reports.any()
    }

    /// Returns whether the run can be forgotten without asking the controller.
    pub(super) fn over(&self) -> bool {
        self.stopped() && self.ending.is_some_and(|ending| ending.forget)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The controller has sent a message about this run or another one.
    pub(super) fn on_message(&mut self, message: &FromController<'_>, turn: &mut Turn<'_>) {
        match message {
            FromController::Chunk(it) if self.is(&it.run) => self.chunk(it, turn),
            FromController::Start(it) if self.is(&it.run) => self.start_at(it.at, turn),
            FromController::Triggered(it) if self.is(&it.room) => {
                self.triggered(&it.trigger, it.notes.as_ref(), turn);
            }
            FromController::Map(it) if self.is(&it.room) => self.members.map(it),
            FromController::RoundVerdict(it) if self.is(&it.room) => self.ruled(it, turn),
            FromController::Noted(it) if self.is(&it.room) => self.noted(it, turn),
            FromController::Refused(it) if self.is(&it.room) => self.refused(it, turn),
            FromController::Recorded(it) if self.is(&it.run) => self.reports.recorded(it.seq),
            FromController::Kept(it) if self.is(&it.run) => self.output.kept(it, turn),
            _ => log::debug!("the controller has sent a message about another run"),
        }
    }

    /// An input about the processes, files and other sources of the run.
    pub(super) fn on_input(&mut self, input: Input<'_>, turn: &mut Turn<'_>) {
        match input {
            Input::Unseen { why } => self.unseen(&why, turn),
            Input::Swept { left } => self.swept(left, turn),
            Input::Read { read, result } => self.read(read, result, turn),
            Input::Listed { read, result } => self.output.listed(read, result, turn),
            Input::WriteFailed { path, error } => self.write_failed(&path, &error.text, turn),
            Input::Probed { probe, result } => self.probed(probe, result, turn),
            Input::Overheard { ear, bytes } => self.overheard(ear, bytes, turn),
            Input::Deaf { ear, error } => self.deaf(ear, &error.text, turn),
            Input::Written { confirm } => self.fault_recorded(confirm, turn),
            _ => {}
        }
    }

    /// The controller has answered a ping of this instant.
    pub(super) fn on_pong(&mut self, ping: Time, turn: &mut Turn<'_>) {
        self.members.answered(ping);
        self.try_ready(turn);
    }

    /// Where the controller is, as this slave has found it.
    pub(super) fn set_controller(&mut self, at: ControllerAt) {
        self.controller = at;
    }

    /// The connection to the controller is gone.
    pub(super) fn on_disconnect(&mut self) {
        self.output.disconnected();
        self.members.disconnected();
        self.told_to_finish = None;
    }

    /// A file could not be written.
    fn write_failed(&mut self, path: &Path, error: &str, turn: &mut Turn<'_>) {
        self.record_failed(path, error, turn);
        if !self.dir.contains(path) {
            return;
        }
        let reason = format!("{}: {error}", path.display());
        if self.begun() {
            self.reports.push(SlaveEvent::Trouble { text: clip(&reason).into() }, turn);
        } else {
            self.cannot(&reason, turn);
        }
    }

    /// Sends everything that the controller may not know, after a reconnect.
    pub(super) fn resume(&mut self, recorded: u64, turn: &mut Turn<'_>) {
        let triggered = self.triggers.fired().iter().cloned().collect();
        turn.say(&State { run: self.id().into(), notified: self.notifies.totals(), triggered });
        for (trigger, count, data) in self.notifies.unanswered() {
            let data = data.map(|json| RawJson { json });
            turn.say(&Notify { room: self.id().into(), trigger: trigger.into(), count, data });
        }
        self.reports.recorded(recorded);
        self.reports.resend(turn);
        self.members.resume(turn);
        self.waits.forget(turn.now, &mut self.timers);
        match self.phase {
            Phase::Preparing => self.resources.resume(turn),
            Phase::Waiting => self.say_ready(turn),
            Phase::Stopped => self.say_stopped(turn),
            _ => {}
        }
        self.output.pump(turn);
    }

    fn read(&mut self, read: ReadId, result: Result<&[u8], impl fmt::Display>, turn: &mut Turn<'_>) {
        let read_here = self.tails.read(read, &result, &mut self.reports, turn)
            || self.read_for_fault(read, result.as_ref().ok().copied(), turn)
            || self.read_for_ready(read, result.as_ref().map_or(&[][..], |bytes| bytes), turn);
        if !read_here {
            self.output.read(read, result, turn);
        }
    }

    /// Fires the timers that are due, begins entries, reports what is over, and takes the next step of the end.
    pub(super) fn finish_turn(&mut self, turn: &mut Turn<'_>) {
        while let Some(timer) = self.timers.pop_due(turn.now) {
            self.fire(timer, turn);
        }
        while let Some(due) = self.queue.next() {
            self.begin_entry(due, turn);
        }
        self.warn(turn);
        self.crash_if_told(turn);
        if self.jobs_may_run() {
            self.say_settled(turn);
            self.say_idle(turn);
            let busy = self.processes.has_children() || self.sweeps.under_way();
            self.strays.plan_look(busy, turn.now, &mut self.timers);
        }
        if self.timers.get(&Timer::Tail).is_none() && self.output.tails() {
            self.timers.set(Timer::Tail, turn.now + TAIL_EVERY);
        }
        self.advance(turn);
    }

    /// Reports the files that are not shipped. If the rest stays here, marks the directory of the run.
    fn warn(&mut self, turn: &mut Turn<'_>) {
        for text in self.output.take_warnings(self.shipping()) {
            self.reports.push(SlaveEvent::Warning { text: clip(&text).into() }, turn);
        }
        if self.output.rest_is_news() && !self.config.keep {
            turn.out.persist(self.dir.mark(), REST.to_vec());
        }
    }

    /// Returns whether the directory must stay, because it holds something that a limit has cut.
    pub(super) fn leaves_rest(&self) -> bool {
        self.output.leaves_rest() && self.named().is_some()
    }

    fn fire(&mut self, timer: Timer, turn: &mut Turn<'_>) {
        match timer {
            Timer::Start => self.begin(turn),
            Timer::At(index) => self.queue.add(vec![index], None),
            Timer::Delay(delay) => self.queue.delay_over(delay),
            Timer::Attempt(key) => self.begin_attempt(key, turn),
            Timer::Timeout(key) => self.timed_out(key, turn),
            // The command has not ended after SIGTERM, or has left processes of its group.
            Timer::Kill(key) => match self.processes.take_lingering(key) {
                Some(child) => turn.out.kill_group(child, Signal::KILL),
                None => self.signal_run(key, Signal::KILL, turn),
            },
            Timer::Finish => self.cut(turn),
            Timer::Within(key) => {
                if let Some(why) = self.readies.expire(key, &mut self.timers, turn.out) {
                    self.end_early(key, &why, self.part.grace, turn);
                }
            }
            Timer::Test(key) => self.test(key, turn),
            Timer::Grace => self.grace_over(turn),
            // Once the grace is over, the processes that are left are killed.
            Timer::Sweep => {
                let kills = self.urgent() || self.timers.get(&Timer::Grace).is_none();
                self.sweeps.again(kills, turn.out);
            }
            Timer::Tail => self.output.tail(turn),
            Timer::Patience(id) => self.expire(id, turn),
            Timer::Release(id) => self.release(id, turn),
            Timer::Waits => self.waits.tell(&self.part, &self.members, &mut self.timers, turn),
            Timer::Fault(nr) => self.undo(nr, turn),
            Timer::FaultLimit(nr) => self.fault_late(Some(nr), turn),
            Timer::FaultCheck => self.fault_late(None, turn),
            Timer::Strays => {
                self.strays.look();
                self.sweeps.send(Signal::NONE, turn.out);
            }
        }
    }

    fn say_idle(&mut self, turn: &mut Turn<'_>) {
        let idle = self.activity();
        if let Some(Idle { services }) = idle
            && idle != self.idle
        {
            self.reports.push(SlaveEvent::Idle { heard: self.triggers.fired().len() as u64, services }, turn);
        }
        self.idle = idle;
    }

    /// Returns `None` while a job runs, or will begin without a trigger or a poke.
    fn activity(&self) -> Option<Idle> {
        let entries = &self.part.entries;
        let begins = |index: &usize| self.timers.get(&Timer::At(*index)).is_some();
        let mut pending = (0..entries.len()).filter(begins).peekable();
        let services = pending.peek().is_some() || self.processes.iter().next().is_some();
        let busy = !self.queue.is_empty()
            || self.processes.iter().any(|run| is_awaited(run, &self.part, self.phase == Phase::Finishing))
            || self.running() && self.readies.any()
            || lead_to_a_job(pending, entries);
        (!busy).then_some(Idle { services })
    }

    /// Returns whether a command that a signal ends counts as stopped by the end of the run.
    fn end_begun(&self) -> bool {
        self.ending.is_some() || self.part.end_trigger.as_ref().is_some_and(|trigger| self.triggers.has_fired(trigger))
    }
}

/// Returns whether the end of the run waits for this run of an entry. `finishing`: the phase is [`Phase::Finishing`].
fn is_awaited(run: &EntryRun, part: &Assignment, finishing: bool) -> bool {
    let told = finishing && (run.told_to_end() || matches!(run.doing, Doing::Fault | Doing::Heal(_)));
    !part.entries[run.entry].is_service() && !told
}
