//! Begins, stops and ends runs of entries. A new action is an arm of [`Run::begin_entry`] and a function for it.

use std::time::Duration;

use crate::exit_code;
use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, Command, Exit, Signal};
use crate::slave::aimed;
use crate::slave::notifies::Waiter;
use crate::slave::process::{Doing, Due, EntryRun, RunKey, ends_a_process, judge};
use crate::slave::run::Run;
use crate::slave::schedule::Happened;
use crate::slave::shorten::clip;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::slave::variables::Unresolved;
use crate::text;
use crate::wire::{Action, EntryOutcome, Expect, Policy, RawJson, Retries, Shell, SlaveEvent};

/// Why a run of an entry did not begin or did not pass.
type Why = Option<String>;

impl Run {
    /// Begins a run of an entry.
    pub(super) fn begin_entry(&mut self, due: Due, turn: &mut Turn<'_>) {
        let nr = due.nr.unwrap_or_else(|| self.processes.count(due.entry));
        let due = Due { nr: Some(nr), ..due };
        self.idle = None;
        if let Err(why) = self.processes.check_room() {
            return self.finished(due, None, EntryOutcome::Failed, Some(why.to_string()), turn);
        }
        let entries = self.part.entries.clone();
        match &entries[due.entry].action {
            Action::Shell(shell) => self.begin_shell(due, shell, turn),
            Action::Notify { trigger, data } => self.begin_notify(due, trigger, data.as_ref(), turn),
            Action::Kill { entry, signal } => {
                self.spawned_report(&due, None, turn);
                self.kill(entry, *signal, &entries[due.entry].name, turn);
                self.end_kill(due, entry, turn);
            }
            action @ (Action::Barrier { .. } | Action::Sync { .. }) => self.begin_meeting(due, action, turn),
            Action::Fault(injection) => self.begin_fault(due, injection, turn),
            Action::End { verdict } => {
                self.spawned_report(&due, None, turn);
                let entry = entries[due.entry].name.as_str().into();
                self.reports.push(SlaveEvent::End { entry, verdict: *verdict }, turn);
                self.finished(due, None, EntryOutcome::Passed, None, turn);
            }
        }
    }

    fn begin_meeting(&mut self, due: Due, action: &Action, turn: &mut Turn<'_>) {
        let asked = match self.variables().asked(action) {
            Ok(asked) => asked,
            Err(Unresolved::NotYet) => return self.queue.defer(due),
            Err(Unresolved::Never(why)) => return self.finished(due, None, EntryOutcome::Failed, Some(why), turn),
        };
        self.spawned_report(&due, None, turn);
        let key = self.processes.insert(EntryRun::new(due, Doing::Meet));
        if let Err(why) = self.meet(asked, Waiter::Entry(key), turn) {
            let exit = Exit::Code(i32::from(exit_code::FAILED));
            self.meeting_over(key, exit, EntryOutcome::Failed, Some(why.to_string()), turn);
        }
    }

    fn begin_notify(&mut self, due: Due, trigger: &str, data: Option<&serde_json::Value>, turn: &mut Turn<'_>) {
        let data = match data.map(|data| self.variables().note(data)).transpose() {
            Ok(data) => data,
            Err(Unresolved::NotYet) => return self.queue.defer(due),
            Err(Unresolved::Never(why)) => return self.finished(due, None, EntryOutcome::Failed, Some(why), turn),
        };
        self.spawned_report(&due, None, turn);
        let key = self.processes.insert(EntryRun::new(due, Doing::Notify));
        self.notify(trigger, data.as_deref().map(|json| RawJson { json }), Waiter::Entry(key), turn);
    }

    fn begin_shell(&mut self, due: Due, shell: &Shell, turn: &mut Turn<'_>) {
        let mut command = match self.command(shell, due.entry, due.nr.unwrap_or(1)) {
            Ok(command) => command,
            Err(Unresolved::NotYet) => return self.queue.defer(due),
            Err(Unresolved::Never(why)) => return self.finished(due, None, EntryOutcome::Failed, Some(why), turn),
        };
        if !shell.collect.is_empty() {
            self.collects.extend(command.cwd.clone().map(|cwd| (due.entry, cwd)));
        }
        self.aim(&shell.text(), due.entry);
        let says_ready = self.readies.is_told(due.entry);
        let socket = &self.config.socket;
        let ear = says_ready.then(|| turn.out.hear(|ear| socket.with_extension(format!("{}.ear", ear.0))));
        command.env.extend(ear.iter().map(|(_, path)| ("NOTIFY_SOCKET".to_owned(), path.display().to_string())));
        let awaited = shell.ready.is_some().then(|| Box::new(command.clone()));
        let child = turn.out.spawn(command);
        let run = EntryRun::new(due, Doing::Process { child, pid: None });
        let of = (run.entry, run.nr);
        let key = self.processes.insert(run);
        if let Some(command) = awaited {
            self.readies.add(key, of, ear.map(|(ear, _)| ear), command, turn.now);
        }
        if let Some(micros) = shell.timeout {
            self.timers.set(Timer::Timeout(key), turn.now + Duration::from_micros(micros));
        }
    }

    /// Notes which runs of other entries a command asks to end.
    fn aim(&mut self, command: &str, by: usize) {
        let entries = self.part.entries.clone();
        for (name, signal) in aimed::targets(command) {
            let Some(index) = self.part.index_of(&name) else { continue };
            for key in self.processes.keys_of(index) {
                if let Some(run) = self.processes.get_mut(key) {
                    run.aimed_at_by = Some((signal, entries[by].name.clone()));
                }
            }
        }
    }

    /// Returns the command of an entry, with its variables replaced.
    fn command(&self, shell: &Shell, index: usize, nr: u32) -> Result<Command, Unresolved> {
        let mut variables = vec![
            ("ARETE_SOCKET".to_owned(), self.config.socket.display().to_string()),
            ("ARETE_SLAVE".to_owned(), self.part.slave_name(&self.config).to_owned()),
            ("ARETE_DIR".to_owned(), self.config.dir.display().to_string()),
            ("ARETE_RUN".to_owned(), self.id().to_owned()),
            ("ARETE_ENTRY".to_owned(), self.part.entries[index].name.clone()),
            ("ARETE_ENTRY_NR".to_owned(), nr.to_string()),
        ];
        variables.extend(self.part.params.iter().cloned());
        let values = self.variables();
        for (name, value) in &shell.env {
            variables.push((name.clone(), values.expand(value)?));
        }
        let work = self.dir.work();
        let cwd = match &shell.cwd {
            Some(cwd) => work.join(values.expand(cwd)?),
            None => work.clone(),
        };
        let make_cwd = cwd.starts_with(work);
        let [stdout, stderr] = self.output_of(index, nr).map(|(_, path)| Some(path));
        Ok(Command {
            argv: shell.argv().map(|text| values.expand(text)).collect::<Result<_, _>>()?,
            cwd: Some(cwd),
            make_cwd,
            env: variables,
            arete_on_path: true,
            stdout,
            stderr,
            stdin: None,
            dies_with_us: false,
        })
    }

    pub(super) fn spawned_report(&mut self, due: &Due, pid: Option<u32>, turn: &mut Turn<'_>) {
        // At the controller the report ends the idleness, so idleness must be reported again.
        self.idle = None;
        let entries = self.part.entries.clone();
        let entry = entries[due.entry].name.as_str().into();
        self.reports.push(SlaveEvent::Spawned { entry, nr: due.nr.unwrap_or(1), pid }, turn);
    }

    /// Sends a signal to every run of an entry.
    fn kill(&mut self, entry: &str, signal: Signal, by: &str, turn: &mut Turn<'_>) {
        let Some(index) = self.part.index_of(entry) else { return };
        for key in self.processes.keys_of(index) {
            let Some(run) = self.processes.get_mut(key) else { continue };
            run.killed_by = Some((signal, by.to_owned()));
            match run.doing {
                Doing::Meet => self.kill_meeting(key, signal, turn),
                Doing::Delay => self.kill_attempt(key, signal, turn),
                Doing::Process { .. } | Doing::Notify | Doing::Fault | Doing::Heal(_) => {
                    self.signal_run(key, signal, turn)
                }
            }
        }
        if ends_a_process(signal) {
            self.kill_faults(index, turn);
        }
    }

    /// A barrier or a sync has no process. A signal that would end one takes the arrival back instead.
    fn kill_meeting(&mut self, key: RunKey, signal: Signal, turn: &mut Turn<'_>) {
        if !ends_a_process(signal) {
            return;
        }
        self.withdraw(|waiter| *waiter == Waiter::Entry(key), turn);
        let Some(run) = self.take(key) else { return };
        let exit = Exit::Signal(signal);
        let (outcome, why) = judge(&run, &Expect::default(), exit, self.end_begun());
        self.finished(run.into(), Some(exit), outcome, why, turn);
    }

    /// An attempt that has not begun has no process either.
    fn kill_attempt(&mut self, key: RunKey, signal: Signal, turn: &mut Turn<'_>) {
        if ends_a_process(signal)
            && let Some(run) = self.take(key)
        {
            let why = run.killed_by.as_ref().map(|(signal, by)| format!("entry {by} sent {}", signal.name()));
            self.finished(run.into(), None, EntryOutcome::Stopped, why, turn);
        }
    }

    /// Returns the next attempt at a job whose run is over and has failed; `None` if none follows.
    fn next_attempt(&self, run: &Due, outcome: EntryOutcome) -> Option<Retries> {
        let retries = self.part.entries[run.entry].shell()?.retries?;
        let again = outcome == EntryOutcome::Failed && self.jobs_may_run() && !run.is_final;
        (again && run.attempt <= retries.times).then_some(retries)
    }

    /// Waits for the next attempt at a job, which has a number of its own.
    fn await_attempt(&mut self, run: Due, delay: Duration, turn: &mut Turn<'_>) {
        let nr = self.processes.count(run.entry);
        let next = Due { nr: Some(nr), attempt: run.attempt + 1, ..run };
        let key = self.processes.insert(EntryRun::new(next, Doing::Delay));
        self.timers.set(Timer::Attempt(key), turn.now + delay);
    }

    /// The time until an attempt is over.
    pub(super) fn begin_attempt(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        if let Some(run) = self.take(key) {
            self.begin_entry(run.into(), turn);
        }
    }

    /// Runs entries whose conditions are met, at once or after their delays.
    pub(super) fn run_after(&mut self, entries: Vec<usize>, cause: Option<&str>, turn: &mut Turn<'_>) {
        let schedule = self.part.entries.clone();
        let delay = |index: usize| match &schedule[index].policy {
            Policy::After(after) => Duration::from_micros(after.delay),
            _ => Duration::ZERO,
        };
        let (at_once, later): (Vec<usize>, Vec<usize>) = entries.into_iter().partition(|index| delay(*index).is_zero());
        self.queue.add(at_once, cause);
        for index in later {
            match self.queue.delay(index, cause) {
                Ok(nr) => self.timers.set(Timer::Delay(nr), turn.now + delay(index)),
                Err(why) => {
                    let nr = self.processes.count(index);
                    let due = Due { nr: Some(nr), ..Due::new(index, cause.map(str::to_owned)) };
                    self.finished(due, None, EntryOutcome::Failed, Some(why.to_string()), turn);
                }
            }
        }
    }

    /// A run of an entry is over, or could not begin: reports it, and starts the entries that follow, or the next
    /// attempt.
    pub(super) fn finished(
        &mut self,
        run: Due,
        exit: Option<Exit>,
        outcome: EntryOutcome,
        why: Why,
        turn: &mut Turn<'_>,
    ) {
        let entries = self.part.entries.clone();
        let name = &entries[run.entry].name;
        let again = self.next_attempt(&run, outcome);
        let outcome = if again.is_some() { EntryOutcome::Retried } else { outcome };
        let why = why.as_deref().map(|why| clip(why).into());
        let nr = run.nr.unwrap_or(1);
        let (entry, cut_off, attempt) = (name.as_str().into(), run.cut_off, run.attempt);
        self.reports.push(SlaveEvent::Exited { entry, nr, exit, outcome, attempt, cut_off, why }, turn);
        if let Some(retries) = again {
            if injected(Fault::AttemptForgotten) {
                return;
            }
            return self.await_attempt(run, Duration::from_micros(retries.delay), turn);
        }
        if self.running() {
            let after = self.conditions.happened(name, Happened::Exited { exit, outcome }, &entries);
            self.run_after(after, run.cause.as_deref(), turn);
        }
    }

    /// Removes a run from the ones that go on.
    pub(super) fn take(&mut self, key: RunKey) -> Option<EntryRun> {
        self.timers.cancel(&Timer::Timeout(key));
        self.timers.cancel(&Timer::Attempt(key));
        let run = self.processes.remove(key)?;
        match (&run.doing, self.timers.get(&Timer::Kill(key))) {
            // Its first process has exited in time. The rest of its group has the same time.
            (Doing::Process { child, .. }, Some(_)) => self.processes.linger(key, *child),
            _ => self.timers.cancel(&Timer::Kill(key)),
        }
        Some(run)
    }

    /// A command runs.
    pub(in crate::slave) fn spawned(&mut self, child: ChildId, pid: u32, turn: &mut Turn<'_>) {
        let Some(key) = self.processes.of_child(child) else { return };
        let Some(run) = self.processes.get_mut(key) else { return };
        run.doing = Doing::Process { child, pid: Some(pid) };
        self.strays.may_come();
        let (entry, nr) = (run.entry, run.nr);
        self.spawned_report(&Due { nr: Some(nr), ..Due::new(entry, None) }, Some(pid), turn);
        for (name, path) in self.output_of(entry, nr) {
            self.output.follow(name, path);
        }
        self.begin_to_test(key, turn);
        self.queue.retry_deferred();
    }

    /// A command could not be started.
    pub(in crate::slave) fn spawn_failed(&mut self, child: ChildId, error: &str, turn: &mut Turn<'_>) {
        if self.fault_process_over(child, Err(error), turn) || self.checked(child, Err(error), turn) {
            return;
        }
        let Some(key) = self.processes.of_child(child) else { return };
        self.readies.remove(key, &mut self.timers, turn.out);
        let Some(run) = self.take(key) else { return };
        let why = format!("could not be started: {error}");
        self.finished(run.into(), None, EntryOutcome::Failed, Some(why), turn);
        self.queue.retry_deferred();
    }

    /// A command's first process has ended.
    pub(in crate::slave) fn exited(&mut self, child: ChildId, exit: Exit, turn: &mut Turn<'_>) {
        if self.fault_process_over(child, Ok(exit), turn) || self.checked(child, Ok(exit), turn) {
            return;
        }
        let Some(key) = self.processes.of_child(child) else { return };
        if self.readies.has_last_lines(key, exit, &mut self.timers) {
            self.test(key, turn);
        } else {
            self.process_over(key, exit, turn);
        }
    }

    /// A command's first process has ended, and its readiness is decided.
    pub(super) fn process_over(&mut self, key: RunKey, exit: Exit, turn: &mut Turn<'_>) {
        let unready = self.readies.remove(key, &mut self.timers, turn.out);
        let Some(run) = self.take(key) else { return };
        if let (Exit::Signal(signal), Doing::Process { child, .. }) = (exit, &run.doing)
            && run.got != Some(signal)
        {
            let child = *child;
            turn.out.kill_group(child, signal);
        }
        let outputs = self.output_of(run.entry, run.nr);
        for (name, _) in &outputs {
            self.output.ended(name);
        }
        self.output.pump(turn);
        let entries = self.part.entries.clone();
        let Some(shell) = entries[run.entry].shell() else { return };
        let (mut outcome, mut why) = judge(&run, &shell.expect, exit, self.end_begun());
        if unready && outcome == EntryOutcome::Passed && !run.told_to_end() && !run.stopped {
            (outcome, why) = (EntryOutcome::Failed, Some(format!("exited before it was ready: {exit}")));
        }
        let (entry, nr) = (&entries[run.entry].name, run.nr);
        self.finished(run.into(), Some(exit), outcome, why, turn);
        if outcome == EntryOutcome::Failed {
            self.tails.begin(entry, nr, outputs.map(|(_, path)| path), turn);
        }
        self.queue.retry_deferred();
    }

    /// The controller has counted an entry's notify, or has refused it.
    pub(super) fn notify_over(&mut self, key: RunKey, counted: Result<(), &str>, turn: &mut Turn<'_>) {
        let Some(run) = self.take(key) else { return };
        match counted {
            Ok(()) => self.finished(run.into(), None, EntryOutcome::Passed, None, turn),
            Err(reason) => self.finished(run.into(), None, EntryOutcome::Failed, Some(reason.to_owned()), turn),
        }
    }

    /// The barrier or the sync of an entry has a verdict, or will not get one.
    pub(super) fn meeting_over(
        &mut self,
        key: RunKey,
        exit: Exit,
        outcome: EntryOutcome,
        why: Why,
        turn: &mut Turn<'_>,
    ) {
        if let Some(run) = self.take(key) {
            self.finished(run.into(), Some(exit), outcome, why, turn);
        }
    }

    /// Writes the output of a built-in action to the file of a command's standard output.
    pub(super) fn write_output(&mut self, key: RunKey, bytes: Vec<u8>, turn: &mut Turn<'_>) {
        let Some(run) = self.processes.get(key) else { return };
        let [(name, path), _] = self.output_of(run.entry, run.nr);
        turn.out.append(path.clone(), bytes);
        self.output.follow(name.clone(), path);
        self.output.ended(&name);
        self.output.pump(turn);
    }

    /// A command has reached its `timeout`.
    pub(super) fn timed_out(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        let entries = self.part.entries.clone();
        let Some(run) = self.processes.get(key) else { return };
        let Some(micros) = entries[run.entry].shell().and_then(|shell| shell.timeout) else { return };
        let why = format!("ran longer than {}", text::duration(Duration::from_micros(micros)));
        self.end_early(key, &why, self.part.grace, turn);
    }

    /// Sends SIGTERM to a command, and SIGKILL after `grace`.
    pub(super) fn end_early(&mut self, key: RunKey, why: &str, grace: Duration, turn: &mut Turn<'_>) {
        let Some(run) = self.processes.get_mut(key) else { return };
        run.failed.get_or_insert_with(|| why.to_owned());
        self.signal_run(key, Signal::TERM, turn);
        self.timers.set(Timer::Kill(key), turn.now + grace);
    }

    /// Sends a signal to the whole group of a command.
    pub(super) fn signal_run(&mut self, key: RunKey, signal: Signal, turn: &mut Turn<'_>) {
        let Some(run) = self.processes.get_mut(key) else { return };
        if let Doing::Process { child, .. } = run.doing {
            run.got = Some(signal);
            turn.out.kill_group(child, signal);
        }
    }

    /// Returns whether no run of an entry goes on or will begin.
    pub(super) fn nothing_runs(&self) -> bool {
        self.processes.is_empty() && self.queue.is_empty()
    }
}
