//! Counts: a round has exactly COUNT members, and further arrivals wait in the overflow.

use super::*;

/// Returns a complete round of two, one of which must show that it is alive, with `more` arrivals in the overflow.
fn complete_with(more: u64, request: impl Fn(u64) -> ArrivalRequest) -> Hall {
    let mut hall = Hall::new();
    hall.arrive(request(1));
    hall.pass(SECOND + Duration::from_micros(1));
    for process in 2..=2 + more {
        hall.arrive(request(process));
    }
    hall
}

fn any_two(process: u64) -> ArrivalRequest {
    ArrivalRequest { party: Some(Party::Count(2)), ..request(process, 1, &format!("m{process}")) }
}

#[test]
fn a_count_releases_count_members_and_the_others_form_the_next_rounds_in_order() {
    let mut hall = complete_with(5, any_two);
    hall.arrive(any_two(5));
    assert_eq!((hall.outcomes.len(), hall.meetings.waiting()), (0, 7));
    hall.hear(1);
    let rounds: Vec<u64> = (1..=6).map(|process| hall.round(process, 1)).collect();
    assert_eq!(rounds, [1, 1, 2, 2, 3, 3]);
    assert_eq!((hall.verdict(7, 1), hall.meetings.waiting()), (String::new(), 1));
    hall.arrive(any_two(8));
    assert_eq!(hall.round(7, 1), hall.round(8, 1));
}

#[test]
fn a_long_overflow_meets_after_the_first_round() {
    let mut hall = complete_with(40_000, any_two);
    hall.hear(1);
    assert_eq!((hall.outcomes.len(), hall.meetings.waiting()), (40_002, 0));
}

#[test]
fn an_arrival_in_the_overflow_replaces_a_withdrawn_or_lost_member() {
    let mut hall = complete_with(1, any_two);
    hall.gone(2, 1);
    hall.hear(1);
    assert_eq!((hall.round(1, 1), hall.round(3, 1), hall.verdict(2, 1)), (1, 1, String::new()));

    let mut hall = complete_with(1, any_two);
    hall.cut(1);
    hall.live(&[2, 3], REJOIN);
    assert_eq!((hall.round(2, 1), hall.round(3, 1)), (1, 1));
    hall.arrive(any_two(1));
    assert_eq!((hall.verdict(1, 1), hall.meetings.waiting()), (String::new(), 1), "it waits for the next");
}

#[test]
fn a_new_arrival_replaces_a_withdrawn_member_of_a_complete_count() {
    let mut hall = complete_with(0, any_two);
    hall.gone(1, 1);
    hall.arrive(any_two(3));
    assert_eq!((hall.round(2, 1), hall.round(3, 1)), (1, 1));
}

#[test]
fn an_arrival_that_leaves_the_overflow_may_return() {
    let mut hall = complete_with(3, any_two);
    hall.gone(3, 1);
    hall.cut(4);
    assert_eq!(hall.meetings.waiting(), 3);
    hall.arrive(any_two(4));
    hall.hear(1);
    assert_eq!((hall.round(5, 1), hall.round(4, 1), hall.verdict(3, 1)), (2, 2, String::new()));
}

#[test]
fn the_timeout_of_an_arrival_in_the_overflow_ends_only_that_arrival_and_continues_in_the_next_round() {
    let mut hall = complete_with(0, any_two);
    hall.arrive(ArrivalRequest { timeout: Some(SECOND), ..any_two(3) });
    hall.arrive(ArrivalRequest { timeout: Some(SECOND * 3), ..any_two(4) });
    hall.pass(SECOND);
    let said = "TimedOut timed out; 2 others had arrived before, and their round was not over";
    assert_eq!((hall.verdict(3, 1).as_str(), hall.outcomes.len()), (said, 1));
    hall.hear(1);
    assert_eq!(hall.verdict(4, 1), "");
    hall.live(&[4], SECOND * 2);
    assert_eq!(hall.verdict(4, 1), "TimedOut timed out; 1 of 2 had arrived: m4");
}

#[test]
fn a_failed_count_leaves_its_overflow_to_the_next_round() {
    let mut hall = complete_with(0, |process| ArrivalRequest { timeout: Some(SECOND * 2), ..any_two(process) });
    hall.arrive(any_two(3));
    hall.live(&[3], SECOND * 2);
    assert!(hall.verdict(1, 1).starts_with("TimedOut timed out; all had arrived"), "{}", hall.verdict(1, 1));
    assert_eq!(hall.verdict(3, 1), "");
    hall.arrive(any_two(4));
    assert_eq!((hall.round(3, 1), hall.round(4, 1)), (2, 2));
}

#[test]
fn an_abort_beyond_a_count_fails_the_complete_round() {
    let mut hall = complete_with(1, any_two);
    hall.arrive(ArrivalRequest { abort: Some("x".to_owned()), ..any_two(4) });
    for process in [1, 2, 4] {
        assert_eq!(hall.verdict(process, 1), "Aborted m4 aborted: x");
    }
    assert_eq!(hall.verdict(3, 1), "");
}

#[test]
fn a_contender_for_a_name_in_the_overflow_is_refused_only_while_the_holder_is_alive() {
    let twin = |process: u64| ArrivalRequest { process: Process(process), ..any_two(3) };
    let mut hall = complete_with(1, any_two);
    hall.arrive(twin(9));
    assert_eq!((hall.checked.as_slice(), hall.verdict(9, 1)), (&[1, 3][..], String::new()));
    hall.hear(1);
    hall.hear(3);
    assert_eq!(hall.verdict(9, 1), "Refused another process waits at \"m\" as m3");

    let mut hall = complete_with(1, any_two);
    hall.arrive(twin(9));
    hall.pass(CONTEND_WITHIN);
    hall.hear(1);
    assert!(hall.verdict(3, 1).starts_with("Refused another process has taken"), "{}", hall.verdict(3, 1));
    hall.arrive(any_two(4));
    assert_eq!((hall.round(9, 1), hall.round(4, 1)), (2, 2));
}

#[test]
fn the_values_in_the_overflow_count_against_the_limit_of_the_session() {
    let hall = complete_with(2, |process| ArrivalRequest { value: value("12345"), ..any_two(process) });
    assert_eq!(hall.meetings.weight("m"), 20);
}
