//! The runs of entries that go on, and the outcome of a run that is over.

use std::collections::BTreeMap;

use crate::machine::{ChildId, Exit, Signal};
use crate::slave::refusal::Refusal;
use crate::wire::{EntryOutcome, Expect};

/// The most runs of entries that may go on at a time.
const RUNS_MAX: usize = 1_000;

/// A shell whose last command died of a signal exits with this plus the number of the signal.
const SHELL_SIGNAL_BASE: i32 = 128;

/// Identifies a run of an entry. A key is never used again within a run of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunKey(u64);

/// Identifies a fault within a run of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FaultNr(pub(super) u64);

/// A run of an entry that goes on.
#[derive(Debug)]
pub(super) struct EntryRun {
    /// The index of its entry in the schedule.
    pub(super) entry: usize,
    pub(super) nr: u32,
    /// The trigger that started it, directly or through `after`.
    pub(super) cause: Option<String>,
    pub(super) doing: Doing,
    /// The last signal that the slave sent to its whole group.
    pub(super) got: Option<Signal>,
    /// The signal that a `kill` action sent to it, and the entry of that action.
    pub(super) killed_by: Option<(Signal, String)>,
    /// The signal that a command which has begun sends it with `kill @{ENTRY.pid}`, and the command's entry.
    pub(super) aimed_at_by: Option<(Signal, String)>,
    /// The end of the run has stopped it.
    pub(super) stopped: bool,
    /// Why it has failed, however it exits.
    pub(super) failed: Option<String>,
    /// `failed` is set because the end of the run has cut it off.
    pub(super) cut_off: bool,
    /// The number of this attempt at a job that is run again if it fails: 1, 2, 3, ...
    pub(super) attempt: u32,
}

impl EntryRun {
    pub(super) fn new(due: Due, doing: Doing) -> EntryRun {
        EntryRun {
            entry: due.entry,
            nr: due.nr.unwrap_or(1),
            cause: due.cause,
            doing,
            got: None,
            killed_by: None,
            aimed_at_by: None,
            stopped: false,
            failed: None,
            cut_off: false,
            attempt: due.attempt,
        }
    }

    /// Returns whether it is a command, and not a built-in action.
    pub(super) fn has_process(&self) -> bool {
        matches!(self.doing, Doing::Process { .. })
    }

    /// Returns whether an entry has asked it to end, so that the end of the run need not wait for it.
    pub(super) fn told_to_end(&self) -> bool {
        let asks =
            |told: &Option<(Signal, String)>| told.as_ref().is_some_and(|(signal, _)| ASK_TO_END.contains(signal));
        asks(&self.killed_by) || asks(&self.aimed_at_by)
    }
}

impl From<EntryRun> for Due {
    fn from(run: EntryRun) -> Due {
        let is_final = run.cut_off || run.told_to_end();
        let EntryRun { entry, cause, nr, attempt, cut_off, .. } = run;
        Due { entry, cause, nr: Some(nr), attempt, is_final, cut_off }
    }
}

/// A run of an entry that is to begin, or is over.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) entry: usize,
    pub(super) cause: Option<String>,
    /// Its number, once it has one.
    pub(super) nr: Option<u32>,
    /// As in [`EntryRun`].
    pub(super) attempt: u32,
    /// No attempt follows, because an entry or the end of the run has ended it.
    pub(super) is_final: bool,
    /// The end of the run has cut it off.
    pub(super) cut_off: bool,
}

impl Due {
    /// Returns the first attempt at a run of an entry. `cause` is the trigger that starts it.
    pub(super) fn new(entry: usize, cause: Option<String>) -> Due {
        Due { entry, cause, nr: None, attempt: 1, is_final: false, cut_off: false }
    }
}

#[derive(Debug)]
pub(super) enum Doing {
    /// A command runs; its process id is known once it does.
    Process { child: ChildId, pid: Option<u32> },
    /// The controller has not counted the notify yet.
    Notify,
    /// The verdict of the barrier or the sync is not there yet.
    Meet,
    /// The attempt before has failed, and the time until this one is not over.
    Delay,
    /// The fault is not in effect yet, or its time is not over.
    Fault,
    /// A `kill` waits until the faults of this entry are undone.
    Heal(usize),
}

#[derive(Debug, Default)]
pub(super) struct Processes {
    live: BTreeMap<RunKey, EntryRun>,
    by_child: BTreeMap<ChildId, RunKey>,
    /// The groups of commands that got SIGTERM and whose first process has exited.
    lingering: BTreeMap<RunKey, ChildId>,
    /// How many runs each entry has had, by its index in the schedule.
    counts: BTreeMap<usize, u32>,
    last: u64,
}

/// The state of an entry's latest run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Latest {
    Runs(u32),
    /// It is being started, and has no process id yet.
    Starts,
    RunsNot,
}

impl Processes {
    /// Counts one more run of the entry, and returns its number.
    pub(super) fn count(&mut self, entry: usize) -> u32 {
        let count = self.counts.entry(entry).or_default();
        *count += 1;
        *count
    }

    /// Returns how many runs the entry has had.
    pub(super) fn counted(&self, entry: usize) -> u32 {
        self.counts.get(&entry).copied().unwrap_or(0)
    }

    /// Fails if too many go on for another one to begin.
    pub(super) fn check_room(&self) -> Result<(), Refusal> {
        if self.live.len() < RUNS_MAX { Ok(()) } else { Err(Refusal::Runs { most: RUNS_MAX }) }
    }

    pub(super) fn insert(&mut self, run: EntryRun) -> RunKey {
        self.last += 1;
        let key = RunKey(self.last);
        if let Doing::Process { child, .. } = run.doing {
            self.by_child.insert(child, key);
        }
        self.live.insert(key, run);
        key
    }

    pub(super) fn remove(&mut self, key: RunKey) -> Option<EntryRun> {
        let run = self.live.remove(&key)?;
        if let Doing::Process { child, .. } = run.doing {
            self.by_child.remove(&child);
        }
        Some(run)
    }

    /// The first process of a command has exited after SIGTERM. The rest of its group has the same time to exit.
    pub(super) fn linger(&mut self, key: RunKey, child: ChildId) {
        self.lingering.insert(key, child);
    }

    /// Takes the group of such a command when its time is over.
    pub(super) fn take_lingering(&mut self, key: RunKey) -> Option<ChildId> {
        self.lingering.remove(&key)
    }

    /// Returns run `nr` of an entry, if it goes on.
    pub(super) fn find(&self, entry: usize, nr: u32) -> Option<RunKey> {
        self.live.iter().find(|(_, run)| (run.entry, run.nr) == (entry, nr)).map(|(key, _)| *key)
    }

    pub(super) fn get_mut(&mut self, key: RunKey) -> Option<&mut EntryRun> {
        self.live.get_mut(&key)
    }

    pub(super) fn get(&self, key: RunKey) -> Option<&EntryRun> {
        self.live.get(&key)
    }

    pub(super) fn of_child(&self, child: ChildId) -> Option<RunKey> {
        self.by_child.get(&child).copied()
    }

    /// Notes that every process has got this signal.
    pub(super) fn all_got(&mut self, signal: Signal) {
        self.live.values_mut().for_each(|run| run.got = Some(signal));
    }

    /// Notes that the end of the run stops every process.
    pub(super) fn stop_all(&mut self) {
        self.live.values_mut().for_each(|run| run.stopped = true);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub(super) fn keys(&self) -> Vec<RunKey> {
        self.live.keys().copied().collect()
    }

    /// Returns the runs of one entry.
    pub(super) fn keys_of(&self, entry: usize) -> Vec<RunKey> {
        self.live.iter().filter(|(_, run)| run.entry == entry).map(|(key, _)| *key).collect()
    }

    /// Returns the processes of the runs of one entry.
    pub(super) fn children_of(&self, entry: usize) -> Vec<ChildId> {
        let child = |run: &EntryRun| match run.doing {
            Doing::Process { child, .. } if run.entry == entry => Some(child),
            _ => None,
        };
        self.live.values().filter_map(child).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &EntryRun> {
        self.live.values()
    }

    /// Returns whether a process runs.
    pub(super) fn has_children(&self) -> bool {
        self.live.values().any(EntryRun::has_process)
    }

    /// Returns the runs that have a process.
    pub(super) fn children(&self) -> Vec<RunKey> {
        self.live.iter().filter(|(_, run)| run.has_process()).map(|(key, _)| *key).collect()
    }

    /// Returns the process of the entry's latest run.
    pub(super) fn latest(&self, entry: usize) -> Latest {
        let nr = self.counted(entry);
        match self.live.values().find(|run| run.entry == entry && run.nr == nr).map(|run| &run.doing) {
            Some(Doing::Process { pid: Some(pid), .. }) => Latest::Runs(*pid),
            Some(Doing::Process { pid: None, .. }) => Latest::Starts,
            Some(Doing::Notify | Doing::Meet | Doing::Delay | Doing::Fault | Doing::Heal(_)) | None => Latest::RunsNot,
        }
    }
}

/// The signals that ask a process to end, however it then exits. A process may use other signals for its own purposes.
const ASK_TO_END: [Signal; 4] = [Signal::INT, Signal::QUIT, Signal::KILL, Signal::TERM];

/// Signals whose default action does not end a process: SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
/// SIGURG and SIGWINCH.
const GOES_ON_AFTER: [Signal; 8] =
    [Signal(17), Signal(18), Signal(19), Signal(20), Signal(21), Signal(22), Signal(23), Signal(28)];

/// Returns whether the default action of `signal` ends a process.
pub(super) fn ends_a_process(signal: Signal) -> bool {
    !GOES_ON_AFTER.contains(&signal)
}

/// Signals that an error in the process itself causes: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU,
/// SIGXFSZ and SIGSYS. A process that dies of one of these has failed, even at the end of a run.
const CRASHES: [Signal; 9] =
    [Signal(4), Signal(5), Signal(6), Signal(7), Signal(8), Signal(11), Signal(24), Signal(25), Signal(31)];

/// Returns the outcome of a run after the exit of its first process, and the reason unless it passed. `ending`: the end
/// of the run has begun, or the end trigger of the test has fired.
pub(super) fn judge(run: &EntryRun, expect: &Expect, exit: Exit, ending: bool) -> (EntryOutcome, Option<String>) {
    if let Some(why) = &run.failed {
        return (EntryOutcome::Failed, Some(why.clone()));
    }
    if expect.allows(exit) {
        return (EntryOutcome::Passed, None);
    }
    if let Some((signal, by)) = &run.killed_by
        && (ASK_TO_END.contains(signal) || of(*signal, exit))
    {
        return (EntryOutcome::Stopped, Some(format!("entry {by} sent {}", signal.name())));
    }
    if let Some((signal, by)) = &run.aimed_at_by
        && of_signal(exit)
        && (ASK_TO_END.contains(signal) || of(*signal, exit))
    {
        return (EntryOutcome::Stopped, Some(format!("the command of entry {by} sent {}", signal.name())));
    }
    if run.stopped && !CRASHES.iter().any(|signal| of(*signal, exit)) || ending && of_signal(exit) {
        return (EntryOutcome::Stopped, Some("the end of the run".to_owned()));
    }
    (EntryOutcome::Failed, Some(unexpected(expect, exit)))
}

/// Returns the message about an unexpected exit.
pub(super) fn unexpected(expect: &Expect, exit: Exit) -> String {
    if *expect == Expect::Of(Vec::new()) {
        return format!("{exit}, but a service must run until it is stopped");
    }
    format!("{exit}, expected {}", expected(expect))
}

/// Returns whether a process died of this signal, or the exit code of its shell shows that the last command did.
fn of(signal: Signal, exit: Exit) -> bool {
    exit == Exit::Signal(signal) || exit == Exit::Code(SHELL_SIGNAL_BASE + signal.0)
}

/// As [`of`], for any signal that another process sends.
fn of_signal(exit: Exit) -> bool {
    let signal = match exit {
        Exit::Signal(signal) => signal,
        Exit::Code(code) => Signal(code - SHELL_SIGNAL_BASE),
    };
    (1..=64).contains(&signal.0) && !CRASHES.contains(&signal)
}

fn expected(expect: &Expect) -> String {
    let word = |exit: &Exit| match exit {
        Exit::Code(code) => code.to_string(),
        Exit::Signal(signal) => Signal::name(*signal),
    };
    match expect {
        Expect::Any => "any".to_owned(),
        Expect::Of(exits) => exits.iter().map(word).collect::<Vec<_>>().join(" or "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> EntryRun {
        EntryRun::new(Due { nr: Some(1), ..Due::new(0, None) }, Doing::Notify)
    }

    #[test]
    fn exits_that_expect_allows_pass_and_others_fail_with_a_reason() {
        let zero = Expect::default();
        assert_eq!(judge(&run(), &zero, Exit::Code(0), false), (EntryOutcome::Passed, None));
        let (outcome, why) = judge(&run(), &zero, Exit::Code(3), false);
        assert_eq!((outcome, why.as_deref()), (EntryOutcome::Failed, Some("exit status 3, expected 0")));
        let two = Expect::Of(vec![Exit::Code(3), Exit::Signal(Signal::TERM)]);
        assert_eq!(judge(&run(), &two, Exit::Signal(Signal::TERM), false).0, EntryOutcome::Passed);
        let (_, why) = judge(&run(), &two, Exit::Signal(Signal::KILL), false);
        assert_eq!(why.as_deref(), Some("died of SIGKILL, expected 3 or SIGTERM"));
        assert_eq!(judge(&run(), &Expect::Any, Exit::Code(77), false).0, EntryOutcome::Passed);
    }

    #[test]
    fn a_signal_stops_only_once_the_end_has_begun() {
        let expect = Expect::default();
        for exit in [Exit::Signal(Signal::TERM), Exit::Code(143), Exit::Code(130)] {
            assert_eq!(judge(&run(), &expect, exit, false).0, EntryOutcome::Failed, "{exit}");
            assert_eq!(judge(&run(), &expect, exit, true).0, EntryOutcome::Stopped, "{exit}");
        }
        assert_eq!(judge(&run(), &expect, Exit::Code(1), true).0, EntryOutcome::Failed);
        assert_eq!(judge(&run(), &expect, Exit::Code(128), true).0, EntryOutcome::Failed);
    }

    #[test]
    fn a_killed_run_is_stopped_and_a_run_that_took_too_long_has_failed() {
        let sent = |signal| EntryRun { killed_by: Some((signal, "stop".to_owned())), ..run() };
        let outcome = |signal, exit| judge(&sent(signal), &Expect::default(), exit, false).0;
        assert_eq!(outcome(Signal::TERM, Exit::Code(1)), EntryOutcome::Stopped);
        assert_eq!(outcome(Signal::USR1, Exit::Code(1)), EntryOutcome::Failed);
        assert_eq!(outcome(Signal::USR1, Exit::Signal(Signal::USR1)), EntryOutcome::Stopped);
        assert_eq!(outcome(Signal::USR1, Exit::Code(138)), EntryOutcome::Stopped);
        assert_eq!(outcome(Signal::HUP, Exit::Signal(Signal::TERM)), EntryOutcome::Failed);
        let late = EntryRun { failed: Some("ran longer than 2s".to_owned()), ..run() };
        assert_eq!(judge(&late, &Expect::Any, Exit::Code(0), true).0, EntryOutcome::Failed);
    }

    #[test]
    fn a_command_that_the_end_stops_is_stopped_unless_it_crashes() {
        let stopped = EntryRun { stopped: true, ..run() };
        let outcome = |exit| judge(&stopped, &Expect::default(), exit, false).0;
        for exit in [Exit::Code(1), Exit::Code(143), Exit::Signal(Signal::TERM), Exit::Signal(Signal::KILL)] {
            assert_eq!(outcome(exit), EntryOutcome::Stopped, "{exit}");
        }
        assert_eq!(outcome(Exit::Code(0)), EntryOutcome::Passed);
        for exit in [Exit::Signal(Signal(11)), Exit::Code(134)] {
            assert_eq!(outcome(exit), EntryOutcome::Failed, "{exit}");
            assert_eq!(judge(&run(), &Expect::default(), exit, true).0, EntryOutcome::Failed, "{exit}");
        }
    }

    #[test]
    fn a_service_that_exits_by_itself_has_failed_with_any_status() {
        let none = Expect::Of(Vec::new());
        let (outcome, why) = judge(&run(), &none, Exit::Code(0), false);
        assert_eq!(outcome, EntryOutcome::Failed);
        assert_eq!(why.as_deref(), Some("exit status 0, but a service must run until it is stopped"));
        let stopped = EntryRun { stopped: true, ..run() };
        assert_eq!(judge(&stopped, &none, Exit::Code(0), false).0, EntryOutcome::Stopped);
    }

    #[test]
    fn a_run_killed_by_its_process_id_is_stopped_if_it_dies_of_a_signal() {
        let aimed = |signal| EntryRun { aimed_at_by: Some((signal, "stop".to_owned())), ..run() };
        let outcome = |signal, exit| judge(&aimed(signal), &Expect::default(), exit, false).0;
        assert_eq!(outcome(Signal::TERM, Exit::Signal(Signal::TERM)), EntryOutcome::Stopped);
        assert_eq!(outcome(Signal::TERM, Exit::Code(130)), EntryOutcome::Stopped);
        // The command may not have reached its kill.
        assert_eq!(outcome(Signal::TERM, Exit::Code(1)), EntryOutcome::Failed);
        assert_eq!(outcome(Signal::USR1, Exit::Signal(Signal::TERM)), EntryOutcome::Failed);
        assert!(aimed(Signal::TERM).told_to_end() && !aimed(Signal::USR1).told_to_end());
    }
}
