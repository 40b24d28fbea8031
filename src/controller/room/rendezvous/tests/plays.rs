//! Invariants of random plays.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// One step of a random play: processes 0 to 5, two for each member.
#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive(u64),
    Again(u64),
    Cut(u64),
    Hear(u64),
    Gone(u64),
    Told(u64),
    Abort(u64),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = 0..6u64;
    let step = prop_oneof![
        6 => process.clone().prop_map(Step::Arrive),
        3 => process.clone().prop_map(Step::Again),
        2 => process.clone().prop_map(Step::Cut),
        4 => process.clone().prop_map(Step::Hear),
        1 => process.clone().prop_map(Step::Gone),
        2 => process.clone().prop_map(Step::Told),
        1 => process.prop_map(Step::Abort),
        3 => (0..4_000u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The outcomes that an arrival may receive.
#[derive(Default)]
struct Play {
    /// The count of the party; `None`: all members by name.
    count: Option<u32>,
    last: BTreeMap<u64, u64>,
    heard: std::collections::BTreeSet<(u64, u64)>,
    /// When each arrival was made first.
    said: BTreeMap<(u64, u64), usize>,
}

impl Play {
    fn step(&mut self, hall: &mut Hall, nr: usize, step: Step) {
        let again = |play: &Play, process: u64| {
            let id = *play.last.get(&process)?;
            (!play.heard.contains(&(process, id))).then_some(id)
        };
        let count = self.count;
        let three = |process: u64, id| ArrivalRequest {
            party: count.map(Party::Count).or(members("a b c")),
            timeout: Some(SECOND * 20),
            ..request(process, id, NAMES[process as usize % 3])
        };
        match step {
            Step::Arrive(process) | Step::Abort(process) => {
                let id = self.last.get(&process).map_or(1, |id| id + 1);
                self.last.insert(process, id);
                self.said.insert((process, id), nr);
                let abort = matches!(step, Step::Abort(_)).then(|| "why".to_owned());
                hall.arrive(ArrivalRequest { abort, ..three(process, id) });
            }
            Step::Again(process) => {
                if let Some(id) = again(self, process) {
                    hall.arrive(three(process, id));
                }
            }
            Step::Cut(process) => hall.cut(process),
            Step::Hear(process) => hall.hear(process),
            Step::Gone(process) => {
                if let Some(&id) = self.last.get(&process) {
                    self.heard.insert((process, id));
                    hall.gone(process, id);
                }
            }
            Step::Told(process) => {
                if let Some(id) = again(self, process).filter(|id| hall.outcomes.contains_key(&(process, *id))) {
                    self.heard.insert((process, id));
                    hall.meetings.confirm(Process(process), &[id]);
                }
            }
            Step::Pass(millis) => hall.pass(Duration::from_millis(millis)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_arrival_gets_two_outcomes_no_rounds_mix_and_no_member_passes_before_all_have_arrived(steps in steps()) {
        let (mut hall, mut play) = (Hall::new(), Play::default());
        for (nr, &step) in steps.iter().enumerate() {
            play.step(&mut hall, nr, step);
            prop_assert_eq!(
                hall.meetings.waiting(),
                hall.meetings.meetings.values().filter_map(|meeting| meeting.forming.as_ref())
                    .map(|round| round.present.len() + round.overflow.iter().count()).sum::<usize>()
            );
        }
        let mut rounds: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for (&arrival, outcomes) in &hall.outcomes {
            prop_assert!(outcomes.iter().all(|outcome| Rc::ptr_eq(outcome, &outcomes[0])), "{arrival:?} has received {outcomes:?}");
            if outcomes[0].kind == OutcomeKind::Released {
                rounds.entry(outcomes[0].round).or_default().push(arrival);
            }
        }
        for (round, arrivals) in rounds {
            let mut names: Vec<&str> = arrivals.iter().map(|(process, _)| NAMES[*process as usize % 3]).collect();
            names.sort_unstable();
            prop_assert_eq!(&names, &NAMES, "round {} released {:?}", round, arrivals);
        }
    }

    #[test]
    fn a_count_releases_exactly_count_members(steps in steps()) {
        let (mut hall, mut play) = (Hall::new(), Play { count: Some(2), ..Play::default() });
        for (nr, &step) in steps.iter().enumerate() {
            play.step(&mut hall, nr, step);
            let forming = hall.meetings.meetings.values().filter_map(|meeting| meeting.forming.as_ref());
            let all = forming.map(|round| (round.present.len(), round.overflow.iter().count()));
            let all: Vec<(usize, usize)> = all.collect();
            prop_assert_eq!(hall.meetings.waiting(), all.iter().map(|(there, overflow)| there + overflow).sum::<usize>());
            prop_assert!(all.iter().all(|(there, overflow)| *there == 2 || *there == 1 && *overflow == 0), "{:?}", all);
        }
        for act in &hall.records {
            if let Act::Met { outcome, members, .. } = act {
                prop_assert!(outcome.kind != OutcomeKind::Released || *members == 2, "{act:?}");
            }
        }
    }

    #[test]
    fn an_arrival_that_is_repeated_gets_an_outcome(steps in steps()) {
        let (mut hall, mut play) = (Hall::new(), Play::default());
        for (nr, &step) in steps.iter().enumerate() {
            play.step(&mut hall, nr, step);
        }
        for process in 0..6 {
            hall.cut(process);
        }
        hall.pass(SECOND * 200);
        for _ in 0..100 {
            for process in 0..6 {
                play.step(&mut hall, 0, Step::Again(process));
                hall.hear(process);
            }
            hall.pass(SECOND);
        }
        for (&process, &id) in &play.last {
            let heard = play.heard.contains(&(process, id)) || hall.outcomes.contains_key(&(process, id));
            prop_assert!(heard, "{process} {id}");
        }
    }
}
