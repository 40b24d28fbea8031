//! The most that each message can cost a controller.
//!
//! `src/wire/costs.md` describes these costs. Here a peer sends each message in its worst form to a controller of its
//! own, which prints at its end how much processor time its longest turn took. No turn may take longer than [`TURN`].
//! A message without a case here, or without a line there, fails the test.

#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/expensive.rs"]
mod expensive;

mod due;
mod members;
mod operators;
mod peer;
mod runs;
mod slaves;

use std::fmt::Write;
use std::time::Duration;

use arete::wire::ToController;
use common::Place;
use peer::Loop;

/// The most processor time for a turn of the loop, so that a turn delays no other peer. Waits for a disk or for other
/// programs are not caused by a peer, and do not count.
const TURN: Duration = Duration::from_millis(50);

/// The number of attempts for a case that took longer. Other programs on the machine can only lengthen a turn, because
/// they use the caches and the memory.
const TRIES: usize = 3;

/// A message, and the function that sends it in its worst form.
type Case = (&'static str, fn(&Loop<'_>));

/// Runs each case with a controller of its own. Fails with a table of their times.
fn hold(cases: &[Case], start: fn(&Place) -> Loop<'_>) {
    let (mut table, mut slow) = (String::new(), 0);
    for (message, worst) in cases {
        let mut try_it = |_| {
            let place = Place::new(&format!("costs-{message}"));
            let controller = start(&place);
            worst(&controller);
            let (turn, memory) = controller.ends();
            let took = format!("{message:10} {:7.1} ms {memory:8} KiB", turn.as_secs_f64() * 1e3);
            println!("{took}");
            writeln!(table, "{took}").expect("a string grows");
            turn <= TURN
        };
        slow += usize::from(!(0..TRIES).any(&mut try_it));
    }
    assert_eq!(slow, 0, "a turn took too long:\n{table}");
}

#[test]
fn no_message_of_a_member_holds_the_loop_up() {
    hold(members::CASES, peer::of_rooms);
}

#[test]
fn no_message_of_a_slave_holds_the_loop_up() {
    hold(slaves::CASES, peer::of_a_run);
}

#[test]
fn no_message_of_an_operator_holds_the_loop_up() {
    hold(operators::CASES, peer::of_runs);
}

/// Not a message: a run starts when its slaves are connected.
#[test]
fn no_start_of_a_run_holds_the_loop_up() {
    hold(runs::STARTS, peer::of_runs);
}

/// Not a message: a run ends when its slaves have stopped.
#[test]
fn no_end_of_a_run_holds_the_loop_up() {
    hold(runs::ENDS, peer::of_runs);
}

/// Work of each second, and of each lost slave, by the size of the run.
#[test]
fn no_look_at_a_run_holds_the_loop_up() {
    hold(due::CASES, peer::of_runs);
}

/// Work that many messages to a room cause in the end: a ledger that has grown long is rewritten.
#[test]
fn no_part_of_the_rewrite_of_a_ledger_holds_the_loop_up() {
    hold(members::LEDGERS, peer::of_runs);
}

#[test]
fn every_message_has_a_worst_case_and_a_line_on_the_page() {
    let page = include_str!("../../src/wire/costs.md");
    let told: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let tried = || [members::CASES, slaves::CASES, operators::CASES].into_iter().flatten().map(|(message, _)| *message);
    for message in ToController::TYPES {
        assert!(tried().any(|it| it == *message), "{message} has no worst case");
        assert!(told.contains(message), "{message} is not on the page");
    }
    assert_eq!(told.len(), ToController::TYPES.len(), "the page lists other messages: {told:?}");
}
