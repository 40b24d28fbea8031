//! The timers of a run. All parts of a run share one set, so that timers of the same instant fire in a fixed order.

use crate::slave::process::{FaultNr, RunKey};

/// A timer of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The start of the run.
    Start,
    /// The instant of an `at` entry, by its index in the schedule.
    At(usize),
    /// The end of the `delay` of an `after` entry, by its number.
    Delay(u64),
    /// The next attempt at a job.
    Attempt(RunKey),
    /// The `timeout` of a command.
    Timeout(RunKey),
    /// SIGKILL for a command that got SIGTERM.
    Kill(RunKey),
    /// The end of the time in which jobs may finish.
    Finish,
    /// The time within which a command must be ready.
    Within(RunKey),
    /// The next readiness check of a command.
    Test(RunKey),
    /// The end of the grace.
    Grace,
    /// The next search for processes that are left, at the end of the run.
    Sweep,
    /// The next look at the output of commands.
    Tail,
    /// The timeout of a member, by the number of its arrival.
    Patience(u64),
    /// The instant of a member's release, by the number of its arrival.
    Release(u64),
    /// The next report of what commands wait for.
    Waits,
    /// The next search for processes that commands have left, while the run goes on.
    Strays,
    /// The end of a fault.
    Fault(FaultNr),
    /// The end of the time to inject or to undo a fault, or the time to try again.
    FaultLimit(FaultNr),
    /// The end of the time to check what the faults of the run need.
    FaultCheck,
}
