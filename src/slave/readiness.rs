//! Runs of entries that are to become ready: how each is tested for it, how long that may take, and what follows.
//!
//! A run is awaited from the moment at which it is started until it is ready, has failed to become so in time, or has
//! exited. What it is tested with ends with that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, Command, EarId, Exit, NoAnswer, ProbeId, ReadId, Signal, Time};
use crate::slave::lines::Log;
use crate::slave::notifies::Waiter;
use crate::slave::process::{Due, RunKey};
use crate::slave::run::Run;
use crate::slave::schedule::Occasion;
use crate::slave::text::clip;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::slave::variables::Unresolved;
use crate::spoken;
use crate::wire::Happened;
use crate::wire::readiness::{Readiness, ReadyCheck};

/// How often a port is tried, and a variable that has no value yet.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// How often the output of commands is looked at for a line: so often while few are awaited, and in all not much more
/// often, because each look costs some system calls.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How soon it is looked at again when more was there than one look takes.
const LOOK_ON_AFTER: Duration = Duration::from_millis(1);

/// How many commands are awaited by their output before each is looked at less often.
const LOOKS_AT_ONCE: usize = 20;

/// Where a port is tried if the test does not say where.
const LOCALHOST: &str = "127.0.0.1";

/// How much of a command or a pattern a message repeats, in characters.
const SHOWN_MAX: usize = 80;

/// What `READY=1` is to a service manager.
const SAID: &[u8] = b"READY=1";

/// A run that is awaited.
#[derive(Debug)]
struct Awaited {
    entry: usize,
    nr: u32,
    since: Time,
    /// Its own command, whose directory and environment a command that tests it has too.
    command: Box<Command>,
    stage: Stage,
    /// Why it is not ready, as far as is known.
    why: String,
}

#[derive(Debug)]
enum Stage {
    /// Its process has no id yet.
    Starting,
    /// It is tested by something that has no state.
    Tested,
    /// Its output is read.
    Log(Box<Log>),
    /// A command tests it.
    Shell(ChildId),
    /// It was not ready in time, and has been told to end.
    TooLate,
}

/// Who is awaited, and what is under way for that.
#[derive(Debug, Default)]
pub(super) struct Readies {
    awaited: BTreeMap<RunKey, Awaited>,
    probes: BTreeMap<ProbeId, RunKey>,
    checks: BTreeMap<ChildId, RunKey>,
    reads: BTreeMap<ReadId, RunKey>,
    /// The sockets of those that may say it themselves. A run keeps its own until it exits, because a service says more
    /// than that it is ready.
    ears: BTreeMap<EarId, RunKey>,
}

impl Readies {
    fn logs(&self) -> usize {
        self.awaited.values().filter(|awaited| matches!(awaited.stage, Stage::Log(_))).count()
    }
}

impl Run {
    /// Whether a run of an entry is still to become ready, so that something may start by itself.
    pub(super) fn awaits_ready(&self) -> bool {
        !self.readies.awaited.is_empty()
    }

    /// What a command that is about to start is given to say that it is ready.
    pub(super) fn give_ear(&mut self, due: &Due, turn: &mut Turn<'_>) -> Option<(EarId, PathBuf)> {
        let says_it = self.readiness(due.entry).is_some_and(|ready| ready.check == ReadyCheck::Notify);
        says_it.then(|| turn.out.hear(|ear| self.config.socket.with_extension(format!("{}.ear", ear.0))))
    }

    /// A run of an entry is being started.
    pub(super) fn await_ready(&mut self, key: RunKey, ear: Option<EarId>, command: Box<Command>, turn: &Turn<'_>) {
        let Some(run) = self.processes.get(key) else { return };
        let (entry, nr) = (run.entry, run.nr);
        let awaited = Awaited { entry, nr, since: turn.now, command, stage: Stage::Starting, why: String::new() };
        self.readies.awaited.insert(key, awaited);
        self.readies.ears.extend(ear.map(|ear| (ear, key)));
    }

    fn readiness(&self, entry: usize) -> Option<&Readiness> {
        self.part.entries[entry].readiness()
    }

    /// Its process runs: from now on it is tested.
    pub(super) fn begin_to_test(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        let entries = self.part.entries.clone();
        let Some(awaited) = self.readies.awaited.get_mut(&key) else { return };
        let Some(readiness) = entries[awaited.entry].readiness() else { return };
        awaited.since = turn.now;
        awaited.why = first_why(&readiness.check);
        awaited.stage = Stage::Tested;
        if let ReadyCheck::Log(pattern) = &readiness.check {
            let (entry, nr) = (awaited.entry, awaited.nr);
            let files = self.output_names(entry, nr).map(|name| self.output_dir().join(name));
            match Log::new(pattern, files) {
                Ok(log) => self.set_stage(key, Stage::Log(Box::new(log))),
                Err(why) => return self.end_early(key, &why, self.part.grace, turn),
            }
        }
        if injected(Fault::ReadyTooEarly) {
            self.start_those_after(key, self.readies.awaited[&key].entry);
        }
        self.timers.set(Timer::Within(key), turn.now + Duration::from_micros(readiness.within));
        self.test(key, turn);
    }

    fn set_stage(&mut self, key: RunKey, stage: Stage) {
        if let Some(awaited) = self.readies.awaited.get_mut(&key) {
            awaited.stage = stage;
        }
    }

    /// Tests once whether a run is ready.
    pub(super) fn test(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        let entries = self.part.entries.clone();
        let Some(awaited) = self.readies.awaited.get_mut(&key) else { return };
        let Some(readiness) = entries[awaited.entry].readiness() else { return };
        match &readiness.check {
            ReadyCheck::Port { port, host } => {
                let host = host.as_deref().unwrap_or(LOCALHOST);
                match self.expand(host) {
                    Ok(host) => drop(self.readies.probes.insert(turn.out.probe(target(&host, *port)), key)),
                    Err(unresolved) => self.not_yet(key, said(unresolved), TRY_EVERY, turn),
                }
            }
            ReadyCheck::Log(_) => {
                if let Stage::Log(log) = &mut awaited.stage {
                    let reads = log.look(turn.out);
                    self.readies.reads.extend(reads.map(|read| (read, key)));
                }
            }
            ReadyCheck::Shell { command, every } => {
                let own = awaited.command.clone();
                match self.expand(command) {
                    Ok(command) => {
                        let argv = ["/bin/sh", "-c", &command].map(str::to_owned).to_vec();
                        let child = turn.out.spawn(Command { argv, stdout: None, stderr: None, ..*own });
                        self.readies.checks.insert(child, key);
                        self.set_stage(key, Stage::Shell(child));
                    }
                    Err(unresolved) => self.not_yet(key, said(unresolved), Duration::from_micros(*every), turn),
                }
            }
            ReadyCheck::Notify => {}
        }
    }

    /// A test has failed: the next one comes after a while.
    fn not_yet(&mut self, key: RunKey, why: String, after: Duration, turn: &mut Turn<'_>) {
        if let Some(awaited) = self.readies.awaited.get_mut(&key) {
            awaited.why = why;
            self.timers.set(Timer::Test(key), turn.now + after);
        }
    }

    /// What became of the probe of a port.
    pub(super) fn probed(&mut self, probe: ProbeId, result: Result<(), NoAnswer>, turn: &mut Turn<'_>) {
        let Some(key) = self.readies.probes.remove(&probe).filter(|key| self.is_tested(*key)) else { return };
        let Err(no_answer) = result else { return self.becomes_ready(key, turn) };
        let Some(ReadyCheck::Port { port, host }) = self.check_of(key) else { return };
        let host = host.as_ref().map(|host| self.expand(host).unwrap_or_else(|_| host.clone()));
        let port = host.map_or_else(|| format!("port {port}"), |host| format!("port {port} of {}", shown(&host)));
        let why = match no_answer {
            NoAnswer::Refused => format!("{port} refuses"),
            NoAnswer::Silent => format!("{port} does not answer"),
            NoAnswer::Other(why) => format!("{port}: {why}"),
        };
        self.not_yet(key, why, TRY_EVERY, turn);
    }

    /// A piece of output was read. Returns whether it was read for this.
    pub(super) fn read_for_ready(&mut self, read: ReadId, bytes: &[u8], turn: &mut Turn<'_>) -> bool {
        let Some(key) = self.readies.reads.remove(&read) else { return false };
        let Some(Awaited { stage: Stage::Log(log), .. }) = self.readies.awaited.get_mut(&key) else { return true };
        if log.take(read, bytes) {
            let exit = log.exit();
            self.becomes_ready(key, turn);
            exit.into_iter().for_each(|exit| self.process_over(key, exit, turn));
        } else if !log.reads() {
            match log.exit() {
                Some(_) if log.has_more() => self.test(key, turn),
                Some(exit) => self.process_over(key, exit, turn),
                None => {
                    let crowd = u32::try_from(self.readies.logs() / LOOKS_AT_ONCE).unwrap_or(u32::MAX);
                    let more = matches!(&self.readies.awaited[&key].stage, Stage::Log(log) if log.has_more());
                    let after = if more { LOOK_ON_AFTER } else { LOOK_EVERY } * (1 + crowd);
                    self.timers.set(Timer::Test(key), turn.now + after);
                }
            }
        }
        true
    }

    /// A run that is awaited by its output has exited: the rest of the output is read before that is judged. Returns
    /// whether there is something to read.
    pub(super) fn reads_last_lines(&mut self, key: RunKey, exit: Exit, turn: &mut Turn<'_>) -> bool {
        let Some(Awaited { stage: Stage::Log(log), .. }) = self.readies.awaited.get_mut(&key) else { return false };
        log.set_exit(exit);
        self.readies.reads.retain(|_, of| *of != key);
        self.timers.cancel(&Timer::Test(key));
        self.test(key, turn);
        true
    }

    /// A command that tests another has ended, with this exit if it could be started. Returns whether it was one.
    pub(super) fn tested(&mut self, child: ChildId, exit: Result<Exit, &str>, turn: &mut Turn<'_>) -> bool {
        let Some(key) = self.readies.checks.remove(&child) else { return false };
        // It may have left something behind.
        turn.out.kill_group(child, Signal::KILL);
        if !self.is_tested(key) {
            return true;
        }
        let Some(ReadyCheck::Shell { command, every }) = self.check_of(key) else { return true };
        let command = shown(&command);
        let why = match exit {
            Ok(Exit::Code(0)) => {
                self.becomes_ready(key, turn);
                return true;
            }
            Ok(Exit::Code(status)) => format!("\"{command}\" exits with status {status}"),
            Ok(Exit::Signal(signal)) => format!("\"{command}\" dies of {}", signal.name()),
            Err(error) => format!("\"{command}\" could not be started: {error}"),
        };
        self.set_stage(key, Stage::Tested);
        self.not_yet(key, why, Duration::from_micros(every), turn);
        true
    }

    /// A command has said something about itself.
    pub(super) fn overheard(&mut self, ear: EarId, bytes: &[u8], turn: &mut Turn<'_>) {
        let Some(key) = self.readies.ears.get(&ear).copied() else { return };
        if bytes.split(|&byte| byte == b'\n').any(|line| line == SAID) && self.is_tested(key) {
            self.becomes_ready(key, turn);
        }
    }

    /// A command cannot say anything about itself.
    pub(super) fn deaf(&mut self, ear: EarId, error: &str, turn: &mut Turn<'_>) {
        let Some(key) = self.readies.ears.remove(&ear) else { return };
        let why = format!("it cannot say that it is ready: {}", clip(error));
        self.end_early(key, &why, self.part.grace, turn);
    }

    /// `arete ready` in a command of a run of an entry.
    pub(super) fn says_ready(&mut self, entry: &str, nr: u32, turn: &mut Turn<'_>) -> Result<(), String> {
        let Some(index) = self.part.entries.iter().position(|other| other.name == entry) else {
            return Err(format!("there is no entry {:?} on this slave", clip(entry)));
        };
        if self.readiness(index).is_none_or(|ready| ready.check != ReadyCheck::Notify) {
            return Err(format!("entry {entry:?} has no \"ready\": {{\"notify\": true}}"));
        }
        let keys = self.processes.keys_of(index);
        let Some(key) = keys.into_iter().find(|key| self.processes.get(*key).is_some_and(|run| run.nr == nr)) else {
            return Err(format!("run {nr} of entry {entry:?} does not go on"));
        };
        match self.readies.awaited.get(&key).map(|awaited| &awaited.stage) {
            Some(Stage::TooLate) => Err(format!("entry {entry:?} was not ready in time")),
            Some(_) => {
                self.becomes_ready(key, turn);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether a run may still become ready.
    fn is_tested(&self, key: RunKey) -> bool {
        self.readies.awaited.get(&key).is_some_and(|awaited| !matches!(awaited.stage, Stage::TooLate))
    }

    fn check_of(&self, key: RunKey) -> Option<ReadyCheck> {
        let awaited = self.readies.awaited.get(&key)?;
        self.readiness(awaited.entry).map(|ready| ready.check.clone())
    }

    /// A run is ready: those that wait for it start.
    fn becomes_ready(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        let Some(awaited) = self.end_tests(key, turn) else { return };
        let entries = self.part.entries.clone();
        let entry = &entries[awaited.entry];
        let after = turn.now.since(awaited.since).as_micros() as u64;
        let said = Happened::EntryReady { entry: entry.name.as_str().into(), nr: awaited.nr, after };
        self.reports.push(said, turn);
        self.start_those_after(key, awaited.entry);
        if let Some(trigger) = entry.notifies() {
            self.notify(trigger, None, Waiter::Nobody, turn);
        }
    }

    /// Starts what runs when this run of an entry is ready.
    pub(super) fn start_those_after(&mut self, key: RunKey, entry: usize) {
        if self.running() {
            let entries = self.part.entries.clone();
            let cause = self.processes.get(key).and_then(|run| run.cause.clone());
            self.enqueue(Occasion::Ready(&entries[entry].name).entries(&entries), cause.as_deref());
        }
    }

    /// A run has had the time that it may take to become ready.
    pub(super) fn not_ready_in_time(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        let Some(awaited) = self.end_tests(key, turn) else { return };
        let Some(within) = self.readiness(awaited.entry).map(|ready| ready.within) else { return };
        let within = spoken::duration(Duration::from_micros(within));
        let why = match (&awaited.stage, self.readiness(awaited.entry).map(|ready| &ready.check)) {
            (Stage::Shell(_), Some(ReadyCheck::Shell { command, .. })) => {
                format!("\"{}\" has not exited", shown(command))
            }
            _ => awaited.why.clone(),
        };
        self.readies.awaited.insert(key, Awaited { stage: Stage::TooLate, ..awaited });
        self.end_early(key, &format!("not ready within {within}: {why}"), self.part.grace, turn);
    }

    /// A run has exited, or could not start. Returns whether it was still to become ready.
    pub(super) fn awaits_no_more(&mut self, key: RunKey, turn: &mut Turn<'_>) -> bool {
        let ear = self.readies.ears.iter().find(|(_, of)| **of == key).map(|(ear, _)| *ear);
        if let Some(ear) = ear {
            self.readies.ears.remove(&ear);
            turn.out.deafen(ear);
        }
        self.end_tests(key, turn).is_some_and(|awaited| !matches!(awaited.stage, Stage::TooLate))
    }

    /// The end of the run has begun: nothing waits for anybody to become ready.
    pub(super) fn await_nobody(&mut self, turn: &mut Turn<'_>) {
        for key in self.readies.awaited.keys().copied().collect::<Vec<_>>() {
            let exited = match &self.readies.awaited[&key].stage {
                Stage::Log(log) => log.exit(),
                _ => None,
            };
            self.end_tests(key, turn);
            exited.into_iter().for_each(|exit| self.process_over(key, exit, turn));
        }
    }

    fn end_tests(&mut self, key: RunKey, turn: &mut Turn<'_>) -> Option<Awaited> {
        self.timers.cancel(&Timer::Within(key));
        self.timers.cancel(&Timer::Test(key));
        let awaited = self.readies.awaited.remove(&key)?;
        if let Stage::Shell(child) = awaited.stage {
            turn.out.kill_group(child, Signal::KILL);
        }
        Some(awaited)
    }
}

/// Why a run is not ready before it was tested.
fn first_why(check: &ReadyCheck) -> String {
    match check {
        ReadyCheck::Port { port, .. } => format!("port {port} does not answer"),
        ReadyCheck::Log(pattern) => format!("no line matches \"{}\"", shown(pattern)),
        ReadyCheck::Shell { command, .. } => format!("\"{}\" has not exited", shown(command)),
        ReadyCheck::Notify => "it has not said so (arete ready, or READY=1)".to_owned(),
    }
}

/// `HOST:PORT`; an IPv6 address stands in brackets.
fn target(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn said(unresolved: Unresolved) -> String {
    match unresolved {
        Unresolved::NotYet => "the process id that it names is not known yet".to_owned(),
        Unresolved::Never(why) => why,
    }
}

/// The beginning of a command or a pattern.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
