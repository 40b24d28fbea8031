//! Tests that are made to be expensive to judge. What is counted is the time of the processor, so that a busy machine
//! changes nothing.

use std::time::Duration;

use arete::testfile::{self, Shipped};
use rustix::time::{ClockId, clock_gettime};

use crate::expensive;

/// How much of the processor's time judging one may take, and looking for what to warn of: the controller judges a test in
/// one turn of its loop. Three times what it takes, for slow machines; `tests/costs` holds the turn itself to its bound.
const COST_MAX: Duration = Duration::from_millis(150);

/// What a controller hears in one message.
const MESSAGE_MAX: usize = 1 << 20;

fn cost() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
fn a_test_that_is_made_to_be_expensive_is_not() {
    for (what, text, right) in expensive::tests() {
        assert!(text.len() <= MESSAGE_MAX, "{what}: {} bytes", text.len());
        let begun = cost();
        let shipped = |file: &str| Shipped { path: file.into(), size: 1, sha256: "0".repeat(64), executable: false };
        let test = testfile::parse("t.json", &text, &mut |file| Ok(shipped(file)));
        let judged = cost() - begun;
        if let Ok(test) = &test {
            testfile::warnings::of("t.json", &text, test);
        }
        let warned = cost() - begun - judged;
        println!("{what}: judged in {judged:?}, warned of in {warned:?}");
        assert!(judged < COST_MAX && warned < COST_MAX, "{what}: judged in {judged:?}, warned of in {warned:?}");
        let problems = test.as_ref().err().map_or(&[][..], Vec::as_slice);
        let first = problems.first().map(|problem| problem.message.chars().take(200).collect::<String>());
        assert_eq!(test.is_ok(), right, "{what}: {first:?}");
        assert!(problems.len() <= testfile::PROBLEMS_MAX + 1, "{what}: {}", problems.len());
        assert!(problems.iter().all(|problem| problem.message.len() < 4_100), "{what}");
    }
}

#[test]
fn the_problems_that_are_not_told_are_told_of() {
    let problems = testfile::parse(
        "t.json",
        &format!("{{{}}}", expensive::each(2_000, |nr| format!(r#""k{nr}":1"#))),
        &mut |_| Err("none".to_owned()),
    );
    let problems = problems.unwrap_err();
    assert_eq!(problems.len(), testfile::PROBLEMS_MAX + 1);
    let last = problems.last().unwrap();
    assert_eq!(last.message, "there are more problems than these 100: mend them first");
}
