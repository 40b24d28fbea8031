//! What a run waits for. One set of timers serves all parts of a run, so that what is due at the same instant is done in
//! one order.

use crate::slave::process::RunKey;

/// What is done at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Start,
    /// An `at` entry, by its place in the schedule.
    At(usize),
    /// A command has run too long.
    Timeout(RunKey),
    /// A command that was told to end has not.
    Kill(RunKey),
    /// Jobs had their time to finish.
    Finish,
    /// A command is not ready in time.
    Within(RunKey),
    /// It is to be tested whether a command is ready.
    Test(RunKey),
    /// The end's grace is over.
    Grace,
    Sweep,
    Tail,
    /// A member has waited as long as it wants, by its arrival.
    Patience(u64),
    /// The instant of its release has come.
    Release(u64),
    /// It is looked what commands wait for.
    Waits,
    /// It is looked what commands have left behind.
    Strays,
}
