//! Test files that are made to be expensive. The tests measure processor time, so that a busy machine changes nothing.

use std::time::Duration;

use arete::testfile::{self, Shipped};
use rustix::time::{ClockId, clock_gettime};

use crate::expensive;

/// The most processor time for parsing a test, and for its warnings. The controller parses a test in one turn of its loop.
/// This is three times the usual time, for slow machines; `tests/costs` checks the bound of the turn itself.
const COST_MAX: Duration = Duration::from_millis(150);

/// The longest test that a controller accepts in one message, in bytes.
const MESSAGE_MAX: usize = 1 << 20;

/// Returns the processor time of this thread.
fn cost() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
fn a_test_that_is_made_to_be_expensive_is_parsed_quickly() {
    for (what, text, right) in expensive::tests() {
        assert!(text.len() <= MESSAGE_MAX, "{what}: {} bytes", text.len());
        let begun = cost();
        let shipped = |file: &str| Shipped { path: file.into(), size: 1, sha256: "0".repeat(64), executable: false };
        let test = testfile::parse::<String>("t.json", &text, &mut |file| Ok(shipped(file)));
        let parsed = cost() - begun;
        let _ = testfile::read_file::<String>("t.json", &text, &Default::default(), &mut |file| Ok(shipped(file)));
        let read = cost() - begun - parsed;
        println!("{what}: parsed in {parsed:?}, with warnings in {read:?}");
        assert!(parsed < COST_MAX && read < 2 * COST_MAX, "{what}: parsed in {parsed:?}, with warnings in {read:?}");
        let problems = test.as_ref().err().map_or(&[][..], Vec::as_slice);
        let first = problems.first().map(|problem| problem.message.chars().take(200).collect::<String>());
        assert_eq!(test.is_ok(), right, "{what}: {first:?}");
        assert!(problems.len() <= testfile::PROBLEMS_MAX + 1, "{what}: {}", problems.len());
        assert!(problems.iter().all(|problem| problem.message.len() < 4_100), "{what}");
    }
}

#[test]
fn too_many_problems_end_with_a_note() {
    let problems = testfile::parse(
        "t.json",
        &format!("{{{}}}", expensive::each(2_000, |nr| format!(r#""k{nr}":1"#))),
        &mut |_| Err("none".to_owned()),
    );
    let problems = problems.unwrap_err();
    assert_eq!(problems.len(), testfile::PROBLEMS_MAX + 1);
    let last = problems.last().unwrap();
    assert_eq!(last.message, "there are more than these 100 problems: fix these first");
}
