//! Faults that the tests put into the machines on purpose, one at a time, to show that the simulator finds them.
//!
//! Each is a single condition where a rule is kept. A program that is built for release has none of them: the condition is
//! false there before it is compiled.

use std::cell::Cell;

/// A rule that can be broken, by the words that tell it.
macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident,)*) => {
        /// A rule that a test can break on purpose.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
        }

        /// All of them.
        pub const ALL: &[Fault] = &[$(Fault::$fault,)*];
    };
}

faults! {
    /// A controller counts every statement of a notify as a new one.
    StatementsAdd,
    /// A slave says each notify as one more, not as a total.
    NotifyIsADelta,
    /// A slave acts on a trigger as often as it is told that it has fired.
    TriggeredActsAgain,
    /// A slave does not say its reports again after a reconnect.
    ReportsSaidOnce,
    /// What runs after an entry that becomes ready begins when that entry was only started.
    ReadyTooEarly,
    /// A slave says that it has stopped while processes of the run live.
    StopsTooEarly,
    /// A slave takes no notice of what its commands have left in the background.
    StraysIgnored,
    /// A job that the end of a run cuts off counts as stopped.
    CutOffPasses,
    /// A slave that was launched does not hear that it shall leave with the run.
    LeaveUnheard,
    /// A slave that was launched waits for its controller for ever.
    WaitsForEver,
    /// After a reconnect a slave ships on from what it had sent, not from what was kept.
    OutputGoesOn,
    /// A slave ships on what the controller has refused.
    RefusedGoesOn,
    /// A controller keeps a piece of output again that it has.
    OutputKeptAgain,
    /// A barrier releases members that have not shown that they are alive.
    ReleasesUnproven,
    /// A barrier releases when one is still missing.
    ReleasesOneShort,
    /// The verdict of a round is forgotten as soon as it was told once.
    VerdictToldOnce,
    /// A crowd of strangers makes a controller forget the verdict that somebody has not heard.
    OwedForgottenFirst,
    /// Two rounds have one number.
    RoundsShareANumber,
    /// The map of a sync lacks its last value.
    MapLacksAValue,
    /// A controller does not write down what it has counted.
    NotifyUnwritten,
    /// A controller does not write down what a slave has reported.
    ReportUnwritten,
    /// A controller does not write down how a round ended.
    RoundUnwritten,
    /// A controller does not write down that the end of a run has begun.
    EndingUnwritten,
    /// A controller that goes on knows nothing of the outputs that it has.
    OutputsForgotten,
    /// The owner of a token acts without the answers of a majority.
    ActsWithoutMajority,
    /// The owner of a token acts when its lease is over.
    LeaseNeverEnds,
    /// A node says that it has the token before that is written down.
    TokenTakenUnwritten,
    /// A node promises its epoch to two candidates.
    GrantsTwice,
    /// A node takes a token that is older than one that it has seen.
    TakesOldToken,
    /// A controller that hands slaves their parts in pieces leaves out those behind the first piece.
    PrepareLeftOut,
    /// A controller gives a slave that serves a run to another run.
    SlaveServesTwo,
    /// A run that waits for its slaves does not hold them back from the runs behind it.
    QueueOvertakes,
    /// A controller that goes on knows nothing of the runs that it was handed.
    RunForgottenOnRestart,
    /// A slave whose run is over is not found again.
    SlaveNotFreed,
    /// A piece of a file begins behind the byte that was asked for.
    GetSkipsBytes,
    /// A submission that is said again is another run.
    SubmissionRunsTwice,
    /// A controller lets members wait for a slave that is lost.
    LostSlaveAwaited,
    /// A controller says that a slave cannot come to which the time of an entry that comes is still ahead.
    CannotComeTooEarly,
}

thread_local! {
    static INJECTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Puts a fault into the machines of this thread, or none.
pub fn inject(fault: Option<Fault>) {
    INJECTED.set(fault);
}

/// Whether this rule is broken now.
#[inline]
pub fn injected(fault: Fault) -> bool {
    cfg!(debug_assertions) && INJECTED.get() == Some(fault)
}
