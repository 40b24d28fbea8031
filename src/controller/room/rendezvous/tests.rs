//! The rendezvous alone: arrivals, signs of life and deadlines are played step by step, and at random.

mod counts;
mod held;
mod late;
mod plays;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::conclude::{FAILED_ROUND_KEPT, FAILED_ROUND_KEPT_MAX, HARMONIZE_LEAD};
use super::*;
use crate::controller::session::budget::Held;
use crate::machine::Bytes;

const SECOND: Duration = Duration::from_secs(1);
const REJOIN: Duration = Duration::from_secs(5);

/// When each connected process was heard last.
#[derive(Default)]
struct HeardAt(BTreeMap<Process, Time>);

impl Presence for HeardAt {
    fn heard(&self, process: Process) -> Option<Time> {
        self.0.get(&process).copied()
    }
    fn rejoin(&self, _: Process) -> Duration {
        REJOIN
    }
}

struct Hall {
    meetings: Rendezvous,
    heard: HeardAt,
    now: Time,
    declared: Option<Party>,
    /// The outcomes that each arrival has received.
    outcomes: BTreeMap<(u64, u64), Vec<Rc<Outcome>>>,
    checked: Vec<u64>,
    records: Vec<Act>,
}

fn members(names: &str) -> Option<Party> {
    Some(Party::Members(names.split(' ').map(str::to_owned).collect()))
}

/// Returns an arrival as barriers create it.
fn request(process: u64, id: u64, member: &str) -> ArrivalRequest {
    ArrivalRequest {
        process: Process(process),
        id,
        member: Rc::from(member),
        party: members("a b"),
        timeout: None,
        fresh: SECOND,
        alive: true,
        harmonize: false,
        abort: None,
        value: Value::default(),
        held: None,
    }
}

fn value(json: &str) -> Value {
    Value { json: Box::from(json), held: Held::default() }
}

impl Hall {
    fn new() -> Hall {
        Hall {
            meetings: Rendezvous::default(),
            heard: HeardAt::default(),
            now: Time::from_micros(10_000_000),
            declared: None,
            outcomes: BTreeMap::new(),
            checked: Vec::new(),
            records: Vec::new(),
        }
    }

    fn turn(&mut self, act: impl FnOnce(&mut Rendezvous, &mut Turn<'_>)) {
        let mut acts = Vec::new();
        let line = |_: &str, round: u64, there: &Assembly| {
            let values: Vec<&str> = there.values().map(|there| &*there.value.json).collect();
            Some(Bytes::from(format!("{round} {}", values.join(",")).into_bytes()))
        };
        act(&mut self.meetings, &mut Turn { now: self.now, presence: &self.heard, line: &line, acts: &mut acts });
        for act in acts {
            match act {
                Act::Check(process) => self.checked.push(process.0),
                Act::Tell { process, ids, outcome } => {
                    for id in ids {
                        self.outcomes.entry((process.0, id)).or_default().push(outcome.clone());
                    }
                }
                other => self.records.push(other),
            }
        }
    }

    fn arrive(&mut self, request: ArrivalRequest) {
        self.heard.0.insert(request.process, self.now);
        let declared = self.declared.clone();
        self.turn(|meetings, turn| meetings.arrive("m", request, declared.as_ref(), turn));
    }

    fn hear(&mut self, process: u64) {
        self.heard.0.insert(Process(process), self.now);
        self.turn(|meetings, turn| {
            if meetings.awaits_sign_of_life(Process(process)) {
                meetings.on_sign_of_life(Process(process), turn);
            }
        });
    }

    fn cut(&mut self, process: u64) {
        self.heard.0.remove(&Process(process));
        self.turn(|meetings, turn| meetings.on_disconnect(Process(process), turn));
    }

    fn gone(&mut self, process: u64, id: u64) {
        self.turn(|meetings, turn| meetings.withdraw(Process(process), &[id], REJOIN, turn));
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.meetings.next_deadline().filter(|at| *at <= end) {
            self.now = at;
            self.turn(|meetings, turn| {
                meetings.deadline(usize::MAX, turn);
            });
        }
        self.now = end;
    }

    /// Lets time pass while these processes give a sign of life every half second.
    fn live(&mut self, processes: &[u64], duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.pass(Duration::from_millis(500));
            for &process in processes {
                self.hear(process);
            }
        }
    }

    /// Returns the last outcome of an arrival in words; empty if it has none.
    fn verdict(&self, process: u64, id: u64) -> String {
        let last = self.outcomes.get(&(process, id)).and_then(|outcomes| outcomes.last());
        last.map_or_else(String::new, |outcome| format!("{:?} {}", outcome.kind, outcome.reason).trim_end().to_owned())
    }

    fn round(&self, process: u64, id: u64) -> u64 {
        self.outcomes[&(process, id)].last().map_or(0, |outcome| outcome.round)
    }
}

// 1: one verdict, signs of life.

#[test]
fn all_members_get_one_outcome_even_after_a_reconnect() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(request(2, 1, "b"));
    hall.cut(1);
    hall.arrive(request(1, 1, "a"));
    assert_eq!(hall.outcomes[&(1, 1)].len(), 2);
    assert!(hall.outcomes[&(1, 1)].iter().all(|outcome| Rc::ptr_eq(outcome, &hall.outcomes[&(2, 1)][0])));
    hall.meetings.confirm(Process(1), &[1]);
    hall.meetings.confirm(Process(2), &[1]);
    assert_eq!((hall.meetings.unheard().count(), hall.meetings.meetings.len()), (0, 0));
}

#[test]
fn members_that_were_heard_just_before_are_released_without_a_check() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.pass(SECOND);
    hall.arrive(request(2, 1, "b"));
    assert_eq!((hall.verdict(1, 1), hall.checked.len()), ("Released".to_owned(), 0));
}

#[test]
fn a_member_silent_for_longer_than_fresh_is_checked_before_the_release() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.pass(SECOND + Duration::from_micros(1));
    hall.arrive(request(2, 1, "b"));
    assert_eq!((hall.verdict(1, 1), hall.verdict(2, 1)), (String::new(), String::new()));
    assert_eq!(hall.checked, [1]);
    hall.hear(1);
    assert_eq!(hall.verdict(1, 1), "Released");
    assert_eq!(hall.verdict(2, 1), "Released");
}

#[test]
fn waiting_members_are_asked_for_signs_of_life() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.pass(CHECK_EVERY);
    assert_eq!(hall.checked, [1]);
    hall.hear(1);
    hall.pass(CHECK_EVERY * 2);
    assert_eq!(hall.checked, [1, 1]);
}

// Rounds.

#[test]
fn a_name_can_be_used_again_at_once_and_rounds_do_not_mix() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(request(2, 1, "b"));
    hall.arrive(request(1, 2, "a"));
    assert_eq!(hall.verdict(1, 2), "");
    hall.arrive(request(2, 1, "b"));
    assert_eq!((hall.verdict(1, 2), hall.round(2, 1)), (String::new(), hall.round(1, 1)));
    hall.arrive(request(2, 2, "b"));
    assert_eq!(hall.round(1, 2), hall.round(2, 2));
    assert_ne!(hall.round(1, 2), hall.round(1, 1));
}

#[test]
fn a_failed_round_is_kept_until_a_member_that_has_its_outcome_arrives_again() {
    let mut hall = Hall::new();
    let three = |process, id, member| ArrivalRequest { party: members("a b c"), ..request(process, id, member) };
    hall.arrive(ArrivalRequest { timeout: Some(SECOND), ..three(1, 1, "a") });
    hall.live(&[1], SECOND);
    assert_eq!(hall.verdict(1, 1), "TimedOut timed out; missing: b, c");
    hall.arrive(three(2, 1, "b"));
    let earlier = "TimedOut an earlier round timed out; missing: b, c";
    assert_eq!((hall.verdict(2, 1).as_str(), hall.round(2, 1)), (earlier, hall.round(1, 1)));
    hall.arrive(three(2, 2, "b"));
    assert_eq!(hall.verdict(2, 2), "", "b has the verdict: it begins a new round");
    hall.arrive(three(3, 1, "c"));
    hall.arrive(three(1, 2, "a"));
    for (process, id) in [(1, 2), (2, 2), (3, 1)] {
        assert_eq!(hall.verdict(process, id), "Released");
    }
}

#[test]
fn a_failed_round_is_dropped_when_all_have_its_outcome_or_its_time_is_over() {
    let mut hall = Hall::new();
    for _ in 0..2 {
        let failed = ArrivalRequest { abort: Some("no disk".to_owned()), ..request(1, 1, "a") };
        hall.arrive(failed);
        assert_eq!(hall.verdict(1, 1), "Aborted a aborted: no disk");
        hall.meetings.confirm(Process(1), &[1]);
        hall.pass(FAILED_ROUND_KEPT);
    }
    assert_eq!(hall.meetings.meetings.len(), 0);
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(2, 1), "");
}

#[test]
fn a_failed_round_is_kept_for_its_timeout_after_its_failure() {
    for (timeout, audience) in
        [(Some(SECOND * 3), SECOND * 3), (Some(SECOND * 90), SECOND * 90), (None, FAILED_ROUND_KEPT)]
    {
        for (after, failed_round) in [(audience - SECOND, true), (audience, false)] {
            let mut hall = Hall::new();
            hall.arrive(ArrivalRequest { timeout, party: members("a b c"), ..request(1, 1, "a") });
            hall.live(&[1], SECOND);
            let aborts = ArrivalRequest { abort: Some("x".to_owned()), party: members("a b c"), ..request(2, 1, "b") };
            hall.arrive(aborts);
            hall.pass(after);
            hall.arrive(ArrivalRequest { party: members("c b a"), ..request(3, 1, "c") });
            assert_eq!(!hall.verdict(3, 1).is_empty(), failed_round, "{timeout:?} {after:?}");
        }
    }
}

#[test]
fn a_failed_round_is_kept_for_an_hour_at_most() {
    for (after, failed_round) in [(FAILED_ROUND_KEPT_MAX - SECOND, true), (FAILED_ROUND_KEPT_MAX, false)] {
        let mut hall = Hall::new();
        let patient = || ArrivalRequest { timeout: Some(Duration::from_micros(u64::MAX)), ..request(1, 1, "a") };
        hall.arrive(ArrivalRequest { abort: Some("x".to_owned()), ..patient() });
        hall.pass(after);
        hall.arrive(request(2, 1, "b"));
        assert_eq!(!hall.verdict(2, 1).is_empty(), failed_round, "{after:?}");
    }
}

#[test]
fn an_overdue_failed_round_has_no_effect_before_its_timer_is_handled() {
    let mut hall = Hall::new();
    hall.arrive(ArrivalRequest { abort: Some("x".to_owned()), ..request(1, 1, "a") });
    hall.now = hall.now + FAILED_ROUND_KEPT;
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(2, 1), "");
}

#[test]
fn a_failed_round_concerns_its_own_party_and_a_disagreement_concerns_both() {
    let mut hall = Hall::new();
    hall.arrive(ArrivalRequest { abort: Some("x".to_owned()), party: members("a b c d"), ..request(1, 1, "a") });
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(2, 1), "", "it waits in another party");
    hall.arrive(ArrivalRequest { party: None, ..request(3, 1, "c") });
    hall.arrive(ArrivalRequest { party: members("d c b a"), ..request(4, 1, "d") });
    assert_eq!((hall.round(3, 1), hall.round(4, 1)), (hall.round(1, 1), hall.round(1, 1)));
    hall.arrive(ArrivalRequest { party: members("a b c"), ..request(1, 2, "a") });
    assert!(hall.verdict(2, 1).starts_with("Disagreed"), "{}", hall.verdict(2, 1));
    hall.arrive(ArrivalRequest { party: members("c x"), ..request(3, 2, "c") });
    assert!(hall.verdict(3, 2).starts_with("Disagreed an earlier round failed: the members disagree"));
}

#[test]
fn a_failed_count_is_kept_for_as_many_as_were_missing() {
    let mut hall = Hall::new();
    let any = |process: u64, id| ArrivalRequest {
        party: Some(Party::Count(3)),
        ..request(process, id, &format!("m{process}"))
    };
    hall.arrive(ArrivalRequest { timeout: Some(SECOND), ..any(1, 1) });
    hall.live(&[1], SECOND);
    assert_eq!(hall.verdict(1, 1), "TimedOut timed out; 1 of 3 had arrived: m1");
    hall.arrive(any(2, 1));
    hall.arrive(any(3, 1));
    assert_eq!((hall.round(2, 1), hall.round(3, 1)), (hall.round(1, 1), hall.round(1, 1)));
    hall.arrive(any(4, 1));
    assert_eq!(hall.verdict(4, 1), "");
}

// 3: members that die and come back.

#[test]
fn a_restarted_member_takes_its_place_again() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.cut(1);
    hall.pass(SECOND);
    hall.arrive(request(9, 1, "a"));
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(9, 1), "Released");
    assert_eq!(hall.verdict(1, 1), "Refused another process has taken the place of a at \"m\"");
    assert_eq!(hall.meetings.waiting(), 0);
}

#[test]
fn a_member_is_lost_if_it_does_not_reconnect_in_time() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(request(3, 1, "stranger"));
    hall.cut(1);
    hall.pass(REJOIN - SECOND);
    hall.arrive(request(1, 1, "a"));
    hall.gone(1, 1);
    hall.live(&[1], REJOIN - SECOND);
    assert_eq!(hall.meetings.waiting(), 1);
    hall.live(&[1], SECOND);
    assert_eq!((hall.meetings.waiting(), hall.verdict(1, 1)), (0, String::new()), "it has taken its arrival back");
    let lost = Act::Lost { meeting: Rc::from("m"), member: Rc::from("a") };
    assert!(hall.records.contains(&lost));
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(2, 1), "Lost an earlier round failed: a was lost");
}

#[test]
fn no_member_is_released_while_one_is_away() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.cut(1);
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(2, 1), "");
    hall.arrive(request(1, 1, "a"));
    assert_eq!((hall.verdict(1, 1), hall.verdict(2, 1)), ("Released".to_owned(), "Released".to_owned()));
}

// 4: strangers and duplicates.

#[test]
fn a_member_outside_the_party_is_refused_and_the_round_continues() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(ArrivalRequest { party: members("a b c"), ..request(3, 1, "c") });
    assert_eq!(hall.verdict(3, 1), "Refused c is not a member; the members are a, b");
    hall.arrive(ArrivalRequest { party: None, ..request(4, 1, "d") });
    assert!(hall.verdict(4, 1).starts_with("Refused"));
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(1, 1), "Released");
}

#[test]
fn a_contender_is_refused_if_the_holder_is_alive() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(request(9, 1, "a"));
    hall.arrive(request(9, 1, "a"));
    assert_eq!((hall.checked.clone(), hall.verdict(9, 1)), (vec![1], String::new()));
    hall.hear(1);
    assert_eq!(hall.verdict(9, 1), "Refused another process waits at \"m\" as a");
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(1, 1), "Released");
}

#[test]
fn a_contender_replaces_a_holder_that_does_not_answer() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(request(9, 1, "a"));
    hall.pass(CONTEND_WITHIN);
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(9, 1), "Released");
    assert!(hall.verdict(1, 1).starts_with("Refused another process has taken"), "{}", hall.verdict(1, 1));
}

#[test]
fn a_contender_takes_the_place_at_once_if_the_holder_disconnects() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(request(9, 1, "a"));
    hall.gone(1, 1);
    hall.arrive(request(2, 1, "b"));
    assert_eq!((hall.verdict(9, 1), hall.verdict(1, 1)), ("Released".to_owned(), String::new()));
}

#[test]
fn a_contender_that_disconnects_does_not_affect_the_holder() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(request(9, 1, "a"));
    hall.cut(9);
    hall.pass(CONTEND_WITHIN);
    hall.arrive(request(2, 1, "b"));
    hall.hear(1);
    assert_eq!((hall.verdict(1, 1), hall.verdict(9, 1)), ("Released".to_owned(), String::new()));
}

#[test]
fn a_contender_is_not_released_with_the_holder() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(request(9, 1, "a"));
    hall.arrive(request(2, 1, "b"));
    assert_eq!(hall.verdict(1, 1), "Released");
    assert_eq!(hall.verdict(9, 1), "Refused another process was released at \"m\" as a");
}

#[test]
fn a_contender_does_not_influence_the_party_before_it_has_won() {
    let three = || members("a b c");
    let mut hall = Hall::new();
    hall.arrive(ArrivalRequest { party: three(), ..request(1, 1, "a") });
    hall.arrive(ArrivalRequest { party: three(), ..request(2, 1, "b") });
    hall.arrive(request(8, 1, "b"));
    hall.hear(2);
    assert_eq!(hall.verdict(8, 1), "Refused another process waits at \"m\" as b");
    hall.arrive(request(2, 2, "b"));
    assert!(hall.verdict(2, 2).starts_with("Refused b waits at"), "{}", hall.verdict(2, 2));
    hall.arrive(request(9, 1, "b"));
    hall.pass(CONTEND_WITHIN);
    let verdict = "Disagreed the members disagree: a says [a, b, c], b says [a, b]; all must name the same";
    assert_eq!((hall.verdict(1, 1).as_str(), hall.verdict(9, 1).as_str()), (verdict, verdict));
    assert!(hall.verdict(2, 1).starts_with("Refused another process has taken"), "{}", hall.verdict(2, 1));
}

#[test]
fn the_only_member_of_a_round_may_name_another_party_after_a_reconnect() {
    let mut hall = Hall::new();
    hall.arrive(ArrivalRequest { party: members("a bb"), timeout: Some(SECOND), ..request(1, 1, "a") });
    hall.gone(1, 1);
    hall.arrive(request(9, 1, "a"));
    hall.live(&[9], SECOND * 2);
    hall.arrive(request(2, 1, "b"));
    assert_eq!((hall.verdict(9, 1).as_str(), hall.verdict(2, 1).as_str()), ("Released", "Released"));
}

// 5: disagreement, timeouts, aborts.

#[test]
fn a_disagreement_names_the_members_and_their_parties() {
    let mut hall = Hall::new();
    hall.arrive(ArrivalRequest { party: members("b a c"), ..request(1, 1, "a") });
    hall.arrive(ArrivalRequest { party: members("c a b"), ..request(3, 1, "c") });
    hall.arrive(request(2, 1, "b"));
    for process in [1, 2, 3] {
        assert_eq!(
            hall.verdict(process, 1),
            "Disagreed the members disagree: a says [a, b, c], b says [a, b]; all must name the same"
        );
    }
    assert_eq!(hall.outcomes[&(1, 1)][0].who, ["a", "b"]);
    hall.arrive(ArrivalRequest { party: Some(Party::Count(2)), ..request(1, 2, "a") });
    hall.arrive(request(2, 2, "b"));
    assert!(hall.verdict(1, 2).contains("a says [any 2], b says [a, b]"), "{}", hall.verdict(1, 2));
}

#[test]
fn the_earliest_timeout_ends_the_round_and_names_the_missing() {
    let mut hall = Hall::new();
    let party = || members("a b c");
    hall.arrive(ArrivalRequest { party: party(), timeout: Some(SECOND * 9), ..request(1, 1, "a") });
    hall.arrive(ArrivalRequest { party: party(), timeout: Some(SECOND * 2), ..request(2, 1, "b") });
    hall.live(&[1, 2], SECOND * 2);
    assert_eq!(hall.verdict(1, 1), "TimedOut timed out; missing: c");
    assert_eq!(hall.verdict(2, 1), hall.verdict(1, 1));
}

#[test]
fn a_timeout_names_a_member_that_has_not_answered() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.pass(SECOND * 3);
    hall.arrive(ArrivalRequest { timeout: Some(SECOND), ..request(2, 1, "b") });
    hall.pass(SECOND);
    let why = "TimedOut timed out; all had arrived, but no sign of life came from a";
    assert_eq!(hall.verdict(2, 1), why);
}

#[test]
fn an_abort_reaches_all_members_and_the_one_that_aborts() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    hall.arrive(ArrivalRequest { abort: Some("no disk".to_owned()), ..request(2, 1, "b") });
    assert_eq!((hall.verdict(1, 1), hall.verdict(2, 1)), (hall.verdict(2, 1), "Aborted b aborted: no disk".to_owned()));
    assert_eq!(hall.outcomes[&(1, 1)][0].who, ["b"]);
}

#[test]
fn a_waiting_member_can_abort_by_any_process_but_only_for_its_party() {
    for (process, id) in [(9, 1), (1, 2)] {
        let mut hall = Hall::new();
        let three = |process, id, member| ArrivalRequest { party: members("a b c"), ..request(process, id, member) };
        hall.arrive(three(1, 1, "a"));
        hall.arrive(three(2, 1, "b"));
        let abort = || Some("no disk".to_owned());
        hall.arrive(ArrivalRequest { abort: abort(), party: members("a x"), ..request(8, 1, "a") });
        assert_eq!(hall.verdict(1, 1), "");
        hall.arrive(ArrivalRequest { abort: abort(), ..three(process, id, "a") });
        for arrival in [(1, 1), (2, 1), (process, id)] {
            assert_eq!(hall.verdict(arrival.0, arrival.1), "Aborted a aborted: no disk");
        }
        hall.arrive(three(3, 1, "c"));
        assert_eq!(hall.verdict(3, 1), "Aborted an earlier round failed: a aborted: no disk");
        assert_eq!(hall.meetings.meetings.len(), 0);
    }
}

#[test]
fn a_declared_party_applies_if_no_member_names_one() {
    let mut hall = Hall::new();
    hall.arrive(ArrivalRequest { party: None, ..request(1, 1, "a") });
    assert!(hall.verdict(1, 1).starts_with("Refused the members of \"m\" are not known"), "{}", hall.verdict(1, 1));
    hall.declared = members("a b");
    hall.arrive(ArrivalRequest { party: None, ..request(1, 2, "a") });
    hall.arrive(ArrivalRequest { party: None, ..request(2, 2, "b") });
    assert_eq!(hall.verdict(1, 2), "Released");
    hall.arrive(ArrivalRequest { party: Some(Party::Count(2)), ..request(1, 3, "a") });
    assert_eq!(
        hall.verdict(1, 3),
        "Disagreed the members disagree: the test file says [a, b], a says [any 2]; all must name the same"
    );
}

// 8: late is not lost: a controller that restarted empty learns arrivals again.

#[test]
fn arrivals_repeated_to_an_empty_controller_form_the_round_again() {
    let mut hall = Hall::new();
    hall.arrive(request(1, 1, "a"));
    let mut other = Hall::new();
    other.arrive(request(2, 1, "b"));
    other.arrive(request(1, 1, "a"));
    assert_eq!(other.verdict(1, 1), "Released");
}

// 9 and 10: values.

#[test]
fn a_value_given_twice_counts_once_and_a_second_different_one_is_an_error() {
    let mut hall = Hall::new();
    let given =
        |process, id, member, json| ArrivalRequest { value: value(json), alive: false, ..request(process, id, member) };
    hall.arrive(given(1, 1, "a", "one"));
    hall.arrive(given(1, 1, "a", "one"));
    assert_eq!(hall.meetings.weight("m"), 3);
    hall.arrive(given(1, 2, "a", "two"));
    assert!(hall.verdict(1, 2).starts_with("Disagreed a has given another value"), "{}", hall.verdict(1, 2));
    hall.arrive(given(1, 3, "a", "one"));
    assert!(hall.verdict(1, 3).starts_with("Refused a waits"), "{}", hall.verdict(1, 3));
    hall.arrive(given(2, 1, "b", "abc"));
    assert_eq!(hall.outcomes[&(1, 1)][0].line.as_deref(), Some(&b"1 one,abc"[..]));
    assert!(Rc::ptr_eq(&hall.outcomes[&(1, 1)][0], &hall.outcomes[&(2, 1)][0]), "the bytes are shared");
}

#[test]
fn the_value_of_a_lost_member_is_kept_unless_all_must_be_alive_and_its_loss_is_recorded() {
    for all_alive in [false, true] {
        let mut hall = Hall::new();
        hall.arrive(ArrivalRequest { alive: false, value: value("x"), ..request(1, 1, "a") });
        hall.cut(1);
        hall.pass(REJOIN * 2);
        let (meeting, member): (Rc<str>, Rc<str>) = (Rc::from("m"), Rc::from("a"));
        let away = Act::Away { meeting: meeting.clone(), member: member.clone() };
        assert_eq!(hall.records[1..], [away, Act::Lost { meeting, member }]);
        hall.arrive(ArrivalRequest { alive: all_alive, value: value("y"), ..request(2, 1, "b") });
        let verdict = hall.verdict(2, 1);
        assert_eq!(verdict, if all_alive { "Lost a was lost" } else { "Released" });
    }
}

#[test]
fn a_harmonized_release_names_an_instant_in_the_future() {
    let mut hall = Hall::new();
    hall.arrive(ArrivalRequest { harmonize: true, ..request(1, 1, "a") });
    hall.arrive(request(2, 1, "b"));
    assert!(hall.outcomes[&(1, 1)][0].at.is_some_and(|at| at >= hall.now + HARMONIZE_LEAD));
    assert_eq!(hall.outcomes[&(1, 1)], hall.outcomes[&(2, 1)]);
}

#[test]
fn ten_thousand_members_meet_in_time_and_leave_nothing_behind() {
    let mut hall = Hall::new();
    let many = 10_000;
    for process in 1..=many {
        let member = format!("m{process}");
        hall.arrive(ArrivalRequest { party: Some(Party::Count(many as u32)), ..request(process, 1, &member) });
    }
    assert_eq!(hall.outcomes.len(), many as usize);
    assert!(hall.outcomes.values().all(|outcomes| outcomes.len() == 1 && outcomes[0].kind == OutcomeKind::Released));
    for process in 1..=many {
        hall.meetings.confirm(Process(process), &[1]);
    }
    assert!(hall.meetings.arrivals.is_empty() && hall.meetings.meetings.is_empty());
}
