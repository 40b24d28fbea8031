//! The readiness of runs of entries: how each run is checked, and how long it may take.
//!
//! [`Readies`] owns the checks. A run is awaited from its start until it is ready, is too late, or has exited. Its
//! checks never outlive that: a command that checks is killed, and a socket is closed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::machine::{ChildId, Command, EarId, Exit, NoAnswer, Outbox, ProbeId, ReadId, Signal, Time, Timers};
use crate::slave::lines::{BadPattern, Log};
use crate::slave::process::RunKey;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::slave::variables::Variables;
use crate::text::{self, cut};
use crate::wire::Entry;
use crate::wire::readiness::ReadyCheck;

/// How often a port is tried, or a variable without a value.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// How often the output of a command is read, as long as few commands are awaited. With more commands each is read less
/// often, because each read costs some system calls.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How soon the output is read again if there was more than one read takes.
const LOOK_ON_AFTER: Duration = Duration::from_millis(1);

/// With more commands than this, the output of each is read less often.
const LOOKS_AT_ONCE: usize = 20;

/// The host of a port if the test names none.
const LOCALHOST: &str = "127.0.0.1";

/// How much of a command or a pattern a message repeats, in characters.
const SHOWN_MAX: usize = 80;

/// The message of a ready service in the protocol of `NOTIFY_SOCKET`.
const READY: &[u8] = b"READY=1";

/// A run that is awaited.
#[derive(Debug)]
struct Awaited {
    entry: usize,
    nr: u32,
    since: Time,
    /// Its own command. A command that checks it gets the same directory and environment.
    command: Box<Command>,
    stage: Stage,
    /// Why it is not ready, as far as that is known.
    why: String,
}

#[derive(Debug)]
enum Stage {
    /// Its process has no id yet.
    Starting,
    /// Its check has no state here: a port, or a report of the command.
    Tested,
    /// Its output is read.
    Log(Box<Log>),
    /// A command checks it.
    Shell(ChildId),
    /// It was not ready in time, and got SIGTERM.
    TooLate,
}

/// A run of an entry that has become ready.
#[derive(Debug)]
pub(super) struct BecameReady {
    pub(super) entry: usize,
    pub(super) nr: u32,
    /// How long that took.
    pub(super) after: Duration,
}

/// The result of a read of a command's output.
#[derive(Debug)]
pub(super) enum Look {
    /// Nothing to do: the next read is planned.
    GoesOn,
    /// There is more to read before the exit of the command is judged.
    ReadOn(RunKey),
    /// A line matches. The command may have exited before.
    Ready(RunKey, Option<Exit>),
    /// The command has exited, and no line matches.
    Exited(RunKey, Exit),
}

/// The awaited runs, and their checks.
#[derive(Debug)]
pub(super) struct Readies {
    schedule: Rc<[Entry]>,
    awaited: BTreeMap<RunKey, Awaited>,
    /// Each with the port that it tries, for a message.
    probes: BTreeMap<ProbeId, (RunKey, String)>,
    checks: BTreeMap<ChildId, RunKey>,
    reads: BTreeMap<ReadId, RunKey>,
    /// The sockets of the runs that report readiness themselves. A run keeps its socket until it exits, because a
    /// service also sends other messages.
    ears: BTreeMap<EarId, RunKey>,
}

impl Readies {
    pub(super) fn new(schedule: Rc<[Entry]>) -> Readies {
        Readies {
            schedule,
            awaited: BTreeMap::new(),
            probes: BTreeMap::new(),
            checks: BTreeMap::new(),
            reads: BTreeMap::new(),
            ears: BTreeMap::new(),
        }
    }

    /// Returns whether a run may still become ready, so that another entry may start.
    pub(super) fn any(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Returns whether commands of this entry report themselves that they are ready.
    pub(super) fn is_told(&self, entry: usize) -> bool {
        self.schedule[entry].readiness().is_some_and(|ready| ready.check == ReadyCheck::Notify)
    }

    /// Adds run `nr` of an entry, which is being started. `command` is its own, `ear` the socket for its report.
    pub(super) fn add(
        &mut self,
        key: RunKey,
        (entry, nr): (usize, u32),
        ear: Option<EarId>,
        command: Box<Command>,
        now: Time,
    ) {
        self.awaited
            .insert(key, Awaited { entry, nr, since: now, command, stage: Stage::Starting, why: String::new() });
        self.ears.extend(ear.map(|ear| (ear, key)));
    }

    /// The process of a run has an id, so its time begins. Returns whether the run is awaited. Fails if it cannot be
    /// checked.
    pub(super) fn begin(
        &mut self,
        key: RunKey,
        files: [PathBuf; 2],
        now: Time,
        timers: &mut Timers<Timer>,
    ) -> Result<bool, BadPattern> {
        let Some(awaited) = self.awaited.get_mut(&key) else { return Ok(false) };
        let Some(readiness) = self.schedule[awaited.entry].readiness() else { return Ok(false) };
        awaited.since = now;
        awaited.why = first_why(&readiness.check);
        awaited.stage = Stage::Tested;
        if let ReadyCheck::Log(pattern) = &readiness.check {
            awaited.stage = Stage::Log(Box::new(Log::new(pattern, files)?));
        }
        timers.set(Timer::Within(key), now + Duration::from_micros(readiness.within));
        Ok(true)
    }

    /// Checks once whether a run is ready.
    pub(super) fn test(
        &mut self,
        key: RunKey,
        variables: &Variables<'_>,
        timers: &mut Timers<Timer>,
        turn: &mut Turn<'_>,
    ) {
        let Some(awaited) = self.awaited.get_mut(&key) else { return };
        let Some(readiness) = self.schedule[awaited.entry].readiness() else { return };
        match &readiness.check {
            ReadyCheck::Port { port, host } => match variables.expand(host.as_deref().unwrap_or(LOCALHOST)) {
                Ok(to) => {
                    let tried = match host {
                        Some(_) => format!("port {port} of {}", cut(&to, SHOWN_MAX)),
                        None => format!("port {port}"),
                    };
                    self.probes.insert(turn.out.probe(target(&to, *port)), (key, tried));
                }
                Err(unresolved) => awaited.not_yet(key, unresolved.to_string(), turn.now + TRY_EVERY, timers),
            },
            ReadyCheck::Log(_) => {
                if let Stage::Log(log) = &mut awaited.stage {
                    self.reads.extend(log.look(turn.out).map(|read| (read, key)));
                }
            }
            ReadyCheck::Shell { command, every } => match variables.expand(command) {
                Ok(command) => {
                    let argv = ["/bin/sh", "-c", &command].map(str::to_owned).to_vec();
                    let own = (*awaited.command).clone();
                    let child = turn.out.spawn(Command { argv, stdout: None, stderr: None, ..own });
                    self.checks.insert(child, key);
                    awaited.stage = Stage::Shell(child);
                }
                Err(unresolved) => {
                    awaited.not_yet(key, unresolved.to_string(), turn.now + Duration::from_micros(*every), timers);
                }
            },
            ReadyCheck::Notify => {}
        }
    }

    /// A probe of a port has this result. Returns the run that is ready by that.
    pub(super) fn probed(
        &mut self,
        probe: ProbeId,
        result: Result<(), NoAnswer>,
        now: Time,
        timers: &mut Timers<Timer>,
    ) -> Option<RunKey> {
        let (key, port) = self.probes.remove(&probe)?;
        let awaited = self.awaited.get_mut(&key).filter(|awaited| awaited.is_in_time())?;
        let why = match result {
            Ok(()) => return Some(key),
            Err(NoAnswer::Refused) => format!("{port} refuses"),
            Err(NoAnswer::Silent) => format!("{port} does not answer"),
            Err(NoAnswer::Other(why)) => format!("{port}: {why}"),
        };
        awaited.not_yet(key, why, now + TRY_EVERY, timers);
        None
    }

    /// A piece of output was read. Returns `None` if the read is not one of a check.
    pub(super) fn read(&mut self, read: ReadId, bytes: &[u8], now: Time, timers: &mut Timers<Timer>) -> Option<Look> {
        let key = self.reads.remove(&read)?;
        let logs = self.awaited.values().filter(|awaited| matches!(awaited.stage, Stage::Log(_))).count();
        let Some(Awaited { stage: Stage::Log(log), .. }) = self.awaited.get_mut(&key) else {
            return Some(Look::GoesOn);
        };
        if log.take(read, bytes) {
            return Some(Look::Ready(key, log.exit()));
        }
        if log.reads() {
            return Some(Look::GoesOn);
        }
        Some(match log.exit() {
            Some(_) if log.has_more() => Look::ReadOn(key),
            Some(exit) => Look::Exited(key, exit),
            None => {
                let crowd = u32::try_from(logs / LOOKS_AT_ONCE).unwrap_or(u32::MAX);
                let after = if log.has_more() { LOOK_ON_AFTER } else { LOOK_EVERY } * (1 + crowd);
                timers.set(Timer::Test(key), now + after);
                Look::GoesOn
            }
        })
    }

    /// A run has exited. Returns whether it is awaited by its output: then the rest of that must be read before the
    /// exit is judged.
    pub(super) fn has_last_lines(&mut self, key: RunKey, exit: Exit, timers: &mut Timers<Timer>) -> bool {
        let Some(Awaited { stage: Stage::Log(log), .. }) = self.awaited.get_mut(&key) else { return false };
        log.set_exit(exit);
        self.reads.retain(|_, of| *of != key);
        timers.cancel(&Timer::Test(key));
        true
    }

    /// Returns whether this command checks another one.
    pub(super) fn is_check(&self, child: ChildId) -> bool {
        self.checks.contains_key(&child)
    }

    /// A command that checks another one has exited, or could not be started. Returns the run that is ready.
    pub(super) fn checked(
        &mut self,
        child: ChildId,
        exit: Result<Exit, &str>,
        timers: &mut Timers<Timer>,
        turn: &mut Turn<'_>,
    ) -> Option<RunKey> {
        let key = self.checks.remove(&child)?;
        // It may have left processes.
        turn.out.kill_group(child, Signal::KILL);
        let awaited = self.awaited.get_mut(&key).filter(|awaited| awaited.is_in_time())?;
        let Some(ReadyCheck::Shell { command, every }) =
            self.schedule[awaited.entry].readiness().map(|ready| &ready.check)
        else {
            return None;
        };
        let command = cut(command, SHOWN_MAX);
        let why = match exit {
            Ok(Exit::Code(0)) => return Some(key),
            Ok(Exit::Code(status)) => format!("\"{command}\" exits with status {status}"),
            Ok(Exit::Signal(signal)) => format!("\"{command}\" dies of {}", signal.name()),
            Err(error) => format!("\"{command}\" could not be started: {error}"),
        };
        awaited.stage = Stage::Tested;
        awaited.not_yet(key, why, turn.now + Duration::from_micros(*every), timers);
        None
    }

    /// A message has arrived at a socket. Returns the run that is ready.
    pub(super) fn overheard(&self, ear: EarId, bytes: &[u8]) -> Option<RunKey> {
        let key = *self.ears.get(&ear)?;
        let ready = bytes.split(|&byte| byte == b'\n').any(|line| line == READY);
        (ready && self.awaited.get(&key)?.is_in_time()).then_some(key)
    }

    /// The socket of a run could not be made. Returns the run.
    pub(super) fn deaf(&mut self, ear: EarId) -> Option<RunKey> {
        self.ears.remove(&ear)
    }

    /// A run reports that it is ready. Returns whether that is new. Fails if it is too late.
    pub(super) fn told(&self, key: RunKey) -> Result<bool, ()> {
        match self.awaited.get(&key) {
            Some(awaited) if !awaited.is_in_time() => Err(()),
            awaited => Ok(awaited.is_some()),
        }
    }

    /// Ends the checks of a run that is ready.
    pub(super) fn finish(
        &mut self,
        key: RunKey,
        timers: &mut Timers<Timer>,
        turn: &mut Turn<'_>,
    ) -> Option<BecameReady> {
        let Awaited { entry, nr, since, .. } = self.end_tests(key, timers, turn.out)?;
        Some(BecameReady { entry, nr, after: turn.now.since(since) })
    }

    /// The time of a run is over. Returns why it is not ready.
    pub(super) fn expire(&mut self, key: RunKey, timers: &mut Timers<Timer>, out: &mut Outbox) -> Option<String> {
        let awaited = self.end_tests(key, timers, out)?;
        let ready = self.schedule[awaited.entry].readiness()?;
        let within = text::duration(Duration::from_micros(ready.within));
        let why = match (&awaited.stage, &ready.check) {
            (Stage::Shell(_), ReadyCheck::Shell { command, .. }) => {
                format!("\"{}\" has not exited", cut(command, SHOWN_MAX))
            }
            _ => awaited.why.clone(),
        };
        self.awaited.insert(key, Awaited { stage: Stage::TooLate, ..awaited });
        Some(format!("not ready within {within}: {why}"))
    }

    /// A run has exited, or could not start. Returns whether it was still awaited.
    pub(super) fn remove(&mut self, key: RunKey, timers: &mut Timers<Timer>, out: &mut Outbox) -> bool {
        let ear = self.ears.iter().find(|(_, of)| **of == key).map(|(ear, _)| *ear);
        if let Some(ear) = ear {
            self.ears.remove(&ear);
            out.deafen(ear);
        }
        self.end_tests(key, timers, out).is_some_and(|awaited| awaited.is_in_time())
    }

    /// The end of the run has begun, so no run is awaited any longer. Returns the runs that have exited and waited only
    /// for the rest of their output.
    pub(super) fn end(&mut self, timers: &mut Timers<Timer>, out: &mut Outbox) -> Vec<(RunKey, Exit)> {
        let keys: Vec<RunKey> = self.awaited.keys().copied().collect();
        let ended = keys.into_iter().filter_map(|key| Some((key, self.end_tests(key, timers, out)?)));
        let exited = |(key, awaited): (RunKey, Awaited)| match awaited.stage {
            Stage::Log(log) => log.exit().map(|exit| (key, exit)),
            _ => None,
        };
        ended.filter_map(exited).collect()
    }

    fn end_tests(&mut self, key: RunKey, timers: &mut Timers<Timer>, out: &mut Outbox) -> Option<Awaited> {
        timers.cancel(&Timer::Within(key));
        timers.cancel(&Timer::Test(key));
        let awaited = self.awaited.remove(&key)?;
        if let Stage::Shell(child) = awaited.stage {
            out.kill_group(child, Signal::KILL);
        }
        Some(awaited)
    }
}

impl Awaited {
    /// Returns whether it may still become ready.
    fn is_in_time(&self) -> bool {
        !matches!(self.stage, Stage::TooLate)
    }

    /// A check has failed. The next one is at `again`.
    fn not_yet(&mut self, key: RunKey, why: String, again: Time, timers: &mut Timers<Timer>) {
        self.why = why;
        timers.set(Timer::Test(key), again);
    }
}

/// Returns why a run is not ready before its first check.
fn first_why(check: &ReadyCheck) -> String {
    match check {
        ReadyCheck::Port { port, .. } => format!("port {port} does not answer"),
        ReadyCheck::Log(pattern) => format!("no line matches \"{}\"", cut(pattern, SHOWN_MAX)),
        ReadyCheck::Shell { command, .. } => format!("\"{}\" has not exited", cut(command, SHOWN_MAX)),
        ReadyCheck::Notify => "it has not said so (arete ready, or READY=1)".to_owned(),
    }
}

/// Returns `HOST:PORT`, with an IPv6 address in brackets.
fn target(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
