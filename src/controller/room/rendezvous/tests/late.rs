//! The last member arrives more than a second after the others, so that all must show that they are alive. The tests
//! count the work.

use std::cell::Cell;

use super::*;

/// Counts the questions when a process was heard.
#[derive(Default)]
struct Counting {
    heard: BTreeMap<Process, Time>,
    asked: Cell<u64>,
}

impl Presence for Counting {
    fn heard(&self, process: Process) -> Option<Time> {
        self.asked.set(self.asked.get() + 1);
        self.heard.get(&process).copied()
    }
    fn rejoin(&self, _: Process) -> Duration {
        REJOIN
    }
}

/// Many members wait, the last one arrives 1.5 s later, and all answer their checks. Returns how many were released,
/// how many were checked, and how often it was looked up when a process was heard.
fn meet(many: u64, party: &Party, alive: impl Fn(u64) -> bool) -> (usize, usize, u64) {
    let (mut meetings, mut presence) = (Rendezvous::default(), Counting::default());
    let (mut now, mut acts) = (Time::from_micros(10_000_000), Vec::new());
    let no_line = |_: &str, _: u64, _: &Assembly| None;
    for process in 1..=many {
        if process == many {
            now = now + Duration::from_millis(1_500);
        }
        presence.heard.insert(Process(process), now);
        let came = ArrivalRequest {
            party: Some(party.clone()),
            alive: alive(process),
            ..request(process, 1, &format!("m{process}"))
        };
        let mut turn = Turn { now, presence: &presence, line: &no_line, acts: &mut acts };
        meetings.arrive("m", came, None, &mut turn);
    }
    let asked: Vec<Process> =
        acts.iter().filter_map(|act| if let Act::Check(it) = act { Some(*it) } else { None }).collect();
    for process in &asked {
        now = now + Duration::from_micros(10);
        presence.heard.insert(*process, now);
        let mut turn = Turn { now, presence: &presence, line: &no_line, acts: &mut acts };
        meetings.on_sign_of_life(*process, &mut turn);
    }
    let released = |act: &&Act| matches!(act, Act::Tell { outcome, .. } if outcome.kind == OutcomeKind::Released);
    (acts.iter().filter(released).count(), asked.len(), presence.asked.get())
}

#[test]
fn the_work_of_a_late_release_grows_with_the_members_and_not_with_their_square() {
    for many in [500, 2_000, 10_000] {
        let (released, asked, looks) = meet(many, &Party::Count(many as u32), |_| true);
        assert_eq!((released, asked), (many as usize, many as usize - 1));
        assert!(looks <= 6 * many, "{looks} looks for {many} members");
    }
}

#[test]
fn the_work_is_the_same_for_named_members_and_if_one_member_requires_all_alive() {
    let many = 1_000;
    let party = Party::Members((1..=many).map(|nr| format!("m{nr}")).collect());
    for alive in [|_| true, |process| process == 7] {
        let (released, asked, looks) = meet(many, &party, alive);
        assert_eq!((released, asked), (many as usize, many as usize - 1));
        assert!(looks <= 6 * many, "{looks} looks for {many} members");
    }
}

#[test]
fn members_that_leave_in_the_order_of_their_timeouts_keep_the_earliest_deadline() {
    let mut hall = Hall::new();
    let party = || Some(Party::Count(4));
    for process in 1..=3 {
        hall.arrive(ArrivalRequest {
            party: party(),
            timeout: Some(SECOND * 10),
            ..request(process, 1, &format!("m{process}"))
        });
        hall.live(&[1, 2, 3], SECOND);
    }
    for (process, end) in [(1, 11), (2, 12)] {
        hall.cut(process);
        hall.pass(Duration::ZERO);
        hall.arrive(ArrivalRequest { party: party(), ..request(10 + process, 1, &format!("m{process}")) });
        let deadline = hall.meetings.timers.get(&Timer::Deadline(Rc::from("m")));
        assert_eq!(deadline, Some(Time::from_micros((10 + end) * 1_000_000)));
    }
}

#[test]
fn thousands_of_contended_holders_keep_their_names_when_they_are_heard() {
    // Visiting all contenders for each sign of life would take minutes here.
    let (mut hall, many) = (Hall::new(), 9_999);
    let party = || Some(Party::Count(many as u32 + 1));
    for process in 1..=many {
        hall.arrive(ArrivalRequest { party: party(), ..request(process, 1, &format!("m{process}")) });
        hall.arrive(ArrivalRequest { party: party(), ..request(many + process, 1, &format!("m{process}")) });
    }
    for process in 1..=many {
        hall.hear(process);
    }
    assert!((1..=many).all(|process| hall.verdict(many + process, 1).starts_with("Refused another process waits")));
}

#[test]
fn a_process_is_awaited_until_it_is_heard_after_the_last_arrival() {
    let mut hall = Hall::new();
    let party = || members("a b c");
    hall.arrive(ArrivalRequest { party: party(), ..request(1, 1, "a") });
    hall.arrive(ArrivalRequest { party: party(), ..request(1, 2, "b") });
    hall.pass(SECOND * 3);
    hall.arrive(ArrivalRequest { party: party(), timeout: Some(SECOND), ..request(2, 1, "c") });
    // A reconnect is a sign of life for all members of the process, after they have repeated their arrivals.
    hall.cut(1);
    hall.heard.0.insert(Process(1), hall.now);
    hall.turn(|meetings, turn| assert!(meetings.again((Process(1), 1), turn)));
    assert_eq!(hall.verdict(2, 1), "", "b is still away");
    hall.turn(|meetings, turn| assert!(meetings.again((Process(1), 2), turn)));
    assert_eq!(hall.verdict(2, 1), "Released");
}
