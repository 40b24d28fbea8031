//! The simulator finds faults: each rule that can be broken on purpose is broken, and a sweep must fail.
//!
//! `ARETE_SEEDS=N` tries N seeds for each fault. The table that the test prints has the number that was needed.

use std::cell::Cell;
use std::sync::Once;

use arete::machine::faults::{ALL, Fault, inject};

use crate::labs::LabSweep;
use crate::meeting_sweep::MeetingSweep;
use crate::rings::RingSweep;
use crate::seeds::{Trial, first_failure, seeds_or};
use crate::sweep::Sweep;

/// The number of seeds in which a fault must be found.
const SEEDS: u64 = 2_000;

/// The sweep that looks for it.
#[derive(Debug, PartialEq)]
enum By {
    Runs,
    Meetings,
    Rings,
    Labs,
}

fn by(fault: Fault) -> By {
    match fault {
        Fault::StatementsAdd | Fault::NotifyIsADelta | Fault::TriggeredActsAgain | Fault::ReportsSaidOnce => By::Runs,
        Fault::NotifyUnwritten | Fault::ReportUnwritten | Fault::EndingUnwritten => By::Runs,
        Fault::MeasurementUnwritten | Fault::MeasuredAgain => By::Runs,
        Fault::CutOffPasses
        | Fault::StraysIgnored
        | Fault::OutputsForgotten
        | Fault::LeaveUnheard
        | Fault::WaitsForEver => By::Runs,
        Fault::FaultUnrecorded | Fault::EndForgetsFaults => By::Runs,
        Fault::ReadyTooEarly | Fault::StopsTooEarly | Fault::OutputGoesOn | Fault::OutputKeptAgain => By::Runs,
        Fault::RefusedGoesOn | Fault::FactsComeLater | Fault::AttemptForgotten | Fault::ConditionMetTwice => By::Runs,
        Fault::ReleasesUnproven | Fault::ReleasesOneShort | Fault::VerdictToldOnce => By::Meetings,
        Fault::OwedForgottenFirst => By::Meetings,
        Fault::LostSlaveAwaited | Fault::CannotComeTooEarly => By::Meetings,
        Fault::RoundsShareANumber | Fault::MapLacksAValue | Fault::RoundUnwritten => By::Meetings,
        Fault::ActsWithoutMajority | Fault::LeaseNeverEnds | Fault::TokenTakenUnwritten => By::Rings,
        Fault::GrantsTwice | Fault::TakesOldToken => By::Rings,
        Fault::PrepareLeftOut => By::Labs,
        Fault::SlaveServesTwo | Fault::QueueOvertakes | Fault::RunForgottenOnRestart => By::Labs,
        Fault::SlaveNotFreed | Fault::GetSkipsBytes | Fault::SubmissionRunsTwice => By::Labs,
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Silences the expected panics of a broken machine, in this thread.
fn quietly<T>(act: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                tell(panic);
            }
        }));
    });
    QUIET.set(true);
    let done = act();
    QUIET.set(false);
    done
}

/// Breaks each rule that a sweep checks, and runs the sweep until it fails.
fn find<T: Trial>(sweep: By) {
    let (mut table, mut unseen) = (String::new(), Vec::new());
    for &fault in ALL.iter().filter(|fault| by(**fault) == sweep) {
        inject(Some(fault));
        let found = quietly(|| first_failure::<T>(0..seeds_or(SEEDS)));
        inject(None);
        match found {
            Some((nr, seed, why)) => {
                let why: String = why.lines().next().unwrap_or_default().chars().take(100).collect();
                table += &format!("{nr:5} seeds  {:20} seed {seed}: {why}\n", format!("{fault:?}"));
            }
            None => unseen.push(fault),
        }
    }
    println!("{table}");
    assert!(unseen.is_empty(), "no sweep has noticed {unseen:?}\n{table}");
}

#[test]
fn every_rule_of_a_run_that_is_broken_on_purpose_is_found() {
    find::<Sweep>(By::Runs);
}

#[test]
fn every_rule_of_a_meeting_that_is_broken_on_purpose_is_found() {
    find::<MeetingSweep>(By::Meetings);
}

#[test]
fn every_rule_of_a_ring_that_is_broken_on_purpose_is_found() {
    find::<RingSweep>(By::Rings);
}

#[test]
fn every_rule_of_a_controller_that_stays_that_is_broken_on_purpose_is_found() {
    find::<LabSweep>(By::Labs);
}
