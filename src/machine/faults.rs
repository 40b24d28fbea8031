//! Faults that tests plant in the machines, one at a time, to show that the simulator finds them.
//!
//! Each fault is one condition at the place that keeps a rule. A release build must not contain any: there the condition is
//! constant and false.

use std::cell::Cell;

/// Declares the faults, each with the wrong behaviour that it causes.
macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident,)*) => {
        /// A rule that a test can break on purpose.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
        }

        /// All faults.
        pub const ALL: &[Fault] = &[$(Fault::$fault,)*];
    };
}

faults! {
    /// A controller counts every statement of a notify as a new one.
    StatementsAdd,
    /// A slave reports each notify as one more, not as a total.
    NotifyIsADelta,
    /// A slave acts on a trigger each time that it hears that the trigger has fired.
    TriggeredActsAgain,
    /// A slave does not repeat its reports after a reconnect.
    ReportsSaidOnce,
    /// An entry that runs after another is ready begins when the other was only started.
    ReadyTooEarly,
    /// A slave reports that it has stopped while processes of the run are alive.
    StopsTooEarly,
    /// A slave ignores the background processes of its commands.
    StraysIgnored,
    /// A job that the end of a run cuts off counts as stopped.
    CutOffPasses,
    /// A failed attempt at a job is not followed by the next one.
    AttemptForgotten,
    /// An entry that waits for several others runs again each time that one of them exits.
    ConditionMetTwice,
    /// A slave injects a fault that is not recorded.
    FaultUnrecorded,
    /// A slave ends its run although a fault is in effect.
    EndForgetsFaults,
    /// A launched slave does not leave with its run.
    LeaveUnheard,
    /// A launched slave waits for its controller for ever.
    WaitsForEver,
    /// After a reconnect a slave continues its output after what it had sent, not after what was kept.
    OutputGoesOn,
    /// A slave continues to ship output that the controller has refused.
    RefusedGoesOn,
    /// A controller keeps a piece of output twice.
    OutputKeptAgain,
    /// A barrier releases members that have not proven that they are alive.
    ReleasesUnproven,
    /// A barrier releases while one member is missing.
    ReleasesOneShort,
    /// The verdict of a round is forgotten after one member has received it.
    VerdictToldOnce,
    /// Many strangers make a controller forget a verdict that a member has not received.
    OwedForgottenFirst,
    /// Two rounds have the same number.
    RoundsShareANumber,
    /// The map of a sync lacks its last value.
    MapLacksAValue,
    /// A controller does not record what it has counted.
    NotifyUnwritten,
    /// A controller does not record what a slave has reported.
    ReportUnwritten,
    /// A controller does not record what a slave has measured.
    MeasurementUnwritten,
    /// A restarted controller takes each measurement in its ledger twice.
    MeasuredAgain,
    /// A controller writes what it has counted after it has told others.
    FactsComeLater,
    /// A controller does not record how a round ended.
    RoundUnwritten,
    /// A controller does not record that a run has begun to end.
    EndingUnwritten,
    /// A restarted controller does not know which outputs it has.
    OutputsForgotten,
    /// The owner of a token acts without the answers of a majority.
    ActsWithoutMajority,
    /// The owner of a token acts after its lease has ended.
    LeaseNeverEnds,
    /// A node announces that it has the token before it has recorded that.
    TokenTakenUnwritten,
    /// A node grants an epoch to two candidates.
    GrantsTwice,
    /// A node takes a token that is older than one that it has seen.
    TakesOldToken,
    /// A controller that hands slaves their parts in pieces leaves out the slaves after the first piece.
    PrepareLeftOut,
    /// A controller gives a slave that serves a run to another run.
    SlaveServesTwo,
    /// A run that waits for its slaves does not reserve them against later runs.
    QueueOvertakes,
    /// A restarted controller does not know the runs that were submitted to it.
    RunForgottenOnRestart,
    /// A slave is not free again after its run.
    SlaveNotFreed,
    /// A piece of a file begins after the byte that was asked for.
    GetSkipsBytes,
    /// A repeated submission starts another run.
    SubmissionRunsTwice,
    /// A controller lets members wait for a slave that is lost.
    LostSlaveAwaited,
    /// A controller reports that a member cannot arrive although the member's entry starts at a later time.
    CannotComeTooEarly,
}

thread_local! {
    static INJECTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Plants a fault in the machines of this thread; `None` removes it.
pub fn inject(fault: Option<Fault>) {
    INJECTED.set(fault);
}

/// Whether this fault is planted in this thread.
#[inline]
pub fn injected(fault: Fault) -> bool {
    cfg!(debug_assertions) && INJECTED.get() == Some(fault)
}
