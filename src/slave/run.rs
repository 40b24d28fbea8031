//! This slave's part of a run: from the moment it is handed out until nothing is left of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, Found, ReadId, Time, Timers};
use crate::session::is_name;
use crate::slave::config::Config;
use crate::slave::members::Members;
use crate::slave::notifies::{Notifies, Waiter};
use crate::slave::output::{Shipping, TAIL_EVERY};
use crate::slave::part::Part;
use crate::slave::process::{Due, Processes, RunKey};
use crate::slave::readiness::Readies;
use crate::slave::reports::Reports;
use crate::slave::resources::Resources;
use crate::slave::schedule::{Occasion, leads_to_a_job};
use crate::slave::strays::Strays;
use crate::slave::tails::Tails;
use crate::slave::text::clip;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::wire::rendezvous::Wait;
use crate::wire::{Chunk, Happened, Note, Noted, Notify, Policy, Prepare, Ready, Refused, State, Unready};

/// How far the run is on this slave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The resources or the clock are not there yet.
    Preparing,
    /// The slave has said that it is ready, or that it cannot be.
    Waiting,
    /// The instant of the start is known.
    Starting,
    Running,
    /// The end condition of the test holds: jobs may finish, nothing begins.
    Finishing,
    /// The end has begun; what runs has been told to stop.
    Stopping,
    /// What is left of the processes is looked for, and then this comes.
    Sweeping(AfterSweep),
    /// The `finally` entries run.
    Finally,
    /// The rest of the output is on its way to the controller.
    Shipping,
    /// Nothing is left.
    Stopped,
}

/// A file in the directory of a run that is to be removed, also by the next slave if this one is killed.
pub const MARK: &str = ".arete-run";

/// What that file says of a run that has left more than it may ship.
pub const REST: &[u8] = b"holds what was not shipped\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterSweep {
    Finally,
    Shipping,
}

/// How the run ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ending {
    /// Kill at once, and ship nothing.
    pub(super) now: bool,
    /// The controller does not wait for it.
    pub(super) forget: bool,
    /// It began before the controller said that the run ends.
    pub(super) by_itself: bool,
}

/// That no job runs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Idle {
    /// Whether something else runs, or will by itself.
    pub(super) services: bool,
}

pub(super) struct Run {
    pub(super) config: Rc<Config>,
    pub(super) part: Part,
    pub(super) phase: Phase,
    pub(super) ending: Option<Ending>,
    /// When the controller has said on this connection that jobs may finish.
    pub(super) told_to_finish: Option<Time>,
    dir: PathBuf,
    /// Why the slave cannot take part.
    unready: Option<String>,
    /// The instant of the start, on our clock.
    start: Time,
    pub(super) timers: Timers<Timer>,
    pub(super) resources: Resources,
    pub(super) processes: Processes,
    pub(super) readies: Readies,
    pub(super) strays: Strays,
    /// The groups of commands that were told to end and whose first process has.
    pub(super) lingering: BTreeMap<RunKey, ChildId>,
    /// What begins in this turn, in order.
    pub(super) queue: VecDeque<Due>,
    /// What begins when a process that it names has an id.
    pub(super) deferred: Vec<Due>,
    pub(super) notifies: Notifies,
    pub(super) members: Members,
    /// What the controller was told that commands wait for.
    pub(super) waits_said: BTreeSet<Wait>,
    /// The triggers that have fired.
    pub(super) heard: BTreeSet<String>,
    /// Who notified them with what, of those that had data.
    pub(super) notes: BTreeMap<String, Box<RawValue>>,
    /// Those that fired before this slave's start.
    early: Vec<String>,
    /// The triggers that set off something that may still go on.
    unsettled: BTreeSet<String>,
    /// It was said that no job runs, with or without services, and nothing has begun since.
    pub(super) idle: Option<Idle>,
    pub(super) reports: Reports,
    pub(super) output: Shipping,
    pub(super) tails: Tails,
    /// Where an entry's latest run with `collect` worked.
    pub(super) collects: BTreeMap<usize, PathBuf>,
    /// The directory says that it holds what was not shipped.
    rest_marked: bool,
    /// Answers to sweeps that are still to come.
    pub(super) sweeps: u32,
    /// How often it was looked again for what is left.
    pub(super) sweep_tries: u32,
    /// How often that was killed.
    pub(super) kills: u32,
    /// It was said that nobody can look for it.
    pub(super) unseen: bool,
}

impl Run {
    pub(super) fn new(part: Part, config: Rc<Config>) -> Run {
        let dir = config.dir.join(&part.run);
        Run {
            phase: Phase::Preparing,
            ending: None,
            told_to_finish: None,
            unready: None,
            start: Time::default(),
            timers: Timers::default(),
            resources: Resources::new(&part.run, dir.join("resources"), part.resources.clone()),
            processes: Processes::default(),
            readies: Readies::default(),
            strays: Strays::default(),
            lingering: BTreeMap::new(),
            queue: VecDeque::new(),
            deferred: Vec::new(),
            notifies: Notifies::default(),
            members: Members::default(),
            waits_said: BTreeSet::new(),
            heard: BTreeSet::new(),
            notes: BTreeMap::new(),
            early: Vec::new(),
            unsettled: BTreeSet::new(),
            idle: None,
            reports: Reports::new(&part.run),
            output: Shipping::new(&part.run),
            tails: Tails::default(),
            collects: BTreeMap::new(),
            rest_marked: false,
            sweeps: 0,
            sweep_tries: 0,
            kills: 0,
            unseen: false,
            config,
            part,
            dir,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.part.run
    }

    /// The name under which this slave acts in the run: that of the place in the test which it serves.
    pub(super) fn slave_name(&self) -> &str {
        self.part.serve_as.as_deref().unwrap_or(&self.config.name)
    }

    /// Whether `id` means this run. A run that is being forgotten is nobody's any more.
    pub(super) fn is(&self, id: &str) -> bool {
        self.named() == Some(id)
    }

    /// The run's id, unless it is being forgotten.
    pub(super) fn named(&self) -> Option<&str> {
        let forgotten = self.ending.is_some_and(|ending| ending.forget);
        (!forgotten).then_some(self.part.run.as_str())
    }

    /// Whether the run may have a directory of its own.
    pub(super) fn has_dir(&self) -> bool {
        is_name(&self.part.run)
    }

    pub(super) fn work_dir(&self) -> PathBuf {
        self.dir.join("work")
    }

    pub(super) fn output_dir(&self) -> PathBuf {
        self.dir.join("output")
    }

    /// Whether the start has been.
    pub(super) fn begun(&self) -> bool {
        !matches!(self.phase, Phase::Preparing | Phase::Waiting | Phase::Starting)
    }

    pub(super) fn running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether jobs go on: the end has not begun here.
    pub(super) fn jobs_may_run(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Finishing)
    }

    pub(super) fn shipping(&self) -> bool {
        self.phase == Phase::Shipping
    }

    pub(super) fn stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Whether the run has begun here and is nobody's any more.
    pub(super) fn orphaned(&self) -> bool {
        self.named().is_none() && self.reports.any()
    }

    /// Whether the run can be forgotten without asking the controller.
    pub(super) fn over(&self) -> bool {
        self.stopped() && self.ending.is_some_and(|ending| ending.forget)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The first thing: makes the directory and asks for the resources.
    pub(super) fn prepare(&mut self, turn: &mut Turn<'_>) {
        if let Err(reason) = self.part.check() {
            return self.cannot(reason, turn);
        }
        turn.out.make_dir(self.work_dir());
        if !self.config.keep {
            turn.out.persist(self.dir.join(MARK), Vec::new());
        }
        let fetched = self.resources.fetch(turn);
        self.after_fetch(fetched, turn);
    }

    /// The addresses of other slaves have changed before the start.
    pub(super) fn prepare_again(&mut self, prepare: &Prepare<'_>, turn: &mut Turn<'_>) {
        if self.begun() {
            return;
        }
        self.part.addresses.clone_from(&prepare.addresses);
        if self.phase == Phase::Waiting {
            self.say_ready(turn);
        }
    }

    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>, turn: &mut Turn<'_>) {
        if self.phase == Phase::Preparing {
            let fetched = self.resources.chunk(chunk, turn);
            self.after_fetch(fetched, turn);
        }
    }

    fn after_fetch(&mut self, fetched: Result<(), String>, turn: &mut Turn<'_>) {
        match fetched {
            Ok(()) => self.try_ready(turn),
            Err(reason) => self.cannot(reason, turn),
        }
    }

    fn cannot(&mut self, reason: String, turn: &mut Turn<'_>) {
        log::error!("run {}: {reason}", self.id());
        self.phase = Phase::Waiting;
        self.unready = Some(clip(&reason).to_owned());
        self.say_ready(turn);
    }

    /// Says that the slave is ready, if it has become so.
    pub(super) fn try_ready(&mut self, turn: &mut Turn<'_>) {
        if self.phase == Phase::Preparing && self.resources.complete() && turn.link.measured() {
            self.phase = Phase::Waiting;
            self.say_ready(turn);
        }
    }

    fn say_ready(&self, turn: &mut Turn<'_>) {
        let run = self.id().into();
        match &self.unready {
            None => turn.say(&Ready { run }),
            Some(reason) => turn.say(&Unready { run, reason: reason.as_str().into() }),
        }
    }

    /// Something of ours could not be written.
    pub(super) fn write_failed(&mut self, path: &Path, error: &str, turn: &mut Turn<'_>) {
        if !path.starts_with(&self.dir) {
            return;
        }
        let reason = format!("{}: {error}", path.display());
        if self.begun() {
            self.reports.push(Happened::Trouble { text: clip(&reason).into() }, turn);
        } else {
            self.cannot(reason, turn);
        }
    }

    /// Says everything that the controller may not know, after a reconnect.
    pub(super) fn resume(&mut self, recorded: u64, turn: &mut Turn<'_>) {
        let triggered = self.heard.iter().cloned().collect();
        turn.say(&State { run: self.id().into(), notified: self.notifies.totals(), triggered });
        for (trigger, count, data) in self.notifies.unanswered() {
            let data = data.map(|json| Note { json });
            turn.say(&Notify { room: self.id().into(), trigger: trigger.into(), count, data });
        }
        self.reports.recorded(recorded);
        self.reports.resend(turn);
        let room = self.part.run.as_str();
        self.members.resume(room, turn);
        self.say_waits_again(turn);
        match self.phase {
            Phase::Preparing => self.resources.resume(turn),
            Phase::Waiting => self.say_ready(turn),
            Phase::Stopped => self.say_stopped(turn),
            _ => {}
        }
        self.output.resume(turn);
    }

    /// The controller has named the start, on its clock.
    pub(super) fn start_at(&mut self, at: Time, turn: &mut Turn<'_>) {
        if self.phase == Phase::Waiting && self.unready.is_none() {
            self.phase = Phase::Starting;
            self.start = turn.link.clock.to_ours(at);
            self.timers.set(Timer::Start, self.start);
        }
    }

    /// The instant has come.
    fn begin(&mut self, turn: &mut Turn<'_>) {
        if self.phase != Phase::Starting {
            return;
        }
        self.phase = Phase::Running;
        let late = turn.now.since(self.start).as_micros() as u64;
        let uncertain = turn.link.clock.uncertainty().unwrap_or_default().as_micros() as u64;
        self.reports.push(Happened::Begun { late, uncertain }, turn);
        let mut due = Occasion::Elapsed(late).entries(&self.part.entries);
        due.sort_by_key(|&index| self.at(index));
        for index in 0..self.part.entries.len() {
            if let Some(at) = self.at(index).filter(|at| *at > late) {
                self.timers.set(Timer::At(index), self.start + Duration::from_micros(at));
            }
        }
        self.enqueue(due, None);
        for trigger in std::mem::take(&mut self.early) {
            self.triggered(&trigger, None, turn);
        }
    }

    fn at(&self, index: usize) -> Option<u64> {
        match self.part.entries[index].policy {
            Policy::At(at) => Some(at),
            _ => None,
        }
    }

    /// Lets these entries run in this turn.
    pub(super) fn enqueue(&mut self, entries: Vec<usize>, cause: Option<&str>) {
        let due = |entry| Due { entry, cause: cause.map(str::to_owned), ..Due::default() };
        self.queue.extend(entries.into_iter().map(due));
    }

    /// A trigger has fired: acts once, however often it is told.
    pub(super) fn triggered(&mut self, trigger: &str, notes: Option<&Note<'_>>, turn: &mut Turn<'_>) {
        if self.known_trigger(trigger).is_err() {
            return log::warn!("a trigger fired that the test does not have");
        }
        if let Some(notes) = notes {
            self.notes.insert(trigger.to_owned(), notes.json.to_owned());
        }
        if !self.begun() {
            if !self.early.iter().any(|early| early == trigger) {
                self.early.push(trigger.to_owned());
            }
            return;
        }
        if self.stopped() || !self.heard.insert(trigger.to_owned()) && !injected(Fault::TriggeredActsAgain) {
            return;
        }
        self.idle = None;
        self.reports.push(Happened::Heard { trigger: trigger.into() }, turn);
        turn.control.fired(trigger, self.notes.get(trigger).map(|notes| &**notes), turn.out);
        if self.running() {
            self.unsettled.insert(trigger.to_owned());
            let entries = Occasion::Trigger(trigger).entries(&self.part.entries);
            self.enqueue(entries, Some(trigger));
        }
    }

    /// Counts one notify, and says so.
    pub(super) fn notify(&mut self, trigger: &str, data: Option<Note<'_>>, waiter: Waiter, turn: &mut Turn<'_>) {
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
                Waiter::Nobody => {}
            }
        }
    }

    pub(super) fn refused(&mut self, refused: &Refused<'_>, turn: &mut Turn<'_>) {
        for waiter in self.notifies.refused(&refused.trigger) {
            match waiter {
                Waiter::Entry(key) => self.notify_over(key, Err(&refused.reason), turn),
                Waiter::Command(conn) => turn.control.fail(conn, &refused.reason, turn.out),
                Waiter::Nobody => log::warn!("{}", clip(&refused.reason)),
            }
        }
    }

    pub(super) fn read(&mut self, read: ReadId, result: Result<&[u8], String>, turn: &mut Turn<'_>) {
        let read_here = self.tail_read(read, &result, turn)
            || self.read_for_ready(read, result.as_ref().map_or(&[][..], |bytes| bytes), turn);
        if !read_here {
            self.output.read(read, result, turn);
        }
    }

    pub(super) fn listed(&mut self, read: ReadId, found: Result<Found, String>, turn: &mut Turn<'_>) {
        self.output.listed(read, found, turn);
    }

    /// Does what is due and what follows from the turn, in this order: what begins, what is over, what the end does.
    pub(super) fn finish_turn(&mut self, turn: &mut Turn<'_>) {
        while let Some(timer) = self.timers.pop_due(turn.now) {
            self.fire(timer, turn);
        }
        while let Some(due) = self.queue.pop_front() {
            self.begin_entry(due, turn);
        }
        self.warn(turn);
        if self.jobs_may_run() {
            self.say_settled(turn);
            self.say_idle(turn);
            self.await_strays(turn);
        }
        if self.timers.get(&Timer::Tail).is_none() && self.output.tails() {
            self.timers.set(Timer::Tail, turn.now + TAIL_EVERY);
        }
        self.advance(turn);
    }

    /// Reports what is not shipped. The directory of the run says so too if it holds the rest.
    fn warn(&mut self, turn: &mut Turn<'_>) {
        for text in self.output.take_warnings(self.shipping()) {
            self.reports.push(Happened::Warning { text: clip(&text).into() }, turn);
        }
        if self.output.leaves_rest() && !std::mem::replace(&mut self.rest_marked, true) && !self.config.keep {
            turn.out.persist(self.dir.join(MARK), REST.to_vec());
        }
    }

    /// Whether the directory is to stay, for what a limit has refused is in it.
    pub(super) fn leaves_rest(&self) -> bool {
        self.output.leaves_rest() && self.named().is_some()
    }

    fn fire(&mut self, timer: Timer, turn: &mut Turn<'_>) {
        match timer {
            Timer::Start => self.begin(turn),
            Timer::At(index) => self.enqueue(vec![index], None),
            Timer::Timeout(key) => self.timed_out(key, turn),
            Timer::Kill(key) => self.kill_run(key, turn),
            Timer::Finish => self.cut(turn),
            Timer::Within(key) => self.not_ready_in_time(key, turn),
            Timer::Test(key) => self.test(key, turn),
            Timer::Grace => self.grace_over(turn),
            Timer::Sweep => self.sweep_again(turn),
            Timer::Tail => self.output.tail(turn),
            Timer::Patience(id) => self.out_of_patience(id, turn),
            Timer::Release(id) => self.release(id, turn),
            Timer::Waits => self.say_waits(turn),
            Timer::Strays => self.look_for_strays(turn),
        }
    }

    fn say_settled(&mut self, turn: &mut Turn<'_>) {
        for trigger in std::mem::take(&mut self.unsettled) {
            let caused = |cause: &Option<String>| cause.as_deref() == Some(&*trigger);
            let goes_on = self.processes.iter().any(|run| caused(&run.cause) && self.is_awaited(run));
            if goes_on || self.deferred.iter().any(|due| caused(&due.cause)) {
                self.unsettled.insert(trigger);
            } else {
                self.reports.push(Happened::Settled { trigger: trigger.into() }, turn);
            }
        }
    }

    fn say_idle(&mut self, turn: &mut Turn<'_>) {
        let idle = self.activity();
        if let Some(Idle { services }) = idle
            && idle != self.idle
        {
            self.reports.push(Happened::Idle { heard: self.heard.len() as u64, services }, turn);
        }
        self.idle = idle;
    }

    /// What goes on while no job runs and none will by itself; `None`: a job does.
    fn activity(&self) -> Option<Idle> {
        let entries = &self.part.entries;
        let begins = |index: &usize| self.timers.get(&Timer::At(*index)).is_some();
        let mut pending = (0..entries.len()).filter(begins).peekable();
        let services = pending.peek().is_some() || self.processes.iter().next().is_some();
        let busy = !self.queue.is_empty()
            || !self.deferred.is_empty()
            || self.processes.iter().any(|run| self.is_awaited(run))
            || self.running() && self.awaits_ready()
            || pending.any(|index| leads_to_a_job(index, entries));
        (!busy).then_some(Idle { services })
    }

    /// The files of an entry's run, by their names in the results: standard output and standard error.
    pub(super) fn output_names(&self, entry: usize, nr: u32) -> [String; 2] {
        let name = &self.part.entries[entry].name;
        ["out", "err"].map(|kind| match nr {
            0 | 1 => format!("{name}.{kind}"),
            _ => format!("{name}.{nr}.{kind}"),
        })
    }

    /// Whether a signal that ends a command is the end of the run, not a failure.
    pub(super) fn end_begun(&self) -> bool {
        self.ending.is_some() || self.part.end_trigger.as_ref().is_some_and(|trigger| self.heard.contains(trigger))
    }

    /// What `collect` of this entry wants.
    pub(super) fn patterns(&self, entry: usize) -> &[String] {
        self.part.entries[entry].shell().map_or(&[], |shell| &shell.collect)
    }
}
